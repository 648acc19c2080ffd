"""Runs exported models: one call for every runtime."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_bert.errors import MissingFileError, check_counts, choose
from keras_bert.extras import require
from keras_bert.features import SERVED_INPUTS

Batch = Mapping[str, np.ndarray]
HINTS = {"float32": "f32", "bfloat16": "bf16"}  # of OpenVINO
Function = Callable[[Batch], dict[str, np.ndarray]]


class Session(NamedTuple):
    """A loaded model.

    Attributes:
        run: computes outputs from inputs, both by name.
        shape: of the inputs; None where any size is taken.
    """

    run: Function
    shape: tuple[int | None, ...]

    def __call__(self, inputs: Batch) -> dict[str, np.ndarray]:
        """Computes the outputs.

        Args:
            inputs: `input_ids`, `attention_mask` and `token_type_ids`, integers of
                `shape`.
        """
        return self.run({k: np.asarray(inputs[k], np.int32) for k in SERVED_INPUTS})


def load(
    directory: str | Path, *, threads: int | None = None, precision: str = "float32"
) -> Session:
    """Loads a model that `export` wrote, or the ids signature of a SavedModel.

    Args:
        directory: holds `model.onnx`, `model.xml`, `model.tflite` or `saved_model.pb`.
        threads: number of threads; None leaves it to the runtime.
        precision: "bfloat16" lets OpenVINO compute in it, where the CPU can; other
            runtimes compute in the precision of the file.

    Raises:
        ConfigError: the number of threads is below 1.
        MissingFileError: the directory holds no such file.
        UnknownNameError: the precision is unknown.
        MissingExtraError: the runtime is not installed.

    Example:
        >>> load("saved/onnx")(tokenizer(["What a film."]))  # doctest: +SKIP
        {'logits': array([[-1.9,  2.1]], dtype=float32)}
    """
    check_counts(threads=1 if threads is None else threads)
    for name, open_file in RUNTIMES.items():
        path = Path(directory) / name
        if path.exists():
            return open_file(path, threads, precision)
    raise MissingFileError(
        f"Expected one of {', '.join(RUNTIMES)} in {directory}; none is there."
    )


def _onnx_runtime(path: Path, threads: int | None, precision: str) -> Session:
    runtime = require("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = threads or 0
    session = runtime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Batch) -> dict[str, np.ndarray]:
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    return Session(run, _free(len(session.get_inputs()[0].shape)))


def _openvino(path: Path, threads: int | None, precision: str) -> Session:
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": HINTS[choose("precision", precision, HINTS)],
        **({"INFERENCE_NUM_THREADS": threads} if threads else {}),
    }
    compiled = require("openvino").Core().compile_model(str(path), "CPU", settings)
    request = compiled.create_infer_request()

    def run(inputs: Batch) -> dict[str, np.ndarray]:
        request.infer(dict(inputs))
        return {
            output.any_name: np.array(request.get_tensor(output).data)
            for output in compiled.outputs
        }

    return Session(run, _free(len(compiled.inputs[0].partial_shape)))


def _litert(path: Path, threads: int | None, precision: str) -> Session:
    interpreter = require("ai_edge_litert.interpreter").Interpreter(
        model_path=str(path), num_threads=threads
    )
    signature = interpreter.get_signature_runner()
    shape = tuple(signature.get_input_details()[SERVED_INPUTS[0]]["shape"].tolist())
    return Session(lambda inputs: signature(**inputs), shape)


def _saved_model(path: Path, threads: int | None, precision: str) -> Session:
    # TensorFlow reads the number of threads from the environment, when it starts.
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  registers the operations of text signatures

    signature = tf.saved_model.load(str(path.parent)).signatures["serve_ids"]

    def run(inputs: Batch) -> dict[str, np.ndarray]:
        outputs = signature(**{name: tf.constant(x) for name, x in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}

    rank = len(signature.structured_input_signature[1][SERVED_INPUTS[0]].shape)
    return Session(run, _free(rank))


def _free(rank: int) -> tuple[None, ...]:
    return (None,) * rank


RUNTIMES: dict[str, Callable[[Path, int | None, str], Any]] = {
    "model.onnx": _onnx_runtime,
    "model.xml": _openvino,
    "model.tflite": _litert,
    "saved_model.pb": _saved_model,
}
