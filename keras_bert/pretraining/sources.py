"""Where text comes from: blocks of raw bytes, and those as documents of sentences.

The process that reads cuts the input into blocks without looking into it; the
processes that work decode a block, split it, and count what was odd.
"""

import gzip
import hashlib
import json
import re
import uuid
import zlib
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, groupby, islice
from pathlib import Path
from typing import Any, AnyStr, BinaryIO, NamedTuple

from keras_bert.errors import ConfigError, InputError, MissingExtraError
from keras_bert.pretraining.sentences import split_sentences
from keras_bert.pretraining.storage import find, open_bytes

Document = list[str]  # its sentences

BLOCK_BYTES = 1 << 22
_LEAST_BLOCK_BYTES = 16
_LONGEST_DOCUMENT = 8  # blocks
_LONGEST_LINE = 1 << 20  # characters

# What `documents` counts. Where it helps to know the place, there is also one
# count by the name "NAME at FILE:LINE" for the first of a block.
ODDITIES = {
    "empty_files": "files without any text",
    "empty_documents": "documents without any text, left out",
    "one_sentence_documents": "documents of one sentence",
    "cut_documents": f"documents of more than {_LONGEST_DOCUMENT} blocks, cut",
    "long_lines": f"lines of more than {_LONGEST_LINE:,} characters, cut at spaces",
    "invalid_utf8": "sequences that are not UTF-8, read as U+FFFD",
    "nul_bytes": "NUL bytes",
    "invalid_json": "lines that are not JSON, left out",
    "missing_field": "JSON lines without text in the field, left out",
    "long_json": f"JSON lines of more than {_LONGEST_DOCUMENT} blocks, left out",
}


class Part(NamedTuple):
    """A run of whole documents, or a piece of one that had to be cut.

    Attributes:
        name: the file it is from, or the name of what it is from.
        line: the number of its first line, or of the item, from 1.
        data: raw text, or sentences.
        begins: it begins where a document begins.
        ends: it ends where a document ends.
    """

    name: str
    line: int
    data: bytes | str | list[str]
    begins: bool = True
    ends: bool = True


class RawBlock(NamedTuple):
    """Neighboring documents that are worked on together, not yet decoded.

    Attributes:
        index: the number of the block in its group.
        content: the parts it is made of.
        size: bytes of input it stands for, for progress.
    """

    index: int
    content: list[Part]
    size: int


class Group(NamedTuple):
    """A part of a source that can be read by itself.

    Attributes:
        index: the number of the group in its source.
        names: what it is made of: files, or a split of a data set.
        size: bytes of input, None if unknown.
    """

    index: int
    names: tuple[str, ...]
    size: int | None


class Source(ABC):
    """Where text comes from.

    A source is small and can be sent to other processes. `blocks` is called where
    it is read, `documents` where it is worked on.

    Attributes:
        size: bytes of input altogether, for progress; None if unknown.
    """

    size: int | None = None

    @abstractmethod
    def fingerprint(self) -> dict[str, Any]:
        """Returns what identifies the input, as JSON takes it."""

    @abstractmethod
    def groups(self) -> list[Group]:
        """Lists the parts that can be read by themselves."""

    @abstractmethod
    def blocks(self, group: Group) -> Iterator[RawBlock]:
        """Reads a group in order, in blocks of whole documents.

        A block has at least two documents if the group has, since the second text
        of a pair is often taken from another document.

        Raises:
            InputError: the input cannot be read.
        """

    @abstractmethod
    def documents(self, block: RawBlock) -> tuple[list[Document], Counter[str]]:
        """Returns the documents of a block, and counts of `ODDITIES`."""


def describe_oddities(counts: Counter[str]) -> list[str]:
    """Says what was odd in the text, one line each, the most frequent first.

    Args:
        counts: sums of what `Source.documents` counted, other counts among them.

    Example:
        >>> describe_oddities(Counter({"nul_bytes": 3, "tokens": 37}))
        ['3 NUL bytes']
        >>> describe_oddities(Counter({"invalid_json": 2, "invalid_json at a:7": 1}))
        ['2 lines that are not JSON, left out (first at a:7)']
    """
    found = [(counts[name], name) for name in ODDITIES if counts[name]]
    return [
        f"{count:,} {ODDITIES[name]}{_first_place(counts, name)}"
        for count, name in sorted(found, reverse=True)
    ]


