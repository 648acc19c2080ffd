"""What a run is fed with: batches by their number, or a `tf.data.Dataset`."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from keras_bert.errors import InputError

T = TypeVar("T")

AHEAD = 2  # batches that wait in memory


class Batches(Protocol):
    """Batches by number, as `keras_bert.pretraining.numpy_reading` reads them.

    A run fed with these goes on exactly where it was on any backend and any number of
    devices, and an error names the records of its batch.
    """

    batch_size: int

    def __call__(self, step: int, rows: slice = slice(None)) -> tuple:
        """Returns rows of a batch: `(features, labels[, weights])` of arrays."""

    def __len__(self) -> int:
        """Returns the number of batches; held-out ones are evaluated in turn."""


def is_dataset(source: Any) -> bool:
    """Tells a `tf.data.Dataset` from batches by number."""
    return hasattr(source, "element_spec")


def records(source: Any, step: int) -> list[str]:
    """Names the records of a batch, as far as its source knows them."""
    return source.describe(step) if hasattr(source, "describe") else []


def ahead(function: Callable[[int], T], numbers: Iterable[int]) -> Iterator[T]:
    """Calls a function for each number in turn, in a thread, a few calls ahead.

    Example:
        >>> list(ahead(lambda step: step * step, [1, 2, 3]))
        [1, 4, 9]
    """
    waiting: deque = deque()
    with ThreadPoolExecutor(1, "batches") as thread:
        for number in numbers:
            waiting.append(thread.submit(function, number))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def next_batch(batches: Iterator[T], step: int) -> T:
    """Returns the next batch.

    Raises:
        InputError: there is none.
    """
    for batch in batches:
        return batch
    raise InputError(
        f"Expected batches without end; the data ended at step {step}. Repeat the "
        "dataset."
    )
