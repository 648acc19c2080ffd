"""Exports a model for another runtime: checked first, complete or not at all."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from keras_bert.atomic_files import locked_output, settle_all, whole_directory
from keras_bert.config import Config
from keras_bert.errors import (
    CheckpointError,
    ConfigError,
    ExistingOutputError,
    InputError,
    choose,
)
from keras_bert.extras import require
from keras_bert.features import SERVED_INPUTS
from keras_bert.models import PreTrainedModel
from keras_bert.serving.graph.embeddings import with_embeddings
from keras_bert.serving.runtimes import quantizing
from keras_bert.serving.runtimes.running import load
from keras_bert.tokenization import BertTokenizer

Batch = Mapping[str, np.ndarray]

# The largest difference of outputs to the model's own, float32.
TOLERANCE = 1e-5


class Settings(NamedTuple):
    """Options of a writer.

    Attributes:
        precision: see `FORMATS`.
        calibration: batches of inputs.
        length: tokens of a row, where the format has a fixed length.
    """

    precision: str
    calibration: list[Batch]
    length: int


class Format(NamedTuple):
    """A format models are exported to.

    Attributes:
        write: takes the model, a directory and the settings.
        precisions: how weights can be stored; the first is the default.
        versioned: the directory holds numbered versions, as model servers expect.
        fixed: rows have a fixed length.
    """

    write: Callable[[PreTrainedModel, Path, Settings], None]
    precisions: tuple[str, ...]
    versioned: bool = False
    fixed: bool = False


def export(
    model: PreTrainedModel,
    directory: str | Path,
    format: str,
    tokenizer: BertTokenizer | None = None,
    *,
    precision: str = "float32",
    calibration: Iterable[Batch] = (),
    length: int | None = None,
    labels: Sequence[str] | None = None,
    embeddings: str | None = None,
    normalize: bool = False,
    overwrite: bool = False,
) -> Path:
    """Exports a model for another runtime.

    In float32 the exported model is run on rows of several lengths; unless it equals
    `model` to 1e-5, nothing is written.

    Args:
        model: any model of this package.
        directory: to write; for OpenVINO a version below it, numbered like those of
            a SavedModel.
        format: "onnx" (`model.onnx`), "openvino" (`1/model.xml`, as OpenVINO Model
            Server expects it) or "litert" (`model.tflite`).
        tokenizer: saved with the model.
        precision: "float32"; for ONNX also "int8_dynamic" and, calibrated, "int8";
            for OpenVINO "int8_weights" and, calibrated, "int8".
        calibration: batches of typical inputs, for precision "int8".
        length: tokens of a row for LiteRT, which takes one row of a fixed length; None
            is the maximum length of the model.
        labels: names of the classes, for `config.json`; None takes the config's.
        embeddings, normalize: answer with one vector per row, as for a SavedModel; see
            `keras_bert.serving.graph.servable.Servable`.
        overwrite: replace an existing directory; versions are never replaced.

    Returns:
        The directory that holds the model's file.

    Raises:
        MissingExtraError: the format's package is not installed.
        ConfigError: the model cannot be exported to this format.
        InputError: precision is "int8" and `calibration` is empty.
        ExistingOutputError: the directory holds files.
        CheckpointError: the outputs of the exported model are not those of the model.

    Example:
        >>> import keras_bert, tempfile
        >>> config = keras_bert.BertConfig.preset("tiny", vocab_size=7)
        >>> model = keras_bert.BertModel(config)
        >>> path = export(model, tempfile.mkdtemp(), "onnx", overwrite=True)
        >>> sorted(file.name for file in path.iterdir())
        ['config.json', 'model.onnx']
    """
    form = FORMATS[choose("format", format, FORMATS)]
    choose(f"precision of {format}", precision, form.precisions)
    settings = Settings(
        precision, list(calibration), _length(form, length, model.config)
    )
    if precision == "int8" and not settings.calibration:
        raise InputError(
            "Expected batches to calibrate precision='int8'. Received: none. Pass a "
            "few hundred typical rows, or choose a precision that needs no calibration."
        )
    model = with_embeddings(model, embeddings, normalize)
    config = _labeled(model.config, labels)
    directory = Path(directory)
    with locked_output(directory):
        settle_all(directory)
        target = _target(directory, form, overwrite)
        with whole_directory(target, replace=overwrite) as partial:
            form.write(model, partial, settings)
            if precision == "float32":
                check(model, partial, settings.length if form.fixed else None)
            _write_config(model, config, partial / "config.json")
            if tokenizer is not None:
                tokenizer.save_pretrained(partial)
    return target


def check(model: PreTrainedModel, directory: Path, length: int | None = None) -> float:
    """Compares an exported model with the original and returns the largest difference.

    Differences are measured at real tokens, relative to the largest value of an output
    where that is above 1.

    Args:
        model: the original.
        directory: holds the exported model.
        length: tokens of a row, if it is fixed.

    Raises:
        CheckpointError: the difference is above 1e-5.
    """
    inputs = probe(model, length)
    written, expected = load(directory)(inputs), own_outputs(model, inputs)
    worst = difference(written, expected, inputs["attention_mask"])
    if not worst <= TOLERANCE:  # NaN is neither
        raise CheckpointError(
            f"Expected outputs within {TOLERANCE} of the model's own. Received: a "
            f"difference of {worst:.1e}. Nothing is written; please report this."
        )
    return worst


def probe(model: PreTrainedModel, length: int | None = None) -> dict:
    """Returns inputs to compare models with: rows of several lengths, random ids.

    Args:
        model: gives the ranges of ids.
        length: tokens of a single row, or None for several rows.
    """
    config, rng = model.config, np.random.default_rng(0)
    longest = length or min(17, config.max_length)
    counts = np.array(
        [longest - longest // 4] if length else [longest, 1, longest // 2]
    )
    shape = (len(counts), *((2,) if model.choices else ()), longest)
    mask = np.arange(longest) < counts.reshape(-1, *(1,) * (len(shape) - 1))
    mask = np.broadcast_to(mask, shape).astype(np.int32)
    ids = rng.integers(config.vocab_size, size=shape)
    types = rng.integers(max(config.type_vocab_size, 1), size=shape)
    values = (np.where(mask, ids, config.pad_token_id), mask, types * mask)
    return dict(
        zip(SERVED_INPUTS, (np.asarray(v, np.int32) for v in values), strict=True)
    )


def own_outputs(model: PreTrainedModel, inputs: Batch) -> dict[str, np.ndarray]:
    """Returns a model's own outputs, by the names they are served under."""
    outputs = model(dict(inputs), training=False)
    outputs = outputs if isinstance(outputs, dict) else {"logits": outputs}
    flat = {}
    for name, value in outputs.items():
        several = isinstance(value, (tuple, list))
        parts = {f"{name}_{i}": v for i, v in enumerate(value)} if several else {}
        flat |= parts or {name: value}
    return {
        name: np.asarray(keras.ops.convert_to_numpy(value), np.float32)
        for name, value in flat.items()
    }


