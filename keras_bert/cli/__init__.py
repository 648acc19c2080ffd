"""The command line: `keras-bert <command>`.

A command is a module with three names: `HELP`, one line; `configure(parser)`,
its arguments; `run(args)`, which calls the library and prints. Only the module
of the command asked for is imported.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from keras_bert.errors import KerasBertError
from keras_bert.tf_startup import start_tensorflow

COMMANDS = {
    "vocab": "train a WordPiece vocabulary from text",
    "data": "turn text into pretraining records",
    "pretrain": "train a BERT from records",
    "finetune": "train a head on a labeled task",
    "evaluate": "score a model on labeled data",
    "predict": "apply a fine-tuned model to text",
    "convert": "convert a checkpoint into another format",
    "inspect": "describe a checkpoint",
    "strip": "remove the optimizer's state from a checkpoint",
    "export": "write a SavedModel for TF Serving",
    "bench": "measure a model on every runtime installed",
    "serve": "answer TF Serving's REST and gRPC APIs on this machine, for development",
    "attention": "draw attention heat maps",
    "features": "write a model's hidden states for text",
}
# These need TensorFlow in any case; the others only for its own files.
ON_TENSORFLOW = {
    *("pretrain", "finetune", "evaluate", "predict"),
    *("export", "bench", "serve", "attention", "features"),
}


def _usage() -> str:
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
    return (
        "usage: keras-bert <command> [arguments]\n\n"
        f"{rows}\n\n`keras-bert <command> --help` lists a command's arguments."
    )


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Tells the default of an argument that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False or action.default == []:
            return action.help
        return super()._get_help_string(action)


def parser_of(command: str) -> argparse.ArgumentParser:
    """Returns the argument parser of one command."""
    module = importlib.import_module(f"keras_bert.cli.{command}")
    parser = argparse.ArgumentParser(
        prog=f"keras-bert {command}",
        description=f"{COMMANDS[command][0].upper()}{COMMANDS[command][1:]}.",
        formatter_class=_HelpFormatter,
    )
    parser.add_argument(
        "--debug", action="store_true", help="show the traceback of an error"
    )
    module.configure(parser)
    parser.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: command and arguments; None takes the process' own.

    Returns:
        The exit status: 0, or 2 after an error, printed as one line.

    Example:
        >>> main(["inspect", "ckpt/"])  # doctest: +SKIP
        0
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help"):
        print(_usage())
        return 0
    if argv[0] not in COMMANDS:
        print(f"Unknown command {argv[0]!r}.\n\n{_usage()}", file=sys.stderr)
        return 2
    # TensorFlow's start-up notes would bury ours; a user's own setting stands.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    args = parser_of(argv[0]).parse_args(argv[1:])
    if argv[0] in ON_TENSORFLOW and _starts_alone():
        start_tensorflow()
    try:
        return args.run(args) or 0
    except (KerasBertError, OSError) as error:
        if args.debug:
            raise
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stopped:
        print(f"Interrupted{' ' if stopped.args else ''}{stopped}.", file=sys.stderr)
        return getattr(stopped, "exit_status", 130)


def _starts_alone() -> bool:
    """Whether TensorFlow is the backend, and not to be set up by a cluster first."""
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    return backend == "tensorflow" and "TF_CONFIG" not in os.environ
