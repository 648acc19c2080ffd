"""Measures a model on every runtime: latency, throughput, memory, difference."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm.auto import tqdm

from keras_bert.errors import KerasBertError, check_counts
from keras_bert.extras import EXTRAS, installed
from keras_bert.features import SERVED_INPUTS
from keras_bert.models import PreTrainedModel
from keras_bert.serving.graph.embeddings import with_embeddings
from keras_bert.serving.runtimes.exporting import (
    Batch,
    difference,
    export,
    own_outputs,
)
from keras_bert.serving.runtimes.measuring import load_batches, save_batches
from keras_bert.serving.runtimes.policies import in_policy

CALIBRATION_BATCHES, PROBES, SINGLE_ROWS = 8, 4, 32


class Work(NamedTuple):
    """The workload.

    Attributes:
        batches: inputs of mixed lengths, not sorted.
        longest: tokens of the longest row.
    """

    batches: list[Batch]
    longest: int

    @classmethod
    def of_rows(cls, rows: Sequence[Sequence[int]], batch_size: int) -> "Work":
        """Pads rows of ids into batches, each as wide as its longest row."""
        check_counts(rows=len(rows), batch_size=batch_size)
        parts = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
        return cls([padded(part) for part in parts], max(map(len, rows)))

    def rows(self, count: int, width: int | None = None) -> list[Batch]:
        """Returns single rows without padding, or padded to a width."""
        found = []
        for batch in self.batches:
            for ids, mask in zip(
                batch["input_ids"], batch["attention_mask"], strict=True
            ):
                found.append(padded([ids[mask > 0]], width))
        return found[:count]


def padded(rows: Sequence[Sequence[int]], width: int | None = None) -> dict:
    """Returns rows of ids as a batch.

    Args:
        rows: ids of tokens.
        width: to pad to; None pads to the longest row.

    Example:
        >>> padded([[5, 6], [7]])["attention_mask"].tolist()
        [[1, 1], [1, 0]]
    """
    width = width or max(map(len, rows))
    ids = np.zeros((len(rows), width), np.int32)
    mask = np.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
        mask[number, : len(row)] = 1
    return dict(zip(SERVED_INPUTS, (ids, mask, np.zeros_like(ids)), strict=True))


def random_rows(
    count: int, vocab_size: int, median: int = 40, longest: int = 128, seed: int = 0
) -> list[list[int]]:
    """Draws rows of random ids, with the lengths of short texts.

    Args:
        count: number of rows.
        vocab_size: upper bound of ids.
        median: of the lengths, which are lognormal.
        longest: maximum of the lengths.
        seed: of the draws.
    """
    check_counts(count=count, median=median, longest=longest)
    rng = np.random.default_rng(seed)
    lengths = np.clip(np.round(rng.lognormal(np.log(median), 0.6, count)), 4, longest)
    return [
        rng.integers(1, vocab_size, size=int(length)).tolist() for length in lengths
    ]


# === Runtimes and precisions ===


class Variant(NamedTuple):
    """A runtime and a precision.

    Attributes:
        runtime: its name.
        precision: as shown in the table.
        prepare: exports the model to a directory and returns the path to run.
        computed: the precision to ask the runtime for.
        needs: modules that must be installed.
    """

    runtime: str
    precision: str
    prepare: Callable[[PreTrainedModel, Path, Work], Path]
    computed: str = "float32"
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.runtime} {self.precision}"

    @property
    def missing(self) -> list[str]:
        """Extras that are not installed and that it needs."""
        return sorted({EXTRAS[m][0] for m in self.needs if not installed(m)})


def _saved_model(policy: str) -> Callable:
    def prepare(model: PreTrainedModel, path: Path, work: Work) -> Path:
        from keras_bert.serving.export import export as export_saved_model

        return export_saved_model(in_policy(model, policy), path)

    return prepare


def _keras_file(model: PreTrainedModel, path: Path, work: Work) -> Path:
    path.mkdir(parents=True)
    model.save(path / "model.keras")
    return path / "model.keras"


def _exported(format: str, precision: str = "float32") -> Callable:
    def prepare(model: PreTrainedModel, path: Path, work: Work) -> Path:
        calibration = work.batches[:CALIBRATION_BATCHES] if precision == "int8" else ()
        length = work.longest if format == "litert" else None
        return export(
            model,
            path,
            format,
            precision=precision,
            calibration=calibration,
            length=length,
        )

    return prepare


_ONNX, _OPENVINO = ("onnx", "onnxruntime"), ("onnx", "openvino")
VARIANTS = (
    Variant("Keras predict", "float32", _keras_file),
    Variant("SavedModel", "float32", _saved_model("float32")),
    Variant("SavedModel", "bfloat16", _saved_model("mixed_bfloat16")),
    Variant("ONNX Runtime", "float32", _exported("onnx"), needs=_ONNX),
    Variant(
        "ONNX Runtime",
        "int8 dynamic",
        _exported("onnx", "int8_dynamic"),
        needs=_ONNX,
    ),
    Variant("ONNX Runtime", "int8", _exported("onnx", "int8"), needs=_ONNX),
    Variant("OpenVINO", "float32", _exported("openvino"), needs=_OPENVINO),
    Variant("OpenVINO", "bfloat16", _exported("openvino"), "bfloat16", needs=_OPENVINO),
    Variant(
        "OpenVINO",
        "int8 weights",
        _exported("openvino", "int8_weights"),
        needs=(*_OPENVINO, "nncf"),
    ),
    Variant(
        "OpenVINO",
        "int8",
        _exported("openvino", "int8"),
        needs=(*_OPENVINO, "nncf"),
    ),
    Variant("LiteRT", "float32", _exported("litert"), needs=("ai_edge_litert",)),
)


# === Measuring ===


def benchmark(
    model: PreTrainedModel,
    work: Work,
    folder: Path,
    variants: Sequence[Variant] = VARIANTS,
    threads: int = 1,
) -> Iterator[dict]:
    """Measures a model on runtimes, one after another, each in its own process.

    Args:
        model: any model that takes rows, in float32.
        work: the workload.
        folder: an empty directory for the exported models.
        variants: what to measure; everything they need must be installed.
        threads: number of threads of each.

    Yields:
        For every variant a dict with `runtime`, `precision`, and either `p50_ms`,
        `p95_ms`, `p99_ms` of one row, `tokens_per_s`, `tokens_per_cpu_s`, `memory` in
        bytes at its peak, `size` in bytes on disk and `difference`, the largest to
        the Keras model; or `error`.

    Raises:
        ConfigError: the number of threads is below 1.
    """
    check_counts(threads=threads)
    model = with_embeddings(model)  # what is exported
    probes = work.rows(PROBES, work.longest)
    parts = {
        "batches": work.batches,
        "rows": work.rows(SINGLE_ROWS),
        "probe": probes,
    }
    save_batches(folder / "work.npz", parts)
    expected = [own_outputs(model, probe) for probe in probes]
    for number, variant in enumerate(tqdm(variants, unit="runtime", leave=False)):
        told = {"runtime": variant.runtime, "precision": variant.precision}
        place = folder / str(number)
        try:
            path = variant.prepare(model, place, work)
            figures = _in_own_process(variant, path, folder, threads)
        except KerasBertError as error:
            yield {**told, "error": str(error)}
            continue
        outputs = load_batches(folder / "outputs.npz")["probe"]
        apart = [
            difference(one, other, probe["attention_mask"])
            for one, other, probe in zip(outputs, expected, probes, strict=True)
        ]
        yield {**told, **figures, "size": _size(place), "difference": max(apart)}


def _in_own_process(variant: Variant, path: Path, folder: Path, threads: int) -> dict:
    module = "keras_bert.serving.runtimes.measuring"
    work, out = folder / "work.npz", folder / "outputs.npz"
    command = [sys.executable, "-m", module, path, variant.computed, threads, work, out]
    done = subprocess.run(
        list(map(str, command)),
        env={**os.environ, **_environment(threads)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise KerasBertError(f"Its process ended with {done.returncode}: {last}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def _environment(threads: int) -> dict[str, str]:
    counted = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    root = str(Path(__file__).resolve().parents[3])
    python_path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return {
        **dict.fromkeys(counted, str(threads)),
        "KERAS_BACKEND": "tensorflow",
        "PYTHONPATH": python_path,
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
