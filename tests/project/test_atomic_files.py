"""Outputs are whole or absent, one process writes one, and the next cleans up."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from keras_bert import atomic_files
from keras_bert.atomic_files import locked_output, new_file, new_files, whole_directory
from keras_bert.errors import ExistingOutputError, InputError, LockedOutputError
from keras_bert.output_locks import writer_lock
from tests.paths import ROOT

HOLDER = """
import sys, time
from keras_bert.output_locks import writer_lock
with writer_lock(sys.argv[1]):
    print("locked", flush=True)
    time.sleep(60)
"""
NAMES = ("settings", "rules", "main")
KILLED = 9


def _texts(folder: Path) -> dict[str, str]:
    return {p.name: p.read_text() for p in folder.glob("[!.]*")}


def _write(folder: Path, text: str, **options) -> None:
    with new_files(folder, NAMES, **options) as partial:
        for name in NAMES:
            (partial / name).write_text(text)


def _write_directory(path: Path, text: str) -> None:
    with whole_directory(path, replace=True) as partial:
        (partial / "main").write_text(text)


def _killed_at(event: int, write) -> None:
    """Runs `write` in a process that ends at a call that moves or removes a file."""
    if child := os.fork():
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == KILLED
        return
    calls = iter(range(1, event + 1))

    def ending(function):
        def call(*args, **options):
            return function(*args, **options) if next(calls, None) else os._exit(KILLED)

        return call

    for name in ("replace", "unlink"):
        setattr(os, name, ending(getattr(os, name)))
    write()
    os._exit(KILLED)


# === Locks ===


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path):
    output = tmp_path / "out"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(output)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert holder.stdout.readline() == "locked\n"
        for writer in (new_file, whole_directory, locked_output):
            with pytest.raises(LockedOutputError) as error, writer(output):
                pass
            assert f"{output}. Received: process {holder.pid} on" in str(error.value)
            assert "\n" not in str(error.value)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    assert (tmp_path / ".out.lock").exists()
    with new_file(output) as partial:
        partial.write_text("mine")
    assert _texts(tmp_path) == {"out": "mine"}


def test_a_thread_may_lock_again_and_another_may_not(tmp_path):
    refused = []

    def other() -> None:
        try:
            with writer_lock(tmp_path / "out"):
                pass
        except LockedOutputError as error:
            refused.append(str(error))

    with writer_lock(tmp_path / "out"), writer_lock(tmp_path / "out"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(refused) == 1 and f"process {os.getpid()} on" in refused[0]
    assert list(tmp_path.iterdir()) == []


def test_a_lock_file_removed_by_its_last_holder_is_not_taken(tmp_path, monkeypatch):
    from keras_bert import output_locks

    take, file = output_locks._take, tmp_path / ".out.lock"

    def removed_first(number: int) -> None:
        if file.exists() and not removed:
            removed.append(file.unlink())
        take(number)

    removed = []
    monkeypatch.setattr(output_locks, "_take", removed_first)
    with writer_lock(tmp_path / "out"):
        assert removed and file.exists()


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, caplog):
    from keras_bert import output_locks

    def unsupported(number: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(output_locks, "_take", unsupported)
    with writer_lock(tmp_path / "out"):
        pass
    assert "has no locks" in caplog.text


# === Files that appear together ===


def test_nothing_is_replaced_unasked(tmp_path):
    (tmp_path / "rules").write_text("mine")
    with pytest.raises(ExistingOutputError, match="rules exists already"):
        _write(tmp_path, "new")
    assert _texts(tmp_path) == {"rules": "mine"}


@pytest.mark.parametrize(
    "place", ["~/out", "gs:/bucket/out", "hf:/out", "pipe", "link"]
)
def test_what_is_no_place_for_an_output(place, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    before = sorted(tmp_path.iterdir())
    for write in (new_file, whole_directory):
        with pytest.raises(InputError, match="a file or a directory"):
            with write(tmp_path / place, True):
                raise AssertionError
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("before", [None, "old"])
@pytest.mark.parametrize("event", range(10))
def test_files_together_survive_a_kill(event, before, tmp_path):
    if before:
        _write(tmp_path, before)
    _killed_at(event, lambda: _write(tmp_path, "new", overwrite=True))
    assert len(set(_texts(tmp_path).values())) <= 1  # never old ones with new ones
    with locked_output(tmp_path / NAMES[-1]):  # the next writer, before it writes
        found = _texts(tmp_path)
    assert found in [
        dict.fromkeys(NAMES, "new"),
        dict.fromkeys(NAMES if before else (), before),
    ]
    _write(tmp_path, "new", overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(NAMES)
    assert set(_texts(tmp_path).values()) == {"new"}


# === Directories ===


@pytest.mark.parametrize("swaps", [True, False])
@pytest.mark.parametrize("event", range(4))
def test_a_directory_survives_a_kill(event, swaps, tmp_path, monkeypatch):
    path = tmp_path / "model"
    _write_directory(path, "old")
    if not swaps:
        monkeypatch.setattr(atomic_files, "_exchange", lambda *_: False)
    _killed_at(event, lambda: _write_directory(path, "new"))
    assert path.exists() or not swaps
    with locked_output(path):
        assert (path / "main").read_text() in ("old", "new")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_the_old_directory_is_put_back_if_the_new_one_cannot_be_moved(
    error, tmp_path, monkeypatch
):
    path, replace = tmp_path / "model", os.replace
    _write_directory(path, "old")
    calls = iter([replace])

    def failing(*places):
        function = next(calls, None)
        if function is None and Path(places[0]).name == "new":
            raise error("no")
        return replace(*places)

    monkeypatch.setattr(os, "replace", failing)
    monkeypatch.setattr(atomic_files, "_exchange", lambda *_: False)
    with pytest.raises(error):
        _write_directory(path, "new")
    assert _texts(path) == {"main": "old"}
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_the_only_copy_is_kept_even_if_it_cannot_be_put_back(tmp_path, monkeypatch):
    path, replace = tmp_path / "model", os.replace
    _write_directory(path, "old")
    calls = iter([replace])

    def failing(*places):
        if next(calls, None) is None:
            raise OSError("no")
        return replace(*places)

    monkeypatch.setattr(os, "replace", failing)
    monkeypatch.setattr(atomic_files, "_exchange", lambda *_: False)
    with pytest.raises(OSError):
        _write_directory(path, "new")
    monkeypatch.undo()
    with locked_output(path):
        assert _texts(path) == {"main": "old"}


def test_only_what_belongs_to_the_output_is_swept(tmp_path):
    for name in (".out.new-abc", ".out2.new-abc", ".out.work"):
        (tmp_path / name).mkdir()
    with new_file(tmp_path / "out") as partial:
        partial.write_text("whole")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"out", ".out2.new-abc", ".out.work"}


def test_parents_go_again_on_failure(tmp_path):
    with pytest.raises(ZeroDivisionError), whole_directory(tmp_path / "a/b/c"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
