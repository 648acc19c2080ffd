"""Tasks in worker processes that report while they run."""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from multiprocessing import get_context, parent_process
from typing import Any

# A task yields its reports, such as progress and counts.
Task = Callable[[Any], Iterator[Any]]

_POLL_SECONDS = 0.1
_in_process: dict[str, Any] = {}


def run_tasks(task: Task, items: Iterable[Any], workers: int) -> Iterator[Any]:
    """Runs a task on every item and yields the reports of all tasks as they come.

    Items are taken only a little ahead of the work. All tasks end when one raises, and
    when the calling process ends.

    Args:
        task: a picklable function from an item to its reports.
        items: picklable; an iterator is consumed while tasks run.
        workers: the number of processes; 1 runs in this process.
    """
    if workers <= 1:
        for item in items:
            yield from task(item)
        return
    # A forked process could inherit locks of TensorFlow; a spawned one has none.
    context = get_context("spawn")
    reports, stop = context.SimpleQueue(), context.Event()
    pool = ProcessPoolExecutor(workers, context, _start, (task, reports, stop))
    try:
        yield from _drain(pool, iter(items), workers + 2, reports)
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _drain(
    pool: ProcessPoolExecutor, items: Iterator[Any], ahead: int, reports: Any
) -> Iterator[Any]:
    running: set[Future] = {pool.submit(_work, item) for item in islice(items, ahead)}
    while running:
        done, running = wait(running, _POLL_SECONDS, FIRST_COMPLETED)
        for future in done:
            future.result()
        running |= {pool.submit(_work, item) for item in islice(items, len(done))}
        while not reports.empty():
            yield reports.get()
    while not reports.empty():
        yield reports.get()


def _start(task: Task, reports: Any, stop: Any) -> None:
    # Ctrl-C is handled by the calling process, which stops the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _in_process.update(task=task, reports=reports, stop=stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent_process().join()
    os._exit(1)


def _work(item: Any) -> None:
    for step in _in_process["task"](item):
        _in_process["reports"].put(step)
        if _in_process["stop"].is_set():
            return
