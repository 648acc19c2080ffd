"""Activations by the names of `hidden_act`, in forms every runtime has."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_bert.config import ACTIVATIONS
from keras_bert.layers.fused import gelu, gelu_new

Tensor = Any


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": gelu,
    "gelu_new": gelu_new,
    "relu": ops.relu,
    "silu": ops.silu,
    "tanh": ops.tanh,
    "linear": keras.activations.linear,
}


def get(name: str) -> Callable[[Tensor], Tensor]:
    """Returns the activation a config's `hidden_act` names."""
    return FUNCTIONS[ACTIVATIONS[name]]
