"""Tokenizers on the host and in a TensorFlow graph, and vocabulary training."""

import importlib
from typing import Any

from keras_bert.tokenization.tokenizer import BertTokenizer

# These import TensorFlow, which the others do not need.
_IN_GRAPH = {"BertTokenizerLayer": "layer", "InGraphTokenizer": "in_graph"}

__all__ = ["BertTokenizer", *_IN_GRAPH]


def __getattr__(name: str) -> Any:
    if name not in _IN_GRAPH:
        raise AttributeError(f"module 'keras_bert.tokenization' has no {name!r}")
    module = importlib.import_module(f"keras_bert.tokenization.{_IN_GRAPH[name]}")
    return getattr(module, name)
