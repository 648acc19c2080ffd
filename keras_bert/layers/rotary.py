"""Rotary positions: queries and keys are turned by angles that their positions give.

Source: Su et al. 2021 (arXiv:2104.09864) section 3.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_bert.config import Config
from keras_bert.layers.base import Layer
from keras_bert.layers.lookup import inside, kept_inside, nan_unless, rows_of

Tensor = Any


def rotate(
    x: Tensor, rotation: Tensor, num_heads: int, neighbours: bool = False
) -> Tensor:
    """Turns the pairs of numbers in every head; in float32.

    Args:
        x: queries or keys, `(..., hidden)`.
        rotation: cosines and sines, `(2, ..., head_dim / 2)`.
        num_heads: heads; divides hidden.
        neighbours: a pair is two numbers side by side; otherwise one of the first half
            of a head and one of the second.

    Example:
        >>> quarter = np.array([[[0.0]], [[1.0]]])  # cosine and sine of 90 degrees
        >>> rotate(ops.array([[3.0, 5.0]]), quarter, num_heads=1).numpy().tolist()
        [[-5.0, 3.0]]

    Source: Su et al. 2021 (arXiv:2104.09864) equation 34.
    """
    shape, half = ops.shape(x), x.shape[-1] // num_heads // 2
    pair, axis = ((half, 2), -1) if neighbours else ((2, half), -2)
    split = ops.reshape(ops.cast(x, "float32"), (*shape[:-1], num_heads, *pair))
    one, other = ops.unstack(split, axis=axis)  # (..., heads, head_dim / 2)
    cos, sin = (ops.expand_dims(ops.cast(rotation[i], "float32"), -2) for i in (0, 1))
    turned = ops.stack([one * cos - other * sin, other * cos + one * sin], axis)
    return ops.cast(ops.reshape(turned, shape), x.dtype)


def rotation(position_ids: Tensor, config: Config, theta: float) -> Tensor:
    """Returns the turns of positions.

    Args:
        position_ids: integers `(...)`.
        config: gives `head_dim` and `max_position_embeddings`.
        theta: base of the frequencies.

    Returns:
        Cosines and sines, float32 `(2, ..., head_dim / 2)`; NaN for a position out of
        range.

    Source: Su et al. 2021 (arXiv:2104.09864) equation 15.
    """
    size, width = config.max_position_embeddings, config.head_dim
    # In float32, as the originals: positions far along a row depend on its rounding.
    steps = np.arange(0, width, 2, dtype="float32") / np.float32(width)
    frequencies = np.float32(1.0) / np.float32(theta) ** steps
    positions = ops.cast(kept_inside(position_ids, size), "float32")
    angles = positions[..., None] * frequencies  # (..., head_dim / 2)
    angles = nan_unless(inside(position_ids, size), angles)
    return ops.stack([ops.cos(angles), ops.sin(angles)])


@keras.saving.register_keras_serializable(package="keras_bert")
class SinusoidTable(Layer):
    """Sines and cosines of every position, as a table that is not trained.

    Args:
        config: gives `max_position_embeddings` and `head_dim`.
        **kwargs: see `Layer`.

    Call arguments:
        position_ids: integers `(...)`.

    Returns:
        Cosines and sines, `(2, ..., head_dim / 2)`; NaN for a position out of range.

    Source: Vaswani et al. 2017 (arXiv:1706.03762) section 3.5.
    """

    def build(self, input_shape: Any = None) -> None:
        rows, width = self.config.max_position_embeddings, self.config.head_dim
        angles = np.arange(rows)[:, None] / 10000 ** (np.arange(0, width, 2) / width)
        values = np.concatenate([np.sin(angles), np.cos(angles)], -1)
        self.table = self.add_weight(
            shape=(rows, width),
            initializer=lambda shape, dtype: ops.convert_to_tensor(values, dtype),
            trainable=False,
            name="table",
        )

    def call(self, position_ids: Tensor) -> Tensor:
        size = self.config.max_position_embeddings
        rows = rows_of(self.table, kept_inside(position_ids, size))
        rows = nan_unless(inside(position_ids, size), rows)  # (..., head_dim)
        sin, cos = ops.split(rows, 2, axis=-1)
        return ops.stack([cos, sin])
