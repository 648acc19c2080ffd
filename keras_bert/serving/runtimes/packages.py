"""Packages of other runtimes, imported when needed."""

import importlib
import importlib.util
import sys
from types import ModuleType

from keras_bert.errors import MissingExtraError

# Module -> the extra of this package that installs it.
EXTRAS = {
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "openvino": "openvino",
    "nncf": "openvino",
    "ai_edge_litert": "litert",
}


def require(module: str) -> ModuleType:
    """Imports an optional module.

    Args:
        module: its name, perhaps with a submodule: "onnxruntime.quantization".

    Raises:
        MissingExtraError: it is not installed; the message says what to install.

    Example:
        >>> require("onnx").__name__  # doctest: +SKIP
        'onnx'
    """
    package = module.split(".")[0]
    if not installed(package):
        raise MissingExtraError(
            f"Expected {package}, which is not installed. Install it with "
            f"`pip install 'bert-for-keras[{EXTRAS[package]}]'`."
        )
    # OpenVINO and NNCF report their usage to their vendor with it, and work without
    # it.
    sys.modules.setdefault("openvino_telemetry", None)
    return importlib.import_module(module)


def installed(package: str) -> bool:
    """Tells whether a package is installed, without importing it."""
    return importlib.util.find_spec(package) is not None
