"""Calls from TensorFlow's threads into Python that survive interpreter shutdown."""

import atexit
import threading
import time
from collections.abc import Callable
from typing import Any


class Gate:
    """Lets threads into Python until it shuts down.

    A thread that waits for the interpreter during shutdown never returns, and the
    destructor of the data pipeline waits for the thread. So calls are rejected from
    then on, and shutdown waits until none is left.
    """

    PAUSE = 0.05  # seconds without a call after which none is on its way

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._last = -self.PAUSE
        self._closed = False

    def guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wraps a function; once the gate is closed a call ends the dataset instead."""

        def call(*args: Any) -> Any:
            self._count(1)
            try:
                if self._closed:
                    raise StopIteration  # which ends a dataset
                return function(*args)
            finally:
                self._count(-1)

        return call

    def close(self) -> None:
        """Rejects further calls, and waits for those inside or about to enter."""
        self._closed = True
        while self._inside or time.monotonic() - self._last < self.PAUSE:
            time.sleep(self.PAUSE / 5)

    def _count(self, change: int) -> None:
        with self._lock:
            self._inside += change
            self._last = time.monotonic()


GATE = Gate()
atexit.register(GATE.close)
