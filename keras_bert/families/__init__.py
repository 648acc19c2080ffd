"""The families as data: weight rows, model classes, axis sizes. No code to run.

A family is a module with `PARTS`, `HEADS`, `sizes(config)` and `body(config)`.
"""

import importlib
from types import ModuleType

from keras_bert.config import BertConfig
from keras_bert.errors import choose

FAMILIES = ("bert",)


def of(config: BertConfig) -> ModuleType:
    """Returns the family a config belongs to.

    Args:
        config: a family's config.

    Raises:
        UnknownNameError: the config's `model_type` names no family.

    Example:
        >>> of(BertConfig()).__name__
        'keras_bert.families.bert'
    """
    name = choose("model type", config.model_type, FAMILIES)
    return importlib.import_module(f"keras_bert.families.{name}")
