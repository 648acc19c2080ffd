"""The interface of text sources: blocks of raw bytes, and their documents.

The reading process cuts the input into blocks without decoding it; worker processes
decode and split a block, and count irregularities.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from keras_bert.errors import ConfigError

Document = list[str]  # its sentences

BLOCK_BYTES = 1 << 22
_LEAST_BLOCK_BYTES = 16
LONGEST_DOCUMENT = 8  # blocks
LONGEST_LINE = 1 << 20  # characters

# What `documents` counts. Where the place helps, there is also a count named
# "NAME at FILE:LINE" for the first one of a block.
IRREGULARITIES = {
    "empty_files": "files without any text",
    "empty_documents": "documents without any text, dropped",
    "one_sentence_documents": "documents of one sentence",
    "cut_documents": f"documents of more than {LONGEST_DOCUMENT} blocks, cut",
    "long_lines": f"lines of more than {LONGEST_LINE:,} characters, cut at spaces",
    "invalid_utf8": "sequences that are not UTF-8, read as U+FFFD",
    "nul_bytes": "NUL bytes",
    "invalid_json": "lines that are not JSON, dropped",
    "missing_field": "JSON lines without text in the field, dropped",
    "long_json": f"JSON lines of more than {LONGEST_DOCUMENT} blocks, dropped",
}


class RawFragment(NamedTuple):
    """Consecutive whole documents, or a piece of one that had to be cut.

    Attributes:
        name: of the file or other origin.
        line: the number of its first line, or of the item, from 1.
        data: raw text, or sentences.
        begins: whether it begins where a document begins.
        ends: whether it ends where a document ends.
    """

    name: str
    line: int
    data: bytes | str | list[str]
    begins: bool = True
    ends: bool = True


class RawBlock(NamedTuple):
    """Neighboring documents that are processed together, not yet decoded.

    Attributes:
        index: the number of the block in its group.
        content: the fragments it consists of.
        size: bytes of input it accounts for, for progress.
    """

    index: int
    content: list[RawFragment]
    size: int


class SourceGroup(NamedTuple):
    """A part of a source that can be read independently.

    Attributes:
        index: the number of the group in its source.
        names: what it consists of: files, or a split of a dataset.
        size: bytes of input, None if unknown.
    """

    index: int
    names: tuple[str, ...]
    size: int | None


class Source(ABC):
    """A source of text.

    A source is small and picklable. `blocks` is called in the reading process,
    `documents` in worker processes.

    Attributes:
        size: bytes of all input, for progress; None if unknown.
    """

    size: int | None = None

    @abstractmethod
    def fingerprint(self) -> dict[str, Any]:
        """Returns what identifies the input, as JSON-serializable values."""

    @abstractmethod
    def groups(self) -> list[SourceGroup]:
        """Lists the parts that can be read independently."""

    @abstractmethod
    def blocks(self, group: SourceGroup) -> Iterator[RawBlock]:
        """Reads a group in order, in blocks of whole documents.

        A block has at least two documents if the group has, since the second text of
        a pair often comes from another document.

        Raises:
            InputError: the input cannot be read.
        """

    @abstractmethod
    def documents(self, block: RawBlock) -> tuple[list[Document], Counter[str]]:
        """Returns the documents of a block, and counts of `IRREGULARITIES`."""


def describe_irregularities(counts: Counter[str]) -> list[str]:
    """Describes the irregularities of a text, the most frequent first.

    Args:
        counts: sums of the counts of `Source.documents`; others are ignored.

    Example:
        >>> describe_irregularities(Counter({"nul_bytes": 3, "tokens": 37}))
        ['3 NUL bytes']
        >>> found = Counter({"invalid_json": 2, "invalid_json at a:7": 1})
        >>> describe_irregularities(found)
        ['2 lines that are not JSON, dropped (first at a:7)']
    """
    found = [(counts[name], name) for name in IRREGULARITIES if counts[name]]
    return [
        f"{count:,} {IRREGULARITIES[name]}{_first_place(counts, name)}"
        for count, name in sorted(found, reverse=True)
    ]


def _first_place(counts: Counter[str], name: str) -> str:
    start = f"{name} at "
    places = [key.removeprefix(start) for key in counts if key.startswith(start)]
    return f" (first at {min(places, key=_by_line)})" if places else ""


def _by_line(place: str) -> tuple[str, int]:
    file, _, line = place.rpartition(":")
    return file, int(line)


class SizedFragment(NamedTuple):
    """A part of a block and its sizes; without content it only counts as progress."""

    content: RawFragment | None
    size: int  # of the input
    weight: int  # bytes of text
    documents: int  # 0, 1, or 2 for more


class _Filling:
    """A block under construction."""

    def __init__(self) -> None:
        self.content: list[RawFragment] = []
        self.size = self.weight = self.documents = 0

    def add(self, piece: SizedFragment) -> None:
        self.content += [] if piece.content is None else [piece.content]
        self.size += piece.size
        self.weight += piece.weight
        self.documents += piece.documents

    def is_full(self, size: int) -> bool:
        # Without a limit, input without any document would be held in memory.
        enough = 1 if self.documents >= 2 else 2 * LONGEST_DOCUMENT
        return self.weight >= enough * size


def blocks_of(pieces: Iterable[SizedFragment], size: int) -> Iterator[RawBlock]:
    """Joins pieces to blocks of at least `size` bytes and two documents."""
    index, waiting, filling = 0, None, _Filling()
    for piece in pieces:
        filling.add(piece)
        if filling.is_full(size):
            if waiting:
                yield waiting
            # A block waits for the next one, which may have too few documents.
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


def checked(block_bytes: int) -> int:
    if block_bytes < _LEAST_BLOCK_BYTES:
        raise ConfigError(
            f"Expected block_bytes of {_LEAST_BLOCK_BYTES} or more, received "
            f"{block_bytes}."
        )
    return block_bytes
