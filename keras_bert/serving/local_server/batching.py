"""Requests that arrive together run together.

A matrix product of many rows costs little more than one of few, and TensorFlow has a
fixed cost per call. Requests share a batch only where each then gets the answer it
would have got alone: their inputs have equal shapes beyond the batch axis, and no
output has a length that follows from the strings sent.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2

from keras_bert.serving.local_server.errors import ServingError
from keras_bert.serving.local_server.metrics import Metrics
from keras_bert.serving.local_server.settings import BatchingParameters

Arrays = dict[str, np.ndarray]
Compute = Callable[[Arrays], Arrays]
FREE = -1  # a dimension that a signature leaves open
STOPPING = "The server is shutting down."


def batch_key(
    signature: meta_graph_pb2.SignatureDef, inputs: Mapping[str, np.ndarray]
) -> Hashable | None:
    """Returns what requests must have in common; None for one that runs alone.

    Args:
        signature: as `saved_model.pb` describes it.
        inputs: arrays by name, exactly the signature's.
    """
    shapes = sorted((name, array.shape) for name, array in inputs.items())
    rows = {shape[:1] for _, shape in shapes}
    # Unequal numbers of rows are an error that a batch would hide.
    if len(rows) != 1 or rows <= {(), (0,)}:
        return None
    outputs = [info.tensor_shape for info in signature.outputs.values()]
    if any(shape.unknown_rank for shape in outputs):
        return None
    free = any(dim.size == FREE for shape in outputs for dim in shape.dim[1:])
    if free and any(array.dtype == object for array in inputs.values()):
        return None
    return tuple((name, shape[1:]) for name, shape in shapes)


@dataclass(eq=False)
class _Task:
    """A request that waits for its answer."""

    inputs: Arrays
    deadline: float  # seconds of the monotonic clock
    answer: Future = field(default_factory=Future)

    @property
    def rows(self) -> int:
        return _rows(self.inputs)


class Batcher:
    """Runs requests of one kind together, on threads of its own.

    Args:
        parameters: when requests become a batch.
        metrics: counts batches and their rows.
    """

    def __init__(self, parameters: BatchingParameters, metrics: Metrics):
        self._parameters, self._metrics = parameters, metrics
        self._waiting: dict[Hashable, deque[_Task]] = {}
        self._changed = threading.Condition()  # of the above
        self._threads = ThreadPoolExecutor(parameters.threads, "batching")
        self._closed = False

    def run(self, kind: Hashable | None, inputs: Arrays, compute: Compute) -> Arrays:
        """Returns the answer to a request, once its batch was computed.

        Args:
            kind: requests of equal kinds may share a batch; None runs alone.
            inputs: arrays of equally many rows.
            compute: computes a batch of this kind.

        Raises:
            ServingError: too many requests wait, or this one is wrong; the fault of
                another one in the batch does not show.
        """
        wait = self._parameters.batch_timeout_micros / 1e6
        task = _Task(inputs, time.monotonic() + wait)
        if kind is None or task.rows >= self._parameters.max_batch_size:
            self._submit(self._answer, [task], compute)
        else:
            self._enqueue(kind, task)
            # One call per request: it takes all that wait, or finds them taken.
            self._submit(self._answer_next, kind, compute)
        return task.answer.result()

    def close(self) -> None:
        """Computes what waits, then ends the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._threads.shutdown()

    def _submit(self, *call) -> None:
        try:
            self._threads.submit(*call)
        except RuntimeError as error:  # the threads have ended
            raise ServingError("UNAVAILABLE", STOPPING) from error

    def _enqueue(self, kind: Hashable, task: _Task) -> None:
        most = self._parameters.max_enqueued_batches * self._parameters.max_batch_size
        with self._changed:
            queue = self._waiting.setdefault(kind, deque())
            if sum(waiting.rows for waiting in queue) + task.rows > most:
                raise ServingError(
                    "UNAVAILABLE",
                    "The batch scheduling queue to which this task was submitted is "
                    "full",
                )
            queue.append(task)
            self._changed.notify_all()

    # === On the threads ===

    def _answer_next(self, kind: Hashable, compute: Compute) -> None:
        with self._changed:
            batch = self._take(kind)
        if batch:
            self._answer(batch, compute)

    def _take(self, kind: Hashable) -> list[_Task]:
        """Waits until a batch is full or its time has come; takes it off the queue."""
        queue = self._waiting.get(kind, ())
        if queue:
            wait = queue[0].deadline - time.monotonic()
            self._changed.wait_for(lambda: self._is_due(queue), max(wait, 0))
        batch: list[_Task] = []
        rows = 0
        while queue and rows + queue[0].rows <= self._parameters.max_batch_size:
            batch.append(queue.popleft())
            rows += batch[-1].rows
        if batch and not queue:
            del self._waiting[kind]
        return batch

    def _is_due(self, queue: deque[_Task]) -> bool:
        rows = sum(task.rows for task in queue)
        full = rows >= self._parameters.max_batch_size
        return full or self._closed or not queue

    def _answer(self, batch: Sequence[_Task], compute: Compute) -> None:
        try:
            answers = self._computed([task.inputs for task in batch], compute)
        except Exception as error:
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            for task in batch:  # one is at fault; the others must not suffer
                self._answer([task], compute)
            return
        for task, answer in zip(batch, answers, strict=True):
            task.answer.set_result(answer)

    def _computed(self, requests: Sequence[Arrays], compute: Compute) -> list[Arrays]:
        self._metrics.batches.inc()
        self._metrics.batch_size.observe(sum(map(_rows, requests)))
        if len(requests) == 1:
            return [compute(requests[0])]
        outputs = compute(
            {name: np.concatenate([r[name] for r in requests]) for name in requests[0]}
        )
        ends = np.cumsum([_rows(inputs) for inputs in requests])[:-1]
        columns = {name: np.split(array, ends) for name, array in outputs.items()}
        return [
            {name: parts[i] for name, parts in columns.items()}
            for i in range(len(requests))
        ]


def _rows(inputs: Arrays) -> int:
    array = next(iter(inputs.values()), np.empty(0))
    return len(array) if array.ndim else 1
