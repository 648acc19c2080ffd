"""Tasks in worker processes, with progress while they run."""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from multiprocessing import get_context, parent_process
from typing import Any

# A task yields what it has to tell, step by step: progress, counts.
Task = Callable[[Any], Iterator[Any]]

_POLL_SECONDS = 0.1
_in_process: dict[str, Any] = {}


def run_tasks(task: Task, items: Iterable[Any], workers: int) -> Iterator[Any]:
    """Runs a task on every item and yields what the tasks yield, as it comes.

    Items are taken only a little ahead of the work. A task that raises ends all; so
    does the end of the process that asked.

    Args:
        task: a picklable function from an item to what it tells.
        items: picklable; an iterator is read as the work goes on.
        workers: processes; 1 works in this one.
    """
    if workers <= 1:
        for item in items:
            yield from task(item)
        return
    # A forked process could inherit TensorFlow's locks; a spawned one has none.
    context = get_context("spawn")
    told, stop = context.SimpleQueue(), context.Event()
    pool = ProcessPoolExecutor(workers, context, _start, (task, told, stop))
    try:
        yield from _drain(pool, iter(items), workers + 2, told)
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _drain(
    pool: ProcessPoolExecutor, items: Iterator[Any], ahead: int, told: Any
) -> Iterator[Any]:
    running: set[Future] = {pool.submit(_work, item) for item in islice(items, ahead)}
    while running:
        done, running = wait(running, _POLL_SECONDS, FIRST_COMPLETED)
        for future in done:
            future.result()
        running |= {pool.submit(_work, item) for item in islice(items, len(done))}
        while not told.empty():
            yield told.get()
    while not told.empty():
        yield told.get()


def _start(task: Task, told: Any, stop: Any) -> None:
    # Ctrl-C is for the process that asked; it tells the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _in_process.update(task=task, told=told, stop=stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent_process().join()
    os._exit(1)


def _work(item: Any) -> None:
    for step in _in_process["task"](item):
        _in_process["told"].put(step)
        if _in_process["stop"].is_set():
            return
