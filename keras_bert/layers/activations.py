"""Activations by the names of `hidden_act`, in forms every runtime has."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

import keras
from keras import ops

from keras_bert.config import ACTIVATIONS
from keras_bert.layers.fused import gelu, gelu_new

Tensor = Any
Function = Callable[[Tensor], Tensor]

FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "gelu": gelu,
        "gelu_new": gelu_new,
        "relu": ops.relu,
        "silu": ops.silu,
        "tanh": ops.tanh,
        "linear": keras.activations.linear,
    }
)
_functions: ContextVar[Mapping[str, Function]] = ContextVar("functions")


def get(name: str) -> Function:
    """Returns the activation a config's `hidden_act` names."""
    name = ACTIVATIONS[name]
    return lambda x: _functions.get(FUNCTIONS)[name](x)


@contextlib.contextmanager
def forms(**functions: Function) -> Iterator[None]:
    """Computes activations in other forms, which a runtime recognizes.

    Args:
        **functions: by the canonical names of activations.

    Example:
        >>> with forms(relu=lambda x: x * 0):
        ...     int(get("relu")(ops.ones(())))
        0
    """
    token = _functions.set({**_functions.get(FUNCTIONS), **functions})
    try:
        yield
    finally:
        _functions.reset(token)
