"""Checkpoints of a run: atomic, verified when read, written in the background.

A checkpoint is a directory `step-<number>` with `state.npz`, all variables by name, and
`notes.json`; a `tf.data` iterator adds its own files. The format is independent of the
backend: a run begun on TensorFlow can be resumed on JAX. Each array has a checksum,
which NumPy verifies when it reads the archive.
"""

import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_bert.atomic_files import room_for
from keras_bert.errors import CheckpointError

logger = logging.getLogger(__name__)

STATE, NOTES = "state.npz", "notes.json"
_NAME = re.compile(r"step-(\d+)")


class Saved(NamedTuple):
    """What a checkpoint holds.

    Attributes:
        path: its directory.
        step: number of completed steps.
        arrays: the variables by name.
        notes: the other state of the training loop.
    """

    path: Path
    step: int
    arrays: dict[str, np.ndarray]
    notes: dict[str, Any]


class Checkpoints:
    """The checkpoints of a run.

    Args:
        folder: their directory.
        keep: number of recent ones to keep.
        writes: whether this process writes them; of several, one does.

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
        """Returns the steps that have a checkpoint, ascending."""
        names = (_NAME.fullmatch(path.name) for path in self.folder.glob("step-*"))
        return sorted(int(name[1]) for name in names if name)

    def path(self, step: int) -> Path:
        """Returns the directory of a checkpoint."""
        return self.folder / f"step-{step}"

    def latest(self) -> Path | None:
        """Returns the directory of the newest checkpoint, once it is written."""
        self.wait()
        return self.path(self.steps()[-1]) if self.steps() else None

    def newest(self) -> Saved | None:
        """Reads the newest checkpoint that is not corrupt.

        Returns:
            The checkpoint, or None if there are none.

        Raises:
            CheckpointError: there are checkpoints, and all are corrupt.
        """
        steps = self.steps()
        for step in reversed(steps):
            try:
                return self.read(step)
            except Exception as error:  # a damaged archive raises many types
                logger.warning(
                    "The checkpoint %s is corrupt (%s) and is renamed; trying the "
                    "previous one.",
                    self.path(step),
                    error,
                )
                self._rename_corrupt(step)
        if steps:
            raise CheckpointError(
                f"Expected a readable checkpoint in {self.folder}. Received: steps "
                f"{steps}, all corrupt. Remove the run's directory to start again."
            )
        return None

    def read(self, step: int) -> Saved:
        """Reads the checkpoint of a step."""
        path = self.path(step)
        with np.load(path / STATE, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        notes = json.loads((path / NOTES).read_text(encoding="utf-8"))
        if not isinstance(notes, dict):
            raise ValueError(f"no JSON object in {NOTES}")
        return Saved(path, step, arrays, notes)

    def _rename_corrupt(self, step: int) -> None:
        if self.writes:
            aside = self.folder / f"corrupt-{step}"
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
        """Starts writing a checkpoint; it appears once all of it is on disk.

        One of this step that is there already stays: a run saves it twice if it is
        stopped right after.

        Args:
            step: number of completed steps.
            arrays: the variables by name. They must not change afterwards.
            notes: further state, serializable as JSON.
            more: writes further files into a directory, before this returns.
            best: step of a checkpoint to keep regardless of its age.
        """
        self.wait()
        if not self.writes or self.path(step).exists():
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
        try:
            with room_for(self.path(step)), (partial / STATE).open("wb") as file:
                np.savez(file, **arrays)
                for path in (*partial.iterdir(), partial):
                    _flush(path)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        os.replace(partial, self.path(step))
        _flush(self.folder)
        for old in self.steps()[: -self.keep]:
            if old != best:
                self._remove(old)

    def _remove(self, step: int) -> None:
        # Renamed first: a partly deleted checkpoint must not look like one.
        gone = self.folder / f".step-{step}.removed"
        os.replace(self.path(step), gone)
        shutil.rmtree(gone)

    def wait(self) -> None:
        """Waits for the write in progress, and raises its error if it failed."""
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


def _flush(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


_COUNTER = "/iteration"


def hand_over(before: str | Path, after: str | Path) -> None:
    """Starts a run from the weights and the optimizer state of another run.

    Its steps and its schedule start at 0; the moments of the optimizer are kept. If the
    run already has a checkpoint, nothing happens.

    Args:
        before: directory of the finished run.
        after: directory of the run to start.

    Raises:
        CheckpointError: the finished run has no checkpoint.
    """
    with Checkpoints(Path(after) / "checkpoints", keep=1) as checkpoints:
        if checkpoints.steps():
            return
        done = Checkpoints(Path(before) / "checkpoints", keep=1, writes=False)
        if (last := done.newest()) is None:
            raise CheckpointError(
                f"Expected a checkpoint in {before} to start from. Received: none. "
                "Run the previous phase first."
            )
        chosen = last.notes.get("chosen", last.step)  # the best, with early stopping
        if chosen != last.step and chosen in done.steps():
            last = done.read(chosen)
        checkpoints.save(0, last.arrays | _counter_at_zero(last.arrays), {})


def _counter_at_zero(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the step counter that schedules read, under its name, set to zero."""
    [name] = [n for n in arrays if n.startswith("optimizer/") and n.endswith(_COUNTER)]
    return {name: np.zeros_like(arrays[name])}
