"""Serving: export, a client, and a double of TF Serving for development."""

from keras_bert.serving.client import Client

__all__ = ["Client"]
