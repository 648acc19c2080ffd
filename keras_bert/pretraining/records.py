"""TFRecords of pretraining examples, written without TensorFlow.

A static record is masked and ready for the model: a `tf.train.Example` with the
fields of `keras_bert.features.PRETRAINING_RECORD`. A compact one holds the tokens of
a row's texts and is masked whenever it is read:

    ids_u16 or ids_u32   bytes   the tokens, without special ones, little-endian
    pieces               int64   for each piece the lengths of its two texts
    labels               int64   for each piece; absent without a sentence objective
    shape                int64   the row's length; in packed rows also pieces, at most
    continues            bytes   one bit a token: it belongs to the word before it;
                                 absent where `##` says so
"""

import gzip
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import IO, NamedTuple

import google_crc32c
import numpy as np

from keras_bert.errors import ExistingOutputError
from keras_bert.features import NAMINGS, record_fields
from keras_bert.pretraining.masking import MaskedRows
from keras_bert.pretraining.packing import Places
from keras_bert.pretraining.rows import ModelRows, Pieces

__all__ = [
    "COMPACT_IDS",
    "NAMINGS",
    "CompactRows",
    "Ragged",
    "RecordWriter",
    "decode_compact",
    "encode_compact",
    "encode_examples",
    "encode_static",
    "static_columns",
    "write_records",
]

COMPACT_IDS = {"ids_u16": np.dtype("<u2"), "ids_u32": np.dtype("<u4")}
_GZIP_LEVEL = 6


class Ragged(NamedTuple):
    """Rows of different lengths: all values in one row, and where each row ends."""

    values: np.ndarray
    ends: np.ndarray

    def split(self) -> list[bytes]:
        """Returns each row's bytes."""
        size = self.values.itemsize
        flat, ends = self.values.tobytes(), (self.ends * size).tolist()
        return [flat[a:b] for a, b in zip([0, *ends], ends, strict=False)]


Column = np.ndarray | Ragged | list[bytes]


# Static records


def encode_static(
    rows: ModelRows,
    masked: MaskedRows,
    *,
    naming: str = "google",
    packed: bool = False,
    labeled: bool = True,
) -> list[bytes]:
    """Serializes masked rows.

    Args:
        rows: the rows before masking.
        masked: the rows after it.
        naming: of the fields, "google" or "model_garden".
        packed: rows hold several pieces.
        labeled: pieces have labels.

    Returns:
        One message per row.
    """
    columns = static_columns(rows, masked)
    fields = record_fields(packed, labeled)
    return encode_examples({f.key(naming): columns[f.name] for f in fields})


def static_columns(rows: ModelRows, masked: MaskedRows) -> dict[str, np.ndarray]:
    """Returns the fields of static records by their names here."""
    return {
        **rows._asdict(),
        "input_ids": masked.input_ids,
        "masked_lm_positions": masked.positions,
        "masked_lm_ids": masked.ids,
        "masked_lm_weights": masked.weights,
        "next_sentence_labels": rows.labels,
        "next_sentence_weights": rows.label_weights,
    }


# Compact records


def encode_compact(
    tokens: np.ndarray,
    continues: np.ndarray | None,
    pieces: Pieces,
    places: Places,
    *,
    width: int,
    slots: int = 1,
    labeled: bool = True,
) -> list[bytes]:
    """Serializes rows that are laid out and masked when they are read.

    Args:
        tokens: int32 `(tokens,)`: what the pieces point into.
        continues: bool `(tokens,)`: the token belongs to the word before it; None
            where the vocabulary's `##` says so.
        pieces: the texts.
        places: row and slot of each piece.
        width: tokens of a row.
        slots: pieces of a row, at most.
        labeled: pieces have labels.

    Returns:
        One message per row.
    """
    order = np.lexsort((places.slots, places.rows))
    spans = pieces.spans[order]
    starts, sizes = spans[:, ::2].ravel(), (spans[:, 1::2] - spans[:, ::2]).ravel()
    ends = sizes.cumsum()
    source = np.arange(sizes.sum()) + np.repeat(starts - ends + sizes, sizes)
    last = np.bincount(places.rows).cumsum()  # of each row's pieces
    row_ends = ends[2 * last - 1]
    ids = tokens[source]
    key = "ids_u16" if ids.max(initial=0) < 1 << 16 else "ids_u32"
    shape = [width] if slots == 1 else [width, slots]
    columns: dict[str, Column] = {
        key: Ragged(ids.astype(COMPACT_IDS[key]), row_ends).split(),
        "pieces": Ragged(sizes, 2 * last),
        "shape": np.tile(shape, (len(last), 1)),
    }
    if labeled:
        columns["labels"] = Ragged(pieces.labels[order], last)
    if continues is not None:
        columns["continues"] = _bits(Ragged(continues[source], row_ends))
    return encode_examples(columns)


