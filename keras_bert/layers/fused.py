"""Gradients written by hand where those of single operations cost the most.

TensorFlow runs the operations of a graph one by one, so on CPUs a step's time beside
the matrix products is that of passing over memory. Here are those pieces of a BERT
whose gradient needs fewer passes than what automatic differentiation makes of them.
On other backends, which fuse for themselves, they are plain functions.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

Tensor = Any


def by_hand(function: Callable[..., tuple[Tensor, Callable]]) -> Callable[..., Tensor]:
    """Makes a function of one that returns its value and its gradient.

    Args:
        function: returns the value, and a function from the gradient by the value to
            those by all arguments.
    """
    if keras.backend.backend() == "tensorflow":
        differentiated = ops.custom_gradient(function)
    else:
        differentiated = _value_of(function)

    def call(*arguments: Tensor) -> Tensor:
        return differentiated(*arguments)

    made: Any = functools.update_wrapper(call, function)
    del made.__wrapped__  # AutoGraph would call that instead
    made.pair = function
    return made


def _value_of(function: Callable) -> Callable:
    return lambda *arguments: function(*arguments)[0]


@by_hand
def gelu(x: Tensor) -> tuple[Tensor, Callable]:
    """Exact gelu, `x * Phi(x)`, by erf; in float32, which CPUs pass over faster.

    Keras' own writes it with erfc, which ONNX Runtime does not know.

    Source: Hendrycks & Gimpel 2016 (arXiv:1606.08415) section 2.
    """
    wide = ops.cast(x, "float32")
    below = 0.5 * (1.0 + ops.erf(wide * math.sqrt(0.5)))
    density = ops.exp(wide * wide * -0.5) * (1.0 / math.sqrt(2.0 * math.pi))
    slope = ops.cast(below + wide * density, x.dtype)
    return ops.cast(wide * below, x.dtype), lambda upstream: upstream * slope


@by_hand
def gelu_new(x: Tensor) -> tuple[Tensor, Callable]:
    """The tanh form of gelu, at most 4.8e-4 from the exact one; in float32.

    The cube is two products: a power is several times slower on CPU.

    Source: `gelu` in Google's `modeling.py`.
    """
    wide = ops.cast(x, "float32")
    scale, square = math.sqrt(2.0 / math.pi), wide * wide
    # In Google's order: a shorter one that folds `scale` in rounds further from it.
    below = 0.5 * ops.tanh(scale * (wide * (1.0 + 0.044715 * square))) + 0.5
    # 2 below (1 - below) = (1 - tanh²) / 2
    inner = square * (6 * 0.044715 * scale) + 2 * scale
    value = wide * below
    slope = ops.cast(below + (value - value * below) * inner, x.dtype)
    return ops.cast(value, x.dtype), lambda upstream: upstream * slope


@by_hand
def project(hidden: Tensor, table: Tensor) -> tuple[Tensor, Callable]:
    """Multiplies rows with a transposed table: the tied masked-LM projection.

    The gradient by the table comes out as the table lies, not transposed.

    Args:
        hidden: `(rows, width)`.
        table: `(vocab, width)`, of the same dtype.

    Returns:
        `(rows, vocab)`.
    """

    def gradient(upstream: Tensor) -> tuple[Tensor, Tensor]:
        by_table = ops.matmul(ops.transpose(upstream), hidden)  # (vocab, width)
        return ops.matmul(upstream, table), by_table

    return ops.matmul(hidden, ops.transpose(table)), gradient


@by_hand
def crossentropy(logits: Tensor, labels: Tensor) -> tuple[Tensor, Callable]:
    """Cross-entropy of integer labels, on one softmax.

    Args:
        logits: float32 `(rows, classes)`.
        labels: integers `(rows,)`.

    Returns:
        float32 `(rows,)`.
    """
    shares = ops.softmax(logits, axis=-1)
    places = ops.expand_dims(labels, -1)
    # The largest share is no less than 1 / classes, so its logarithm is finite.
    top = ops.max(logits, axis=-1) - ops.log(ops.max(shares, axis=-1))
    value = top - ops.take_along_axis(logits, places, axis=-1)[:, 0]

    def gradient(upstream: Tensor) -> tuple[Tensor, None]:
        rows = ops.arange(ops.shape(labels)[0], dtype=labels.dtype)
        right = ops.take_along_axis(shares, places, axis=-1)[:, 0]
        where = ops.stack([rows, labels], axis=-1)
        by_logits = shares * ops.expand_dims(upstream, -1)
        return ops.scatter_update(by_logits, where, (right - 1.0) * upstream), None

    return value, gradient
