"""The model and the tokenizer that the flags of Google's scripts name."""

import argparse
import re
from pathlib import Path
from typing import Any

from keras_bert.cli.models import class_of
from keras_bert.errors import ConfigError, InputError

_RELEASE = re.compile(r"(\w+)_L-\d+_H-\d+_A-\d+")


def load_tokenizer(args: argparse.Namespace, config: Any) -> Any:
    """Returns the tokenizer, with the rules of Google's code.

    Args:
        args: with `vocab_file`, `do_lower_case`, `init_checkpoint`, `max_seq_length`.
        config: of the model.

    Raises:
        ConfigError: the checkpoint is of the other case, by its name; or rows are
            longer than those of the model.
    """
    from keras_bert.tokenization import BertTokenizer

    _check_case(args.do_lower_case, args.init_checkpoint)
    if args.max_seq_length > config.max_length:
        raise ConfigError(
            f"Expected max_seq_length of at most {config.max_length}, the positions of "
            f"the model. Received: {args.max_seq_length}."
        )
    return BertTokenizer.from_pretrained(
        args.vocab_file,
        google_rules=True,
        max_word_length=None,
        do_lower_case=args.do_lower_case,
        model_max_length=config.max_length,
    )


def _check_case(lower: bool, checkpoint: str | None) -> None:
    """Raises if the name of a release says that its model has the other case."""
    release = _RELEASE.search(Path(checkpoint or "").parent.name)
    if release is None:
        return
    name = release[1].lower()
    cased = name.endswith("cased") and not name.endswith("uncased")
    if cased == lower and (
        cased or name.endswith(("uncased", "multilingual", "chinese"))
    ):
        raise ConfigError(
            f"Expected --do_lower_case={not cased} with {release[0]}, which is a "
            f"{'cased' if cased else 'lower-cased'} model. Received: {lower}."
        )


def read_config(path: str) -> Any:
    """Returns the config in a `bert_config.json`, whose `gelu` is the tanh form."""
    from keras_bert import families
    from keras_bert.checkpoints.formats.google import with_gelu
    from keras_bert.config import read_json_file

    return with_gelu(families.read_config(read_json_file(path)), None)


def trained(folder: str | Path) -> Path | None:
    """Returns the latest checkpoint of a run, as TensorFlow finds it, or None."""
    from keras_bert.checkpoints.formats import google

    return google.latest(Path(folder))


def load_model(
    args: argparse.Namespace, kind: str, **overrides: Any
) -> tuple[Any, int]:
    """Returns the model to train or to use, and how many steps its run has done.

    Args:
        args: of the script. To use, that is the latest checkpoint in `output_dir`, or
            else `init_checkpoint`; to train, the latter or a new one.
        kind: of its head.
        **overrides: config fields to set differently.

    Raises:
        ConfigError: there is no checkpoint to use.
    """
    latest = None if args.do_train else trained(args.output_dir)
    if not (args.do_train or latest or args.init_checkpoint):
        raise ConfigError(
            f"Expected a checkpoint in {args.output_dir}, or --init_checkpoint. "
            "Received: neither. Train first, with --do_train=true."
        )
    model, step = load(args, kind, latest or args.init_checkpoint, **overrides)
    return model, step if latest else 0


def load(
    args: argparse.Namespace, kind: str, path: str | Path | None, **overrides: Any
) -> tuple[Any, int]:
    """Returns a model, and the `global_step` of its checkpoint.

    Args:
        args: with `bert_config_file` and `random_seed`.
        kind: of its head.
        path: a checkpoint; None makes a new model.
        **overrides: config fields to set differently.
    """
    from keras_bert.checkpoints import formats
    from keras_bert.loading import load_pretrained, local_path

    options = {"seed": args.random_seed}
    if not path:
        config = read_config(args.bert_config_file).replace(**overrides)
        return class_of(config, kind)(config, **options), 0
    checkpoint = formats.read(local_path(path), config_file=args.bert_config_file)
    model_class = class_of(checkpoint.config, kind)
    model = load_pretrained(model_class, checkpoint, **options, **overrides)
    step = checkpoint.optimizer.get("global_step")
    return model, int(step.load().item()) if step is not None else 0


def output_folder(args: argparse.Namespace) -> Path:
    """Returns the directory of the outputs, made if it is not there.

    Raises:
        InputError: it is a file, or the address of a bucket.
    """
    folder = Path(args.output_dir)
    if "://" in args.output_dir or (folder.exists() and not folder.is_dir()):
        raise InputError(
            f"Expected a directory of this computer as --output_dir. Received: "
            f"{args.output_dir}."
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder
