"""Output files appear whole or not at all, and replace nothing unasked."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keras_bert.errors import ExistingOutputError


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
