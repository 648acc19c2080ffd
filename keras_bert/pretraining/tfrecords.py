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
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np

from keras_bert.atomic_files import new_files, room_for
from keras_bert.checksums import masked_crc32c
from keras_bert.errors import DiskFullError, InputError

_LENGTH = struct.Struct("<Q")
_BEFORE, _AFTER = 12, 4  # bytes of a frame around its record
_GZIP_LEVEL = 6
# The most that a `.gz` may decompress to: so many times its size, and what is harmless.
_INFLATION, _SMALL = 200, 1 << 26
_PIECE = 1 << 20

# === Reading ===


class RecordFile:
    """The records of one TFRecord file, by number.

    Args:
        path: the file. One whose name ends in `.gz` is decompressed into a temporary
            file.

    Raises:
        InputError: the file is not a TFRecord file, is truncated or damaged, or
            decompresses to far more than records do.

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
        with path.open("rb") as file:
            return _decompressed(path) if path.suffix == ".gz" else _mapped(file)
    except DiskFullError:
        raise
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is not a TFRecord of examples: {error}.") from error


def _decompressed(path: Path) -> bytes | mmap.mmap:
    limit = _INFLATION * path.stat().st_size + _SMALL
    place = Path(tempfile.gettempdir()) / path.stem
    with room_for(place), tempfile.TemporaryFile() as file, gzip.open(path) as packed:
        while piece := packed.read(_PIECE):
            file.write(piece)
            if file.tell() > limit:
                raise InputError(
                    f"Expected records in {path} that decompress to at most "
                    f"{_INFLATION} times their size. Received: more. If you trust the "
                    "file, decompress it with gunzip."
                )
        file.flush()
        return _mapped(file)


def _mapped(file: IO[bytes]) -> bytes | mmap.mmap:
    if not os.fstat(file.fileno()).st_size:
        return b""
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


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
    """Distributes records round-robin to files that appear when all are complete.

    Args:
        paths: the files; compressed if the name ends in `.gz`. Their directories are
            created, and those of one directory appear together.
        overwrite: replace existing files.

    Raises:
        ExistingOutputError: a file exists and `overwrite` is False.

    Example:
        >>> with RecordWriter(["a.tfrecord"]) as writer:  # doctest: +SKIP
        ...     writer.write(encode_examples(columns))
    """

    def __init__(self, paths: Sequence[str | Path], overwrite: bool = False) -> None:
        self.paths, self.overwrite = [Path(path) for path in paths], overwrite
        self._written = 0

    def __enter__(self) -> "RecordWriter":
        with ExitStack() as stack:
            partial = {
                folder: stack.enter_context(new_files(folder, names, self.overwrite))
                for folder, names in _by_folder(self.paths).items()
            }
            self._files = [
                stack.enter_context(_open(partial[path.parent] / path.name))
                for path in self.paths
            ]
            self._stack = stack.pop_all()
        return self

    def write(self, records: Sequence[bytes]) -> int:
        """Appends serialized records, and returns how many there are."""
        framed = _framed(records)
        for number, file in enumerate(self._files):
            first = (number - self._written) % len(self._files)
            file.write(b"".join(framed[first :: len(self._files)]))
        self._written += len(records)
        return len(records)

    def __exit__(self, *error: Any) -> bool | None:
        return self._stack.__exit__(*error)


def _by_folder(paths: Sequence[Path]) -> dict[Path, list[str]]:
    names: dict[Path, list[str]] = {}
    for path in paths:
        names.setdefault(path.parent, []).append(path.name)
    return names


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    with path.open("wb") as file:
        if path.suffix != ".gz":
            yield file
            return
        # Without name and time in its header, equal records make equal files.
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed:
            yield packed


def _framed(records: Sequence[bytes]) -> list[bytes]:
    """Puts records into the frames of a TFRecord file."""
    return [_frame_head(len(r)) + r + masked_crc32c(r) for r in records]


@cache
def _frame_head(size: int) -> bytes:
    length = _LENGTH.pack(size)
    return length + masked_crc32c(length)