def _first_place(counts: Counter[str], name: str) -> str:
    start = f"{name} at "
    places = [key.removeprefix(start) for key in counts if key.startswith(start)]
    return f" (first at {min(places, key=_by_line)})" if places else ""


def _by_line(place: str) -> tuple[str, int]:
    file, _, line = place.rpartition(":")
    return file, int(line)


# Files


class _Files(Source):
    """Files that are read as bytes and cut where documents end.

    Attributes:
        files: their names, in order.
    """

    _boundary: re.Pattern[bytes] | None  # where documents end; None: with the file
    _least_files = 1  # of a group
    _piece_is_document = True

    def __init__(
        self,
        files: str | Path | Sequence[str | Path],
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        self.block_bytes = _checked(block_bytes)
        found = find(files)
        self.files = [file.name for file in found]
        self._sizes = [file.size for file in found]
        self._times = [file.changed for file in found]
        self.size = sum(self._sizes)

    def fingerprint(self) -> dict[str, Any]:
        """Returns the names, sizes and times of change of the files, and options."""
        files = zip(self.files, self._sizes, self._times, strict=True)
        return {
            "source": type(self).__name__,
            "block_bytes": self.block_bytes,
            **self._options(),
            "files": [list(file) for file in files],
        }

    def _options(self) -> dict[str, Any]:
        """Returns the options that change the documents."""
        return {}

    def groups(self) -> list[Group]:
        """Lists the files; small neighbors are together, in groups of a block.

        This depends on nothing but the files' sizes.
        """
        runs = _neighbors(self._sizes, self.block_bytes, self._least_files)
        return [
            Group(
                number,
                tuple(self.files[index] for index in run),
                sum(self._sizes[index] for index in run),
            )
            for number, run in enumerate(runs)
        ]

    def blocks(self, group: Group) -> Iterator[RawBlock]:
        """Reads the files of a group in blocks, cut where documents end."""
        read = (piece for file in group.names for piece in self._pieces(file))
        return _blocks(read, self.block_bytes)

    def _pieces(self, file: str) -> Iterator["_Piece"]:
        """Reads a file in runs of documents; blank ones are left out but counted."""
        line, done, filled = 1, 0, False
        with _opened(file) as (stream, raw):
            for run in _runs(stream, self._boundary, self.block_bytes):
                size, done = raw.tell() - done, raw.tell()
                part = Part(file, line, run.data, run.begins, run.ends)
                line += run.data.count(b"\n")
                kept = bool(run.data.strip()) or (run.is_last and not filled)
                filled |= kept
                yield self._piece(part, size) if kept else _Piece(None, size, 0, 0)

    def _piece(self, part: Part, size: int) -> "_Piece":
        return _Piece(part, size, len(part.data), self._count(part))

    def _count(self, part: Part) -> int:
        """Counts documents, up to two."""
        if not (part.begins and part.ends):
            return self._piece_is_document
        lines = _split_lazily(part.data, self._boundary)
        return len(list(islice(filter(self._is_document, lines), 2)))

    def _is_document(self, data: bytes) -> bool:
        return bool(data.decode("utf-8", "replace").strip())

    def documents(self, block: RawBlock) -> tuple[list[Document], Counter[str]]:
        """Decodes and splits a block."""
        odd: Counter[str] = Counter()
        found = []
        for part in block.content:
            odd["empty_files"] += not part.data.strip()
            found += self._read(part, odd)
        return _finished(found, odd)

    @abstractmethod
    def _read(self, part: Part, odd: Counter[str]) -> Iterable[Document]:
        """Returns the documents of a part."""


# A line end, and another one behind nothing but what `str.strip` takes off.
_BLANK_LINE = re.compile(rb"\n[ \t\r\x0b\x0c\x1c-\x1f]*\n")


class TextFiles(_Files):
    """Text with one sentence a line and a blank line between documents.

    A file's end ends a document.

    Args:
        files: names, patterns, comma lists; those in `.gz` are decompressed.
        block_bytes: text that is worked on at a time.

    Raises:
        MissingFileError: a name or pattern matches no file.

    Example:
        >>> source = TextFiles("corpus/*.txt.gz")  # doctest: +SKIP
        >>> [blocks] = map(source.blocks, source.groups())  # doctest: +SKIP

    Source: the input of create_pretraining_data.py in google-research/bert.
    """

    _boundary = _BLANK_LINE

    def _read(self, part: Part, odd: Counter[str]) -> Iterable[Document]:
        odd["cut_documents"] += part.begins and not part.ends
        return _paragraphs(_decoded(part.data, odd))


class RawDocuments(_Files):
    """Running text, to be split into sentences.

    Args:
        files: names, patterns, comma lists; those in `.gz` are decompressed.
        block_bytes: text that is worked on at a time.
        per_file: a file is one document; otherwise blank lines separate documents.
        wrapped: lines are cut at some width; otherwise a line's end ends a sentence.

    Raises:
        MissingFileError: a name or pattern matches no file.

    Example:
        >>> RawDocuments("books/*.txt", per_file=True)  # doctest: +SKIP
    """

    def __init__(
        self,
        files: str | Path | Sequence[str | Path],
        block_bytes: int = BLOCK_BYTES,
        *,
        per_file: bool = False,
        wrapped: bool = True,
    ) -> None:
        super().__init__(files, block_bytes)
        self.per_file = per_file
        self.wrapped = wrapped
        self._boundary = None if per_file else _BLANK_LINE
        self._least_files = 2 if per_file else 1

    def _options(self) -> dict[str, Any]:
        return {"per_file": self.per_file, "wrapped": self.wrapped}

    def _read(self, part: Part, odd: Counter[str]) -> Iterator[Document]:
        odd["cut_documents"] += part.begins and not part.ends
        text = _decoded(part.data, odd)
        texts = [text] if self.per_file else map("\n".join, _paragraphs(text))
        documents = (split_sentences(each, self.wrapped) for each in texts)
        return filter(None, documents)


class JsonLines(_Files):
    """One JSON object a line, each a document.

    Args:
        files: names, patterns, comma lists; those in `.gz` are decompressed.
        block_bytes: text that is worked on at a time.
        field: the field of running text, or of a list of sentences.
        wrapped: lines of a text are cut at some width; otherwise a line's end ends
            a sentence.

    Raises:
        MissingFileError: a name or pattern matches no file.

    Example:
        >>> JsonLines("wiki-*.jsonl.gz", field="text")  # doctest: +SKIP
    """

    _boundary = re.compile(rb"\n")
    _piece_is_document = False

    def __init__(
        self,
        files: str | Path | Sequence[str | Path],
        block_bytes: int = BLOCK_BYTES,
        *,
        field: str = "text",
        wrapped: bool = False,
    ) -> None:
        super().__init__(files, block_bytes)
        self.field = field
        self.wrapped = wrapped

    def _options(self) -> dict[str, Any]:
        return {"field": self.field, "wrapped": self.wrapped}

    def _is_document(self, data: bytes) -> bool:
        odd: Counter[str] = Counter()
        return bool(self._parse(data.decode("utf-8", "replace"), odd))

    def _read(self, part: Part, odd: Counter[str]) -> Iterator[Document]:
        if not (part.begins and part.ends):  # a piece of one line
            odd["long_json"] += part.begins
            return
        # A line of JSON has no line ends in it.
        lines = _decoded(part.data, odd).split("\n")
        for number, line in enumerate(lines, part.line):
            found: Counter[str] = Counter()
            if document := self._parse(line, found):
                yield document
            _add_with_place(odd, found, f"{part.name}:{number}")

    def _parse(self, line: str, odd: Counter[str]) -> Document | None:
        """Returns the sentences of a line, if it is what it should be."""
        if not line.strip():
            return None
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            odd["invalid_json"] += 1
            return None
        text = value.get(self.field) if isinstance(value, dict) else None
        if not _is_text(text):
            odd["missing_field"] += 1
            return None
        return _sentences(text, self.wrapped, odd)


def _neighbors(sizes: list[int], size: int, least: int) -> list[list[int]]:
    """Puts together the numbers of neighbors, to groups of at least `size`."""
    runs, held = [[]], 0
    for index, each in enumerate(sizes):
        if held >= size and len(runs[-1]) >= least:
            runs.append([])
            held = 0
        runs[-1].append(index)
        held += each
    if len(runs) > 1 and (held < size or len(runs[-1]) < least):
        runs[-2:] = [runs[-2] + runs[-1]]
    return runs


_WITH_PLACE = ("invalid_json", "missing_field")


def _add_with_place(odd: Counter[str], found: Counter[str], place: str) -> None:
    for name in found:
        if name in _WITH_PLACE and name not in odd:
            odd[f"{name} at {place}"] = 1
    odd.update(found)


@contextmanager
def _opened(file: str) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Gives a file's text as bytes, and the file, whose position is the progress."""
    try:
        with open_bytes(file) as raw:
            stream = gzip.GzipFile(fileobj=raw) if file.endswith(".gz") else raw
            yield stream, raw
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"Expected text that can be read in {file}: {error}."
        ) from error


