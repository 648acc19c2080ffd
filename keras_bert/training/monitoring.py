"""Monitoring of a run: its log, TensorBoard, progress, use of the hardware."""

import json
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from keras_bert.atomic_files import new_file
from keras_bert.models import PreTrainedModel

logger = logging.getLogger(__name__)

# === The log ===


def kept_lines(file: Path, last_step: int) -> list[dict]:
    """Reads a log, without the lines of steps that a resumed run repeats.

    Args:
        file: a `metrics.jsonl`; it need not exist, and its last line may be incomplete.
            Other lines that are damaged are left out, with a warning.
        last_step: last step to include.
    """
    texts = file.read_bytes().splitlines() if file.exists() else []
    lines = list(map(_line, texts))
    if None in lines[:-1]:
        logger.warning("%s is damaged: some of its lines are left out.", file)
    return [line for line in lines if line is not None and line["step"] <= last_step]


def _line(text: bytes) -> dict | None:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_line = isinstance(line, dict) and isinstance(line.get("step"), int)
    return line if is_line else None


class Log:
    """Writes lines to `metrics.jsonl` and, if it is installed, to TensorBoard.

    Args:
        folder: the run's directory.
        lines: of the run so far; the file is rewritten with these.
        start: number of completed steps.
    """

    def __init__(self, folder: Path, lines: Sequence[Mapping], start: int) -> None:
        file = folder / "metrics.jsonl"
        with new_file(file, overwrite=True) as partial:
            partial.write_text("".join(json.dumps(line) + "\n" for line in lines))
        self._file = file.open("a", encoding="utf-8")
        self._folder, self._start = folder / "tensorboard", start
        self._events: dict[str, Callable] = {}

    def write(self, line: Mapping) -> None:
        """Appends a line: `step`, `split` and metrics."""
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        split = line["split"]
        if split not in self._events:
            self._events[split] = _events(self._folder / split, self._start)
        self._events[split](line)

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: Any) -> None:
        self._file.close()


