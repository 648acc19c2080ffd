"""Tables in files, row by row: no row is dropped, and nothing is guessed.

The one reader of all commands that take texts or labeled data. It reads comma- and
tab-separated values, JSON lines, Parquet, and plain text with one text per line.
"""

import csv
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from keras_bert.errors import InputError, MissingFileError, UnknownNameError, choose
from keras_bert.extras import require
from keras_bert.strings import each_key_once
from keras_bert.tasks.text_lines import check_encoding, text_lines
from keras_bert.tasks.tfds_tables import glue_texts, is_tfds, open_split

STDIN = "-"
# Of characters in one field; that of the csv module, 131,072, is for no text at all.
FIELD_LIMIT = 2**31 - 1
ROWS_AT_ONCE = 1024  # of a Parquet file
DELIMITERS = {"\\t": "\t", "tab": "\t"}  # as typed in a shell

Column = str | int
Cells = dict[str, Any]


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        number: of the row, from 1; the header is none, a blank row is one.
        place: where it is, for messages: "line 7" or, in Parquet, "row 6".
        cells: by the keys of the wanted columns; None where a cell is blank. A blank
            row has no cells at all.
    """

    number: int
    place: str
    cells: Cells


@dataclass(frozen=True)
class Table:
    """A file with a table, or standard input.

    Args:
        path: the file; "-" is standard input; "tfds:name/config:split" a data set of
            `tensorflow_datasets`.
        format: "csv", "tsv", "jsonl", "parquet" or "txt"; None takes it from the
            suffix, and "txt" for standard input. In "csv", fields may be quoted; in
            "tsv" quotation marks are text, as in GLUE; "txt" has one text per line
            and is a table with the one column "text".
        header: whether the first row of "csv" or "tsv" names the columns. Without one,
            columns have numbers.
        delimiter: between the fields of "csv" or "tsv", if not a comma or a tab.
        encoding: of the text. A byte order mark is skipped.

    Raises:
        InputError: an argument cannot be used.
        MissingFileError: there is no such file.
        UnknownNameError: there is no such format, or the file has another suffix.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "reviews.csv"
        >>> _ = path.write_text('text,stars\\n"Good, short",4\\n')
        >>> next(Table(path).rows({"text": "text", "label": 2}))
        Row(number=1, place='line 2', cells={'text': 'Good, short', 'label': '4'})
    """

    path: str | Path
    format: str | None = None
    header: bool = True
    delimiter: str | None = None
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        if self.kind not in _DELIMITED and not (self.header and self.delimiter is None):
            raise InputError(
                f"Expected header and delimiter for {' or '.join(_DELIMITED)} files "
                f"only. Received: header={self.header}, delimiter={self.delimiter!r} "
                f"for {self.name}, which is read as {self.kind}."
            )
        if self.delimiter is not None:
            self._check_delimiter(DELIMITERS.get(self.delimiter, self.delimiter))
        check_encoding(self.encoding)
        path, elsewhere = Path(self.path), self.path == STDIN or is_tfds(self.path)
        if not elsewhere and (path.is_dir() or not path.exists()):
            raise MissingFileError(f"Expected a file at {path}; none is there.")

    def _check_delimiter(self, mark: str) -> None:
        printable = mark == "\t" or mark.isprintable()
        if len(mark) != 1 or mark == '"' or not printable or mark.isalnum():
            raise InputError(
                "Expected one character between fields, such as ';' or '\\t', as "
                f"delimiter. Received: {self.delimiter!r}."
            )

    @property
    def name(self) -> str:
        """Returns what messages call the file."""
        return "standard input" if self.path == STDIN else str(self.path)

    @property
    def kind(self) -> str:
        """Returns the format, a key of `FORMATS`, or "tfds"."""
        if is_tfds(self.path):
            return "tfds"
        if self.format is not None:
            return choose("format", self.format, FORMATS)
        suffix = ".txt" if self.path == STDIN else Path(self.path).suffix.lower()
        if suffix[1:] not in FORMATS:
            raise UnknownNameError(
                f"Unknown kind of file {suffix!r}: expected {self.path} to end in "
                f"{', '.join(f'.{name}' for name in FORMATS)}, or its format: pass "
                'format="csv" (--format csv).'
            )
        return suffix[1:]

    def rows(
        self, columns: Mapping[str, Column], optional: Collection[str] = ()
    ) -> Iterator[Row]:
        """Yields all rows in order, blank ones too.

        Args:
            columns: the wanted columns, by a key of your own: the name of a column, or
                its number, from 1.
            optional: keys of columns that the file need not have.

        Raises:
            InputError: there is no such column; two have the same name; a row has more
                or fewer fields than the first; a line is not of the format or the
                encoding.
            UnknownNameError: more than "text" is wanted from plain text.
            MissingExtraError: Parquet is not installed.
        """
        read = FORMATS.get(self.kind, _tfds_rows)
        found = read(self, dict(columns), optional)
        for number, (place, cells) in enumerate(found, 1):
            filled = {key: _none_if_blank(value) for key, value in cells.items()}
            yield Row(number, place, filled)

    def lines(self) -> Iterator[str]:
        """Yields the lines of a text, without their ends.

        Raises:
            InputError: a line is not text in this encoding.
        """
        for line in _lines(self, newline="\n"):
            yield line.removesuffix("\n").removesuffix("\r")


def _none_if_blank(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


# === Columns ===


def _places(
    table: Table,
    names: Sequence[str],
    columns: Mapping[str, Column],
    optional: Collection[str],
    hint: Callable[[], str] = str,
) -> dict[str, int]:
    """Returns where each wanted column is."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(
            f"Expected columns of different names in {table.name}. Received: "
            f"{twice[0][:80]!r} {names.count(twice[0])} times among {_listed(names)}."
        )
    found = {key: place_of(column, names) for key, column in columns.items()}
    missing = [key for key, at in found.items() if at is None and key not in optional]
    if missing:
        raise _no_column(table, columns[missing[0]], names, hint())
    return {key: at for key, at in found.items() if at is not None}


def place_of(column: Column, names: Sequence[str]) -> int | None:
    """Returns the index of a column, given by name or number, or None."""
    if isinstance(column, str) and column in names:
        return names.index(column)
    text = str(column)
    number = int(text) if re.fullmatch("[0-9]{1,9}", text) else 0
    return number - 1 if 1 <= number <= len(names) else None


def _no_column(
    table: Table, column: Column, names: Sequence[str], hint: str = "", at: str = ""
) -> InputError:
    advice = "Pass the name of a column, or its number, from 1."
    if table.kind == "jsonl":
        advice = "Pass the key of a value."
    if table.kind in _DELIMITED and table.header:
        advice += " If the first line is no header, pass header=False (--no-header)."
    return InputError(
        f"Expected the column {column!r} in {at}{table.name}. Received: "
        f"{_listed(names)}.{hint or f' {advice}'}"
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:20])[:300]
    printable = "".join(c if c.isprintable() else " " for c in shown)
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return f"{printable}{more}" if names else "nothing"


# === Formats ===

_Places = Iterator[tuple[str, Cells]]


@contextmanager
def _opened(table: Table) -> Iterator[BinaryIO]:
    if table.path == STDIN:
        yield sys.stdin.buffer
        return
    try:
        file = Path(table.path).open("rb")
    except OSError as error:
        raise InputError(
            f"Expected to read {table.name}. Received: {error}."
        ) from error
    with file:
        yield file


def _lines(table: Table, newline: str) -> Iterator[str]:
    with _opened(table) as file:
        yield from text_lines(file, table.encoding, newline, name=table.name)


def _delimited_rows(
    table: Table,
    columns: Mapping[str, Column],
    optional: Collection[str],
    *,
    delimiter: str,
    quoting: int,
) -> _Places:
    if table.delimiter is not None:
        delimiter = DELIMITERS.get(table.delimiter, table.delimiter)
    lines = _lines(table, newline="")
    first = next(lines, "")
    hint = partial(_other_form, table, first, delimiter, columns, optional)
    csv.field_size_limit(FIELD_LIMIT)
    reader = csv.reader(
        chain([first], lines), delimiter=delimiter, quoting=quoting, strict=True
    )
    records = _records(table, reader, hint)
    names, places = [], {}
    if table.header:
        names = [name.strip() for name in next(records, (1, []))[1]]
        places = _places(table, names, columns, optional, hint)
    for line, fields in records:
        if not any(map(str.strip, fields)):
            yield f"line {line}", {}
            continue
        if not names:
            names = [str(number) for number in range(1, len(fields) + 1)]
            places = _places(table, names, columns, optional, hint)
        if len(fields) != len(names):
            raise _ragged(table, line, len(fields), len(names))
        yield f"line {line}", {key: fields[at] for key, at in places.items()}


def _records(
    table: Table, reader: Any, hint: Callable[[], str]
) -> Iterator[tuple[int, list[str]]]:
    """Yields the fields of each record and the line it begins in."""
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise InputError(
                f"Expected comma-separated values in {table.name}. Received: {error}, "
                f"in the record that begins in line {line}.{hint()}"
            ) from error
        if fields is None:
            return
        yield line, fields


def _ragged(table: Table, line: int, found: int, expected: int) -> InputError:
    advice = "Put quotation marks around a field that contains the delimiter."
    if table.kind == "tsv":
        advice = _QUOTED
    return InputError(
        f"Expected {expected} fields in line {line} of {table.name}, as in its first "
        f"line. Received: {found}. {advice}"
    )


_QUOTED = (
    "In a .tsv file quotation marks are text, as in GLUE; if fields are quoted, pass "
    'format="csv", delimiter="\\t" (--format csv --delimiter \'\\t\').'
)


