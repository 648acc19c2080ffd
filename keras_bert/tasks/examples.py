"""Texts to classify, with or without labels, from the rows of a table."""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from keras_bert.errors import InputError
from keras_bert.strings import is_text
from keras_bert.tasks.tables import Column, Row, Table

TEXTS = ("text", "text_pair")
SHOWN = 5  # rows listed in a message before "and N more"
Label = str | tuple[str, ...] | None
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Example:
    """A text to classify.

    Attributes:
        text: the text, or the first of a pair; None in a blank row.
        text_pair: the second of a pair; for multiple choice, all alternatives.
        label: the name of the class, a number as a string, a tuple of the names of all
            classes that apply, or None if unknown.
        row: number of the row in its file, from 1.
        id: what another column calls the row.
    """

    text: str | None
    text_pair: str | Sequence[str] | None = None
    label: Label = None
    row: int | None = field(default=None, compare=False, repr=False)
    id: str | int | None = field(default=None, compare=False, repr=False)

    @property
    def place(self) -> dict[str, Any]:
        """Returns the row and the id, where they are known."""
        found = {"row": self.row, "id": self.id}
        return {name: value for name, value in found.items() if value is not None}


def read_examples(
    path: str | Path,
    *,
    text: Column = "text",
    text_pair: Column | None = None,
    label: Column | None = "label",
    id: Column | None = None,
    label_separator: str | None = None,
    **options: Any,
) -> list[Example]:
    """Reads a labeled file.

    Args:
        path: a `.csv`, `.tsv`, `.jsonl` or `.parquet` file.
        text: name of the column with the text, or its number, from 1.
        text_pair: the column with the second text, if there is one.
        label: the column with the label; None reads no labels. Spaces around a label
            are removed. A list, in JSON lines or Parquet, holds all labels of a row.
        id: a column to keep in predictions.
        label_separator: what separates the labels of a row, if rows have several in
            one field; a blank field is then a row without any.
        **options: `format`, `header`, `delimiter` and `encoding`, see `Table`.

    Returns:
        The examples. Blank rows are left out, and a warning is logged.

    Raises:
        MissingFileError: there is no such file.
        UnknownNameError: the file has another suffix.
        InputError: a column is missing, a row is invalid or has no text or label, or
            the file has no examples.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "reviews.tsv"
        >>> _ = path.write_text("text\\tlabel\\nA fine film.\\tgood\\n")
        >>> read_examples(path)
        [Example(text='A fine film.', text_pair=None, label='good')]
    """
    table = Table(path, **options)
    columns = {"text": text, "text_pair": text_pair, "label": label, "id": id}
    rows = iter_examples(table, columns, label_separator=label_separator)
    return filled(rows, table.name, labeled=label is not None)


def iter_examples(
    table: Table,
    columns: Mapping[str, Column | None],
    optional: Collection[str] = (),
    *,
    label_separator: str | None = None,
    alternatives: bool = False,
) -> Iterator[Example]:
    """Yields an example for every row of a table, also for blank ones.

    Args:
        table: the file.
        columns: the columns of the fields of `Example`; None reads none.
        optional: fields whose column the file need not have.
        label_separator: see `read_examples`.
        alternatives: whether a second text may be a list of several, in JSON lines or
            Parquet.

    Raises:
        InputError: a row is invalid; the message names it.
    """
    if label_separator == "":
        raise InputError("Expected characters between labels. Received: none.")
    wanted = {key: column for key, column in columns.items() if column is not None}
    spaced = []
    for row in table.rows(wanted, optional):
        if table.kind == "txt" and "\t" in (row.cells["text"] or ""):
            raise InputError(
                f"Expected one text per line in {table.name}. Received: a tab in "
                f'{row.place}. If it separates columns, pass format="tsv" and the '
                "columns (--format tsv --no-header --text 1 --text-pair 2); if not, "
                "replace it by a space."
            )
        found = _example(row, table, label_separator, alternatives)
        label = row.cells.get("label")
        if isinstance(label, str) and found.label == label.strip() != label:
            spaced.append(f"{label!r} in {row.place}")
        yield found
    if spaced:
        log.warning("%s: removed the spaces around %s", table.name, _some(spaced))


