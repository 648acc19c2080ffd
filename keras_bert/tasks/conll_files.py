"""Sentences with tagged words, from files of columns and from JSON lines.

A file of columns has one word per line, or one character, and a blank line after each
sentence: CoNLL 2003 and its relatives, `.bmes`, CoNLL-U. Fields are separated by tabs
if there is one in the first line, otherwise by spaces. JSON lines have
`{"tokens": [...], "tags": [...]}` or `{"text": ..., "entities": [...]}`.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

from keras_bert.atomic_files import new_file
from keras_bert.errors import InputError, choose
from keras_bert.strings import is_text
from keras_bert.tasks.alignment import CharacterSpan
from keras_bert.tasks.tables import DELIMITERS, Column, Row, Table, place_of
from keras_bert.tasks.tfds_tables import is_tfds

_DOCUMENT = "-DOCSTART-"  # begins the line between documents
_SPACES = " \t"
_NAMES = "# global.columns ="  # of CoNLL-U Plus
# How words and tags are called in JSON lines.
_KEYS = {
    "tokens": ("tokens", "words"),
    "tags": ("tags", "ner_tags", "ner", "labels"),
    "text": ("text",),
    "entities": ("entities",),
}


class Mark(NamedTuple):
    """An entity in a text.

    Attributes:
        type: what it is.
        start: index of its first character.
        end: index after the last one.
    """

    type: str
    start: int
    end: int


@dataclass(frozen=True)
class Sentence:
    """A sentence or text, its words, and what they are.

    Attributes:
        words: in order; empty if only the text is known.
        tags: one for each word; None if unknown.
        text: what it was cut from, if it was.
        marks: entities by their characters, in order; None if unknown.
        spans: the characters of each word in the text.
        lines: of the file, of each word or of the text.
    """

    words: tuple[str, ...] = ()
    tags: tuple[str, ...] | None = None
    text: str | None = None
    marks: tuple[Mark, ...] | None = None
    spans: tuple[CharacterSpan, ...] = field(default=(), compare=False, repr=False)
    lines: tuple[int, ...] = field(default=(), compare=False, repr=False)


# How files are read: the arguments of `read_sentences`.
READING = ("text", "label", "format", "header", "delimiter", "encoding")


def read_sentences(
    path: str | Path,
    *,
    text: Column | None = None,
    label: Column | None = None,
    labeled: bool = True,
    format: str | None = None,
    header: bool | None = None,
    delimiter: str | None = None,
    encoding: str = "utf-8",
) -> Iterator[Sentence]:
    """Reads sentences one by one.

    Args:
        path: the file; "-" is standard input. A name that ends in `.jsonl` has JSON
            lines, any other columns. Or `tfds:` with the name and the split of a data
            set of `tokens` and `ner` or `tags`.
        text: the column of the words, by number, from 1, or by name; None is the
            first. Of JSON lines, the key.
        label: that of the tags; None is the last.
        labeled: whether tags are read.
        format: "conll" or "jsonl", if the name does not say it.
        header: whether the first line names the columns; None is True if a column is
            given by name and no line "# global.columns = ..." names them.
        delimiter: between the fields of a line.
        encoding: of the text. A byte order mark is skipped.

    Yields:
        The sentences that have words. Lines that begin with "# " and have not as many
        fields as the others are comments.

    Raises:
        MissingFileError: there is no such file.
        InputError: a line is invalid; the message names file and line.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "train.conll"
        >>> _ = path.write_text("Ada B-PER\\nruns O\\n\\n")
        >>> next(read_sentences(path))
        Sentence(words=('Ada', 'runs'), tags=('B-PER', 'O'), text=None, marks=None)
    """
    if is_tfds(path):
        return _json_sentences(Table(path), text, label, labeled)
    suffix = "jsonl" if Path(path).suffix == ".jsonl" else "conll"
    if choose("format", format or suffix, ("conll", "jsonl")) == "jsonl":
        table = Table(path, "jsonl", encoding=encoding)
        return _json_sentences(table, text, label, labeled)
    rows = _Rows(
        Table(path, "txt", encoding=encoding),
        DELIMITERS.get(delimiter or "", delimiter),
    )
    return _column_sentences(rows, text, label if labeled else text, labeled, header)


# === Columns ===


def _column_sentences(
    rows: "_Rows",
    text: Column | None,
    label: Column | None,
    labeled: bool,
    header: bool | None,
) -> Iterator[Sentence]:
    found = iter(rows)
    if header is None:
        named = [x for x in (text, label) if x is not None and not str(x).isdecimal()]
        header = bool(named and not rows.names)
    names = next(found, (0, []))[1] if header else rows.names
    word_at = rows.place(text, names, 0)
    tag_at = rows.place(label, names, rows.count - 1) if labeled else word_at
    if labeled and rows.count and word_at == tag_at:
        raise InputError(
            f"Expected words and tags in different columns of {rows.name}. Received: "
            f"{rows.count} column{'s' * (rows.count > 1)}, both in number "
            f"{word_at + 1}. Pass their numbers or names, or the delimiter."
        )
    sentence: list[tuple[int, str, str]] = []
    for number, fields in chain(found, [(0, [])]):
        if fields and not fields[word_at].startswith(_DOCUMENT):
            sentence.append((number, fields[word_at], fields[tag_at].strip(" ")))
        elif sentence:
            lines, texts, labels = zip(*sentence, strict=True)
            yield Sentence(texts, labels if labeled else None, lines=lines)
            sentence = []


class _Rows:
    """The fields of the lines of a file; a blank line has none.

    Attributes:
        name: of the file, for messages.
        names: of the columns, from a comment, or none.
        count: of columns.
    """

    def __init__(self, table: Table, delimiter: str | None) -> None:
        self.name = table.name
        self._lines = enumerate(table.lines(), 1)
        # The lines up to the first that is certainly no comment: it tells the form.
        self._head: list[tuple[int, str]] = []
        for number, line in self._lines:
            self._head.append((number, line))
            if line.strip(_SPACES) and not line.startswith("# "):
                break
        example = self._head[-1][1] if self._head else ""
        self._delimiter = delimiter or ("\t" if "\t" in example else None)
        self.count = len(self._split(example)) if example.strip(_SPACES) else 0
        told = [line for _, line in self._head if line.startswith(_NAMES)]
        self.names = told[0].removeprefix(_NAMES).split() if told else []

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        for number, line in chain(self._head, self._lines):
            fields = self._split(line) if line.strip(_SPACES) else []
            if line.startswith("# ") and len(fields) != self.count:
                continue
            if len(fields) not in (0, self.count) or "" in fields:
                raise self._invalid(number, line, fields)
            yield number, fields

    def place(self, column: Column | None, names: list[str], default: int) -> int:
        """Returns the index of a column."""
        names = names or [str(number) for number in range(1, self.count + 1)]
        found = default if column is None else place_of(column, names)
        if found is None:
            raise InputError(
                f"Expected the column {column!r} in {self.name}. Received: "
                f"{', '.join(names)}. Pass its name, or its number, from 1."
            )
        return found

    def _split(self, line: str) -> list[str]:
        if self._delimiter is not None:
            return line.split(self._delimiter)
        return re.split("[ \t]+", line.strip(_SPACES))

    def _invalid(self, number: int, line: str, fields: Sequence[str]) -> InputError:
        empty = f", number {fields.index('') + 1} empty" if "" in fields else ""
        mark = "spaces" if self._delimiter is None else repr(self._delimiter)
        return InputError(
            f"Expected {self.count} fields separated by {mark} in line {number} of "
            f"{self.name}, as in its first line, or a blank line between "
            f"sentences. Received: {len(fields)} fields{empty}, {line[:60]!r}."
        )


# === JSON lines ===


def _json_sentences(
    table: Table, text: Column | None, label: Column | None, labeled: bool
) -> Iterator[Sentence]:
    keys: dict[str, Column] = {key: key for keys in _KEYS.values() for key in keys}
    keys |= {"tokens": text or "tokens", "tags": label or "tags"}
    for row in table.rows(keys, keys):
        if row.cells:
            yield _json_sentence(table, row, labeled)


def _json_sentence(table: Table, row: Row, labeled: bool) -> Sentence:
    at = f"{row.place} of {table.name}"
    found = {
        name: next((row.cells[k] for k in keys if row.cells.get(k) is not None), None)
        for name, keys in _KEYS.items()
    }
    if found["tokens"] is None:
        return _marked(found["text"], found["entities"] if labeled else (), labeled, at)
    words = _strings(found["tokens"], "tokens", at)
    tags = _strings(found["tags"], "tags", at) if labeled else None
    if tags is not None and len(tags) != len(words):
        raise InputError(
            f"Expected as many tags as tokens in {at}. Received: {len(tags)} tags and "
            f"{len(words)} tokens."
        )
    return Sentence(words, tags, lines=(row.number,) * max(len(words), 1))


def _strings(values: Any, name: str, at: str) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(v and is_text(v) for v in values):
        raise InputError(
            f"Expected a list of strings as {name!r} in {at}, none of them empty. "
            f"Received: {str(values)[:60]}."
        )
    return tuple(values)


def _marked(text: Any, entities: Any, labeled: bool, at: str) -> Sentence:
    if not is_text(text) or not isinstance(entities, Sequence):
        wanted = (
            ' with "tags", or a "text" with "entities"' if labeled else ' or "text"'
        )
        raise InputError(
            f'Expected "tokens"{wanted}, in {at}. Received: text {str(text)[:40]!r}, '
            f"entities {str(entities)[:40]!r}."
        )
    found = (_mark(entity, text, at) for entity in entities)
    marks = tuple(sorted(found, key=lambda mark: mark[1:]))
    for before, after in pairwise(marks):
        if after.start < before.end:
            raise InputError(
                f"Expected entities that do not overlap in {at}. Received: {before} "
                f"and {after}."
            )
    return Sentence(
        text=text, marks=marks if labeled else None, lines=(int(at.split()[1]),)
    )


def _mark(entity: Any, text: str, at: str) -> Mark:
    if isinstance(entity, list) and len(entity) == 3:
        entity = dict(zip(("start", "end", "label"), entity, strict=True))
    if not isinstance(entity, Mapping):
        entity = {}
    mark = Mark(entity.get("label"), entity.get("start"), entity.get("end"))
    numbers = type(mark.start) is type(mark.end) is int
    inside = numbers and 0 <= mark.start < mark.end <= len(text)
    if not inside or not is_text(mark.type) or not mark.type:
        raise InputError(
            'Expected {"start": …, "end": …, "label": …} in the entities of '
            f"{at}, characters of a text of {len(text)}. Received: {entity!r:.80}."
        )
    quoted = entity.get("text", text[mark.start : mark.end])
    if quoted != text[mark.start : mark.end]:
        raise InputError(
            f"Expected the entity {quoted!r} of {at} at its characters {mark.start} to "
            f"{mark.end}, in code points. Received: {text[mark.start : mark.end]!r}."
        )
    return mark


# === Output ===


def write_sentences(
    path: str | Path, sentences: Iterable[Sentence], *, overwrite: bool = False
) -> None:
    """Writes words and tags as columns, or JSON lines if the name ends in `.jsonl`.

    Args:
        path: the file to write.
        sentences: with tags, or with marks for JSON lines.
        overwrite: replace an existing file.

    Raises:
        InputError: a word holds a space, and columns are separated by these.
        ExistingOutputError: the file exists and `overwrite` is False.
    """
    with new_file(path, overwrite) as partial, partial.open("w", encoding="utf-8") as f:
        f.writelines(map(writer_of(path), sentences))


def writer_of(path: str | Path) -> Callable[[Sentence], str]:
    """Returns what makes the lines of a sentence, see `write_sentences`."""
    return _json_line if Path(path).suffix == ".jsonl" else _column_lines


def _json_line(sentence: Sentence) -> str:
    record: dict[str, Any] = {"tokens": sentence.words, "tags": sentence.tags}
    if sentence.marks is not None:
        marks = [
            {"start": m.start, "end": m.end, "label": m.type} for m in sentence.marks
        ]
        record = {"text": sentence.text, "entities": marks}
    return json.dumps(record, ensure_ascii=False) + "\n"


def _column_lines(sentence: Sentence) -> str:
    for word in sentence.words:
        if re.search("[ \t\r\n]", word):
            raise InputError(
                f"Expected words without spaces, to write columns. Received: {word!r}. "
                "Write JSON lines: a name that ends in .jsonl."
            )
    pairs = zip(sentence.words, sentence.tags or (), strict=True)
    return "".join(f"{word}\t{tag}\n" for word, tag in pairs) + "\n"
