"""`keras-bert inspect`."""

import argparse

HELP = "describe a checkpoint"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("checkpoint", help="directory, weights file or prefix")
    parser.add_argument("other", nargs="?", help="another, to list the differences")


def run(args: argparse.Namespace) -> int:
    """Prints a description of each, and what differs."""
    from keras_bert.checkpoints.inspection import compare, inspect

    paths = [path for path in (args.checkpoint, args.other) if path]
    print("\n\n".join(inspect(path).summary() for path in paths))
    if args.other:
        lines = compare(args.checkpoint, args.other) or ["none"]
        print("\nDifferences:", *lines, sep="\n  ")
    return 0
