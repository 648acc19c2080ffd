"""Runs a command in this process, as from the command line."""

import contextlib
import io
from typing import NamedTuple

from keras_bert.cli import main


class Result(NamedTuple):
    """What a command returned and printed."""

    status: int
    out: str
    err: str


def call(*arguments) -> Result:
    """Runs `keras-bert` with arguments of any type."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as ended:  # of argparse
            status = int(ended.code or 0)
    return Result(status, out.getvalue(), err.getvalue())
