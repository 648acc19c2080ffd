"""Quantization to eight bits, by the runtimes' own tools."""

import contextlib
import io
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_bert.extras import require
from keras_bert.features import SERVED_INPUTS

Batch = Mapping[str, np.ndarray]


# === ONNX ===


def _onnx_dynamic(file: Path, calibration: list[Batch]) -> None:
    """Weights in int8; activations are quantized as they are computed."""
    with _replaced(file) as (old, new), _quietly("onnxruntime"):
        _tools().quantize_dynamic(
            old, new, op_types_to_quantize=["MatMul", "Gather"], per_channel=True
        )


def _onnx_calibrated(file: Path, calibration: list[Batch]) -> None:
    """Weights and activations of dense layers in int8, at calibrated scales."""
    with _replaced(file) as (old, new), _quietly("onnxruntime"):
        _tools().quantize_static(
            old,
            new,
            _reader(calibration),
            op_types_to_quantize=["Gemm"],
            per_channel=True,
        )


def _tools() -> Any:
    require("onnx")
    return require("onnxruntime.quantization")


def _reader(calibration: list[Batch]) -> Any:
    """Returns the batches as ONNX Runtime reads them."""
    batches = map(_inputs, calibration)

    class Reader(_tools().CalibrationDataReader):
        def get_next(self) -> Batch | None:
            return next(batches, None)

    return Reader()


def _inputs(batch: Batch) -> dict[str, np.ndarray]:
    return {name: np.asarray(batch[name], np.int32) for name in SERVED_INPUTS}


@contextlib.contextmanager
def _replaced(file: Path) -> Iterator[tuple[Path, Path]]:
    """Yields the file and the path to write its replacement to."""
    with tempfile.TemporaryDirectory(dir=file.parent) as scratch:
        new = Path(scratch) / file.name
        yield file, new
        for path in Path(scratch).iterdir():
            os.replace(path, file.with_name(path.name))


# === OpenVINO ===


def _openvino_calibrated(graph: Any, calibration: list[Batch]) -> Any:
    """Matrix products in int8, at calibrated scales."""
    nncf = require("nncf")
    with _quietly("nncf"):
        return nncf.quantize(
            graph,
            nncf.Dataset([_inputs(batch) for batch in calibration]),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(calibration),
        )


def _openvino_weights(graph: Any, calibration: list[Batch]) -> Any:
    """Weights in int8; products are computed as before."""
    nncf = require("nncf")
    with _quietly("nncf"):
        return nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_ASYM)


@contextlib.contextmanager
def _quietly(name: str) -> Iterator[None]:
    """Silences the log messages and progress bars of a tool."""
    logger = logging.getLogger(name)
    level, root = logger.level, logging.getLogger().level
    logger.setLevel(logging.ERROR)
    logging.getLogger().setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
        logging.getLogger().setLevel(root)


# By precision.
ONNX: dict[str, Callable[[Path, list[Batch]], None]] = {
    "int8_dynamic": _onnx_dynamic,
    "int8": _onnx_calibrated,
}
OPENVINO: dict[str, Callable[[Any, list[Batch]], Any]] = {
    "int8_weights": _openvino_weights,
    "int8": _openvino_calibrated,
}
