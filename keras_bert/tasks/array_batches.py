"""Batches of arrays by number, for a run that resumes without an iterator's state."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_bert.errors import InputError, check_counts
from keras_bert.pretraining.hashed_random import mix
from keras_bert.pretraining.numpy_reading import permuted


class ArrayBatches:
    """The batches of a training run, drawn from arrays in memory.

    Every pass visits each row once, in its own order; a batch may begin in one pass and
    end in the next. See `keras_bert.training.batches`.

    Args:
        features: arrays `(rows, …)` by name.
        labels: an array `(rows, …)`, or several by name.
        batch_size: rows per batch, over all devices.
        seed: for shuffling.

    Raises:
        InputError: there are no rows.

    Example:
        >>> ids = {"input_ids": np.arange(4)[:, None]}
        >>> batches = ArrayBatches(ids, np.arange(4), 2, seed=1)
        >>> sorted([*batches(1)[1], *batches(2)[1]]) == [0, 1, 2, 3]
        True
    """

    def __init__(
        self,
        features: Mapping[str, np.ndarray],
        labels: Any,
        batch_size: int,
        *,
        seed: int,
    ) -> None:
        check_counts(batch_size=batch_size)
        self.features, self.labels = dict(features), labels
        self.batch_size, self.seed = batch_size, seed
        self.size = len(next(iter(self.features.values())))
        if not self.size:
            raise InputError("Expected rows to train on. Received: none.")

    def __len__(self) -> int:
        """Returns the number of batches per pass."""
        return -(-self.size // self.batch_size)

    def __call__(self, step: int, rows: slice = slice(None)) -> tuple[Any, Any]:
        """Returns `(features, labels)` of some rows of a batch.

        Args:
            step: its number, from 1.
            rows: which of its rows.
        """
        start = (step - 1) * self.batch_size
        numbers = np.arange(start, start + self.batch_size)[rows]
        passes, places = np.divmod(numbers, self.size)
        chosen = permuted(places, self.size, mix(self.seed, passes))
        features = {name: values[chosen] for name, values in self.features.items()}
        if isinstance(self.labels, Mapping):
            return features, {name: x[chosen] for name, x in self.labels.items()}
        return features, self.labels[chosen]
