"""Optional dependencies, each imported where it is used."""

import importlib
import importlib.util
from types import ModuleType

from keras_bert.errors import MissingExtraError

# Top-level module -> the extra that installs it, and what it is needed for.
EXTRAS = {
    "torch": ("torch", "PyTorch's files of weights"),
    "tensorflow_text": ("text", "text in a TensorFlow graph"),
    "flatbuffers": ("text", "text in a TensorFlow graph"),
    "matplotlib": ("plot", "figures"),
    "pyarrow": ("parquet", "tables in Parquet"),
    "sklearn": ("metrics", "metrics of tasks"),
    "tensorflow_datasets": ("datasets", "corpora by name"),
    "jieba": ("chinese", "whole-word masking of Chinese text"),
    "apache_beam": ("beam", "Beam pipelines and remote files"),
    "grpc": ("grpc", "gRPC"),
    "onnx": ("onnx", "ONNX files"),
    "onnxruntime": ("onnx", "running and quantizing ONNX files"),
    "openvino": ("openvino", "OpenVINO files"),
    "nncf": ("openvino", "eight bits in OpenVINO files"),
    "ai_edge_litert": ("litert", "running LiteRT files"),
}


def require(module: str) -> ModuleType:
    """Imports a module that an extra installs.

    Args:
        module: its name, perhaps of a submodule: "matplotlib.figure".

    Raises:
        MissingExtraError: it cannot be imported; the message names the extra.

    Example:
        >>> require("matplotlib.figure").__name__  # doctest: +SKIP
        'matplotlib.figure'
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        extra, purpose = EXTRAS[package]
        raise MissingExtraError(
            f"Expected {package}, needed for {purpose}. Received: {error}. Install it "
            f"with `pip install 'bert-for-keras[{extra}]'`."
        ) from error


def installed(module: str) -> bool:
    """Tells whether a top-level module is installed, without importing it."""
    return importlib.util.find_spec(module) is not None
