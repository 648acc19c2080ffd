"""`tf.train.Example` messages in NumPy, many at once, without TensorFlow.

Sources: tensorflow/core/example/{example,feature}.proto; "Encoding" in the
documentation of Protocol Buffers.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import groupby
from typing import NamedTuple

import numpy as np

from keras_bert.errors import InputError
from keras_bert.protobuf import LONGEST_VARINT, read_varint, varint

_BYTES, _FLOATS, _INTEGERS = 1, 2, 3  # the fields of `tf.train.Feature`
_LENGTH_DELIMITED = 2  # the wire type of every field in these messages


class Ragged(NamedTuple):
    """Rows of different lengths: all values in one array, and where each row ends."""

    values: np.ndarray
    ends: np.ndarray

    def split(self) -> list[bytes]:
        """Returns the bytes of each row."""
        size = self.values.itemsize
        flat, ends = self.values.tobytes(), (self.ends * size).tolist()
        return [flat[a:b] for a, b in zip([0, *ends], ends, strict=False)]


Column = np.ndarray | Ragged | list[bytes]


# === Encoding ===


def encode_examples(columns: Mapping[str, Column]) -> list[bytes]:
    """Serializes many examples at once.

    Args:
        columns: for each key one row per example: a float32 or integer array
            `(examples, values)`; a `Ragged` of integers; or a list of bytes. Integers
            must not be negative.

    Returns:
        One message per row. Fields are sorted by name, as in TensorFlow's
        deterministic serialization.

    Example:
        >>> encode_examples({"a": np.array([[5]])})
        [b'\\n\\x0c\\n\\n\\n\\x01a\\x12\\x05\\x1a\\x03\\n\\x01\\x05']
    """
    entries = [_entries(key, columns[key]) for key in sorted(columns)]
    parts: list[list[bytes]] = []
    for kind, run in groupby(entries, type):
        neighbors = list(run)
        tables = kind is np.ndarray
        parts += [_split(np.concatenate(neighbors, 1))] if tables else neighbors
    joined = map(b"".join, zip(*parts, strict=True))
    return [_head(10, len(row)) + row for row in joined]


def _entries(key: str, column: Column) -> np.ndarray | list[bytes]:
    """One map entry per row: a table of bytes if all are equally long, else a list."""
    if isinstance(column, list):
        return _with_heads(key, _BYTES, column)
    if isinstance(column, Ragged):
        return _with_heads(key, _INTEGERS, _varints(column))
    column = column.reshape(len(column), -1)
    if column.dtype.kind == "f":
        return _with_head(key, _FLOATS, column.astype("<f4").view(np.uint8))
    if column.max(initial=0) < 128:
        return _with_head(key, _INTEGERS, column.astype(np.uint8))
    ends = np.arange(1, len(column) + 1) * column.shape[1]
    return _with_heads(key, _INTEGERS, _varints(Ragged(column.ravel(), ends)))


def _with_head(key: str, kind: int, values: np.ndarray) -> np.ndarray:
    head = np.frombuffer(_entry_head(key, kind, values.shape[1]), np.uint8)
    heads = np.broadcast_to(head, (len(values), len(head)))
    return np.concatenate([heads, values], axis=1)


def _with_heads(key: str, kind: int, values: list[bytes]) -> list[bytes]:
    return [_entry_head(key, kind, len(row)) + row for row in values]


def _split(table: np.ndarray) -> list[bytes]:
    flat, width = table.tobytes(), table.shape[1]
    return [flat[start : start + width] for start in range(0, len(flat), width)]


@cache
def _entry_head(key: str, kind: int, size: int) -> bytes:
    """The bytes before `size` bytes of values of one kind in a map entry."""
    values = _head(10, size)
    feature = _head(kind << 3 | _LENGTH_DELIMITED, len(values) + size) + values
    name = _head(10, len(key.encode())) + key.encode()
    rest = name + _head(18, len(feature) + size) + feature
    return _head(10, len(rest) + size) + rest


@cache
def _head(tag: int, size: int) -> bytes:
    """The bytes before a field of `size` bytes."""
    return bytes([tag]) + varint(size)


def _varints(column: Ragged) -> list[bytes]:
    """Encodes rows of small non-negative integers as varints, 7 bits per byte."""
    rest = column.values.astype(np.uint32)
    width = max(1, -(-int(rest.max(initial=0)).bit_length() // 7))
    octets = np.empty((len(rest), width), np.uint8)
    used = np.ones((len(rest), width), bool)
    sizes = np.ones(len(rest), np.uint8)
    for place in range(width):
        higher = rest >> 7
        more = higher > 0
        octets[:, place] = rest & 0x7F | more.view(np.uint8) << 7
        if place + 1 < width:
            used[:, place + 1] = more
            sizes += more
        rest = higher
    ends = sizes.cumsum(dtype=np.int64)[column.ends - 1]
    return Ragged(octets[used], ends).split()


# === Decoding ===


def decode_examples(records: Sequence[bytes]) -> dict[str, Ragged | list[bytes]]:
    """Reads many messages at once; the inverse of `encode_examples`.

    Args:
        records: serialized messages.

    Returns:
        For each key one row per message, empty where a message lacks it: integers as
        int64 and floats as float32 in a `Ragged`, bytes (one value per message) in a
        list.

    Raises:
        InputError: a record is not an example.

    Example:
        >>> records = encode_examples({"a": np.array([[5, 300], [7, 0]])})
        >>> decode_examples(records)["a"].values.tolist()
        [5, 300, 7, 0]
    """
    cells: dict[str, list[bytes]] = {}
    kinds: dict[str, int] = {}
    for row, record in enumerate(records):
        with _examples_expected():
            for key, kind, value in _values(record):
                if kind and kinds.get(key, 0) not in (0, kind):
                    raise ValueError(f"{key} of another kind")
                kinds[key] = kind or kinds.get(key, 0)
                cells.setdefault(key, [b""] * len(records))[row] = value
    with _examples_expected():
        return {key: _COLUMNS[kinds[key]](rows) for key, rows in cells.items()}


@contextmanager
def _examples_expected() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise InputError(
            "Expected serialized tf.train.Example messages, received something else. "
            "Make records with `keras-bert data`."
        ) from error


def _values(record: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Yields name, kind (0 if empty) and encoded values of each feature."""
    for _, features in _fields(record):
        for _, entry in _fields(features):
            (_, key), (_, feature) = _fields(entry)
            yield str(key, "utf-8"), *_list(feature)