# Cutting bytes


class _Run(NamedTuple):
    """Bytes of a file, cut where documents end unless one is too long."""

    data: bytes
    begins: bool
    ends: bool
    is_last: bool


_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def _runs(
    stream: BinaryIO, boundary: re.Pattern[bytes] | None, size: int
) -> Iterator[_Run]:
    """Reads a file in runs of at least `size` bytes of whole documents."""
    held = stream.read(size).removeprefix(_BYTE_ORDER_MARK)
    begins = True
    while chunk := stream.read(size):
        held += chunk
        while cut := _next_cut(held, boundary, size, begins):
            end, is_boundary = cut
            yield _Run(held[:end], begins, is_boundary, False)
            held, begins = held[end:], is_boundary
    yield _Run(held, begins, True, True)


def _next_cut(
    held: bytes, boundary: re.Pattern[bytes] | None, size: int, begins: bool
) -> tuple[int, bool] | None:
    """Returns where to cut, and whether a document ends there.

    Args:
        held: what was read and not yet cut off.
        boundary: where documents end.
        size: bytes to cut off at least.
        begins: a document begins here; otherwise this goes on with one that was
            too long, which shall end as soon as it can.
    """
    if boundary and (match := boundary.search(held, size if begins else 0)):
        return match.end(), True
    if len(held) < size * (_LONGEST_DOCUMENT if begins else 2):
        return None
    if boundary and begins and (ends := deque(boundary.finditer(held), maxlen=1)):
        return ends[0].end(), True
    return _near(held, size), False


