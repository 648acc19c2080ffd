"""Operations with a gradient written by hand, for training on CPUs.

TensorFlow runs the operations of a graph one by one, so on CPUs the time of a step,
matrix products aside, goes into passes over memory. The gradients here need fewer
passes than those of automatic differentiation.
"""

import math
from collections.abc import Callable
from typing import Any

from keras import ops

from keras_bert.layers.custom_gradient import custom_gradient

Tensor = Any


@custom_gradient
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


@custom_gradient
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


@custom_gradient
def project(hidden: Tensor, table: Tensor) -> tuple[Tensor, Callable]:
    """Multiplies rows with a transposed table: the tied masked-LM projection.

    The gradient of the table has the layout of the table, not the transposed one.

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


@custom_gradient
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
