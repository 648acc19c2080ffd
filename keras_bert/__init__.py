"""BERT for Keras 3 and TensorFlow: pretrain, fine-tune, convert and serve.

Names are loaded when first used, so that converting a checkpoint never waits
for Keras and tokenizing never waits for TensorFlow.
"""

import importlib
from typing import Any

from keras_bert.config import Config
from keras_bert.families import FAMILIES
from keras_bert.version import __version__

# The module of every public name.
_PUBLIC = {
    **{f.config.__name__: f.config.__module__ for f in FAMILIES.values()},
    **{name: "keras_bert.models" for f in FAMILIES.values() for name in f.models},
    "BertTokenizer": "keras_bert.tokenization",
    "BertTokenizerLayer": "keras_bert.tokenization",
    "KerasBertError": "keras_bert.errors",
    "SentenceEncoder": "keras_bert.models",
    "SentenceRecipe": "keras_bert.sentence_recipe",
}

__all__ = ["__version__", *_PUBLIC]


def _read_config(*args: Any, **options: Any) -> Config:
    from keras_bert.loading import read_config

    return read_config(*args, **options)


Config._reader = _read_config


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise importlib.import_module("keras_bert.foreign_names").refusal(name)
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
