"""What the commands that apply a model share: its arguments, and loading it."""

import argparse
import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_bert.cli.runs import DTYPES
from keras_bert.errors import InputError, choose


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that say which model, tokenizer and labels to take."""
    parser.add_argument(
        "--model",
        required=True,
        type=_of_run,
        metavar="PATH",
        help="a checkpoint of any format, or the directory of a run",
    )
    parser.add_argument(
        "--head",
        metavar="CLASS",
        help="class of the model, such as BertForSequenceClassification; the "
        "checkpoint decides if absent",
    )
    parser.add_argument(
        "--vocab", metavar="PATH", help="vocab.txt or tokenizer directory"
    )
    parser.add_argument(
        "--max-length",
        type=int,
        metavar="N",
        help="longest row made from text, in tokens; the model's limit if absent",
    )
    parser.add_argument(
        "--labels", nargs="+", metavar="NAME", help="names of the classes, in order"
    )


def add_dtype_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the argument that says what to compute in."""
    parser.add_argument("--dtype", choices=DTYPES, help="dtype policy (float32)")


def _of_run(path: str) -> str:
    """Returns the model that `keras-bert finetune` or `pretrain` left in a run."""
    model = Path(path, "model")
    return str(model) if (Path(path) / "plan.json").is_file() else path


def add_answer_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that only answers of some heads depend on."""
    group = parser.add_argument_group("question answering and token classification")
    group.add_argument(
        "--doc-stride",
        type=int,
        metavar="N",
        help="tokens that neighboring windows of a long text share; 128 if absent, or "
        "a quarter of a short --max-length",
    )
    group.add_argument(
        "--max-answer-length",
        type=int,
        metavar="N",
        help="most tokens of an answer to a question; 30 if absent",
    )
    group = parser.add_argument_group("one vector per text")
    group.add_argument(
        "--embeddings",
        metavar="POOLING",
        help="answer with the encoder's states, pooled: mean, max, cls or pooler",
    )
    group.add_argument(
        "--normalize", action="store_true", help="make the vectors of length 1"
    )


def answer_options(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the values of these arguments."""
    names = ("doc_stride", "max_answer_length", "embeddings", "normalize")
    return {name: getattr(args, name) for name in names}


def load_tokenizer(args: argparse.Namespace) -> Any:
    """Returns the tokenizer beside the checkpoint, or the one asked for."""
    from keras_bert.loading import local_path
    from keras_bert.tokenization import BertTokenizer

    if args.vocab:
        return BertTokenizer.from_pretrained(args.vocab)
    path = local_path(args.model)
    # A Google checkpoint may be named by the prefix of its files.
    return BertTokenizer.from_pretrained(path if path.is_dir() else path.parent)


def load_model(args: argparse.Namespace, default: str | None = None) -> Any:
    """Returns the model of the checkpoint, all of its weights from there.

    Args:
        args: the arguments.
        default: the class if `--head` names none; None takes the checkpoint's.

    Raises:
        UnknownNameError: there is no such head.
        InputError: the checkpoint lacks the head's weights.
    """
    from keras_bert.loading import read_for
    from keras_bert.models import MODELS, BertModel

    if args.head:
        choose("head", args.head, MODELS)
    model_class = MODELS[args.head or default or _head_of(args.model)]
    with _without_advice():
        missing = read_for(args.model, model_class.parts).newly_initialized
    dtype = vars(args).get("dtype")
    if model_class is BertModel and missing == ["pooler"]:
        return BertModel.from_pretrained(
            args.model, dtype=dtype, add_pooling_layer=False
        )
    if missing:
        raise InputError(
            f"Expected {args.model} to hold {', '.join(missing)} for "
            f"{model_class.__name__}; it does not. Train the head first, or choose "
            "another with --head."
        )
    return model_class.from_pretrained(args.model, dtype=dtype)


@contextlib.contextmanager
def _without_advice() -> Iterator[None]:
    """Hides the advice to train a new head, where an error says so."""
    log = logging.getLogger("keras_bert.loading")
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = False


def size_of(path: Path) -> str:
    """Returns the size of a file or directory, for people."""
    files = [file for file in (path, *path.rglob("*")) if file.is_file()]
    return f"{sum(file.stat().st_size for file in files) / 1e6:,.1f} MB"


def _head_of(path: str) -> str:
    """Returns the class the checkpoint names, or the largest its weights make up."""
    from keras_bert.checkpoints import formats
    from keras_bert.loading import local_path, read_for
    from keras_bert.models import MODELS

    named = formats.read(local_path(path)).head
    if named in MODELS:
        return named
    present = {"encoder", *read_for(path, ()).unused}
    made_up = [n for n, cls in MODELS.items() if set(cls.parts) <= present]
    parts_of = {name: len(MODELS[name].parts) for name in made_up}
    return max(made_up, key=parts_of.get, default="BertModel")
