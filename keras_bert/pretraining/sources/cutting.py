"""Cutting the bytes of files between documents."""

import re
from collections import deque
from collections.abc import Iterator
from typing import AnyStr, BinaryIO, NamedTuple

from keras_bert.pretraining.sources.base import LONGEST_DOCUMENT


class _Segment(NamedTuple):
    """Bytes of a file, cut where documents end unless one is too long."""

    data: bytes
    begins: bool
    ends: bool
    is_last: bool


_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def segments(
    stream: BinaryIO, boundary: re.Pattern[bytes] | None, size: int
) -> Iterator[_Segment]:
    """Reads a file in segments of whole documents, of at least `size` bytes."""
    held = stream.read(size).removeprefix(_BYTE_ORDER_MARK)
    begins = True
    while chunk := stream.read(size):
        held += chunk
        while cut := _next_cut(held, boundary, size, begins):
            end, is_boundary = cut
            yield _Segment(held[:end], begins, is_boundary, False)
            held, begins = held[end:], is_boundary
    yield _Segment(held, begins, True, True)


def _next_cut(
    held: bytes, boundary: re.Pattern[bytes] | None, size: int, begins: bool
) -> tuple[int, bool] | None:
    """Returns where to cut, and whether a document ends there; None to read on.

    Args:
        held: bytes that were read but not yet cut off.
        boundary: matches where documents end.
        size: the least bytes to cut off.
        begins: whether a document begins here. Otherwise one that was too long
            continues, and is cut at its first boundary.
    """
    if boundary and (match := boundary.search(held, size if begins else 0)):
        return match.end(), True
    if len(held) < size * (LONGEST_DOCUMENT if begins else 2):
        return None
    if boundary and begins and (ends := deque(boundary.finditer(held), maxlen=1)):
        return ends[0].end(), True
    return _near(held, size), False


def _near(data: AnyStr, size: int) -> int:
    """Returns a place up to `size` to cut at: after a line, a word or a character."""
    line_end, space = (b"\n", b" ") if isinstance(data, bytes) else ("\n", " ")
    for mark in (line_end, space):
        if place := data.rfind(mark, size // 2, size) + 1:
            return place
    return size - _begun_character(data[size - 3 : size + 1])


def _begun_character(data: bytes | str) -> int:
    """Counts the last bytes of three that belong to the character of the fourth."""
    if isinstance(data, str):
        return 0
    return next((back for back in range(3) if data[3 - back] & 0xC0 != 0x80), 3)


def cut(data: AnyStr, size: int) -> Iterator[AnyStr]:
    """Yields pieces of at most `size`."""
    while len(data) > size:
        place = _near(data, size)
        yield data[:place]
        data = data[place:]
    yield data


_NOT_BLANK = re.compile(rb"\S")


def split_lazily(data: bytes, boundary: re.Pattern[bytes] | None) -> Iterator[bytes]:
    """Yields what is between boundaries, without what is only whitespace."""
    start = 0
    while found := _NOT_BLANK.search(data, start):
        match = boundary and boundary.search(data, found.start())
        end = match.end() if match else len(data)
        yield data[start:end]
        start = end