def _list(feature: bytes) -> tuple[int, bytes]:
    """Returns the kind of a feature's list, and the bytes of its values."""
    for kind, values in _fields(feature):
        if kind not in _COLUMNS:
            raise ValueError("a feature of no known kind")
        return kind, b"".join(chunk for _, chunk in _fields(values))
    return 0, b""


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields number and content of length-delimited fields."""
    at = 0
    while at < len(message):
        tag, at = read_varint(message, at)
        size, at = read_varint(message, at)
        if tag & 7 != _LENGTH_DELIMITED or at + size > len(message):
            raise ValueError("not an example, or numbers that are not packed")
        yield tag >> 3, message[at : at + size]
        at += size


def _decode_integers(rows: list[bytes]) -> Ragged:
    """Decodes rows of varints."""
    octets = np.frombuffer(b"".join(rows), np.uint8)
    ends_here = octets < 0x80
    stops = np.flatnonzero(ends_here)
    starts = np.concatenate([[0], stops[:-1] + 1]) if len(stops) else stops
    values = np.zeros(len(stops), np.uint64)
    sizes = stops - starts + 1
    last = np.cumsum([len(row) for row in rows if row], dtype=np.int64) - 1
    if sizes.max(initial=0) > LONGEST_VARINT or not ends_here[last].all():
        raise ValueError("an incomplete number, or one that is too long")
    for place in range(int(sizes.max(initial=0))):
        there = np.flatnonzero(sizes > place)
        part = (octets[starts[there] + place] & 0x7F).astype(np.uint64)
        values[there] |= part << np.uint64(7 * place)
    counts = np.concatenate([[0], ends_here.cumsum()])
    row_ends = np.cumsum([len(row) for row in rows])
    return Ragged(values.view(np.int64), counts[row_ends])


def _decode_floats(rows: list[bytes]) -> Ragged:
    ends = np.cumsum([len(row) for row in rows]) // 4
    return Ragged(np.frombuffer(b"".join(rows), "<f4"), ends)


_COLUMNS = {
    0: _decode_integers,
    _BYTES: list,
    _FLOATS: _decode_floats,
    _INTEGERS: _decode_integers,
}
