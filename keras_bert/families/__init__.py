"""The families as data: weight rows, model classes, axis sizes. No code to run.

A family is a module with `PARTS`, `HEADS`, `sizes(config)` and `body(config)`.
"""

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from keras_bert.config import Config
from keras_bert.errors import choose

FAMILIES = {"bert": "BertConfig"}


def of(config: Config) -> ModuleType:
    """Returns the family a config belongs to.

    Args:
        config: a family's config.

    Raises:
        UnknownNameError: the config's `model_type` names no family.

    Example:
        >>> of(read_config({"model_type": "bert"})).__name__
        'keras_bert.families.bert'
    """
    name = choose("model type", config.model_type, FAMILIES)
    return importlib.import_module(f"keras_bert.families.{name}")


def read_config(values: Mapping[str, Any]) -> Config:
    """Reads the keys of a `config.json`, or of a `bert_config.json`.

    Args:
        values: with `model_type`; BERT's where there is none.

    Raises:
        UnknownNameError: `model_type` names no family.
        ConfigError: a value is wrong.
    """
    name = choose("model type", values.get("model_type", "bert"), FAMILIES)
    module = importlib.import_module(f"keras_bert.families.{name}")
    return getattr(module, FAMILIES[name]).from_dict(values)
