"""Requests that arrive together run together.

A matrix product of many rows costs little more than one of few, and TensorFlow has a
fixed cost per call. Parameters are named as in TF Serving's `batching_parameters`.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from keras_bert.errors import ConfigError
from keras_bert.serving.double.errors import ServingError
from keras_bert.serving.double.merging import Arrays, Merger
from keras_bert.serving.double.metrics import Metrics

Compute = Callable[[Arrays], Arrays]


@dataclass(frozen=True)
class BatchingParameters:
    """When requests become a batch.

    Args:
        max_batch_size: rows; a larger request is computed in parts of this size.
        batch_timeout_micros: how long the first request waits for others,
            microseconds. With 0 those run together that arrived while all threads
            were busy.
        max_enqueued_batches: batches of one kind that may wait; further requests are
            refused as UNAVAILABLE.
        num_batch_threads: batches computed at once; 0 takes the number of CPUs.

    Raises:
        ConfigError: a number is too small.
    """

    max_batch_size: int = 64
    batch_timeout_micros: int = 1000
    max_enqueued_batches: int = 100
    num_batch_threads: int = 0

    def __post_init__(self) -> None:
        lowest = {"max_batch_size": 1, "max_enqueued_batches": 1}
        for name, value in vars(self).items():
            if value < lowest.get(name, 0):
                raise ConfigError(
                    f"Expected {name} of at least {lowest.get(name, 0)}. Received: "
                    f"{value}."
                )

    @property
    def threads(self) -> int:
        """Threads that compute."""
        return self.num_batch_threads or os.cpu_count() or 1


@dataclass(eq=False)
class _Task:
    """A request, or a part of one, that waits for its answer."""

    inputs: Arrays
    merger: Merger
    compute: Compute
    deadline: float  # seconds of the monotonic clock
    answer: Future = field(default_factory=Future)

    @property
    def rows(self) -> int:
        return len(next(iter(self.inputs.values())))


class Batcher:
    """Runs requests of one kind together, on threads of its own.

    Args:
        parameters: when requests become a batch.
        metrics: counts batches and their rows.
    """

    def __init__(self, parameters: BatchingParameters, metrics: Metrics):
        self._parameters, self._metrics = parameters, metrics
        self._queues: dict[Hashable, deque[_Task]] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"batching-{i}", daemon=True)
            for i in range(parameters.threads)
        ]
        for thread in self._threads:
            thread.start()

    def run(
        self, kind: Hashable, inputs: Arrays, merger: Merger, compute: Compute
    ) -> Arrays:
        """Returns the answer to a request, once its batch was computed.

        Args:
            kind: requests of equal kinds may share a batch.
            inputs: arrays of equally many rows.
            merger: puts requests of this kind together.
            compute: computes a batch of this kind.

        Raises:
            ServingError: too many requests wait, or this one is wrong; the fault of
                another one in the batch does not show.
        """
        # One part after the other: a large request leaves room for others.
        parts = [
            self._submit(kind, part, merger, compute).result()
            for part in _parts(inputs, self._parameters.max_batch_size)
        ]
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}

    def close(self) -> None:
        """Computes what waits, then ends the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _submit(
        self, kind: Hashable, inputs: Arrays, merger: Merger, compute: Compute
    ) -> Future:
        wait = self._parameters.batch_timeout_micros / 1e6
        task = _Task(inputs, merger, compute, time.monotonic() + wait)
        most = self._parameters.max_enqueued_batches * self._parameters.max_batch_size
        with self._changed:
            if self._closed:
                raise ServingError("UNAVAILABLE", "The server is shutting down.")
            queue = self._queues.setdefault(kind, deque())
            if sum(waiting.rows for waiting in queue) + task.rows > most:
                raise ServingError(
                    "UNAVAILABLE",
                    "The batch scheduling queue to which this task was submitted is "
                    "full",
                )
            queue.append(task)
            self._changed.notify()
        return task.answer

    # === On the threads ===

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            self._answer(batch)

    def _next(self) -> list[_Task] | None:
        """Waits for a batch; None when there will be none."""
        with self._changed:
            while True:
                now = time.monotonic()
                for kind, queue in self._queues.items():
                    if self._is_due(queue, now):
                        return self._take(kind)
                if self._closed:
                    return None
                deadlines = [queue[0].deadline for queue in self._queues.values()]
                first = min(deadlines, default=None)
                self._changed.wait(first and max(first - now, 0))

    def _is_due(self, queue: deque[_Task], now: float) -> bool:
        rows = sum(task.rows for task in queue)
        full = rows >= self._parameters.max_batch_size
        return full or self._closed or queue[0].deadline <= now

    def _take(self, kind: Hashable) -> list[_Task]:
        # Popped and put back at the end: every kind has its turn.
        queue = self._queues.pop(kind)
        batch = [queue.popleft()]
        rows = batch[0].rows
        while queue and rows + queue[0].rows <= self._parameters.max_batch_size:
            batch.append(queue.popleft())
            rows += batch[-1].rows
        if queue:
            self._queues[kind] = queue
            self._changed.notify()  # there is more for another thread
        return batch

    def _answer(self, batch: list[_Task]) -> None:
        try:
            answers = self._computed(batch)
        except Exception as error:
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            for task in batch:  # one is at fault; the others must not suffer
                self._answer([task])
            return
        for task, answer in zip(batch, answers, strict=True):
            task.answer.set_result(answer)

    def _computed(self, batch: list[_Task]) -> list[Arrays]:
        first = batch[0]
        self._metrics.batches.add(1)
        self._metrics.batch_size.add(sum(task.rows for task in batch))
        requests = [task.inputs for task in batch]
        return first.merger.split(first.compute(first.merger.merge(requests)), requests)


def _parts(inputs: Arrays, size: int) -> Iterator[Arrays]:
    rows = len(next(iter(inputs.values())))
    for start in range(0, rows, size):
        yield {name: array[start : start + size] for name, array in inputs.items()}
