"""Text files by name, pattern or comma-separated list, compressed or not."""

import glob
import gzip
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

from keras_bert.errors import MissingFileError
from keras_bert.tokenization.encodings import SAMPLE, check_utf8


def is_list_of_files(source: Any) -> bool:
    """Whether `source` names files rather than being text.

    It does if it is a path, or a list whose members are existing files or contain no
    whitespace. Any other iterable is text.
    """
    if isinstance(source, str | Path):
        return True
    return isinstance(source, list | tuple) and all(map(_may_be_file, source))


def _may_be_file(item: Any) -> bool:
    if isinstance(item, Path) or len(item.split()) == 1:
        return True
    return len(item) < 4096 and "\0" not in item and Path(item).is_file()


def expand(source: str | Path | Iterable[str | Path]) -> list[Path]:
    """Lists the files that names, comma-separated lists and patterns stand for.

    Args:
        source: `"a.txt,part-*.gz"`, a path, or a list of those.

    Returns:
        The files in the given order, those of one pattern sorted.

    Raises:
        MissingFileError: a name or pattern matches no file.
    """
    sources = [source] if isinstance(source, str | Path) else source
    names = [name for item in sources for name in _split(item)]
    return [file for name in names for file in _matches(name)]


def _split(item: str | Path) -> list[str]:
    if Path(item).is_file():
        return [str(item)]
    return [name.strip() for name in str(item).split(",") if name.strip()]


def _matches(name: str) -> list[Path]:
    names = [name] if Path(name).is_file() else sorted(glob.glob(name, recursive=True))
    files = [Path(found) for found in names if Path(found).is_file()]
    if not files:
        raise MissingFileError(
            f"Expected a text file or a pattern of files at {name!r}, found none."
        )
    return files


def open_text(file: Path) -> TextIO:
    """Opens a text file, through gzip when its name ends in `.gz`.

    Only "\\n" ends a line. Bytes that are not UTF-8 become U+FFFD, which tokenization
    drops.
    """
    opener: Callable[..., TextIO] = gzip.open if file.suffix == ".gz" else open
    return opener(file, "rt", encoding="utf-8", errors="replace", newline="\n")


def _open_bytes(file: Path) -> BinaryIO:
    opener: Callable[..., Any] = gzip.open if file.suffix == ".gz" else open
    return opener(file, "rb")


def read_lines(source: str | Path | Iterable[str | Path]) -> Iterator[str]:
    """Yields the lines of files with their line ends.

    Raises:
        InputError: a file is in another encoding than UTF-8.
    """
    for file in expand(source):
        with _open_bytes(file) as data:
            check_utf8(data.read(SAMPLE), str(file))
        with open_text(file) as lines:
            yield from lines


def lines_of(source: str | Path | Iterable[str | Path]) -> Iterator[str]:
    """Yields the lines of files, or the strings of any other iterable."""
    if is_list_of_files(source):
        return read_lines(source)
    return iter(cast(Iterable[str], source))
