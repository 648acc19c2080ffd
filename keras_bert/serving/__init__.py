"""Serving: export, a client, and a local server for development."""

from typing import Any

from keras_bert.serving.client import Client

__all__ = ["Client", "Server"]


def __getattr__(name: str) -> Any:
    if name == "Server":  # imports TensorFlow, which a client does not need
        from keras_bert.serving.server import Server

        return Server
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
