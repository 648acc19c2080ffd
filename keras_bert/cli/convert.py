"""`keras-bert convert`, and the one main behind `converters/*.py`."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from keras_bert.errors import CheckpointError, KerasBertError

HELP = "convert a checkpoint into another format"

# The converters' names for things: a format, and the directory it goes to.
KINDS = {"tf": "google", "pt": "huggingface", "keras": "keras"}
# A converter reads its own kind, in every format there is of it.
READ = {
    "tf": ("google", "model_garden", "huggingface_tf"),
    "pt": ("huggingface",),
    "keras": ("keras", "keras_hub"),
}
DIRECTORIES = {"google": "tf", "huggingface": "pytorch", "keras": "keras"}
NAMES = {"tf": "TensorFlow", "pt": "PyTorch", "keras": "Keras"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    _use_one_thread()
    from keras_bert.checkpoints.formats import FORMATS

    parser.add_argument("source", help="directory, weights file or TensorFlow prefix")
    parser.add_argument("output", help="directory to write")
    parser.add_argument("--to", required=True, choices=FORMATS)
    _add_options(parser)


def _use_one_thread() -> None:
    """Tells NumPy's BLAS, before it is loaded; a user's own setting stands.

    The verification's products are small: more threads would only wait, busily.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format",
        choices=("safetensors", "bin"),
        default="safetensors",
        help="kind of file of PyTorch weights",
    )
    parser.add_argument(
        "--max-shard-size",
        metavar="SIZE",
        help="of a file of weights, such as 2GB; several are written beyond it",
    )
    parser.add_argument(
        "--gelu",
        choices=("erf", "tanh"),
        help="form of gelu a Google checkpoint was trained with "
        "(erf: the first 2018 releases)",
    )
    parser.add_argument(
        "--head",
        help="model class, where the files leave it open: token_classification",
    )
    parser.add_argument(
        "--drop",
        action="append",
        default=[],
        metavar="NAME",
        help="tensor or part to leave behind; may be repeated; `optimizer` stands for "
        "all of its state",
    )
    parser.add_argument(
        "--verify",
        choices=("reference", "full", "none"),
        default="reference",
        help="what runs source and result on probe inputs: a reference in NumPy; full: "
        "also the Keras model and, where installed, transformers",
    )
    parser.add_argument("--config", help="config file, if not beside the weights")
    parser.add_argument("--overwrite", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Converts and prints the report."""
    _convert(args, args.output, args.to)
    return 0


def _convert(args: argparse.Namespace, output: str | Path, to: str) -> None:
    from keras_bert.checkpoints import convert

    verifiers = None
    if args.verify == "full":
        from keras_bert.verification import VERIFIERS as verifiers
    report = convert(
        args.source,
        output,
        to,
        head=args.head,
        gelu=args.gelu,
        file_format=args.format,
        max_shard_size=args.max_shard_size,
        drop=args.drop,
        config_file=args.config,
        overwrite=args.overwrite,
        verify=args.verify != "none",
        verifiers=verifiers,
    )
    print(report.summary())


# === converters/*.py ===


def converter(source: str, target: str) -> Callable[[Sequence[str] | None], int]:
    """Makes the main function of a converter script.

    Args:
        source: "tf", "pt" or "keras": what the script reads.
        target: what it writes.

    Returns:
        A function that takes arguments, by default the process' own, and returns the
        exit status.

    Example:
        >>> converter("tf", "pt")(["ckpt/"])  # doctest: +SKIP
        0
    """

    def main(argv: Sequence[str] | None = None) -> int:
        # TensorFlow's start-up notes would bury ours; a user's own setting stands.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        _use_one_thread()
        args = _parser(source, target).parse_args(argv)
        try:
            _run(args, source, target)
        except KerasBertError as error:
            if args.debug:
                raise
            print(f"Error: {error}", file=sys.stderr)
            return 2
        return 0

    return main


def _parser(source: str, target: str) -> argparse.ArgumentParser:
    folder = DIRECTORIES[KINDS[target]]
    parser = argparse.ArgumentParser(
        description=f"Convert a {NAMES[source]} checkpoint to {NAMES[target]}.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("source", help="directory, weights file or TensorFlow prefix")
    parser.add_argument(
        "--output", help=f"directory to write; if not given, {folder}/ in the source's"
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    _add_options(parser)
    return parser


def _run(args: argparse.Namespace, source: str, target: str) -> None:
    from keras_bert.checkpoints import formats

    path, to = Path(args.source), KINDS[target]
    found = formats.detect(path)
    if found not in READ[source]:
        raise CheckpointError(
            f"Expected a {NAMES[source]} checkpoint at {path}. Received: one of the "
            f"format {found!r}. Use `keras-bert convert --to {to}`."
        )
    folder = path if path.is_dir() else path.parent
    _convert(args, args.output or folder / DIRECTORIES[to], to)
