"""TFRecord files, read and written without TensorFlow.

A file is memory-mapped and its records are found by their frames, so any record can be
read at any time: a batch of a training run is a function of the step, and a run resumes
without reading what came before.

Source: tensorflow/core/lib/io/record_{reader,writer}.h.
"""

import gzip
import mmap
import os
import struct
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import cache, cached_property
from pathlib import Path
from typing import IO

import numpy as np

from keras_bert.atomic_files import refuse_existing
from keras_bert.checksums import masked_crc32c
from keras_bert.errors import InputError

_LENGTH = struct.Struct("<Q")
_BEFORE, _AFTER = 12, 4  # bytes of a frame around its record
_GZIP_LEVEL = 6

# === Reading ===


class RecordFile:
    """The records of one TFRecord file, by number.

    Args:
        path: the file. One whose name ends in `.gz` is decompressed into memory.

    Raises:
        InputError: the file is not a TFRecord file, or is truncated.

    Example:
        >>> file = RecordFile("records/a.tfrecord")  # doctest: +SKIP
        >>> len(file), len(file[0])  # doctest: +SKIP
        (1024, 873)
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._bytes = _contents(self.path)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, number: int) -> bytes:
        return self._record(int(self._starts[number]), number)

    def first(self) -> bytes | None:
        """Returns the first record without searching for the others, or None."""
        return self._record(0, 0) if len(self._bytes) else None

    def _record(self, start: int, number: int) -> bytes:
        try:
            (size,) = _LENGTH.unpack_from(self._bytes, start)
        except struct.error as error:
            raise self._cut_off(number) from error
        end = start + _BEFORE + size
        if end + _AFTER > len(self._bytes):
            raise self._cut_off(number)
        record = self._bytes[start + _BEFORE : end]
        if masked_crc32c(record) != self._bytes[end : end + _AFTER]:
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


# === Writing ===


def write_records(
    path: str | Path, batches: Iterable[Sequence[bytes]], *, overwrite: bool = False
) -> int:
    """Writes a TFRecord file that appears when it is complete.

    Args:
        path: the file; compressed if its name ends in `.gz`.
        batches: serialized records.
        overwrite: replace an existing file.

    Returns:
        The number of records.

    Raises:
        ExistingOutputError: the file exists and `overwrite` is False.

    Example:
        >>> write_records("a.tfrecord", [encode_examples(columns)])  # doctest: +SKIP
        1024
    """
    with RecordWriter([path], overwrite=overwrite) as writer:
        return sum(writer.write(records) for records in batches)


class RecordWriter:
    """Distributes records round-robin to files that appear together when complete.

    Args:
        paths: the files; compressed if the name ends in `.gz`. Their directories are
            created.
        overwrite: replace existing files.

    Raises:
        ExistingOutputError: a file exists and `overwrite` is False.

    Example:
        >>> with RecordWriter(["a.tfrecord"]) as writer:  # doctest: +SKIP
        ...     writer.write(encode_examples(columns))
    """

    def __init__(self, paths: Sequence[str | Path], overwrite: bool = False) -> None:
        self.paths = [Path(path) for path in paths]
        refuse_existing(self.paths, overwrite)
        self._written = 0

    def __enter__(self) -> "RecordWriter":
        self._open_files = ExitStack()
        self._files = [self._open(path) for path in self.paths]
        return self

    def write(self, records: Sequence[bytes]) -> int:
        """Appends serialized records, and returns how many there are."""
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
    """Puts records into the frames of a TFRecord file."""
    return [_frame_head(len(r)) + r + masked_crc32c(r) for r in records]


@cache
def _frame_head(size: int) -> bytes:
    length = _LENGTH.pack(size)
    return length + masked_crc32c(length)
