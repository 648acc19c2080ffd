"""Ends a command at its write events, runs it again, and compares the results.

    python -m tests.fuzz.crashes vocab data convert

A write event is a file that is opened for writing, moved, removed or flushed to disk,
or a directory that is made or removed. Each time the command runs in a process of its
own that ends just before the event, without any cleanup, as if it had been killed.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from keras_bert.errors import KerasBertError
from tests.fuzz import inputs
from tests.fuzz.tables import head, row, write_rows

KILLED = 97
EVENTS = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "fsync")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Command(NamedTuple):
    """A command that is ended.

    Attributes:
        prepare: makes its inputs in an empty directory.
        arguments: of the command; `{}` is that directory.
        imports: modules to import once, before processes are forked.
        output: what it writes, in that directory.
        run: runs it on its arguments, if not `keras_bert.cli.main`.
    """

    prepare: Callable[[Path], None]
    arguments: str
    imports: tuple[str, ...] = ()
    output: str = "out"
    run: Callable[[list[str]], int] | None = None


def _predict(arguments: list[str]) -> int:
    """Runs `predict` on texts that are answered by their lengths, without a model."""
    from keras_bert.cli import parser_of, predict

    class Answerer:
        def __init__(self, *_: Any) -> None:
            pass

        def names(self) -> list[str]:
            return ["score"]

        def __call__(self, examples: list) -> list[dict[str, int]]:
            return [{"score": len(example.text)} for example in examples]

    predict._Answerer = Answerer
    try:
        args = parser_of(arguments[0]).parse_args(arguments[1:])
        args.run(args)
    except KerasBertError as error:
        print(error)
        return 2
    return 0


TRAINING = "--batch-size 2 --checkpoint-every 1 --log-every 1 --output {}/out"
COMMANDS = {
    "vocab": Command(inputs.text, "vocab {}/text.txt --vocab-size 60 --output {}/out"),
    "vocab, overwritten": Command(
        inputs.text_and_vocabulary,
        "vocab {}/text.txt --vocab-size 60 --output {}/out --overwrite",
    ),
    "data": Command(
        inputs.text_and_tokenizer,
        "data --input-file {}/text.txt --vocab-file {}/tokenizer --max-seq-length 24 "
        "--output-file {}/out/records@2 --dupe-factor 1",
    ),
    "data, google": Command(
        inputs.text_and_tokenizer,
        "data --input-file {}/text.txt --vocab-file {}/tokenizer --max-seq-length 24 "
        "--output-file {}/out/records@2.gz --dupe-factor 1 --policy google",
    ),
    "convert": Command(inputs.checkpoint, "convert {}/checkpoint {}/out --to keras"),
    "convert, overwritten": Command(
        inputs.checkpoint_and_older,
        "convert {}/checkpoint {}/out --to huggingface --overwrite",
    ),
    "pretrain": Command(
        inputs.records,
        "pretrain --data {}/records --vocab {}/tokenizer --model {}/config.json "
        f"--steps 2 {TRAINING}",
        ("tensorflow", "keras_bert.training.loop"),
    ),
    "finetune": Command(
        inputs.labeled,
        "finetune --model {}/checkpoint --train {}/train.tsv --max-length 8 "
        f"--epochs 1 {TRAINING}",
        ("tensorflow", "keras_bert.training.loop"),
    ),
    "predict": Command(
        inputs.text,
        "predict --model any --input {}/text.txt --output {}/out --batch-size 1",
        run=_predict,
    ),
    "export": Command(
        inputs.labeled,
        "export --model {}/checkpoint --head sequence_classification --output {}/out "
        "--version 1",
        ("tensorflow", "keras_bert.serving.export"),
    ),
}


class Result(NamedTuple):
    """Of one command: its events, those tried, and what went wrong at which."""

    command: str
    events: int
    tried: int
    failures: list[str]


def crash(name: str, most: int | None = None) -> Result:
    """Ends a command at its write events, one after another.

    Args:
        name: of the command.
        most: the number of events to try, evenly spread; None tries all.
    """
    command = COMMANDS[name]
    for module in ("keras_bert.cli", *command.imports):
        __import__(module)
    with tempfile.TemporaryDirectory() as place:
        return _crash(name, command, Path(place).resolve(), most)


def _crash(name: str, command: Command, place: Path, most: int | None) -> Result:
    prepared, work = place / "prepared", place / "work"
    prepared.mkdir()
    _in_process(lambda: command.prepare(prepared) or 0)
    events = _begin(command, prepared, work, None)
    expected = contents(work)
    if most is None or most >= events:
        tried = list(range(events))
    else:
        tried = sorted({round(i * (events - 1) / (most - 1)) for i in range(most)})
    failures = []
    for event in tried:
        _begin(command, prepared, work, event)
        problem = _again(command, work, expected)
        if problem:
            failures.append(f"event {event}: {problem}")
    return Result(name, events, len(tried), failures)


def _begin(command: Command, prepared: Path, work: Path, end: int | None) -> int:
    """Runs a command up to an event, or to its end; returns the number of events."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(prepared, work)
    counted = work.with_name("counted")

    def run() -> int:
        events = _Events(work, end)
        sys.addaudithook(events)
        status = _main(command, work)
        counted.write_text(str(events.count))
        return status

    status = _in_process(run)
    if status != (0 if end is None else KILLED):
        raise AssertionError(f"status {status}: {_said(work)}")
    return int(counted.read_text())


