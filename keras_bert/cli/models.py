"""What the commands that use a model share: its arguments, and loading it."""

import argparse
from itertools import islice
from pathlib import Path
from typing import Any

from keras_bert.cli.parsing import positive
from keras_bert.errors import InputError, choose

# Weights stay in float32: in 16 bits, small updates would be lost.
DTYPES = ("float32", "mixed_bfloat16", "mixed_float16")


def add_model_arguments(
    parser: argparse.ArgumentParser, *, required: bool = True, heads: bool = True
) -> None:
    """Adds the arguments for the model, its tokenizer and its labels.

    Args:
        parser: of the command.
        required: whether it always needs a model.
        heads: whether its head can be chosen, and its labels.
    """
    parser.add_argument(
        "--model",
        required=required,
        type=_of_run,
        metavar="PATH",
        help="a checkpoint of any format, or the directory of a run",
    )
    if heads:
        _add_head_arguments(parser)
    parser.add_argument(
        "--vocab",
        metavar="PATH",
        help="vocab.txt or tokenizer directory, if not in --model",
    )
    parser.add_argument(
        "--max-length",
        type=positive,
        metavar="N",
        help="longest row made from text, in tokens; by default the model's limit",
    )


def _add_head_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--head",
        metavar="CLASS",
        help="model class or kind of head, such as sequence_classification; by default "
        "that of the checkpoint",
    )
    parser.add_argument(
        "--labels", nargs="+", metavar="NAME", help="class names, in order"
    )


def add_dtype_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the argument for the dtype policy."""
    parser.add_argument("--dtype", choices=DTYPES, help="dtype policy (float32)")


def _of_run(path: str) -> str:
    """Returns the trained model, if the path is the directory of a run."""
    model = Path(path, "model")
    return str(model) if (Path(path) / "plan.json").is_file() else path


def add_answer_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that apply to the answers of some heads only."""
    group = parser.add_argument_group("long texts")
    group.add_argument(
        "--doc-stride",
        type=positive,
        metavar="N",
        help="overlap of the windows of a long text, in tokens; by default 128, or a "
        "quarter of --max-length if that is less",
    )
    add_window_pooling(group)
    group.add_argument(
        "--max-answer-length",
        type=positive,
        metavar="N",
        help="longest answer to a question, in tokens; by default 30",
    )
    group = parser.add_argument_group("one vector per text")
    group.add_argument(
        "--embeddings",
        metavar="POOLING",
        help="return pooled hidden states of the encoder: mean, max, cls, pooler, "
        "mean_sqrt_len_tokens, weightedmean or lasttoken, several joined as cls+mean; "
        "none: states of all tokens; by default what a sentence-transformers folder "
        "says",
    )
    group.add_argument(
        "--normalize", action="store_true", help="scale the vectors to length 1"
    )


def add_window_pooling(parser: Any) -> None:
    """Adds the argument for classification of long texts."""
    parser.add_argument(
        "--window-pooling",
        metavar="NAME",
        help="classify a long text by windows, and take the mean, the max or a learned "
        "mean of their logits; none cuts it off; by default as in training",
    )


