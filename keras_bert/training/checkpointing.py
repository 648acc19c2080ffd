"""Checkpoints of a run: whole or absent, checked when read, written in the background.

A checkpoint is a directory `step-<number>` with `state.npz`, every variable by name,
and `notes.json`; a `tf.data` iterator adds its own files. The format knows no backend:
a run begun on TensorFlow goes on with JAX. Each array has a checksum, which NumPy's
archives verify when they are read.
"""

import json
import logging
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_bert.errors import CheckpointError

logger = logging.getLogger(__name__)

STATE, NOTES = "state.npz", "notes.json"
_NAME = re.compile(r"step-(\d+)")
_DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


class Saved(NamedTuple):
    """What a checkpoint holds.

    Attributes:
        path: its directory.
        step: steps done.
        arrays: the variables by name.
        notes: what the loop keeps beside them.
    """

    path: Path
    step: int
    arrays: dict[str, np.ndarray]
    notes: dict[str, Any]


class Checkpoints:
    """The checkpoints of a run.

    Args:
        folder: where they are.
        keep: newest ones kept.
        writes: whether this process writes; of several, one does.

    Example:
        >>> import tempfile
        >>> with Checkpoints(tempfile.mkdtemp(), keep=1) as checkpoints:
        ...     checkpoints.save(7, {"weight": np.ones(3)}, {"note": "kept"})
        >>> checkpoints.newest().notes
        {'note': 'kept'}
    """

    def __init__(self, folder: str | Path, keep: int, writes: bool = True) -> None:
        self.folder, self.keep, self.writes = Path(folder), keep, writes
        self._thread = ThreadPoolExecutor(1, "checkpoints")
        self._written: Future | None = None
        if writes:
            self.folder.mkdir(parents=True, exist_ok=True)
            for left_over in self.folder.glob(".step-*"):
                shutil.rmtree(left_over)

    # === Reading ===

    def steps(self) -> list[int]:
        """Lists the steps of which there are checkpoints, in order."""
        names = (_NAME.fullmatch(path.name) for path in self.folder.glob("step-*"))
        return sorted(int(name[1]) for name in names if name)

    def path(self, step: int) -> Path:
        """Returns the directory of a checkpoint."""
        return self.folder / f"step-{step}"

    def latest(self) -> Path | None:
        """Returns the newest checkpoint's directory, after what is being written."""
        self.wait()
        return self.path(self.steps()[-1]) if self.steps() else None

    def newest(self) -> Saved | None:
        """Reads the newest checkpoint, or the newest that is not damaged.

        Returns:
            The checkpoint, or None where there is none at all.

        Raises:
            CheckpointError: there are checkpoints, and all are damaged.
        """
        steps = self.steps()
        for step in reversed(steps):
            try:
                return self.read(step)
            except _DAMAGE as error:
                logger.warning(
                    "The checkpoint %s is damaged (%s) and is set aside; trying the "
                    "one before.",
                    self.path(step),
                    error,
                )
                self._set_aside(step)
        if steps:
            raise CheckpointError(
                f"Expected a whole checkpoint in {self.folder}; all of {steps} are "
                "damaged. Remove the directory of the run to begin again."
            )
        return None

    def read(self, step: int) -> Saved:
        """Reads the checkpoint of a step."""
        path = self.path(step)
        with np.load(path / STATE, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        notes = json.loads((path / NOTES).read_text(encoding="utf-8"))
        return Saved(path, step, arrays, notes)

    def _set_aside(self, step: int) -> None:
        if self.writes:
            aside = self.folder / f"damaged-{step}"
            shutil.rmtree(aside, ignore_errors=True)
            os.replace(self.path(step), aside)

    # === Writing ===

    def save(
        self,
        step: int,
        arrays: Mapping[str, np.ndarray],
        notes: Mapping[str, Any],
        more: Callable[[Path], None] | None = None,
        best: int | None = None,
    ) -> None:
        """Begins to write a checkpoint; it appears when all of it is on the disk.

        Args:
            step: steps done.
            arrays: the variables by name. They must not change any more.
            notes: what can be written as JSON.
            more: writes further files into a directory, at once.
            best: step of a checkpoint to keep whatever its age.
        """
        self.wait()
        if not self.writes:
            return
        partial = self.folder / f".step-{step}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        if more is not None:
            more(partial)
        (partial / NOTES).write_text(json.dumps(notes), encoding="utf-8")
        self._written = self._thread.submit(self._write, step, partial, arrays, best)

    def _write(
        self, step: int, partial: Path, arrays: Mapping[str, Any], best: int | None
    ) -> None:
        with (partial / STATE).open("wb") as file:
            np.savez(file, **arrays)
        for path in (*partial.iterdir(), partial):
            _to_disk(path)
        shutil.rmtree(self.path(step), ignore_errors=True)
        os.replace(partial, self.path(step))
        _to_disk(self.folder)
        for old in self.steps()[: -self.keep]:
            if old != best:
                self._remove(old)

    def _remove(self, step: int) -> None:
        # Under another name first: half a checkpoint must not look like one.
        gone = self.folder / f".step-{step}.removed"
        os.replace(self.path(step), gone)
        shutil.rmtree(gone)

    def wait(self) -> None:
        """Waits until what was begun is written, and raises what went wrong."""
        if self._written is not None:
            written, self._written = self._written, None
            written.result()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.wait()
        finally:
            self._thread.shutdown()


def _to_disk(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
