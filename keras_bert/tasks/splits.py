"""Rows held out of training data to evaluate on, by label, the same every time."""

import contextlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_bert.atomic_files import new_file
from keras_bert.errors import (
    ConfigError,
    ExistingOutputError,
    InputError,
    LockedOutputError,
)
from keras_bert.pretraining.hashed_random import mix
from keras_bert.pretraining.numpy_reading import permuted

FILE = "dev_split.json"
log = logging.getLogger(__name__)


class Split(NamedTuple):
    """Items in two parts.

    Attributes:
        train: to train on.
        dev: held out.
        chosen: whether each item is held out, bool `(items,)`.
        fraction: that was asked for.
        seed: by which they were chosen.
    """

    train: list
    dev: list
    chosen: np.ndarray
    fraction: float
    seed: int

    def describe(self) -> str:
        """Returns what a run says about it."""
        return (
            f"Held out {len(self.dev):,} of {len(self.chosen):,} examples, chosen by "
            f"label with seed {self.seed}."
        )

    def keep(self, folder: str | Path) -> None:
        """Writes the numbers of the held-out items, from 1, into a run's directory.

        Args:
            folder: of the run.

        Raises:
            ConfigError: the run began with another split, or with none.
        """
        file = Path(folder, FILE)
        rows = (np.flatnonzero(self.chosen) + 1).tolist()
        mine = {"fraction": self.fraction, "of": len(self.chosen), "seed": self.seed}
        mine |= {"rows": rows}
        if file.exists() or Path(folder, "plan.json").exists():
            _check_same(file, mine)
            return
        # Of several processes, which all hold out the same rows, one writes.
        with (
            contextlib.suppress(LockedOutputError, ExistingOutputError),
            new_file(file) as partial,
        ):
            partial.write_text(json.dumps(mine) + "\n", encoding="utf-8")


def _check_same(file: Path, mine: Mapping[str, Any]) -> None:
    try:
        before = json.loads(file.read_text("utf-8")) if file.exists() else None
    except ValueError as error:
        raise ConfigError(f"{file} is corrupt: {error}. Remove the run.") from error
    if before != mine:
        raise ConfigError(
            f"Expected the rows to be held out that the run in {file.parent} began "
            f"with: {_shown(before)}. Received: {_shown(mine)}. Pass the same data, "
            "fraction and seed, or choose another output."
        )


def _shown(split: Mapping[str, Any] | None) -> str:
    return "{fraction} of {of} by seed {seed}".format(**split) if split else "none"


def split(items: Sequence, strata: Sequence[Any], fraction: float, seed: int) -> Split:
    """Holds out some of the items, see `held_out`.

    Args:
        items: the items.
        strata: what each is chosen by.
        fraction: of them to hold out.
        seed: for choosing.
    """
    chosen = held_out(strata, fraction, seed)
    train = [item for item, out in zip(items, chosen, strict=True) if not out]
    dev = [item for item, out in zip(items, chosen, strict=True) if out]
    known = {repr(item) for item in train}
    if twice := sum(repr(item) in known for item in dev):
        log.warning(
            "%d of the %d examples held out are among those to train on too",
            *(twice, len(dev)),
        )
    return Split(train, dev, chosen, fraction, seed)


def held_out(strata: Sequence[Any], fraction: float, seed: int) -> np.ndarray:
    """Chooses rows at random, so that every label has its share of them.

    Args:
        strata: what each row is chosen by: the name of its class, a tuple of names, a
            number, or None. Of every class a row is left.
        fraction: of the rows, between 0 and 1.
        seed: for choosing. The same rows follow from the same strata, fraction and
            seed.

    Returns:
        Whether each row is chosen, bool `(rows,)`.

    Raises:
        ConfigError: the fraction is not between 0 and 1.
        InputError: no row would be chosen, or none left.

    Example:
        >>> chosen = held_out(["yes"] * 20 + ["no"] * 10, 0.1, seed=1)
        >>> chosen[:20].sum(), chosen[20:].sum()
        (np.int64(2), np.int64(1))
    """
    rows = len(strata)
    _check_fraction(fraction)
    count = round(rows * fraction)
    if not 0 < count < rows:
        raise InputError(
            f"Expected enough rows to hold out {fraction:g} of them. Received: {rows}."
        )
    rank = {stratum: i for i, stratum in enumerate(sorted(set(strata)))}
    shuffled = permuted(np.arange(rows), rows, mix(seed, rows))
    order = np.lexsort([shuffled, [rank[stratum] for stratum in strata]])
    chosen = np.zeros(rows, bool)
    # Evenly spread over the sorted rows, so each label has its share, rounded.
    chosen[order[((np.arange(count) + 0.5) * rows / count).astype(int)]] = True
    return _without_last_ones(chosen, strata)


def _check_fraction(fraction: Any) -> None:
    if not isinstance(fraction, float) or not 0 < fraction < 1:
        raise ConfigError(
            "Expected a fraction of the rows to hold out, between 0 and 1, such as "
            f"0.1. Received: {fraction!r}."
        )


def _without_last_ones(chosen: np.ndarray, strata: Sequence[Any]) -> np.ndarray:
    """Returns rows to training whose class would be missing there."""
    left = {c for row in np.flatnonzero(~chosen) for c in _classes(strata[row])}
    for row in np.flatnonzero(chosen):
        classes = {*_classes(strata[row])}
        chosen[row] = classes <= left
        left |= classes
    return chosen


def _classes(stratum: Any) -> tuple[str, ...]:
    if isinstance(stratum, str):
        return (stratum,)
    return stratum if isinstance(stratum, tuple) else ()