def _near(data: AnyStr, size: int) -> int:
    """Returns a place up to `size` to cut at: behind a line, a word, a character."""
    line_end, space = (b"\n", b" ") if isinstance(data, bytes) else ("\n", " ")
    for mark in (line_end, space):
        if place := data.rfind(mark, size // 2, size) + 1:
            return place
    return size - _begun_character(data[size - 3 : size + 1])


def _begun_character(data: bytes | str) -> int:
    """Counts the bytes at the end of three that belong to the fourth's character."""
    if isinstance(data, str):
        return 0
    return next((back for back in range(3) if data[3 - back] & 0xC0 != 0x80), 3)


def _cut(data: AnyStr, size: int) -> Iterator[AnyStr]:
    """Yields pieces of up to `size`."""
    while len(data) > size:
        place = _near(data, size)
        yield data[:place]
        data = data[place:]
    yield data


_NOT_BLANK = re.compile(rb"\S")


def _split_lazily(data: bytes, boundary: re.Pattern[bytes] | None) -> Iterator[bytes]:
    """Yields what is between boundaries, runs of blanks left out."""
    start = 0
    while found := _NOT_BLANK.search(data, start):
        match = boundary and boundary.search(data, found.start())
        end = match.end() if match else len(data)
        yield data[start:end]
        start = end


# Blocks


class _Piece(NamedTuple):
    """What a block is put together from; without content, it is only progress."""

    content: Part | None
    size: int  # of the input
    weight: int  # bytes of text
    documents: int  # 0, 1, or 2 for more


class _Filling:
    """A block that is being put together."""

    def __init__(self) -> None:
        self.content: list[Part] = []
        self.size = self.weight = self.documents = 0

    def add(self, piece: _Piece) -> None:
        self.content += [] if piece.content is None else [piece.content]
        self.size += piece.size
        self.weight += piece.weight
        self.documents += piece.documents

    def is_full(self, size: int) -> bool:
        # Without a limit, input in which nothing is a document would be held whole.
        enough = 1 if self.documents >= 2 else 2 * _LONGEST_DOCUMENT
        return self.weight >= enough * size


def _blocks(pieces: Iterable[_Piece], size: int) -> Iterator[RawBlock]:
    """Puts pieces together to blocks of at least `size` bytes and two documents."""
    index, waiting, filling = 0, None, _Filling()
    for piece in pieces:
        filling.add(piece)
        if filling.is_full(size):
            if waiting:
                yield waiting
            # One block waits for the next, in case that has too few documents.
            waiting = RawBlock(index, filling.content, filling.size)
            index, filling = index + 1, _Filling()
    last = RawBlock(index, filling.content, filling.size)
    if waiting is None:
        yield from [last] if last.content else []
    elif filling.documents >= 2:
        yield from (waiting, last)
    else:
        content = waiting.content + last.content
        yield RawBlock(waiting.index, content, waiting.size + last.size)


def _checked(block_bytes: int) -> int:
    if block_bytes < _LEAST_BLOCK_BYTES:
        raise ConfigError(
            f"Expected block_bytes of {_LEAST_BLOCK_BYTES} or more, received "
            f"{block_bytes}."
        )
    return block_bytes


# Text


def _decoded(data: bytes, odd: Counter[str]) -> str:
    odd["nul_bytes"] += data.count(b"\0")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
        written_so = data.count("\ufffd".encode())
        odd["invalid_utf8"] += text.count("\ufffd") - written_so
        return text


_SURROGATES = re.compile("[\ud800-\udfff]")


def _cleaned(text: str, odd: Counter[str]) -> str:
    """Replaces halves of surrogate pairs, which UTF-8 cannot hold."""
    odd["nul_bytes"] += text.count("\0")
    try:
        text.encode("utf-8")
        return text
    except UnicodeEncodeError:
        text, count = _SURROGATES.subn("\ufffd", text)
        odd["invalid_utf8"] += count
        return text


def _paragraphs(text: str) -> Iterator[list[str]]:
    """Yields runs of lines that are not blank, whitespace around them taken off."""
    lines = map(str.strip, text.split("\n"))
    for filled, run in groupby(lines, bool):
        if filled:
            yield list(run)


def _is_text(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(isinstance(each, str) for each in value)
    return isinstance(value, str)


def _sentences(
    text: str | Sequence[str], wrapped: bool, odd: Counter[str]
) -> Document | None:
    """Returns the sentences of running text, or of a list; None if there are none."""
    if isinstance(text, str):
        sentences = split_sentences(_cleaned(text, odd), wrapped)
    else:
        stripped = (_cleaned(each, odd).strip() for each in text)
        sentences = [each for each in stripped if each]
    odd["empty_documents"] += not sentences
    return sentences or None


def _finished(
    documents: list[Document], odd: Counter[str]
) -> tuple[list[Document], Counter[str]]:
    """Cuts lines that are too long, and counts."""
    odd["one_sentence_documents"] += sum(len(each) == 1 for each in documents)
    return [_bounded(document, odd) for document in documents], +odd


def _bounded(document: Document, odd: Counter[str]) -> Document:
    long = sum(len(sentence) > _LONGEST_LINE for sentence in document)
    if not long:
        return document
    odd["long_lines"] += long
    pieces = (piece for line in document for piece in _cut(line, _LONGEST_LINE))
    return [stripped for piece in pieces if (stripped := piece.strip())]


# Items


class _Items(Source):
    """Documents that come one by one."""

    def __init__(self, block_bytes: int, wrapped: bool) -> None:
        self.block_bytes = _checked(block_bytes)
        self.wrapped = wrapped

    @abstractmethod
    def _items(self, group: Group) -> Iterator[tuple[Any, int | None]]:
        """Yields documents, and how much input each stands for."""

    def blocks(self, group: Group) -> Iterator[RawBlock]:
        """Reads a group in blocks of whole documents."""
        return _blocks(self._pieces(group), self.block_bytes)

    def _pieces(self, group: Group) -> Iterator[_Piece]:
        for number, (item, size) in enumerate(self._items(group), 1):
            pieces = self._cut_item(item)
            last = len(pieces) - 1
            for index, data in enumerate(pieces):
                part = Part(group.names[0], number, data, index == 0, index == last)
                weight = _weight(data)
                progress = weight if size is None else size * (index == 0)
                yield _Piece(part, progress, weight, _is_filled(data))

    def _cut_item(self, item: Any) -> list[Any]:
        if _weight(item) < _LONGEST_DOCUMENT * self.block_bytes:
            return [item]
        if isinstance(item, list):
            return list(_runs_of_sentences(item, self.block_bytes))
        return list(_cut(item, self.block_bytes))

    def documents(self, block: RawBlock) -> tuple[list[Document], Counter[str]]:
        """Decodes and splits a block."""
        odd: Counter[str] = Counter()
        found = []
        for part in block.content:
            odd["cut_documents"] += part.begins and not part.ends
            is_bytes = isinstance(part.data, bytes)
            text = _decoded(part.data, odd) if is_bytes else part.data
            if document := _sentences(text, self.wrapped, odd):
                found.append(document)
        return _finished(found, odd)


def _weight(item: Any) -> int:
    if isinstance(item, list):
        return sum(map(_weight, item)) + len(item)
    return (
        len(item) if isinstance(item, bytes) else len(item.encode("utf-8", "replace"))
    )


def _is_filled(item: Any) -> bool:
    if isinstance(item, list):
        return any(map(_is_filled, item))
    text = item.decode("utf-8", "replace") if isinstance(item, bytes) else item
    return bool(text.strip())


def _runs_of_sentences(sentences: list[str], size: int) -> Iterator[list[str]]:
    run, held = [], 0
    for sentence in sentences:
        run.append(sentence)
        held += _weight(sentence) + 1
        if held >= size:
            yield run
            run, held = [], 0
    if run:
        yield run


class Documents(_Items):
    """Documents of any iterable of the program's.

    Args:
        documents: each a text, or a list of sentences.
        block_bytes: text that is worked on at a time.
        name: identifies the documents, so that a run that was killed can go on
            with the same name, the documents being the same. Without it a list's
            text identifies them, and nothing does another iterable's.
        wrapped: lines of a text are cut at some width; otherwise a line's end ends
            a sentence.

    Example:
        >>> source = Documents(["One. Two.", ["Three.", "Four."]])
        >>> [block] = source.blocks(source.groups()[0])
        >>> source.documents(block)[0]
        [['One.', 'Two.'], ['Three.', 'Four.']]
    """

    def __init__(
        self,
        documents: Iterable[str | Sequence[str]],
        block_bytes: int = BLOCK_BYTES,
        *,
        name: str | None = None,
        wrapped: bool = False,
    ) -> None:
        super().__init__(block_bytes, wrapped)
        self._documents: Iterable[Any] | None = documents
        self._is_read = False
        self._name = name or uuid.uuid4().hex
        if name is None and isinstance(documents, Sequence):
            self._name = _digest(documents)

    def __getstate__(self) -> dict[str, Any]:
        # Only the process that reads needs the documents.
        return {**self.__dict__, "_documents": None}

    def fingerprint(self) -> dict[str, Any]:
        """Returns the name, or what stands for it."""
        return {
            "source": "Documents",
            "block_bytes": self.block_bytes,
            "wrapped": self.wrapped,
            "name": self._name,
        }

    def groups(self) -> list[Group]:
        """Lists one group."""
        return [Group(0, ("documents",), None)]

    def _items(self, group: Group) -> Iterator[tuple[Any, None]]:
        source = self._documents
        once = source is None or iter(source) is source
        if source is None or (once and self._is_read):
            raise InputError(
                "Expected documents that can be read, received an iterator that was "
                "read before, or a copy in another process. Pass a list, or an "
                "object whose __iter__ begins anew."
            )
        self._is_read = True
        for number, item in enumerate(source, 1):
            yield _checked_item(item, number), None


def _checked_item(item: Any, number: int) -> str | list[str]:
    if not _is_text(item):
        raise InputError(
            "Expected every document to be a string or a list of strings, received "
            f"{type(item).__name__} as number {number}."
        )
    return item if isinstance(item, str) else list(item)


def _digest(documents: Sequence[Any]) -> str:
    digest = hashlib.sha256()
    for number, item in enumerate(documents, 1):
        item = _checked_item(item, number)
        digest.update(json.dumps(item).encode() + b"\n")
    return digest.hexdigest()


class TensorFlowDatasets(_Items):
    """A data set by its name in `tensorflow_datasets`, one document an example.

    It is downloaded and prepared unless it is there already.

    Args:
        name: of the data set and its version, such as `wikipedia/20230601.en`.
        split: `train`, `train[:10%]` ...
        field: the feature that holds running text.
        block_bytes: text that is worked on at a time.
        data_dir: where data sets are; None takes the library's place.
        wrapped: lines of a text are cut at some width; otherwise a line's end ends
            a sentence.

    Raises:
        MissingExtraError: tensorflow_datasets is not installed.
        InputError: there is no such data set, split, or field of text.

    Example:
        >>> TensorFlowDatasets("wikipedia/20230601.en")  # doctest: +SKIP
    """

    def __init__(
        self,
        name: str,
        split: str = "train",
        field: str = "text",
        block_bytes: int = BLOCK_BYTES,
        *,
        data_dir: str | Path | None = None,
        wrapped: bool = False,
    ) -> None:
        super().__init__(block_bytes, wrapped)
        self.name, self.split, self.field = name, split, field
        self.data_dir = None if data_dir is None else str(data_dir)
        self._example_bytes: int | None = None
        info = _prepared(name, self.data_dir).info
        if field not in info.features:
            raise InputError(
                f"Expected the field {field!r} in {name}, which has "
                f"{', '.join(info.features)}. Choose one of them (field)."
            )
        self._version = info.full_name
        whole = info.splits.get(split)  # None for a part of a split
        self._shards = list(whole.shard_lengths) if whole else []
        if whole and whole.num_examples:
            self._example_bytes = whole.num_bytes // whole.num_examples
            self.size = self._example_bytes * whole.num_examples

    def fingerprint(self) -> dict[str, Any]:
        """Returns the name with its version, split, field and options."""
        return {
            "source": "TensorFlowDatasets",
            "block_bytes": self.block_bytes,
            "wrapped": self.wrapped,
            "name": self._version,
            "split": self.split,
            "shards": self._shards,
            "field": self.field,
        }

    def groups(self) -> list[Group]:
        """Lists the shards of the split, or a part of a split as one group."""
        if self._example_bytes is None:
            return [Group(0, (self.split,), None)]
        ends = list(accumulate(self._shards))
        return [
            Group(
                number,
                (f"{self.split}[{end - length}:{end}]",),
                length * self._example_bytes,
            )
            for number, (length, end) in enumerate(zip(self._shards, ends, strict=True))
        ]

    def _items(self, group: Group) -> Iterator[tuple[bytes, int | None]]:
        import tensorflow_datasets as tfds

        builder = _prepared(self.name, self.data_dir)
        examples = builder.as_dataset(split=group.names[0], shuffle_files=False)
        for example in tfds.as_numpy(examples):
            text = example[self.field]
            if not isinstance(text, bytes):
                raise InputError(
                    f"Expected text in {self.field!r} of {self.name}, received "
                    f"{type(text).__name__}. Choose another field."
                )
            yield text, self._example_bytes


def _prepared(name: str, data_dir: str | None) -> Any:
    """Returns the builder of a data set that is on disk."""
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise MissingExtraError(
            "Expected tensorflow-datasets, which is not installed. Install it with "
            "`pip install bert-for-keras[datasets]`."
        ) from error
    try:
        builder = tfds.builder(name, data_dir=data_dir)
        builder.download_and_prepare()
    except (tfds.core.DatasetNotFoundError, ValueError, OSError) as error:
        raise InputError(f"Cannot prepare the data set {name!r}: {error}") from error
    return builder


# The names of the command line.
SOURCES: dict[str, type[Source]] = {
    "text": TextFiles,
    "documents": RawDocuments,
    "jsonl": JsonLines,
    "tfds": TensorFlowDatasets,
}
