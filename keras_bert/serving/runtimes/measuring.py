"""Measures one runtime, in a process of its own that `benchmark` starts.

Reads the workload from a file, writes the outputs to another, and prints the results as
a line of JSON. It imports only the runtime, whose memory it measures.
"""

import json
import re
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from keras_bert.serving.runtimes.running import Batch, Function, Session, load

ROUNDS = 3


def measure(run: Session, batches: list[Batch], rows: list[Batch]) -> dict:
    """Returns latency and throughput of a runtime.

    Args:
        run: the loaded model.
        batches: rows of mixed lengths, for throughput.
        rows: single rows, for latency.

    Returns:
        Percentiles of the time of one row in ms, and real tokens per second of wall
        time and of CPU time.
    """
    batches = [part for batch in batches for part in fitted(batch, run.shape)]
    rows = [part for row in rows for part in fitted(row, run.shape)]
    tokens = sum(int(np.sum(batch["attention_mask"] > 0)) for batch in batches)
    _timed(run, batches)
    passes = [_timed(run, batches) for _ in range(ROUNDS)]
    _timed(run, rows)
    times = [_timed(run, [row])[0] * 1e3 for _ in range(ROUNDS) for row in rows]
    wall, cpu = (statistics.median(column) for column in zip(*passes, strict=True))
    return {
        **{f"p{q}_ms": float(np.percentile(times, q)) for q in (50, 95, 99)},
        "tokens_per_s": tokens / wall,
        "tokens_per_cpu_s": tokens / cpu,
    }


def _timed(run: Function, inputs: list[Batch]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    for batch in inputs:
        run(batch)
    return time.perf_counter() - wall, time.process_time() - cpu


def fitted(batch: Batch, shape: tuple[int | None, ...]) -> Iterator[Batch]:
    """Yields a batch as it is, or row by row at the fixed length of a runtime."""
    if None in shape:
        yield batch
        return
    seq = batch["attention_mask"].shape[1]
    for row in range(len(batch["attention_mask"])):
        padded = {k: np.pad(v, [(0, 0), (0, shape[1] - seq)]) for k, v in batch.items()}
        yield {name: value[row : row + 1] for name, value in padded.items()}


def save_batches(path: Path, parts: dict[str, list[Batch]]) -> None:
    """Writes lists of batches to a file, for `load_batches`."""
    arrays = {
        f"{part}/{number}/{name}": np.asarray(value)
        for part, batches in parts.items()
        for number, batch in enumerate(batches)
        for name, value in batch.items()
    }
    np.savez(path, **arrays)


def load_batches(path: Path) -> dict[str, list[Batch]]:
    """Reads what `save_batches` wrote."""
    parts: dict[str, dict[int, dict]] = {}
    with np.load(path) as file:
        for key in file.files:
            part, number, name = key.split("/")
            batches = parts.setdefault(part, {})
            batches.setdefault(int(number), {})[name] = file[key]
    return {part: list(batches.values()) for part, batches in parts.items()}


def _keras(path: Path) -> Session:
    """Keras' own `predict`."""
    import keras

    import keras_bert.models  # noqa: F401  registers the classes

    model = keras.saving.load_model(path, compile=False)

    def run(inputs: Batch) -> dict[str, np.ndarray]:
        outputs = model.predict(dict(inputs), verbose=0)
        return outputs if isinstance(outputs, dict) else {"logits": outputs}

    return Session(run, (None, None))


def main(directory: str, precision: str, threads: str, work: str, out: str) -> None:
    """Measures one model and prints the results.

    Args:
        directory: of the model, or the path of a `.keras` file.
        precision: to compute in.
        threads: number of threads.
        work: file of batches.
        out: file for the outputs.
    """
    if directory.endswith(".keras"):
        session = _keras(Path(directory))
    else:
        session = load(directory, threads=int(threads), precision=precision)
    parts = load_batches(Path(work))
    outputs = [session(batch) for batch in parts["probe"]]
    save_batches(Path(out), {"probe": outputs})
    figures = measure(session, parts["batches"], parts["rows"])
    print(json.dumps({**figures, "memory": peak_memory()}))


def peak_memory() -> int:
    """Returns the peak memory of this process, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux rusage includes what the parent held
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main(*sys.argv[1:])
