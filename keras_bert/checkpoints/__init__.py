"""Checkpoints: reading, writing, converting and describing them, without Keras."""

import importlib

_PUBLIC = {"convert": "conversion", "inspect": "inspection", "read": "formats"}
__all__ = [*_PUBLIC]


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(
            f"module 'keras_bert.checkpoints' has no attribute {name!r}"
        )
    module = importlib.import_module(f"keras_bert.checkpoints.{_PUBLIC[name]}")
    value = getattr(module, name)
    globals()[name] = value
    return value
