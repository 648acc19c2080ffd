"""`keras-bert strip`: a checkpoint without its optimizer state."""

import argparse

from keras_bert.cli.parsing import add_reading_arguments, reading_options


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "checkpoint", help="directory, weights file or TensorFlow prefix"
    )
    parser.add_argument("output", help="directory to write, in the same format")
    add_reading_arguments(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace the output")


def run(args: argparse.Namespace) -> int:
    """Strips the checkpoint and prints the bytes saved."""
    from keras_bert.checkpoints.conversion import strip

    report, saved = strip(
        args.checkpoint,
        args.output,
        overwrite=args.overwrite,
        **reading_options(args),
    )
    print(report.summary())
    print(f"Saved {saved:,} bytes.")
    return 0
