"""`keras-bert convert`, and the main function of `converters/*.py`."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from keras_bert.cli.parsing import Parser, add_reading_arguments, reading_options
from keras_bert.errors import CheckpointError, KerasBertError

# What the names of the converters stand for: the format they write.
KINDS = {"tf": "google", "pt": "huggingface", "keras": "keras"}
# The formats that they read.
READ = {
    "tf": ("google", "model_garden", "huggingface_tf"),
    "pt": ("huggingface",),
    "keras": ("keras", "keras_hub"),
}
DIRECTORIES = {"google": "tf", "huggingface": "pytorch", "keras": "keras"}
NAMES = {"tf": "TensorFlow", "pt": "PyTorch", "keras": "Keras"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    _use_one_thread()
    from keras_bert.checkpoints.formats import FORMATS

    parser.add_argument("source", help="directory, weights file or TensorFlow prefix")
    parser.add_argument("output", help="directory to write")
    parser.add_argument("--to", required=True, choices=FORMATS, help="output format")
    _add_options(parser)


def _use_one_thread() -> None:
    """Limits NumPy's BLAS to one thread before it is loaded, unless the user set it.

    The matrix products of the verification are small: more threads would only spin.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format",
        choices=("safetensors", "bin"),
        default="safetensors",
        help="file format of PyTorch weights",
    )
    parser.add_argument(
        "--max-shard-size",
        metavar="SIZE",
        help="largest file of weights, such as 2GB; larger ones are split",
    )
    parser.add_argument(
        "--gelu",
        choices=("erf", "tanh"),
        help="gelu that a Google checkpoint was trained with (erf: the first releases "
        "of 2018); of another checkpoint, the form to change it to",
    )
    add_reading_arguments(parser)
    parser.add_argument(
        "--verify",
        choices=("reference", "full", "none"),
        default="reference",
        help="what compares the outputs of source and result: a reference in NumPy; "
        "full: also the Keras model and, if installed, transformers",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the output")


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
        **reading_options(args),
        gelu=args.gelu,
        file_format=args.format,
        max_shard_size=args.max_shard_size,
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
        A function that takes arguments, by default those of the process, and returns
        the exit status.

    Example:
        >>> converter("tf", "pt")(["ckpt/"])  # doctest: +SKIP
        0
    """

    def main(argv: Sequence[str] | None = None) -> int:
        # Hides TensorFlow's startup messages, unless the user set the variable.
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


def _parser(source: str, target: str) -> Parser:
    folder = DIRECTORIES[KINDS[target]]
    parser = Parser(
        description=f"Convert a {NAMES[source]} checkpoint to {NAMES[target]}."
    )
    parser.add_argument("source", help="directory, weights file or TensorFlow prefix")
    parser.add_argument(
        "--output",
        help=f"directory to write; by default {folder}/ in that of the source",
    )
    parser.add_argument(
        "--debug", action="store_true", help="show tracebacks of errors"
    )
    _add_options(parser)
    return parser


def _run(args: argparse.Namespace, source: str, target: str) -> None:
    from keras_bert.checkpoints import formats

    path, to = Path(args.source), KINDS[target]
    found = formats.detect(path)
    if found not in READ[source]:
        raise CheckpointError(
            f"Expected a {NAMES[source]} checkpoint at {path}. Received: one in the "
            f"format {found!r}. Use `keras-bert convert --to {to}`."
        )
    folder = path if path.is_dir() else path.parent
    _convert(args, args.output or folder / DIRECTORIES[to], to)