def _other_form(
    table: Table,
    first: str,
    delimiter: str,
    columns: Mapping[str, Column],
    optional: Collection[str],
) -> str:
    """Returns the delimiter or the quoting that the first line speaks for, if any."""
    wanted = [column for key, column in columns.items() if key not in optional]

    def fits(mark: str) -> bool:
        names = [name.strip() for name in next(csv.reader([first], delimiter=mark), [])]
        found = all(place_of(column, names) is not None for column in wanted)
        return len(names) > 1 and (found or not table.header)

    if table.kind == "tsv" and first.lstrip().startswith('"') and fits(delimiter):
        return f" {_QUOTED}"
    others = [mark for mark in "\t;|," if mark != delimiter and fits(mark)]
    if not others:
        return ""
    shown = others[0].replace("\t", "\\t")
    return (
        f" Its fields seem to be separated by '{shown}': pass delimiter='{shown}' "
        f"(--delimiter '{shown}')."
    )


def _json_rows(
    table: Table, columns: Mapping[str, Column], optional: Collection[str]
) -> _Places:
    present: set[str] = set()
    for number, line in enumerate(_lines(table, newline="\n"), 1):
        place = f"line {number}"
        if not line.strip():
            yield place, {}
            continue
        record = _json_object(table, line, place)
        found = {key for key, column in columns.items() if column in record}
        given = {key for key in found if record[columns[key]] is not None}
        present = present or {key for key in columns if key not in optional} | given
        if absent := [columns[key] for key in columns if key in present - found]:
            raise _no_column(table, absent[0], list(record), at=f"{place} of ")
        if given - present:
            raise InputError(
                f"Expected {columns[min(given - present)]!r} in every row of "
                f"{table.name} or in none. Received: one in {place}, none above it."
            )
        yield place, {key: record[columns[key]] for key in columns if key in present}


def _json_object(table: Table, line: str, place: str) -> dict[str, Any]:
    try:
        record = json.loads(line, object_pairs_hook=each_key_once)
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at character {error.colno}"
    except RecursionError:
        reason = "JSON nested too deeply"
    except ValueError as error:  # a number of thousands of digits, or a key twice
        reason = str(error).partition(";")[0]
    else:
        if isinstance(record, dict):
            return record
        reason = f"a JSON {type(record).__name__}"
    raise InputError(
        f'Expected one JSON object, {{"text": …}}, in {place} of {table.name}. '
        f"Received: {reason}."
    )


def _parquet_rows(
    table: Table, columns: Mapping[str, Column], optional: Collection[str]
) -> _Places:
    parquet = require("pyarrow.parquet")
    with _opened(table) as file:
        with _arrow_errors(table):
            source = io.BytesIO(file.read()) if table.path == STDIN else file
            reader = parquet.ParquetFile(source, page_checksum_verification=True)
            names = reader.schema_arrow.names
        places = _places(table, names, columns, optional)
        wanted = [names[at] for at in places.values()]
        for number, values in enumerate(_parquet_values(table, reader, wanted), 1):
            yield f"row {number}", dict(zip(places, values, strict=True))


def _parquet_values(table: Table, reader: Any, names: list[str]) -> Iterator[tuple]:
    batches = reader.iter_batches(ROWS_AT_ONCE, columns=names, use_threads=False)
    while True:
        with _arrow_errors(table):
            batch = next(batches, None)
            if batch is None:
                return
            values = [batch.column(name).to_pylist() for name in names]
        yield from zip(*values, strict=True)


@contextmanager
def _arrow_errors(table: Table) -> Iterator[None]:
    from pyarrow import ArrowException

    try:
        yield
    except (ArrowException, OSError, ValueError, OverflowError) as error:
        reason = str(error).strip().partition("\n")[0][:200]
        raise InputError(
            f"Expected a Parquet file in {table.name}. Received: {reason}"
        ) from error


def _text_rows(
    table: Table, columns: Mapping[str, Column], optional: Collection[str]
) -> _Places:
    if len(columns.keys() - set(optional)) > 1:
        tables = ", ".join(f".{name}" for name in FORMATS if name != "txt")
        raise UnknownNameError(
            f"Expected {table.name} to have several columns, as {tables} files. "
            "Received: '.txt', one text per line. If it is a table, pass its format: "
            'format="csv" (--format csv).'
        )
    places = _places(table, ["text"], columns, optional)
    for number, line in enumerate(table.lines(), 1):
        yield f"line {number}", dict.fromkeys(places, line)


def _tfds_rows(
    table: Table, columns: Mapping[str, Column], optional: Collection[str]
) -> _Places:
    names, rows = open_split(table.path)
    texts = dict(
        zip(("text", "text_pair"), glue_texts(table.path, names), strict=False)
    )
    given = {key: texts.get(column, column) for key, column in columns.items()}
    places = _places(table, names, given, optional)
    wanted = [names[at] for at in places.values()]
    for number, values in enumerate(rows(wanted), 1):
        yield f"row {number}", dict(zip(places, values, strict=True))


_DELIMITED = ("csv", "tsv")
FORMATS: Mapping[str, Callable[[Table, Mapping, Collection], _Places]] = {
    "csv": partial(_delimited_rows, delimiter=",", quoting=csv.QUOTE_MINIMAL),
    "tsv": partial(_delimited_rows, delimiter="\t", quoting=csv.QUOTE_NONE),
    "jsonl": _json_rows,
    "parquet": _parquet_rows,
    "txt": _text_rows,
}
