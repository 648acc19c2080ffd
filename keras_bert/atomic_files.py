"""Output files that appear complete or not at all, and replace nothing unasked."""

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
    """Yields a temporary path to write to, and moves it to `path` on success.

    Args:
        path: the file; its parent directories are created.
        overwrite: replace an existing file.

    Raises:
        ExistingOutputError: `path` exists, and `overwrite` is False or it is a
            directory.

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
            f"Expected no file at {path}; one exists. Choose another path"
            f"{'' if path.is_dir() else ', or overwrite it'}."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    # In a directory of its own, the file has its final suffix, and the user's default
    # permissions, unlike with mkstemp.
    with tempfile.TemporaryDirectory(prefix=".new-", dir=path.parent) as scratch:
        partial = Path(scratch) / path.name
        yield partial
        os.replace(partial, path)


@contextmanager
def whole_directory(path: str | Path, replace: bool = False) -> Iterator[Path]:
    """Yields an empty directory next to `path`, and renames it to `path` on success.

    Args:
        path: the directory; its parents are created, and removed again on failure.
        replace: replace an existing directory.

    Raises:
        OSError: a non-empty directory exists, and `replace` is False.

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
        partial.mkdir()  # with the user's default permissions, unlike mkdtemp
        yield partial
        if replace and path.exists():
            os.replace(path, work / "old")
        os.replace(partial, path)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        for parent in missing:
            with contextlib.suppress(OSError):  # not empty
                parent.rmdir()
