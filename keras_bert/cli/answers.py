"""Answers to rows of text, a window at a time, written so that a run can go on."""

import argparse
import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from keras_bert.cli import tables
from keras_bert.cli.beam_answers import rows_of
from keras_bert.cli.partial_files import PartialFile, partial_file
from keras_bert.cli.tables import Answerer
from keras_bert.errors import InputError
from keras_bert.tasks import Example
from keras_bert.tasks.tables import STDIN

Rows = list[Mapping[str, Any]]


def write_answers(
    args: argparse.Namespace,
    examples: Iterator[Example],
    load: Callable[[], Answerer],
    *,
    change: Callable[[Mapping[str, Any], int], Mapping[str, Any]] | None = None,
    places: bool = True,
) -> None:
    """Answers examples, and writes a line for each to `--output` or the terminal.

    Args:
        args: of a parser with `add_text_arguments`.
        examples: read a few batches at a time; of blank rows the answers are null.
        load: returns what answers them; called after the first have been read.
        change: returns the row to write for an answer with its number, from 0.
        places: whether rows have their numbers and ids.

    Raises:
        InputError: there are no examples.
    """
    lines = _writer(args, places=places)
    if not args.output:
        rows = rows_of(args, examples, load)
        for window in _windows(rows, args, change):
            sys.stdout.write(lines(window, True))
        return
    with partial_file(args.output, job_of(args), overwrite=args.overwrite) as file:
        going_on(file)
        rows = rows_of(args, examples, load, done=file.rows)
        for window in _windows(rows, args, change, file.rows):
            file.append(lines(window, file.rows == 0), len(window))
    print(f"Wrote {args.output}")


def _windows(
    rows: Iterator[dict[str, Any]],
    args: argparse.Namespace,
    change: Callable[[Mapping[str, Any], int], Mapping[str, Any]] | None,
    done: int = 0,
) -> Iterator[Rows]:
    """Yields the rows that were answered together."""
    numbered = (change(row, n) if change else row for n, row in enumerate(rows, done))
    return iter(lambda: list(islice(numbered, tables.WINDOW * args.batch_size)), [])


# === What the rows depend on ===

_NOT_IN_JOB = {"run", "debug", "output", "overwrite", "command_line"}
_FILES = ("input", "model", "vocab", "data")


def job_of(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the arguments, and the state of the files they name."""
    given = {k: v for k, v in vars(args).items() if k not in _NOT_IN_JOB}
    files = {f"file of {k}": _stamps(given[k]) for k in _FILES if given.get(k)}
    # What came from a pipe cannot be known to come again.
    piped = {"standard input": os.getpid()} if given.get("input") == STDIN else {}
    return given | files | piped


def going_on(file: PartialFile) -> None:
    """Says which rows are there already, if any are."""
    if file.rows:
        print(f"Going on after the {file.rows:,} rows in {file.folder}.")


def _stamps(name: str) -> list[tuple[str, int, int]]:
    path = Path(name)
    found = path.rglob("*") if path.is_dir() else path.parent.glob(f"{path.name}*")
    files = ((str(file), file.stat()) for file in sorted(found) if file.is_file())
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in files]


# === Lines ===


def _writer(args: argparse.Namespace, *, places: bool) -> Callable[[Rows, bool], str]:
    """Returns what makes lines of rows, the first rows or later ones.

    Args:
        args: with the output, whose suffix decides.
        places: whether rows have their numbers and ids.
    """
    form = _FORMS.get(Path(args.output or "").suffix.lower())
    if form is None:
        return _json_lines
    known = {"row": args.input, "id": vars(args).get("id_column")}
    names = [name for name, given in known.items() if places and given]
    return partial(_fields, names=names, **form)


_FORMS: Mapping[str, Mapping[str, Any]] = {
    ".csv": {"delimiter": ",", "quoting": csv.QUOTE_MINIMAL},
    ".tsv": {"delimiter": "\t", "quoting": csv.QUOTE_NONE, "quotechar": None},
}


def _json_lines(rows: Rows, first: bool) -> str:
    return "".join(f"{_json(row)}\n" for row in rows)


def _fields(rows: Rows, first: bool, *, names: Sequence[str], **form: Any) -> str:
    """Returns lines of fields; what is no text or number is in JSON."""
    text = io.StringIO()
    names = list(dict.fromkeys([*names, *rows[0]]))
    writer = csv.writer(text, lineterminator="\n", **form)
    try:
        if first:
            writer.writerow(names)
        writer.writerows([_field(row.get(name)) for name in names] for row in rows)
    except csv.Error as error:
        raise InputError(
            "Expected fields without tabs and line ends for a .tsv file, whose fields "
            f"are not quoted. Received others: {error}. Choose .csv or .jsonl."
        ) from error
    return text.getvalue()


def _field(value: Any) -> Any:
    value = _plain(value) if hasattr(value, "tolist") else value
    if isinstance(value, bytes):
        return _plain(value)
    return value if value is None or isinstance(value, SCALARS) else _json(value)


SCALARS = (str, int, float)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    """Returns a bytes string or an array as JSON has it."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.tolist()
