"""Tokenizers on the host and in a TensorFlow graph, and vocabulary training."""

import importlib
from typing import Any

from keras_bert import families
from keras_bert.config import Config
from keras_bert.errors import InputError
from keras_bert.tokenization.tokenizer import BertTokenizer

# These import TensorFlow, which the others do not need.
_IN_GRAPH = {"BertTokenizerLayer": "layer", "InGraphTokenizer": "in_graph"}

# The tokenizers there are, by what families call them.
TOKENIZERS = {"wordpiece": BertTokenizer}

__all__ = ["TOKENIZERS", "BertTokenizer", "tokenizer_class", *_IN_GRAPH]


def tokenizer_class(config: Config) -> type[BertTokenizer]:
    """Returns the class of the tokenizer that a model takes its ids from.

    Args:
        config: the model's config.

    Raises:
        InputError: this package has no such tokenizer.

    Example:
        >>> tokenizer_class(families.of("distilbert").config()).__name__
        'BertTokenizer'
    """
    kind = families.of(config).tokenizer
    if kind not in TOKENIZERS:
        raise InputError(
            f"Expected a model with a tokenizer of this package: "
            f"{', '.join(TOKENIZERS)}. Received: a {config.model_type!r} model, with "
            f"{kind}. Tokenize with transformers' AutoTokenizer, and give the model "
            "ids."
        )
    return TOKENIZERS[kind]


def __getattr__(name: str) -> Any:
    if name not in _IN_GRAPH:
        raise AttributeError(f"module 'keras_bert.tokenization' has no {name!r}")
    module = importlib.import_module(f"keras_bert.tokenization.{_IN_GRAPH[name]}")
    return getattr(module, name)