def _events(folder: Path, start: int) -> Callable[[Mapping], None]:
    """Returns a function that adds a line to a new event file.

    These modules of TensorBoard do not import TensorFlow.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError:
        return lambda line: None
    folder.mkdir(parents=True, exist_ok=True)
    name = f"events.out.tfevents.{time.time():.6f}.{os.getpid()}"
    writer = RecordWriter((folder / name).open("wb"))

    def add(**what: Any) -> None:
        writer.write(Event(wall_time=time.time(), **what).SerializeToString())
        writer.flush()

    def add_line(line: Mapping) -> None:
        numbers = {k: v for k, v in line.items() if k not in ("step", "split", "time")}
        values = [Summary.Value(tag=k, simple_value=v) for k, v in numbers.items()]
        add(step=line["step"], summary=Summary(value=values))

    add(file_version="brain.Event:2")
    # Steps that an interrupted run logged after its last checkpoint are repeated.
    add(step=start + 1, session_log=SessionLog(status=SessionLog.START))
    return add_line


# === The progress line ===

Forms = Mapping[str, Callable[[float], str]]

_METRICS: Forms = {
    "loss": "loss {:.3f}".format,
    "mlm_accuracy": "mlm {:.1%}".format,
    "nsp_accuracy": "nsp {:.1%}".format,
    "accuracy": "accuracy {:.1%}".format,
    "grad_norm": "norm {:.2f}".format,
    "learning_rate": "lr {:.1e}".format,
    "loss_scale": lambda scale: f"scale 2^{math.log2(scale):.0f}",
    "skipped_steps": "{} skipped".format,
}
_SPEED: Forms = {
    "tokens_per_second": "{:,.0f} tokens/s".format,
    "matmul_share": "{:.0%} of matmul".format,
}
_FILE_WIDTH = 160
# Seconds between lines; a file keeps all of them, a terminal overwrites them.
_INTERVAL = {"terminal": 0.1, "file": 10.0}
# The bar takes the remaining width, and the least important part comes last.
_BAR = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}, {remaining} left{postfix}"


def progress(line: Mapping[str, float], forms: Forms = _METRICS) -> str:
    """Returns the metrics of a line of the log as the progress display shows them.

    Example:
        >>> progress({"loss": 6.25, "mlm_accuracy": 0.125, "learning_rate": 1e-4})
        'loss 6.250, mlm 12.5%, lr 1.0e-04'
    """
    return ", ".join(form(line[name]) for name, form in forms.items() if name in line)


class Progress:
    """Displays the progress of a run: two lines of at most 80 columns on a terminal.

    Elsewhere, as in the log of a cluster, it is one long line.

    Args:
        steps: number of steps of the run.
        start: number of completed steps.
        shown: display it at all.
        file: output stream; None: stderr.
    """

    def __init__(self, steps: int, start: int, shown: bool, file: Any = None) -> None:
        from tqdm import tqdm

        file = sys.stderr if file is None else file
        self._two = file.isatty()
        width = {"dynamic_ncols": True} if self._two else {"ncols": _FILE_WIDTH}
        interval = _INTERVAL["terminal" if self._two else "file"]
        self._bar = tqdm(
            total=steps,
            initial=start,
            unit="step",
            disable=not shown,
            smoothing=0,  # an evaluation must not look like a slow step
            bar_format=_BAR,
            mininterval=interval,
            file=file,
            **width,
        )
        self._below = tqdm(
            bar_format="{desc}", disable=not (shown and self._two), file=file, **width
        )

    def update(self) -> None:
        """Counts a step."""
        self._bar.update()

    def show(self, line: Mapping[str, float]) -> None:
        """Shows the metrics of a line of the log."""
        metrics, speed = progress(line), progress(line, _SPEED)
        if self._two:
            self._below.set_description_str(metrics)
            self._bar.set_postfix_str(speed)
        else:
            self._bar.set_postfix_str(f"{metrics}, {speed}", refresh=False)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: Any) -> None:
        self._bar.close()  # first, or the lower line moves up
        self._below.close()


# === Use of the hardware ===


def training_operations(
    model: PreTrainedModel, shapes: Mapping[str, Sequence[int]]
) -> float:
    """Counts the floating-point operations of a training step's matrix products.

    Padding counts, as it is computed; recomputed activations, convolutions and products
    with vectors of distances do not. The backward pass takes twice the operations of
    the forward pass.

    Args:
        model: the model.
        shapes: of the features of a batch.

    Example:
        >>> from keras_bert import BertConfig, BertModel
        >>> config = BertConfig(
        ...     vocab_size=37, hidden_size=8, num_hidden_layers=1,
        ...     num_attention_heads=2, intermediate_size=16)
        >>> model = BertModel(config, add_pooling_layer=False)
        >>> training_operations(model, {"input_ids": (2, 4)})
        27648.0
    """
    c = model.config
    *rows, seq = shapes["input_ids"]
    tokens = float(np.prod(rows)) * seq
    layer = 4 * c.hidden_size**2
    layer += (3 if c.gated else 2) * c.hidden_size * c.intermediate_size
    attention = 2 * seq * c.hidden_size
    products = tokens * len(c.block_numbers) * (layer + attention)
    if "masked_lm" in model.parts_held:
        masked = float(np.prod(shapes.get("masked_lm_positions", (*rows, seq))))
        products += masked * c.embedding_width * (c.hidden_size + c.vocab_size)
    return 3 * 2 * products


def matmul_limit(dtype: str, seconds: float = 0.02) -> float:
    """Measures the speed of a matrix product on one device.

    Args:
        dtype: of the matrices, the compute dtype of the model.
        seconds: about how long a measured product takes; less on a fast device.

    Returns:
        Operations per second, the best of a few products.
    """
    size = 256
    while True:
        matrix = ops.ones((size, size), dtype)
        best = min(_time(matrix) for _ in range(4))
        if best > seconds or size >= 8192:
            return 2.0 * size**3 / best
        size *= 2


def matmul_share(speed: float, limit: float) -> dict[str, float]:
    """Returns the share of the measured limit that a step reaches, for a log line.

    Args:
        speed: operations per second of one device.
        limit: what `matmul_limit` returned.

    Returns:
        `matmul_share`, at most 1. More than that says that the limit was measured while
        the device was busy: then there is no share.

    Example:
        >>> matmul_share(3e9, 4e9), matmul_share(5e9, 4e9)
        ({'matmul_share': 0.75}, {})
    """
    share = speed / limit
    return {"matmul_share": share} if share <= 1 else {}


def _time(matrix: Any) -> float:
    began = time.perf_counter()
    corner = ops.matmul(matrix, matrix)[:1, :1]
    ops.convert_to_numpy(ops.cast(corner, "float32"))  # waits for it
    return time.perf_counter() - began
