"""Reads seeded mutants of good files with every reader, and counts what goes wrong.

    python -m tests.fuzz.mutants --count 20000 --write docs/reliability.md
    python -m tests.fuzz.mutants safetensors --numbers 4711 4712

A mutant is a function of its reader's name and its number. It is read, or refused with
an error of this package. Anything else is a fault: another exception, the end of the
process, more than ten seconds, or more memory than four times the file plus 512 MB.
"""

import argparse
import contextlib
import faulthandler
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from keras_bert.errors import KerasBertError
from tests.fuzz.readers import READERS, Reader
from tests.fuzz.tables import head, row, write_rows
from tests.paths import ROOT

SECONDS = 10
MEMORY = 512 << 20
FAULTS = ("foreign", "crash", "hang", "memory")
HEADERS = ("foreign exceptions", "crashes", "hangs over 10 s", "memory over the limit")


class Outcome(NamedTuple):
    """What became of a mutant: "read", "refused", or one of `FAULTS`."""

    number: int
    kind: str
    what: str = ""


class Hang(BaseException):
    """Ten seconds are over."""


def outcomes(name: str, numbers: Iterable[int], place: Path) -> Iterator[Outcome]:
    """Reads mutants in this process.

    Args:
        name: of the reader.
        numbers: of the mutants.
        place: an empty directory.
    """
    reader, good, folder = READERS[name], place / "good", place / "mutant"
    good.mkdir()
    reader.make(good)
    files = {
        str(path.relative_to(good)): path.read_bytes()
        for pattern in reader.files
        for path in good.glob(pattern)
        if path.is_file()
    }
    assert files, name
    reader.read(good)  # also imports what it needs
    shutil.copytree(good, folder)
    for number in numbers:
        file, data = reader.mutant(files, random.Random(f"{name} {number}"))
        (folder / file).write_bytes(data)
        yield _outcome(reader, number, folder, len(data))
        (folder / file).write_bytes(files[file])


def _outcome(reader: Reader, number: int, folder: Path, size: int) -> Outcome:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = _peak(reset=True)
        try:
            kind, what = "read", _read(reader, folder) or ""
        except KerasBertError as error:
            kind, what = "refused", str(error)
        except Hang:
            kind, what = "hang", traceback.format_exc(limit=-3)
        except Exception:
            kind, what = "foreign", traceback.format_exc(limit=-3)
    used = _peak() - before
    if used > 4 * size + MEMORY and kind not in FAULTS:
        kind, what = "memory", f"{used >> 20} MB for {size} bytes, {kind}: {what}"
    return Outcome(number, kind, what)


def _read(reader: Reader, folder: Path) -> None:
    def stop(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        reader.read(folder)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _peak(reset: bool = False) -> int:
    """Returns the most memory that this process used since the last reset, in bytes."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) << 10


# === In processes of their own ===


def count(name: str, number: int) -> tuple[Counter[str], list[Outcome]]:
    """Reads mutants in processes that may crash; returns kinds and faults."""
    kinds: Counter[str] = Counter()
    faults: list[Outcome] = []
    start = 0
    with tempfile.TemporaryDirectory() as place:
        while start < number:
            process = _worker(name, start, number, Path(place))
            for line in process.stdout:
                outcome = Outcome(*json.loads(line))
                start = outcome.number + 1
                kinds[outcome.kind] += 1
                faults += [outcome] if outcome.kind in FAULTS else []
            if process.wait() and start < number:
                errors = Path(place, "stderr").read_text()[-2000:]
                kind = "hang" if "Timeout" in errors else "crash"
                kinds[kind] += 1
                faults.append(Outcome(start, kind, errors))
                start += 1
    return kinds, faults


def _worker(name: str, start: int, stop: int, place: Path) -> subprocess.Popen:
    arguments = [name, "--worker", "--numbers", str(start), str(stop)]
    with open(place / "stderr", "w") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.mutants", *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=ROOT,
        )


def _work(name: str, start: int, stop: int) -> None:
    """Prints the outcomes of mutants, one JSON array a line."""
    resource.setrlimit(resource.RLIMIT_AS, (32 << 30, 32 << 30))
    # Libraries print; the results have an output of their own.
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory() as place:
        for outcome in outcomes(name, range(start, stop), Path(place)):
            # The next one may hang where no signal is handled.
            faulthandler.dump_traceback_later(3 * SECONDS, exit=True)
            results.write(
                json.dumps([outcome.number, outcome.kind, outcome.what[-1500:]]) + "\n"
            )
            results.flush()
    faulthandler.cancel_dump_traceback_later()


# === The table ===

HEAD = head("reader", "mutants", "refused", *HEADERS)


def _row(name: str, kinds: Counter[str]) -> str:
    faults = (kinds[kind] for kind in FAULTS)
    return row(name, sum(kinds.values()), kinds["refused"], *faults)


def main() -> None:
    """Counts, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("reader", nargs="*", default=[*READERS])
    parser.add_argument("--count", type=int, default=20_000, help="mutants of a reader")
    parser.add_argument("--numbers", type=int, nargs=2, help="show these mutants")
    parser.add_argument("--write", type=Path, help="document to write the table into")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        _work(*args.reader, *args.numbers)
        return
    if args.numbers:
        with (
            tempfile.TemporaryDirectory() as place,
            contextlib.suppress(BrokenPipeError),
        ):
            for outcome in outcomes(*args.reader, range(*args.numbers), Path(place)):
                print(*outcome)
        return
    rows, failed = [], False
    print("\n".join(HEAD))
    for name in args.reader:
        kinds, faults = count(name, args.count)
        rows.append(_row(name, kinds))
        print(rows[-1], flush=True)
        failed |= bool(faults)
        for fault in faults[:20]:
            print(name, *fault, file=sys.stderr, flush=True)
    if args.write:
        write_rows(args.write, "mutants", HEAD, rows, READERS)
    sys.exit(failed)


if __name__ == "__main__":
    main()
