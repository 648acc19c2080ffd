"""Locks on outputs: one writer at a time, until it ends or is killed."""

import contextlib
import logging
import os
import re
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from keras_bert.errors import InputError, LockedOutputError

logger = logging.getLogger(__name__)
_NO_FOLDER = re.compile(r"~|[A-Za-z][\w+.-]+:")  # of `~/out` and `gs://out`
_holders: dict[Path, int] = {}  # the thread of each lock file of this process


@contextlib.contextmanager
def writer_lock(output: str | Path, file: Path | None = None) -> Iterator[bool]:
    """Keeps other writers away from an output until the block or the process ends.

    The lock is one of the system on an open file, so it is gone when a process is
    killed. A thread that has it may take it again. On NFS it holds between machines if
    the server supports locks; where a file system has none, a warning says so.

    Args:
        output: what is written; it need not exist, but its directory must.
        file: the file to lock, by default `.<name>.lock` next to the output, or `.lock`
            in it if it is a directory in one that cannot be written to. It is removed
            at the end.

    Yields:
        Whether the lock is new: False if the thread had it, or if the file system has
        no locks.

    Raises:
        LockedOutputError: another process, or thread, writes this output.
        InputError: the output is an address, begins with "~", or is a device.

    Example:
        >>> import tempfile
        >>> with writer_lock(Path(tempfile.mkdtemp()) / "run") as locked:
        ...     locked
        True
    """
    output = Path(os.path.abspath(output))
    _refuse_what_is_no_place(output)
    file = file or _place(output)
    if _holders.get(file) == threading.get_ident():
        yield False
        return
    number, locked = _open(file, output)
    _holders[file] = threading.get_ident()
    try:
        yield locked
    finally:
        del _holders[file]
        with contextlib.suppress(OSError):  # Windows keeps files that are open
            file.unlink()
        os.close(number)


def _refuse_what_is_no_place(output: Path) -> None:
    odd = [part for part in output.parts if _NO_FOLDER.fullmatch(part)]
    if odd or (output.exists() and not (output.is_file() or output.is_dir())):
        kind = f"a directory named {odd[0]!r}" if odd else "a device or a pipe"
        raise InputError(
            f"Expected an output on this machine, a file or a directory. Received: "
            f"{output}, {kind}. Addresses and ~ are not resolved."
        )


def _place(output: Path) -> Path:
    inside = output.is_dir() and not os.access(output.parent, os.W_OK)
    return output / ".lock" if inside else output.with_name(f".{output.name}.lock")


def _open(file: Path, output: Path) -> tuple[int, bool]:
    """Opens and locks a file; returns its descriptor and whether it is locked."""
    while True:
        number = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        locked = _lock(number, file, output)
        # The last holder may have removed it after it was opened here.
        if not locked or _is_at(number, file):
            break
        os.close(number)
    with contextlib.suppress(OSError):  # of a full disk; the lock holds without
        os.truncate(number, 0)
        os.write(number, f"{os.getpid()} on {socket.gethostname()}".encode())
    return number, locked


def _lock(number: int, file: Path, output: Path) -> bool:
    try:
        _take(number)
    except (BlockingIOError, PermissionError) as error:
        os.close(number)
        holder = file.read_text("utf-8", "replace").strip() or "of unknown number"
        raise LockedOutputError(
            f"Expected no other writer of {output}. Received: process {holder} writes "
            "it. Wait until that ends, or choose another output."
        ) from error
    except OSError as error:
        logger.warning(
            "The file system of %s has no locks (%s): do not write this output from "
            "two processes.",
            output,
            error,
        )
        return False
    return True


def _take(number: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(number, 1 << 30, os.SEEK_SET)  # bytes that are locked cannot be read
        msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
        os.lseek(number, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_at(number: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(number), file.stat())
    except FileNotFoundError:
        return False
