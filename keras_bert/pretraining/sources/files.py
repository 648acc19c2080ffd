"""File sources: one sentence per line, running text, JSON lines."""

import gzip
import json
import re
import zlib
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from keras_bert.errors import InputError
from keras_bert.pretraining.sentences import split_sentences
from keras_bert.pretraining.sources.base import (
    BLOCK_BYTES,
    Document,
    RawBlock,
    RawFragment,
    SizedFragment,
    Source,
    SourceGroup,
    blocks_of,
    checked,
)
from keras_bert.pretraining.sources.cutting import segments, split_lazily
from keras_bert.pretraining.sources.text import (
    decoded,
    finished,
    is_text,
    paragraphs,
    sentences_of,
)
from keras_bert.pretraining.storage import find, open_bytes
from keras_bert.strings import each_key_once
from keras_bert.tokenization.encodings import SAMPLE, check_utf8


class Files(Source):
    """Files, read as bytes and cut where documents end.

    Attributes:
        files: their names, in order.
    """

    _boundary: (
        re.Pattern[bytes] | None
    )  # where documents end; None: at the end of the file
    _least_files = 1  # per group
    _piece_is_document = True

    def __init__(
        self,
        files: str | Path | Sequence[str | Path],
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        self.block_bytes = checked(block_bytes)
        found = find(files)
        self.files = [file.name for file in found]
        self._sizes = [file.size for file in found]
        self._times = [file.changed for file in found]
        self.size = sum(self._sizes)

    def fingerprint(self) -> dict[str, Any]:
        """Returns options, and names, sizes and modification times of the files."""
        files = zip(self.files, self._sizes, self._times, strict=True)
        return {
            "source": type(self).__name__,
            "block_bytes": self.block_bytes,
            **self._options(),
            "files": [list(file) for file in files],
        }

    def _options(self) -> dict[str, Any]:
        """Returns the options that affect the documents."""
        return {}

    def groups(self) -> list[SourceGroup]:
        """Lists the files; small neighbors share a group.

        The groups depend on the sizes of the files alone.
        """
        groups = _neighbors(self._sizes, self.block_bytes, self._least_files)
        return [
            SourceGroup(
                number,
                tuple(self.files[index] for index in group),
                sum(self._sizes[index] for index in group),
            )
            for number, group in enumerate(groups)
        ]

    def blocks(self, group: SourceGroup) -> Iterator[RawBlock]:
        """Reads the files of a group in blocks, cut where documents end."""
        read = (piece for file in group.names for piece in self._pieces(file))
        return blocks_of(read, self.block_bytes)

    def _pieces(self, file: str) -> Iterator[SizedFragment]:
        """Reads a file in segments of documents; blank ones count as progress only."""
        line, done, filled = 1, 0, False
        with _opened(file) as (stream, raw):
            for segment in segments(stream, self._boundary, self.block_bytes):
                if line == 1:
                    check_utf8(segment.data[:SAMPLE], file)
                size, done = raw.tell() - done, raw.tell()
                part = RawFragment(
                    file, line, segment.data, segment.begins, segment.ends
                )
                line += segment.data.count(b"\n")
                kept = bool(segment.data.strip()) or (segment.is_last and not filled)
                filled |= kept
                yield (
                    self._piece(part, size) if kept else SizedFragment(None, size, 0, 0)
                )

    def _piece(self, part: RawFragment, size: int) -> SizedFragment:
        return SizedFragment(part, size, len(part.data), self._count(part))

    def _count(self, part: RawFragment) -> int:
        """Counts documents, at most two."""
        if not (part.begins and part.ends):
            return self._piece_is_document
        lines = split_lazily(part.data, self._boundary)
        return len(list(islice(filter(self._is_document, lines), 2)))

    def _is_document(self, data: bytes) -> bool:
        return bool(data.decode("utf-8", "replace").strip())

    def documents(self, block: RawBlock) -> tuple[list[Document], Counter[str]]:
        """Decodes a block and splits it into documents of sentences."""
        odd: Counter[str] = Counter()
        found = []
        for part in block.content:
            odd["empty_files"] += not part.data.strip()
            found += self._read(part, odd)
        return finished(found, odd)

    @abstractmethod
    def _read(self, part: RawFragment, odd: Counter[str]) -> Iterable[Document]:
        """Returns the documents of a fragment."""


# Two line ends with only whitespace between them, as `str.strip` defines it.
_BLANK_LINE = re.compile(rb"\n[ \t\r\x0b\x0c\x1c-\x1f]*\n")


class TextFiles(Files):
    """Text with one sentence per line and a blank line between documents.

    The end of a file also ends a document.

    Args:
        files: names, patterns, comma-separated lists; `.gz` is decompressed.
        block_bytes: bytes of text that are processed together.

    Raises:
        MissingFileError: a name or pattern matches no file.

    Example:
        >>> source = TextFiles("corpus/*.txt.gz")  # doctest: +SKIP
        >>> [blocks] = map(source.blocks, source.groups())  # doctest: +SKIP

    Source: the input of create_pretraining_data.py in google-research/bert.
    """

    _boundary = _BLANK_LINE

    def _read(self, part: RawFragment, odd: Counter[str]) -> Iterable[Document]:
        odd["cut_documents"] += part.begins and not part.ends
        return paragraphs(decoded(part.data, odd))


class RawDocuments(Files):
    """Running text, to be split into sentences.

    Args:
        files: names, patterns, comma-separated lists; `.gz` is decompressed.
        block_bytes: bytes of text that are processed together.
        per_file: each file is a document; otherwise blank lines separate documents.
        wrapped: lines are wrapped; otherwise a line end ends a sentence.

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

    def _read(self, part: RawFragment, odd: Counter[str]) -> Iterator[Document]:
        odd["cut_documents"] += part.begins and not part.ends
        text = decoded(part.data, odd)
        texts = [text] if self.per_file else map("\n".join, paragraphs(text))
        documents = (split_sentences(each, self.wrapped) for each in texts)
        return filter(None, documents)


class JsonLines(Files):
    """One JSON object per line, each a document.

    Args:
        files: names, patterns, comma-separated lists; `.gz` is decompressed.
        block_bytes: bytes of text that are processed together.
        field: the field with running text, or with a list of sentences.
        wrapped: lines of a text are wrapped; otherwise a line end ends a sentence.

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

    def _read(self, part: RawFragment, odd: Counter[str]) -> Iterator[Document]:
        if not (part.begins and part.ends):  # a piece of one line
            odd["long_json"] += part.begins
            return
        # JSON escapes line ends.
        lines = decoded(part.data, odd).split("\n")
        for number, line in enumerate(lines, part.line):
            found: Counter[str] = Counter()
            if document := self._parse(line, found):
                yield document
            _add_with_place(odd, found, f"{part.name}:{number}")

    def _parse(self, line: str, odd: Counter[str]) -> Document | None:
        """Returns the sentences of a line, or None if it has none."""
        if not line.strip():
            return None
        try:
            value = json.loads(line, object_pairs_hook=each_key_once)
        except (ValueError, RecursionError):
            odd["invalid_json"] += 1
            return None
        text = value.get(self.field) if isinstance(value, dict) else None
        if not is_text(text):
            odd["missing_field"] += 1
            return None
        return sentences_of(text, self.wrapped, odd)


def _neighbors(sizes: list[int], size: int, least: int) -> list[list[int]]:
    """Groups the indices of neighbors, each group with at least `size` in all."""
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
    """Opens a file's decompressed bytes, and the file, whose position is progress."""
    try:
        with open_bytes(file) as raw:
            stream = gzip.GzipFile(fileobj=raw) if file.endswith(".gz") else raw
            yield stream, raw
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"Expected readable text in {file}. Received: {error}."
        ) from error