def filled(
    examples: Iterable[Example], name: str, *, labeled: bool = True
) -> list[Example]:
    """Returns examples without the blank rows.

    Args:
        examples: one for each row.
        name: of their file, for messages.
        labeled: whether every example needs a label.

    Raises:
        InputError: a row has a text but no label, or a label but no text; or some have
            lists of labels and others single ones; or there are no examples.
    """
    rows = list(examples)
    found = [e for e in rows if e.text is not None or e.label]
    if blank := len(rows) - len(found):
        log.warning("%s: left out %d blank row%s", name, blank, "s" * (blank > 1))
    if not found:
        raise InputError(f"Expected at least one example in {name}; it has none.")
    _refuse("text", [e for e in found if e.text is None], name)
    _refuse("label", [e for e in found if labeled and e.label is None], name)
    lists = [e for e in found if isinstance(e.label, tuple)]
    if len(lists) not in (0, len(found)):
        raise InputError(
            f"Expected a list of labels in every row of {name}, or in none. Received: "
            f"lists in {len(lists)} of {len(found)} rows, first in row {lists[0].row}."
        )
    return found


def _refuse(missing: str, examples: Sequence[Example], name: str) -> None:
    if examples:
        raise InputError(
            f"Expected a {missing} in every row of {name}. Received: none in row "
            f"{_some([str(e.row) for e in examples])}. Fill them in, or remove these "
            "rows. A second text, if there is that column, is needed too; nan is no "
            "label."
        )


def _some(items: Sequence[str]) -> str:
    more = len(items) - SHOWN
    return f"{', '.join(items[:SHOWN])}{f' and {more} more' if more > 0 else ''}"


# === Cells ===


def _example(
    row: Row, table: Table, separator: str | None, alternatives: bool
) -> Example:
    at, cells = f"{row.place} of {table.name}", row.cells
    texts = [
        _text(cells[key], at, alternatives and key == "text_pair")
        for key in TEXTS
        if key in cells
    ]
    label = _label(cells["label"], separator, at) if "label" in cells else None
    if not texts or None in texts:
        texts = [None]
    return Example(*texts, label=label, row=row.number, id=_id(cells.get("id"), at))


def _text(value: Any, at: str, alternatives: bool) -> str | list[str] | None:
    if alternatives and isinstance(value, list) and value:
        return [_string(item, "text", at) for item in value]
    return None if value is None else _string(value, "text", at)


def _id(value: Any, at: str) -> str | int | None:
    if value is None or type(value) is int:
        return value
    return _string(str(value), "id", at)


def _label(value: Any, separator: str | None, at: str) -> Label:
    if isinstance(value, list):
        return tuple(_name(item, at) for item in value)
    if separator is None:
        return None if value is None or _is_nan(value) else _name(value, at)
    parts = [] if value is None else _string(value, "label", at).split(separator)
    return tuple(part.strip() for part in parts if part.strip())


def _name(value: Any, at: str) -> str:
    """Returns the name of a class, which may be a number."""
    if isinstance(value, bool | int | float | Decimal):
        value = str(value)
    name = _string(value, "label", at).strip()
    if not name or _is_nan(name):
        raise InputError(f"Expected labels in {at}. Received: {value!r} among them.")
    return name


def _is_nan(value: Any) -> bool:
    return str(value).strip().lower() == "nan"


def _string(value: Any, what: str, at: str) -> str:
    if not isinstance(value, str):
        shown = "null" if value is None else f"{str(value)[:40]!r}"
        raise InputError(
            f"Expected a string as the {what} in {at}. Received: {shown}, of type "
            f"{type(value).__name__}."
        )
    if not is_text(value):
        raise InputError(
            f"Expected a {what} in {at} that can be encoded in UTF-8. Received: a lone "
            "surrogate, half of a character."
        )
    return value
