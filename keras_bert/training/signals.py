"""Stopping a run by Ctrl-C or SIGTERM after the step in progress."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

logger = logging.getLogger(__name__)


class Stopped(KeyboardInterrupt):
    """A signal stopped the run after a step, and a checkpoint was written.

    Args:
        step: number of completed steps.
        number: of the signal; another process may have received it.
    """

    def __init__(self, step: int, number: int = signal.SIGTERM) -> None:
        super().__init__(f"after step {step}, which is saved; run it again to resume")
        self.step, self.number = step, number

    @property
    def exit_status(self) -> int:
        """Of a command: 0 after SIGTERM, which schedulers send to preempt a job."""
        return 0 if self.number == signal.SIGTERM else 130


@contextmanager
def deferred_signals() -> Iterator[list[int]]:
    """Collects Ctrl-C and SIGTERM: in the middle of a step, the state is incomplete.

    Yields:
        The numbers of signals received. A second one raises KeyboardInterrupt.
    """
    received: list[int] = []

    def receive(number: int, frame: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        logger.warning("Stopping after this step; run it again to resume.")

    # Only the main thread may handle signals.
    main = threading.current_thread() is threading.main_thread()
    signals = (signal.SIGINT, signal.SIGTERM) if main else ()
    before = {number: signal.signal(number, receive) for number in signals}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
