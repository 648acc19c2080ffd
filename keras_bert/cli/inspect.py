"""`keras-bert inspect`: a description of a checkpoint."""

import argparse

from keras_bert.cli.parsing import add_reading_arguments, reading_options


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "checkpoint", help="directory, weights file or TensorFlow prefix"
    )
    parser.add_argument("other", nargs="?", help="another checkpoint to compare with")
    add_reading_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Prints a description of each checkpoint, and their differences."""
    from keras_bert.checkpoints.inspection import compare, inspect

    paths = [path for path in (args.checkpoint, args.other) if path]
    options = reading_options(args)
    print("\n\n".join(inspect(path, **options).summary() for path in paths))
    if args.other:
        lines = compare(args.checkpoint, args.other, **options) or ["none"]
        print("\nDifferences:", *lines, sep="\n  ")
    return 0
