"""The input of a run: batches by step number, or a `tf.data.Dataset`."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import keras

from keras_bert.errors import InputError

T = TypeVar("T")

PREFETCHED = 2  # batches in memory ahead of the step


class Batches(Protocol):
    """Batches by step number, as `keras_bert.pretraining.numpy_reading` reads them.

    A run on these resumes exactly, on any backend and any number of devices, and errors
    can name the records of a batch.
    """

    batch_size: int

    def __call__(self, step: int, rows: slice = slice(None)) -> tuple:
        """Returns rows of a batch: arrays `(features, labels[, weights])`."""

    def __len__(self) -> int:
        """Returns the number of batches; an evaluation takes all of them."""


class CheckedBatches:
    """Batches by number, refused where an id, position or label is out of range.

    Args:
        source: the batches.
        check: raises InputError for inputs and labels.
    """

    def __init__(self, source: Batches, check: Callable[..., Any]):
        self.source, self.check = source, check
        self.batch_size = source.batch_size

    def __len__(self) -> int:
        return len(self.source)

    def __call__(self, step: int, rows: slice = slice(None)) -> tuple:
        batch = self.source(step, rows)
        try:
            self.check(*batch[:2])
        except InputError as error:
            place = self._record(step, rows.start or 0, batch)
            raise InputError(f"{error} This is batch {step}{place}.") from error
        return batch

    def _record(self, step: int, start: int, batch: tuple) -> str:
        """Returns the words for the first record of a batch that is refused."""
        for row, record in enumerate(records(self.source, step)[start:]):
            one = keras.tree.map_structure(lambda x, i=row: x[i : i + 1], batch[:2])
            try:
                self.check(*one)
            except InputError:
                return f", record {record}"
        return ""


def is_dataset(source: Any) -> bool:
    """Returns whether the input is a `tf.data.Dataset`, not batches by number."""
    return hasattr(source, "element_spec")


def records(source: Any, step: int) -> list[str]:
    """Returns the names of a batch's records, or nothing if the source has none."""
    return source.describe(step) if hasattr(source, "describe") else []


def prefetch(function: Callable[[int], T], numbers: Iterable[int]) -> Iterator[T]:
    """Yields a function's value for each number, computed ahead in a thread.

    Example:
        >>> list(prefetch(lambda step: step * step, [1, 2, 3]))
        [1, 4, 9]
    """
    waiting: deque = deque()
    with ThreadPoolExecutor(1, "batches") as thread:
        for number in numbers:
            waiting.append(thread.submit(function, number))
            if len(waiting) > PREFETCHED:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def next_batch(batches: Iterator[T], step: int) -> T:
    """Returns the next batch.

    Raises:
        InputError: the data has ended.
    """
    for batch in batches:
        return batch
    raise InputError(
        f"Expected infinite batches; the data ended at step {step}. Repeat the dataset."
    )
