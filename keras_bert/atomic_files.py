"""Output files appear whole or not at all, and replace nothing unasked."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from keras_bert.errors import ExistingOutputError


def refuse_existing(paths: Iterable[Path], overwrite: bool) -> None:
    """Checks before any work that no output exists, unless it may be replaced.

    Raises:
        ExistingOutputError: a path exists and `overwrite` is False.

    Example:
        >>> refuse_existing([Path("no_such_file")], overwrite=False)
    """
    existing = [path for path in paths if path.exists()]
    if existing and not overwrite:
        raise ExistingOutputError(
            f"{existing[0]} exists already; choose another name or pass "
            "overwrite=True (--overwrite)."
        )


@contextmanager
def new_file(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Gives a temporary path to write to; moves it to `path` when all went well.

    Args:
        path: the file to appear; directories above it are created.
        overwrite: replace a file that is there.

    Raises:
        ExistingOutputError: `path` is there, and `overwrite` is False or it is
            a directory.

    Example:
        >>> target = Path(tempfile.mkdtemp()) / "scores.txt"
        >>> with new_file(target) as path:
        ...     _ = path.write_text("0.9")
        >>> target.read_text()
        '0.9'
    """
    path = Path(path)
    if path.is_dir() or (path.exists() and not overwrite):
        raise ExistingOutputError(
            f"Expected no file at {path}, but it is there. Choose another path"
            f"{'' if path.is_dir() else ', or ask to overwrite it'}."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    # A directory of its own: the file then has its final suffix, and the user's
    # permissions, which mkstemp would not give it.
    with tempfile.TemporaryDirectory(prefix=".new-", dir=path.parent) as scratch:
        partial = Path(scratch) / path.name
        yield partial
        os.replace(partial, path)


@contextmanager
def whole_directory(path: str | Path, replace: bool = False) -> Iterator[Path]:
    """Gives an empty sibling of `path`; renames it to `path` when all went well.

    Args:
        path: the directory to appear; directories above it are created, and removed
            again if it does not appear.
        replace: take the place of a directory that is there.

    Raises:
        OSError: a directory that holds something is there, and `replace` is False.

    Example:
        >>> target = Path(tempfile.mkdtemp()) / "model"
        >>> with whole_directory(target) as partial:
        ...     _ = (partial / "config.json").write_text("{}")
        >>> [path.name for path in target.iterdir()]
        ['config.json']
    """
    path = Path(path).absolute()
    missing = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        partial = work / "new"
        partial.mkdir()  # with the user's own permissions, unlike mkdtemp's
        yield partial
        if replace and path.exists():
            os.replace(path, work / "old")
        os.replace(partial, path)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        for parent in missing:
            with contextlib.suppress(OSError):  # not empty
                parent.rmdir()
