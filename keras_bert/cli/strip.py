"""`keras-bert strip`."""

import argparse

HELP = "remove the optimizer's state from a checkpoint"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("checkpoint", help="directory, weights file or prefix")
    parser.add_argument("output", help="directory to write, in the same format")
    parser.add_argument("--head", help="model class, where the files leave it open")
    parser.add_argument("--overwrite", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Strips the checkpoint and says what that saved."""
    from keras_bert.checkpoints.conversion import strip

    report, saved = strip(
        args.checkpoint, args.output, head=args.head, overwrite=args.overwrite
    )
    print(report.summary())
    print(f"Saved {saved:,} bytes.")
    return 0
