"""Output files that appear complete or not at all, and replace nothing unasked.

What belongs together is written into a temporary directory next to its place, with a
lock on it, and moved when it is complete. What a killed process left behind is finished
or removed by the next one that writes the same output.
"""

import contextlib
import ctypes
import errno
import glob
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from keras_bert.errors import (
    DiskFullError,
    ExistingOutputError,
    KerasBertError,
    LockedOutputError,
)
from keras_bert.output_locks import writer_lock

# In a temporary directory: what is being written; complete files that may have been
# moved in part; a directory that is being replaced.
_NEW, _COMPLETE, _OLD = "new", "complete", "old"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
        LockedOutputError: another process writes it.
        DiskFullError: there is no room for it.

    Example:
        >>> target = Path(tempfile.mkdtemp()) / "scores.txt"
        >>> with new_file(target) as path:
        ...     _ = path.write_text("0.9")
        >>> target.read_text()
        '0.9'
    """
    path = Path(path)
    with locked_output(path):
        if path.is_dir() or (path.exists() and not overwrite):
            raise ExistingOutputError(
                f"Expected no file at {path}; one exists. Choose another path"
                f"{'' if path.is_dir() else ', or overwrite it'}."
            )
        with new_files(path.parent, [path.name], overwrite) as partial:
            yield partial / path.name


@contextmanager
def new_files(
    folder: str | Path, names: Sequence[str], overwrite: bool = False
) -> Iterator[Path]:
    """Yields a temporary directory for files, and moves them to `folder` together.

    If the process is killed while it moves them, no file is there next to an older one,
    and the next writer of the same files moves the rest.

    Args:
        folder: the directory of the files; created.
        names: of the files, all of which must be written. The last one appears last:
            one that readers look for.
        overwrite: replace existing files.

    Raises:
        ExistingOutputError: a file exists and `overwrite` is False.
        LockedOutputError: another process writes them.
        DiskFullError: there is no room for them.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> with new_files(folder, ["a", "b"]) as partial:
        ...     for name in ("a", "b"):
        ...         _ = (partial / name).write_text(name)
        >>> sorted(path.name for path in folder.iterdir())
        ['a', 'b']
    """
    folder = Path(folder)
    with _temporary(folder / names[-1]) as work:
        refuse_existing((folder / name for name in names), overwrite)
        with _complete(folder / names[-1], work) as partial:
            yield partial
        _move(work, folder, names)


def _move(work: Path, folder: Path, names: Sequence[str]) -> None:
    if len(names) == 1:
        os.replace(work / _NEW / names[0], folder / names[0])
        return
    os.replace(work / _NEW, work / _COMPLETE)
    for name in reversed(names):  # so that new ones are never read with old ones
        (folder / name).unlink(missing_ok=True)
    for name in names:
        os.replace(work / _COMPLETE / name, folder / name)


@contextmanager
def whole_directory(path: str | Path, replace: bool = False) -> Iterator[Path]:
    """Yields an empty directory next to `path`, and renames it to `path` on success.

    Args:
        path: the directory; its parents are created, and removed again on failure.
        replace: replace an existing directory, which stays until the new one is
            complete.

    Raises:
        OSError: a non-empty directory exists, and `replace` is False.
        LockedOutputError: another process writes it.
        DiskFullError: there is no room for it.

    Example:
        >>> target = Path(tempfile.mkdtemp()) / "model"
        >>> with whole_directory(target) as partial:
        ...     _ = (partial / "config.json").write_text("{}")
        >>> [path.name for path in target.iterdir()]
        ['config.json']
    """
    path = Path(os.path.abspath(path))
    with _temporary(path) as work:
        with _complete(path, work) as partial:
            yield partial
        if replace and path.exists():
            _replace(path, partial, work / _OLD)
        else:
            os.replace(partial, path)


def _replace(path: Path, new: Path, aside: Path) -> None:
    """Replaces a directory: at once, or so that an interrupted one is put back."""
    if not _exchange(new, path):
        os.replace(path, aside)
        os.replace(new, path)


def _exchange(one: Path, other: Path) -> bool:
    """Swaps two paths at once; returns False where the system has no such call."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):  # not Linux
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    paths = os.fsencode(one), os.fsencode(other)
    return rename(here, paths[0], here, paths[1], exchange) == 0


# === Temporary directories ===


@contextmanager
def locked_output(path: str | Path) -> Iterator[None]:
    """Locks an output, and settles what killed writers of it left behind.

    A command that works long before it writes takes this at its start.

    Args:
        path: the output; its parents are created, and removed again if they stay
            empty.

    Raises:
        LockedOutputError: another process writes it.

    Example:
        >>> with locked_output(Path(tempfile.mkdtemp()) / "out"):
        ...     pass
    """
    path = Path(os.path.abspath(path))
    missing = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with writer_lock(path) as locked:
            if locked:
                for left in path.parent.glob(f"{glob.escape(_prefix(path))}*"):
                    _settle(left, path)
            yield
    finally:
        for parent in missing:
            with contextlib.suppress(OSError):  # not empty
                parent.rmdir()


def settle_all(folder: Path) -> None:
    """Settles what killed writers left behind in a directory, whatever they wrote.

    Example:
        >>> settle_all(Path(tempfile.mkdtemp()))
    """
    for lock in folder.glob(".?*.lock"):
        name = lock.name.removeprefix(".").removesuffix(".lock")
        with contextlib.suppress(LockedOutputError), locked_output(folder / name):
            pass


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    with locked_output(path):
        work = Path(tempfile.mkdtemp(prefix=_prefix(path), dir=path.parent))
        try:
            yield work
        finally:
            _settle(work, path)


def _prefix(path: Path) -> str:
    return f".{path.name}.new-"


def _settle(work: Path, path: Path) -> None:
    """Removes a temporary directory, after moving what must not be lost."""
    for file in (work / _COMPLETE).glob("*"):
        os.replace(file, path.parent / file.name)
    if (work / _OLD).exists() and not path.exists():
        os.replace(work / _OLD, path)
    shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _complete(path: Path, work: Path) -> Iterator[Path]:
    partial = work / _NEW
    partial.mkdir()  # with the user's default permissions, unlike mkdtemp
    with room_for(path):
        yield partial


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """Turns any error of any library over a full disk into one sentence.

    Args:
        path: the output, for the message.

    Raises:
        DiskFullError: the block raised an error because of a full disk, a quota or a
            limit on the size of files.
    """
    try:
        yield
    except KerasBertError:
        raise
    except Exception as error:  # libraries raise many types, without a number
        reason = _reason(error)
        if reason is None:
            raise
        raise DiskFullError(
            f"Expected room on the disk for {path}. Received: {reason}. Free some "
            "space, or choose another place."
        ) from error


def _reason(error: BaseException | None) -> str | None:
    """Returns what the system said about a full disk, in an error or its causes."""
    if error is None:
        return None
    number = getattr(error, "errno", None)
    full = (c for c in _FULL if c == number or os.strerror(c) in str(error))
    found = next(map(os.strerror, full), None)
    return found or _reason(error.__cause__ or error.__context__)