class CompactRows(NamedTuple):
    """What compact records hold, as `keras_bert.pretraining.rows.lay_out` takes it.

    Attributes:
        tokens: int32 `(tokens,)`, of all rows.
        continues: bool `(tokens,)`, or None where records do not say.
        spans: int64 `(pieces, 4)`, in `tokens`.
        places: row and slot of each piece.
    """

    tokens: np.ndarray
    continues: np.ndarray | None
    spans: np.ndarray
    places: Places


def decode_compact(
    ids: Mapping[str, Sequence[bytes]], continues: Sequence[bytes], pieces: Ragged
) -> CompactRows:
    """Undoes `encode_compact` for the fields of a batch.

    Args:
        ids: by `COMPACT_IDS`' keys; each row has bytes under one of them.
        continues: of each row; all empty if records do not have it.
        pieces: the lengths of texts, two for each piece.
    """
    decoded = [
        np.frombuffer(row, dtype)
        for rows in zip(*(ids[key] for key in COMPACT_IDS), strict=True)
        for row, dtype in zip(rows, COMPACT_IDS.values(), strict=True)
        if row
    ]
    ends = pieces.values.cumsum()
    spans = np.stack([ends - pieces.values, ends], axis=1).reshape(-1, 4)
    counts = np.diff(pieces.ends, prepend=0) // 2  # pieces of each row
    rows = np.repeat(np.arange(len(counts)), counts)
    slots = np.arange(len(rows)) - np.repeat(counts.cumsum() - counts, counts)
    sizes = [len(row) for row in decoded]
    flags = [
        np.unpackbits(np.frombuffer(row, np.uint8), count=size, bitorder="little")
        for row, size in zip(continues, sizes, strict=True)
        if row
    ]
    return CompactRows(
        np.concatenate(decoded).astype(np.int32),
        np.concatenate(flags).astype(bool) if flags else None,
        spans,
        Places(rows, slots),
    )


