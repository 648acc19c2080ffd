"""`keras-bert strip`: a checkpoint without its optimizer state."""

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "checkpoint", help="directory, weights file or TensorFlow prefix"
    )
    parser.add_argument("output", help="directory to write, in the same format")
    parser.add_argument(
        "--head", help="model class, if it does not follow from the files"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the output")


def run(args: argparse.Namespace) -> int:
    """Strips the checkpoint and prints the bytes saved."""
    from keras_bert.checkpoints.conversion import strip

    report, saved = strip(
        args.checkpoint, args.output, head=args.head, overwrite=args.overwrite
    )
    print(report.summary())
    print(f"Saved {saved:,} bytes.")
    return 0
