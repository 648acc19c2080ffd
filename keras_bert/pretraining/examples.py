"""TFRecord files and `tf.train.Example` messages, read without TensorFlow.

A file is mapped into memory and its records are found by their frames, so that any
record can be read at any time: the batches of a training run are then a function of
the step, and a run goes on where it stopped without reading what came before.
"""

import gzip
import mmap
import struct
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import google_crc32c
import numpy as np

from keras_bert.errors import InputError
from keras_bert.pretraining.records import Ragged

Column = Ragged | list[bytes]

_LENGTH = struct.Struct("<Q")
_CHECKSUM = struct.Struct("<I")
_BEFORE, _AFTER = 12, 4  # bytes of a frame around its record
_BYTES = 2  # the wire type of all that has a length


# Files


class RecordFile:
    """The records of one TFRecord file, by number.

    Args:
        path: the file. One whose name ends in `.gz` is unpacked into memory.

    Raises:
        InputError: the file is not a TFRecord, or is cut off.

    Example:
        >>> file = RecordFile("records/a.tfrecord")  # doctest: +SKIP
        >>> len(file), len(file[0])  # doctest: +SKIP
        (1024, 873)

    Source: tensorflow/core/lib/io/record_writer.h.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._bytes = _contents(self.path)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, number: int) -> bytes:
        return self._record(int(self._starts[number]), number)

    def first(self) -> bytes | None:
        """Returns the first record, without looking for the others."""
        return self._record(0, 0) if len(self._bytes) else None

    def _record(self, start: int, number: int) -> bytes:
        try:
            (size,) = _LENGTH.unpack_from(self._bytes, start)
            record = self._bytes[start + _BEFORE : start + _BEFORE + size]
            (checksum,) = _CHECKSUM.unpack_from(self._bytes, start + _BEFORE + size)
        except (struct.error, OverflowError) as error:
            raise self._cut_off(number) from error
        if _masked(google_crc32c.value(record)) != checksum:
            raise InputError(
                f"Record {number} of {self.path} is damaged, or the file is not a "
                "TFRecord of examples. Make it again with `keras-bert data`."
            )
        return record

    @cached_property
    def _starts(self) -> np.ndarray:
        starts, at, whole = [], 0, len(self._bytes)
        unpack, data = _LENGTH.unpack_from, self._bytes
        while at + _BEFORE <= whole:
            starts.append(at)
            at += _BEFORE + unpack(data, at)[0] + _AFTER
        if at != whole:
            raise self._cut_off(len(starts) - 1)
        return np.array(starts, np.int64)  # (records,)

    def _cut_off(self, number: int) -> InputError:
        return InputError(
            f"{self.path} is not a TFRecord of examples, or is cut off in record "
            f"{max(number, 0)}. Make it again with `keras-bert data`."
        )


def _contents(path: Path) -> bytes | mmap.mmap:
    try:
        if path.suffix == ".gz":
            return gzip.decompress(path.read_bytes())
        if not path.stat().st_size:
            return b""
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, EOFError) as error:
        raise InputError(f"{path} is not a TFRecord of examples: {error}.") from error


def _masked(checksum: int) -> int:
    rotated = (checksum >> 15 | checksum << 17) & 0xFFFF_FFFF
    return (rotated + 0xA282_EAD8) & 0xFFFF_FFFF


# Messages


def decode_examples(records: Sequence[bytes]) -> dict[str, Column]:
    """Reads many `tf.train.Example` messages at once; undoes `encode_examples`.

    Args:
        records: serialized messages.

    Returns:
        For each key one row per message, empty where a message lacks it: integers as
        int64 and floats as float32 in a `Ragged`, bytes (one value a message) in a
        list.

    Raises:
        InputError: a message is not an example.

    Example:
        >>> from keras_bert.pretraining.records import encode_examples
        >>> records = encode_examples({"a": np.array([[5, 300], [7, 0]])})
        >>> decode_examples(records)["a"].values.tolist()
        [5, 300, 7, 0]

    Source: tensorflow/core/example/{example,feature}.proto; "Encoding" in the
    documentation of Protocol Buffers.
    """
    cells: dict[str, list[bytes]] = {}
    kinds: dict[str, int] = {}
    for row, record in enumerate(records):
        for key, kind, value in _values(record):
            kinds[key] = kind or kinds.get(key, 0)
            cells.setdefault(key, [b""] * len(records))[row] = value
    return {key: _COLUMNS[kinds[key]](rows) for key, rows in cells.items()}


def _values(record: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Yields name, kind (1 bytes, 2 floats, 3 integers) and values of each feature."""
    try:
        for _, features in _fields(record):
            for _, entry in _fields(features):
                (_, key), (_, feature) = _fields(entry)
                yield str(key, "utf-8"), *_list(feature)
    except (IndexError, ValueError, TypeError) as error:
        raise InputError(
            "Expected serialized tf.train.Example messages, received something else. "
            "Make records with `keras-bert data`."
        ) from error


def _list(feature: bytes) -> tuple[int, bytes]:
    """Returns the kind of a feature's list, and its values' bytes."""
    for kind, values in _fields(feature):
        return kind, b"".join(chunk for _, chunk in _fields(values))
    return 0, b""


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields number and content of fields that have a length, as all here do."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        size, at = _varint(message, at)
        if tag & 7 != _BYTES or at + size > len(message):
            raise ValueError("not an example, or numbers that are not packed")
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while (octet := message[at]) > 0x7F:
        value |= (octet & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return value | octet << shift, at + 1


# Columns


def _integers(rows: list[bytes]) -> Ragged:
    """Decodes rows of varints."""
    octets = np.frombuffer(b"".join(rows), np.uint8)
    ends_here = octets < 0x80
    stops = np.flatnonzero(ends_here)
    starts = np.concatenate([[0], stops[:-1] + 1]) if len(stops) else stops
    values = np.zeros(len(stops), np.uint64)
    sizes = stops - starts + 1
    for place in range(int(sizes.max(initial=0))):
        there = np.flatnonzero(sizes > place)
        part = (octets[starts[there] + place] & 0x7F).astype(np.uint64)
        values[there] |= part << np.uint64(7 * place)
    counts = np.concatenate([[0], ends_here.cumsum()])
    row_ends = np.cumsum([len(row) for row in rows])
    return Ragged(values.view(np.int64), counts[row_ends])


def _floats(rows: list[bytes]) -> Ragged:
    ends = np.cumsum([len(row) for row in rows]) // 4
    return Ragged(np.frombuffer(b"".join(rows), "<f4"), ends)


_COLUMNS = {0: _integers, 1: list, 2: _floats, 3: _integers}
