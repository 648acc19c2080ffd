"""Activations by the names of `hidden_act`, in forms every runtime has."""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_bert.config import ACTIVATIONS

Tensor = Any


def gelu(x: Tensor) -> Tensor:
    """Exact gelu, `x * Phi(x)`, by erf.

    Keras' own writes it with erfc, which ONNX Runtime does not know.

    Source: Hendrycks & Gimpel 2016 (arXiv:1606.08415) section 2.
    """
    return 0.5 * x * (1.0 + ops.erf(x * math.sqrt(0.5)))


def gelu_new(x: Tensor) -> Tensor:
    """The tanh form of gelu, at most 4.8e-4 from the exact one.

    The cube is two products: a power is several times slower on CPU.

    Source: `gelu` in Google's `modeling.py`.
    """
    cubic = x * (1.0 + 0.044715 * x * x)
    return 0.5 * x * (1.0 + ops.tanh(math.sqrt(2.0 / math.pi) * cubic))


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
