"""Estimates of the memory and time of a run, before it starts."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_bert.config import Config
from keras_bert.models import PreTrainedModel
from keras_bert.optimizers import scale_float16
from keras_bert.training.distribution import distribution
from keras_bert.training.plan import Plan
from keras_bert.training.step import BatchLoss

# Fitted to the memory of processes that train on TensorFlow and two CPU cores, from
# tiny to base, 2 to 256 rows of 128 or 512 tokens, with and without microbatches.
# Copies of the weights: the weights, two optimizer slots, the gradient, and temporary
# values of clipping and updating.
_COPIES = 5.3
# Values stored for the backward pass, per token and layer: multiples of the width, the
# feed-forward width, and the attention probabilities; and copies of the logits.
_WIDTHS, _MLP_WIDTHS, _PROBABILITIES, _LOGITS = 7.5, 3.2, 1.1, 8
_LIBRARY = 70e6  # memory that compiling a step leaves allocated
MARGIN = 0.3  # error of the estimate; the fit was within 24 %

PROBE_STEPS, PROBE_ROWS = 3, 8


def state_bytes(parameters: int) -> float:
    """Estimates the memory of weights, optimizer and gradients, in bytes.

    Args:
        parameters: number of parameters of the model.
    """
    return 4.0 * _COPIES * parameters


def activation_bytes(
    config: Config,
    rows: int,
    seq: int,
    predictions: int,
    size: int = 4,
    activation_checkpointing: bool = False,
) -> float:
    """Estimates the memory of the activations that the backward pass needs, in bytes.

    Args:
        config: of the model.
        rows: computed at once: those of a microbatch on one device.
        seq: tokens per row.
        predictions: masked positions per row.
        size: bytes per number: 4, or 2 under a 16-bit policy. Logits have 4.
        activation_checkpointing: of all layers but one only the inputs are stored.
    """
    token = (
        _WIDTHS * config.hidden_size
        + _MLP_WIDTHS * config.intermediate_size
        + _PROBABILITIES * config.num_attention_heads * seq
    )
    count = len(config.block_numbers)
    layers = count * token
    if activation_checkpointing:
        layers = count * config.hidden_size + token
    layers *= size * seq
    logits = 4 * _LOGITS * predictions * config.vocab_size
    return rows * (layers + logits)


def training_bytes(parameters: int, *activations: Any, **options: Any) -> float:
    """Estimates the memory that training adds to a process, in bytes.

    Args:
        parameters: number of parameters of the model.
        *activations, **options: arguments of `activation_bytes`.

    Example:
        >>> from keras_bert import BertConfig
        >>> config = BertConfig.preset("tiny")
        >>> round(training_bytes(4_433_468, config, 64, 128, 20) / 1e6)
        1603
    """
    return (
        _LIBRARY + state_bytes(parameters) + activation_bytes(*activations, **options)
    )


def process_bytes() -> int:
    """Returns the resident memory of this process, or 0 if it is unknown."""
    counts = _lines_of("/proc/self/statm")
    return int(counts[0].split()[1]) * os.sysconf("SC_PAGE_SIZE") if counts else 0


def free_bytes() -> int | None:
    """Returns the memory available to a run in bytes, or None if it is unknown.

    On CPUs it is what the machine and the container have left, on other devices of JAX
    what they report; TensorFlow does not report it.
    """
    if keras.backend.backend() == "jax":
        import jax

        if stats := jax.local_devices()[0].memory_stats():
            return stats["bytes_limit"] - stats["bytes_in_use"]
    if keras.backend.backend() == "tensorflow" and _on_accelerator():
        return None
    free = [f() for f in (_free_in_machine, _free_in_container)]
    return min((f for f in free if f is not None), default=None)


def _on_accelerator() -> bool:
    import tensorflow as tf

    return any(d.device_type != "CPU" for d in tf.config.list_logical_devices())


def _free_in_machine() -> int | None:
    found = _lines_of("/proc/meminfo")
    sizes = [line.split()[1] for line in found if line.startswith("MemAvailable:")]
    return int(sizes[0]) * 1024 if sizes else None


def _free_in_container() -> int | None:
    """Memory left under the limit of control groups; cached files can be evicted."""
    (limit,) = _lines_of("/sys/fs/cgroup/memory.max") or ["max"]
    if not limit.isdecimal():
        return None
    (used,) = _lines_of("/sys/fs/cgroup/memory.current")
    stat = dict(map(str.split, _lines_of("/sys/fs/cgroup/memory.stat")))
    return int(limit) - int(used) + int(stat.get("inactive_file", 0))


def _lines_of(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="ascii").splitlines()
    except OSError:
        return []


class _RepeatedBatch:
    """Batches by number that all have the same rows."""

    def __init__(self, batch: tuple, rows: int) -> None:
        self.batch_size = rows
        self._batch = batch

    def __call__(self, step: int, rows: slice = slice(None)) -> tuple:
        def take(x: Any) -> Any:
            wanted = np.arange(self.batch_size)[rows] % len(x)
            return np.asarray(x)[wanted]

        return keras.tree.map_structure(take, self._batch)

    def __len__(self) -> int:
        return PROBE_STEPS


def measured_step_seconds(
    make_model: Callable[[], PreTrainedModel],
    plan: Plan,
    batch: tuple,
    batch_size: int,
) -> float:
    """Estimates the seconds per step by timing a few small steps of another model.

    The fastest step after the first, which compiles, is scaled by the number of rows.
    The estimate is thus for a machine that runs nothing else.

    Args:
        make_model: makes the model, which is discarded afterwards.
        plan: of the run.
        batch: arrays `(features, labels[, weights])`, some rows of the data.
        batch_size: rows per step of the run.
    """
    devices = distribution(plan.distribution, plan.model_shards)
    with devices.scope():
        model = make_model()
    model.encoder.activation_checkpointing = plan.activation_checkpointing
    once = replace(plan, gradient_accumulation_steps=1)
    optimizer = scale_float16(once.optimizer_for(model.config), model.dtype_policy)
    batch_loss = BatchLoss(model, **plan.loss_options)
    steps = devices.steps(batch_loss, optimizer, 1)
    replicas = devices.replicas
    most = batch_size // plan.gradient_accumulation_steps // replicas
    rows = replicas * max(1, min(PROBE_ROWS, most))
    placed = steps.feed(_RepeatedBatch(batch, rows), 0, PROBE_STEPS)
    _, *times = [_seconds(steps.train, batch) for batch in placed]
    return min(times) * batch_size / rows


def _seconds(train: Callable[[tuple], Mapping], batch: tuple) -> float:
    began = time.perf_counter()
    float(train(batch)["loss"][0])  # waits for it
    return time.perf_counter() - began