def _bits(flags: Ragged) -> list[bytes]:
    """Packs each row's flags, eight in a byte."""
    sizes = np.diff(flags.ends, prepend=0)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    columns = np.arange(len(rows)) - np.repeat(flags.ends - sizes, sizes)
    table = np.zeros((len(sizes), sizes.max(initial=0)), bool)
    table[rows, columns] = flags.values
    packed = np.packbits(table, axis=1, bitorder="little")
    used = -(-sizes // 8)
    return [row[:n].tobytes() for row, n in zip(packed, used.tolist(), strict=True)]


# tf.train.Example


def encode_examples(columns: Mapping[str, Column]) -> list[bytes]:
    """Serializes many examples at once, as `tf.train.Example` messages.

    Args:
        columns: for each key one row per example: a float32 or integer array
            `(examples, values)`, integers of different numbers in a row as
            `Ragged`, or a list of bytes. Integers are not negative.

    Returns:
        One message per row. Fields stand in the order of their names, as in
        TensorFlow's deterministic form.

    Example:
        >>> encode_examples({"a": np.array([[5]])})
        [b'\\n\\x0c\\n\\n\\n\\x01a\\x12\\x05\\x1a\\x03\\n\\x01\\x05']

    Source: tensorflow/core/example/{example,feature}.proto; "Encoding" in the
    documentation of Protocol Buffers.
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
    """One map entry per row; of one length as a table of bytes, else as a list."""
    if isinstance(column, list):
        return _with_heads(key, 1, column)
    if isinstance(column, Ragged):
        return _with_heads(key, 3, _varints(column))
    column = column.reshape(len(column), -1)
    if column.dtype.kind == "f":
        return _with_head(key, 2, column.astype("<f4").view(np.uint8))
    if column.max(initial=0) < 128:
        return _with_head(key, 3, column.astype(np.uint8))
    ends = np.arange(1, len(column) + 1) * column.shape[1]
    return _with_heads(key, 3, _varints(Ragged(column.ravel(), ends)))


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
    """What stands before `size` bytes of values in a map entry.

    Args:
        key: the name of the feature.
        kind: 1 bytes, 2 floats, 3 integers: the field of `tf.train.Feature`.
        size: in bytes.
    """
    values = _head(10, size)
    feature = _head(kind << 3 | 2, len(values) + size) + values
    name = _head(10, len(key.encode())) + key.encode()
    rest = name + _head(18, len(feature) + size) + feature
    return _head(10, len(rest) + size) + rest


@cache
def _head(tag: int, size: int) -> bytes:
    """What stands before a field of `size` bytes."""
    octets = [tag]
    while size > 0x7F:
        octets.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*octets, size])


def _varints(column: Ragged) -> list[bytes]:
    """Encodes rows of small non-negative integers as varints, 7 bits a byte."""
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


# Files


def write_records(
    path: str | Path, batches: Iterable[Sequence[bytes]], *, overwrite: bool = False
) -> int:
    """Writes a TFRecord file that appears whole, or not at all.

    Args:
        path: the file; compressed if its name ends in `.gz`.
        batches: serialized records.
        overwrite: replace a file that is there already.

    Returns:
        The number of records.

    Raises:
        ExistingOutputError: the file is there and `overwrite` is False.

    Example:
        >>> write_records("a.tfrecord", [encode_examples(columns)])  # doctest: +SKIP
        1024
    """
    with RecordWriter([path], overwrite=overwrite) as writer:
        return sum(writer.write(records) for records in batches)


class RecordWriter:
    """Writes records in turn into files that appear together, or not at all.

    Args:
        paths: the files; compressed if the name ends in `.gz`. Their directories
            are made.
        overwrite: replace files that are there already.

    Raises:
        ExistingOutputError: a file is there and `overwrite` is False.

    Example:
        >>> with RecordWriter(["a.tfrecord"]) as writer:  # doctest: +SKIP
        ...     writer.write(encode_examples(columns))
    """

    def __init__(self, paths: Sequence[str | Path], overwrite: bool = False) -> None:
        self.paths = [Path(path) for path in paths]
        existing = [path for path in self.paths if path.exists()]
        if existing and not overwrite:
            raise ExistingOutputError(
                f"{existing[0]} exists already; choose another name or pass "
                "overwrite=True (--overwrite)."
            )
        self._written = 0

    def __enter__(self) -> "RecordWriter":
        self._open_files = ExitStack()
        self._files = [self._open(path) for path in self.paths]
        return self

    def write(self, records: Sequence[bytes]) -> int:
        """Appends serialized records, one to each file in turn; counts them."""
        framed = _framed(records)
        for number, file in enumerate(self._files):
            first = (number - self._written) % len(self._files)
            file.write(b"".join(framed[first :: len(self._files)]))
        self._written += len(records)
        return len(records)

    def __exit__(self, error: type | None, *_: object) -> None:
        try:
            self._open_files.close()
            if error is None:
                for path in self.paths:
                    os.replace(_partial(path), path)
        finally:
            for path in self.paths:
                _partial(path).unlink(missing_ok=True)

    def _open(self, path: Path) -> IO[bytes]:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = self._open_files.enter_context(_partial(path).open("wb"))
        if path.suffix != ".gz":
            return file
        # Without name and time in its header, equal records make equal files.
        packed = gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0)
        return self._open_files.enter_context(packed)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _framed(records: Sequence[bytes]) -> list[bytes]:
    """Puts records into the frames of a TFRecord file.

    Source: tensorflow/core/lib/io/record_writer.h.
    """
    checksums = np.array([google_crc32c.value(record) for record in records], np.uint32)
    tails = _masked(checksums).tobytes()
    return [
        _frame_head(len(record)) + record + tails[4 * i : 4 * i + 4]
        for i, record in enumerate(records)
    ]


@cache
def _frame_head(size: int) -> bytes:
    length = struct.pack("<Q", size)
    return (
        length + _masked(np.array([google_crc32c.value(length)], np.uint32)).tobytes()
    )


def _masked(checksums: np.ndarray) -> np.ndarray:
    """Rotates and shifts checksums: the CRC of data that holds one is no good."""
    rotated = checksums >> np.uint32(15) | checksums << np.uint32(17)
    return (rotated + np.uint32(0xA282EAD8)).astype("<u4")