def _again(command: Command, work: Path, expected: dict[str, Any]) -> str:
    """Runs a command as its user would; returns what is wrong then."""
    status = _in_process(lambda: _main(command, work))
    # It may have ended after its result was complete.
    if status and "exists" not in _said(work):
        return f"status {status}: {_said(work)}"
    found = contents(work)
    differing = {
        name
        for name in found.keys() | expected.keys()
        if found.get(name) != expected.get(name)
    }
    return f"other contents: {', '.join(sorted(differing))}" if differing else ""


def _main(command: Command, work: Path) -> int:
    from keras_bert.cli import main

    arguments = command.arguments.replace("{}", str(work)).split()
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = (command.run or main)(arguments)
    work.with_name("said").write_text(said.getvalue())
    return status


def _said(work: Path) -> str:
    return work.with_name("said").read_text()[-500:]


def _in_process(run: Callable[[], int]) -> int:
    sys.stdout.flush()
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 99
    try:
        status = run()
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


class _Events:
    """An audit hook that counts events below a directory, and ends the process."""

    def __init__(self, folder: Path, end: int | None) -> None:
        self.folder, self.end, self.count = str(folder), end, 0
        flush = os.fsync

        def fsync(number: int) -> None:
            sys.audit("fsync", os.readlink(f"/proc/self/fd/{number}"))
            flush(number)

        os.fsync = fsync

    def __call__(self, event: str, arguments: tuple) -> None:
        if event == "open" and not (arguments[2] or 0) & WRITING:
            return
        if event in (*EVENTS, "open") and self._is_inside(arguments[0]):
            if self.count == self.end:
                os._exit(KILLED)
            self.count += 1

    def _is_inside(self, path: Any) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        path = os.fsdecode(path)
        # Whole trees are removed by names relative to open directories.
        return not path.startswith("/") or path.startswith(self.folder)


# === What is compared ===

# Of a run: its clock, and what follows from that.
TIMES = ("time", "seconds", "tokens_per_second", "matmul_share")
NOT_COMPARED = (
    "tensorboard/",
    "curves.png",
    "report.html",  # names the directory
    "saved_model.pb",
    "fingerprint.pb",
    "/iterator.",
)


def contents(folder: Path) -> dict[str, Any]:
    """Returns the contents of all files of a directory, without times."""
    names = (str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    return {
        name: None
        if any(part in name for part in NOT_COMPARED)
        else _content(folder / name)
        for name in names
    }


def _content(path: Path) -> Any:
    if path.suffix == ".jsonl" or path.name == "notes.json":
        return [_timeless(json.loads(line)) for line in path.read_text().splitlines()]
    return path.read_bytes()


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if k not in TIMES}
    return value


HEAD = head("command", "write events", "ended at", "other result afterwards")


def main() -> None:
    """Counts, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("command", nargs="*", default=list(COMMANDS))
    parser.add_argument("--most", type=int, help="events of each command to try")
    parser.add_argument("--write", type=Path, help="document to write the table into")
    args = parser.parse_args()
    rows, failed = [], False
    print("\n".join(HEAD))
    for name in args.command:
        result = crash(name, args.most)
        rows.append(row(*result[:3], len(result.failures)))
        print(rows[-1], flush=True)
        failed |= bool(result.failures)
        for failure in result.failures:
            print(f"{name}: {failure}", file=sys.stderr, flush=True)
    if args.write:
        write_rows(args.write, "crashes", HEAD, rows, COMMANDS)
    sys.exit(failed)


if __name__ == "__main__":
    main()
