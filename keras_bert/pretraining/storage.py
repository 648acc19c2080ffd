"""Input files, local or on any file system that Apache Beam can read."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from keras_bert.errors import MissingFileError
from keras_bert.extras import require
from keras_bert.tokenization.files import expand


class Stored(NamedTuple):
    """A file.

    Attributes:
        name: its path, or its URL (`gs://bucket/corpus.txt`).
        size: in bytes.
        changed: time of the last change, in a unit that depends on the file system.
    """

    name: str
    size: int
    changed: float


def find(files: str | Path | Iterable[str | Path]) -> list[Stored]:
    """Lists the files that names, patterns and comma-separated lists stand for.

    Args:
        files: names, or URLs `scheme://...` of a file system that Beam supports.

    Returns:
        The files in the given order, those of one pattern sorted.

    Raises:
        MissingFileError: a name or pattern matches no file.
        MissingExtraError: a URL is given and Beam is not installed.
    """
    items = [files] if isinstance(files, str | Path) else files
    return [stored for item in items for stored in _find(item)]


def open_bytes(name: str) -> BinaryIO:
    """Opens a file for reading bytes, without decompression."""
    if not _is_url(name):
        return open(name, "rb")
    uncompressed = require("apache_beam.io.filesystem").CompressionTypes.UNCOMPRESSED
    return _file_systems().open(name, compression_type=uncompressed)


def _is_url(name: str | Path) -> bool:
    return "://" in str(name)


def _find(item: str | Path) -> list[Stored]:
    if _is_url(item):
        names = (name for name in str(item).split(",") if name)
        return [stored for name in names for stored in _matches(name)]
    status = ((str(file), file.stat()) for file in expand(item))
    return [Stored(name, each.st_size, each.st_mtime_ns) for name, each in status]


def _matches(pattern: str) -> list[Stored]:
    [match] = _file_systems().match([pattern])
    found = [
        Stored(each.path, each.size_in_bytes, each.last_updated_in_seconds)
        for each in match.metadata_list
    ]
    if not found:
        raise MissingFileError(f"Expected text files at {pattern!r}, found none.")
    return sorted(found)


def _file_systems() -> Any:
    return require("apache_beam.io.filesystems").FileSystems