def answer_options(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the values of these arguments."""
    names = ("doc_stride", "max_answer_length", "window_pooling")
    names = (*names, "embeddings", "normalize")
    return {name: getattr(args, name) for name in names}


def load_tokenizer(args: argparse.Namespace, config: Any) -> Any:
    """Returns the tokenizer of `--vocab`, or that of the checkpoint.

    Args:
        args: the arguments.
        config: the config of the model, whose family has a kind of tokenizer.

    Raises:
        InputError: this package has no such tokenizer.
    """
    from keras_bert.checkpoints import sentence_modules
    from keras_bert.loading import local_path
    from keras_bert.tokenization import tokenizer_class

    kind = tokenizer_class(config)
    if args.vocab:
        return kind.from_pretrained(args.vocab)
    path = sentence_modules.transformer_folder(local_path(args.model))
    # A Google checkpoint may be given by the prefix of its files.
    folder = path if path.is_dir() else path.parent
    tokenizer = kind.from_pretrained(folder)
    modules = sentence_modules.read(folder)
    changes = modules.tokenizer_changes(tokenizer.settings()) if modules else {}
    return kind.from_pretrained(folder, **changes) if changes else tokenizer


def load_served_tokenizer(args: argparse.Namespace, config: Any) -> Any:
    """Returns the tokenizer to export; None, and says so, if only ids can be served."""
    from keras_bert import families
    from keras_bert.tokenization import TOKENIZERS

    if args.ids_only:
        return None
    kind = families.of(config).tokenizer
    if kind in TOKENIZERS or args.vocab:
        return load_tokenizer(args, config)
    print(
        f"A {config.model_type} model takes the ids of a {kind} tokenizer, which this "
        "package does not have: exporting its input as ids only, as with --ids-only."
    )
    return None


def class_of(config: Any, kind: str) -> Any:
    """Returns the model class of a config's family with a kind of head."""
    from keras_bert import families
    from keras_bert.models import MODELS

    return MODELS[families.of(config).class_name(kind)]


def load_model(args: argparse.Namespace, default: str | None = None) -> Any:
    """Returns the model of the checkpoint, with all weights from there.

    Args:
        args: the arguments.
        default: kind of head to use without `--head`; None takes that of the
            checkpoint.

    Raises:
        UnknownNameError: there is no such class.
        InputError: the checkpoint lacks weights of the head.
    """
    from keras_bert import families
    from keras_bert.checkpoints import formats
    from keras_bert.checkpoints.matching import match_weights
    from keras_bert.families.family import ALIKE
    from keras_bert.loading import load_pretrained, local_path
    from keras_bert.models import MODELS

    checkpoint = formats.read(local_path(args.model))
    family = families.of(checkpoint.config)
    head = args.head or default or _head_of(checkpoint)
    trained = family.models.get(checkpoint.head or "")
    if not args.head and trained in ALIKE and head in ALIKE - {trained}:
        raise InputError(
            f"Expected a model with the head {head} in {args.model}. Received: a "
            f"{checkpoint.head}. If its weights are for {head}, pass --head {head}."
        )
    name = family.class_name(head) if head in family.heads else head
    choose("head", name, family.models)
    parts = family.parts_of(name)
    present = match_weights(checkpoint, checkpoint.config, parts).present
    missing = [part for part in parts if part not in ("encoder", *present)]
    options = {"dtype": vars(args).get("dtype")}
    if missing == ["pooler"] and family.models[name] == "encoder":
        missing, options["add_pooling_layer"] = [], False
    if missing:
        raise InputError(
            f"Expected weights of {', '.join(missing)} for {name} in {args.model}. "
            f"Received: {checkpoint.head or 'a checkpoint without them'}. Train the "
            "head first, or choose another with --head."
        )
    return load_pretrained(MODELS[name], checkpoint, **options)


def _head_of(checkpoint: Any) -> str:
    """Returns the class of the checkpoint, or the largest it has all weights of."""
    from keras_bert import families
    from keras_bert.checkpoints.matching import match_weights

    family = families.of(checkpoint.config)
    modules = checkpoint.sentence_modules
    if modules is not None and modules.embeds:
        return "encoder"  # whatever head it was trained with before
    if checkpoint.head in family.models:
        return checkpoint.head
    present = {"encoder", *match_weights(checkpoint, checkpoint.config, ()).present}
    complete = {n: p for n, p in family.model_parts.items() if present.issuperset(p)}
    return max(complete, key=lambda name: len(complete[name]), default="encoder")


def add_encoding_argument(parser: Any) -> None:
    """Adds the argument for the encoding of text files."""
    parser.add_argument(
        "--encoding", default="utf-8", metavar="NAME", help="of text files"
    )


def read_texts(path: str, limit: int, encoding: str) -> list[str]:
    """Returns the first texts of a file with one text per line.

    Raises:
        MissingFileError: there is no such file.
        InputError: the file has no texts, or is not text in this encoding.
    """
    from keras_bert.tasks import Table

    rows = Table(path, format="txt", encoding=encoding).rows({"text": "text"})
    found = (row.cells["text"] for row in rows if row.cells["text"] is not None)
    texts = list(islice(found, limit))
    if not texts:
        raise InputError(f"Expected texts in {path}. Received: empty lines.")
    return texts


def size_of(path: Path) -> str:
    """Returns the size of a file or directory, as text."""
    files = [file for file in (path, *path.rglob("*")) if file.is_file()]
    return f"{sum(file.stat().st_size for file in files) / 1e6:,.1f} MB"