def difference(one: Batch, other: Batch, attention_mask: np.ndarray) -> float:
    """Returns the largest difference of outputs at real tokens.

    Args:
        one: outputs by name.
        other: the expected ones; differences are relative to their largest value
            where that is above 1.
        attention_mask: of the inputs.
    """
    if set(one) != set(other):
        return float("inf")
    real = np.asarray(attention_mask) > 0
    worst = 0.0
    for name, expected in other.items():
        shape = expected.shape[: real.ndim]
        apart = np.abs(one[name] - expected)
        where = real.reshape(real.shape + (1,) * (apart.ndim - real.ndim))
        apart = np.where(where, apart, 0.0) if shape == real.shape else apart
        worst = max(worst, float(apart.max() / max(1.0, np.abs(expected).max())))
    return worst


# === Writers ===


def _write_onnx(model: PreTrainedModel, path: Path, settings: Settings) -> None:
    require("onnx")
    file = path / "model.onnx"
    if keras.backend.backend() == "tensorflow":
        from keras_bert.serving.runtimes.onnx_export import save_onnx

        save_onnx(model, file)
    else:
        _save_onnx_in_tensorflow(model, file)
    if settings.precision in quantizing.ONNX:
        quantizing.ONNX[settings.precision](file, settings.calibration)


def _save_onnx_in_tensorflow(model: PreTrainedModel, file: Path) -> None:
    """Traces the model in a process of its own, where Keras runs on TensorFlow."""
    module = "keras_bert.serving.runtimes.onnx_export"
    path = os.pathsep.join(filter(None, sys.path))
    environment = {"KERAS_BACKEND": "tensorflow", "PYTHONPATH": path}
    with tempfile.TemporaryDirectory(dir=file.parent) as scratch:
        saved = Path(scratch) / "model.keras"
        model.save(saved)
        done = subprocess.run(
            [sys.executable, "-m", module, str(saved), str(file)],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ConfigError(f"Expected a model that TensorFlow can export. {last}")


def _write_openvino(model: PreTrainedModel, path: Path, settings: Settings) -> None:
    openvino = require("openvino")
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        _write_onnx(model, Path(scratch), settings._replace(precision="float32"))
        graph = openvino.convert_model(Path(scratch) / "model.onnx")
        if settings.precision in quantizing.OPENVINO:
            quantize = quantizing.OPENVINO[settings.precision]
            graph = quantize(graph, settings.calibration)
        openvino.save_model(graph, path / "model.xml", compress_to_fp16=False)


def _write_litert(model: PreTrainedModel, path: Path, settings: Settings) -> None:
    from keras_bert.serving.runtimes.litert import litert_model

    (path / "model.tflite").write_bytes(litert_model(model, settings.length))


def _write_config(model: PreTrainedModel, config: Config, path: Path) -> None:
    values = {**config.to_dict(), "architectures": [model.architecture]}
    text = json.dumps(values, indent=2, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")


FORMATS = {
    "onnx": Format(_write_onnx, ("float32", *quantizing.ONNX)),
    "openvino": Format(
        _write_openvino, ("float32", *quantizing.OPENVINO), versioned=True
    ),
    "litert": Format(_write_litert, ("float32",), fixed=True),
}


# === Checks, before anything is written ===


def _target(directory: Path, form: Format, overwrite: bool) -> Path:
    if form.versioned:
        from keras_bert.serving.export import versions

        return directory / str(max(versions(directory), default=0) + 1)
    if not overwrite and directory.exists() and any(directory.iterdir()):
        raise ExistingOutputError(
            f"Expected no directory at {directory}, or an empty one; it holds files. "
            "Choose another one, or pass overwrite=True (--overwrite)."
        )
    return directory


def _labeled(config: Config, labels: Sequence[str] | None) -> Config:
    if labels is None:
        return config
    if len(labels) != config.num_labels:
        raise InputError(
            f"Expected {config.num_labels} labels, as many as the model has classes. "
            f"Received: {len(labels)}: {', '.join(labels)}."
        )
    return config.replace(id2label=dict(enumerate(labels)))


def _length(form: Format, length: int | None, config: Config) -> int:
    limit = config.max_length
    if length is not None and not form.fixed:
        raise ConfigError("Expected no length: this format takes rows of any length.")
    if length is not None and not 1 <= length <= limit:
        raise ConfigError(
            f"Expected a length from 1 to {limit} (max_position_embeddings). "
            f"Received: {length}."
        )
    return length or limit
