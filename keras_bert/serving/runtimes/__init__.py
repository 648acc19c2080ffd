"""Export to other runtimes: ONNX Runtime, OpenVINO, LiteRT.

Exported models take `input_ids`, `attention_mask` and `token_type_ids`, int32, and
return what the SavedModel's `serve_ids` does. Vocabulary and config are saved with
them.
A process that only runs a model needs neither Keras nor TensorFlow.
"""

import importlib
import sys

# OpenVINO and NNCF report their usage to their vendor with it, and work without it.
sys.modules.setdefault("openvino_telemetry", None)

_PUBLIC = {
    "FORMATS": "exporting",
    "RUNTIMES": "running",
    "Session": "running",
    "export": "exporting",
    "load": "running",
}

__all__ = [*_PUBLIC]


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
