"""No command writes what another process is writing."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keras_bert.output_locks import writer_lock
from tests.cli.calling import call
from tests.extras import needs
from tests.fuzz.crashes import COMMANDS

ON_BEAM = ", on Beam"
RECORDS = "out/records-00000-of-00002"
WORK_LOCK = "out/.records-00000-of-00002.work.lock"
GOOGLE = "records-00001-of-00002.gz"
# Of each command: the output that is locked, and the file of its lock.
LOCKS = {
    "vocab": ("out", ".out.lock"),
    "data": (RECORDS, WORK_LOCK),
    f"data{ON_BEAM}": (RECORDS, WORK_LOCK),
    "data, google": (f"out/{GOOGLE}", f"out/.{GOOGLE}.lock"),
    "convert": ("out", ".out.lock"),
    "pretrain": ("out", "out/.lock"),
    "finetune": ("out", "out/.lock"),
    "predict": ("out", ".out.lock"),
    "export": ("out", ".out.lock"),
}


@contextmanager
def _another_writer(output: Path, file: Path) -> Iterator[None]:
    """A thread has the lock, which is to others as if another process had it."""
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        with writer_lock(output, file):
            locked.set()
            done.wait()

    file.parent.mkdir(exist_ok=True)
    thread = threading.Thread(target=hold)
    thread.start()
    locked.wait()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("name", LOCKS)
def test_a_second_writer_is_refused(name, tmp_path):
    command = COMMANDS[name.removesuffix(ON_BEAM)]
    command.prepare(tmp_path)
    arguments = command.arguments.replace("{}", str(tmp_path)).split()
    if name.endswith(ON_BEAM):
        needs("apache_beam")
        arguments.append("--runner=DirectRunner")
    output, file = (tmp_path / part for part in LOCKS[name])
    with _another_writer(output, file):
        result = call(*arguments)
        assert result.status == 2, result
        assert f"Error: Expected no other writer of {output}. Received" in result.err
        assert [*(tmp_path / "out").glob("[!.]*")] == []
