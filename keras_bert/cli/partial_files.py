"""An output that takes long, written over several runs of a command.

What is complete is kept next to the output, with what it depends on, until all is: then
it is moved to its place. A command that was killed goes on after it.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keras_bert.atomic_files import locked_output, refuse_existing, room_for
from keras_bert.errors import ConfigError, InputError

_ROWS, _STATE = "rows", "state.json"


class PartialFile:
    """A file that rows are appended to.

    Args:
        folder: of the file and its state.
        job: what the rows depend on.

    Attributes:
        rows: how many are complete.
    """

    def __init__(self, folder: Path, job: Mapping[str, Any]) -> None:
        self.folder, self.job = folder, dict(job)
        state = _state(folder)
        self.rows, self._bytes = state.get("rows", 0), state.get("bytes", 0)
        if not state:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            self._write_state()
        self._file = (folder / _ROWS).open("ab")
        self._file.truncate(self._bytes)

    def append(self, text: str, rows: int) -> None:
        """Appends rows, which are kept from now on.

        Args:
            text: their lines.
            rows: how many they are.
        """
        data = text.encode("utf-8")
        self._file.write(data)
        self._file.flush()
        os.fsync(self._file.fileno())
        self.rows, self._bytes = self.rows + rows, self._bytes + len(data)
        self._write_state()

    def _write_state(self) -> None:
        state = {"rows": self.rows, "bytes": self._bytes, "job": self.job}
        new = self.folder / f"{_STATE}.new"
        new.write_text(json.dumps(state) + "\n", encoding="utf-8")
        os.replace(new, self.folder / _STATE)

    def finish(self, path: Path) -> None:
        """Moves the file to its place."""
        self._file.close()
        os.replace(self.folder / _ROWS, path)
        shutil.rmtree(self.folder)

    def close(self, *, keep: bool) -> None:
        """Closes the file; keeps what it holds for another run, or removes it."""
        self._file.close()
        if not (keep and self.rows):
            shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def partial_file(
    path: str | Path, job: Mapping[str, Any], *, overwrite: bool = False
) -> Iterator[PartialFile]:
    """Yields a file to append to, with the rows of a run before that was interrupted.

    They are in `<name>.partial` next to the output. An error in the input removes them.

    Args:
        path: the output.
        job: what the rows depend on, in terms of JSON.
        overwrite: replace an existing output, and rows of another job.

    Raises:
        ExistingOutputError: the output exists, and `overwrite` is False.
        ConfigError: there are rows of another job, and `overwrite` is False.
        LockedOutputError: another process writes it.
        KeyboardInterrupt: whose message says how to go on.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "rows.txt"
        >>> with partial_file(path, {"of": "a"}) as file:
        ...     file.append("one\\n", 1)
        >>> path.read_text()
        'one\\n'
    """
    path = Path(path)
    folder = path.with_name(f"{path.name}.partial")
    job = json.loads(json.dumps(job))
    with locked_output(path):
        if folder.exists() and not (folder / _ROWS).exists():
            shutil.rmtree(folder)  # moved to its place, or never begun
        refuse_existing([path], overwrite)
        _settle(folder, job, overwrite)
        with room_for(path):
            file = PartialFile(folder, job)
            yield from _closed(file, path)


def _closed(file: PartialFile, path: Path) -> Iterator[PartialFile]:
    try:
        yield file
        file.finish(path)
    except InputError:
        file.close(keep=False)
        raise
    except KeyboardInterrupt as stopped:
        file.close(keep=True)
        raise KeyboardInterrupt(
            f"after {file.rows:,} rows, which are in {file.folder}: run the same "
            "command again to go on"
            if file.rows
            else "before the first rows"
        ) from stopped
    except BaseException:
        file.close(keep=True)
        raise


def _state(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / _STATE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def _settle(folder: Path, job: Mapping[str, Any], overwrite: bool) -> None:
    """Removes the rows of another job, if that is asked for."""
    before = _state(folder).get("job")
    if before is None or before == job:
        return
    if overwrite:
        shutil.rmtree(folder)
        return
    names = sorted(before.keys() | job.keys())
    changed = [name for name in names if before.get(name) != job.get(name)]
    raise ConfigError(
        f"Expected the job that {folder} holds the first rows of. Received: another "
        f"one, of other {', '.join(changed)}. Run the command that began it again, or "
        "begin anew with --overwrite."
    )
