"""The command line: `keras-bert <command>`.

A command is a module with `configure(parser)`, which adds its arguments, and
`run(args)`, which calls the library and prints. Only the module of the command that
runs is imported.
"""

import argparse
import importlib
import io
import os
import shlex
import sys
from collections.abc import Sequence

from keras_bert.cli.parsing import Parser
from keras_bert.errors import InputError, KerasBertError
from keras_bert.tf_startup import start_tensorflow

COMMANDS = {
    "vocab": "train a WordPiece vocabulary on text",
    "data": "create pretraining records from text",
    "pretrain": "pretrain a BERT on records",
    "finetune": "fine-tune a classifier on labeled data",
    "distill": "train a small model on what a fine-tuned one answers",
    "evaluate": "score a model on labeled data",
    "predict": "apply a fine-tuned model to text",
    "fill-mask": "predict the masked words of a text",
    "convert": "convert a checkpoint to another format",
    "inspect": "describe a checkpoint",
    "strip": "remove the optimizer state from a checkpoint",
    "export": "export a model for TF Serving or another runtime",
    "bench": "benchmark a model on all installed runtimes",
    "serve": "serve exported models over REST and gRPC, for development",
    "embed": "make a vector of each text",
    "search": "find texts by their meaning",
    "attention": "draw attention heat maps",
    "features": "extract hidden states of text",
}
# These always need TensorFlow; the others only for its own files.
ON_TENSORFLOW = {
    *("pretrain", "finetune", "distill", "evaluate", "predict", "fill-mask"),
    *("export", "bench", "serve", "attention", "features"),
    *("embed", "search"),
}


def _usage() -> str:
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
    return (
        "usage: keras-bert <command> [arguments]\n\n"
        f"{rows}\n\n`keras-bert <command> --help` lists a command's arguments."
    )


def parser_of(command: str) -> Parser:
    """Returns the argument parser of one command."""
    name = command.replace("-", "_")
    module = importlib.import_module(f"keras_bert.cli.{name}")
    parser = Parser(
        prog=f"keras-bert {command}",
        description=f"{COMMANDS[command][0].upper()}{COMMANDS[command][1:]}.",
    )
    parser.add_argument(
        "--debug", action="store_true", help="show tracebacks of errors"
    )
    module.configure(parser)
    parser.set_defaults(run=module.run, command_line=None)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: command and arguments; None: those of the process.

    Returns:
        The exit status: 0, or 2 after an error, which is printed as one line.

    Example:
        >>> main(["inspect", "ckpt/"])  # doctest: +SKIP
        0
    """
    _escape_what_the_console_lacks()
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help"):
        print(_usage())
        return 0
    if argv[0] not in COMMANDS:
        print(f"Unknown command {argv[0]!r}.\n\n{_usage()}", file=sys.stderr)
        return 2
    args = parser_of(argv[0]).parse_args(argv[1:])
    args.command_line = shlex.join(["keras-bert", *argv])
    # `evaluate` scores files of predictions without a model.
    scores_files = argv[0] == "evaluate" and args.model is None
    on_tensorflow = argv[0] in ON_TENSORFLOW and not scores_files
    return execute(args, on_tensorflow=on_tensorflow)


def _escape_what_the_console_lacks() -> None:
    """Writes characters that an output's encoding lacks as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def execute(args: argparse.Namespace, *, on_tensorflow: bool) -> int:
    """Runs parsed arguments.

    Args:
        args: with `run`, which gets them, and `debug`.
        on_tensorflow: whether the command always needs TensorFlow.

    Returns:
        The exit status, see `main`.
    """
    _escape_what_the_console_lacks()
    # Hides TensorFlow's startup messages, unless the user set the variable.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if on_tensorflow and _starts_alone():
        start_tensorflow()
    try:
        _refuse_empty_names(args)
        return args.run(args) or 0
    except (KerasBertError, OSError) as error:
        if args.debug:
            raise
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stopped:
        print(f"Interrupted{' ' if stopped.args else ''}{stopped}.", file=sys.stderr)
        return getattr(stopped, "exit_status", 130)


def _refuse_empty_names(args: argparse.Namespace) -> None:
    """Raises for outputs without a name, which would be the current directory."""
    for name in ("output", "output_file", "predictions"):
        if vars(args).get(name) == "":
            raise InputError(f"Expected a path as {name}. Received: an empty one.")


def _starts_alone() -> bool:
    """Whether TensorFlow is the backend, and not part of a cluster to set up first."""
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    return backend == "tensorflow" and "TF_CONFIG" not in os.environ
