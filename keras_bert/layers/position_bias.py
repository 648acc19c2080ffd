"""A learned bias of attention scores by the distance of two tokens."""

from typing import Any

import keras
from keras import ops

from keras_bert.distances import FURTHEST, bucket_of_distance
from keras_bert.layers.base import Layer
from keras_bert.layers.lookup import rows_of

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_bert")
class PositionBias(Layer):
    """A bias for each head and bucket of distances, the same in all layers.

    Args:
        config: gives `distance_buckets`, for both directions, and
            `num_attention_heads`.
        **kwargs: see `Layer`.

    Call arguments:
        columns: the columns of the tokens in their rows, integers `(rows, seq)`.

    Returns:
        float32 `(rows, heads, seq, seq)`.

    Source: Raffel et al. 2019 (arXiv:1910.10683) section 2.1.
    """

    def build(self, input_shape: Any = None) -> None:
        buckets = self.config.distance_buckets
        self.buckets = bucket_of_distance(buckets // 2).astype("int32")
        self.table = self.add_weight(
            shape=(buckets, self.config.num_attention_heads),
            initializer=self.initializer("table"),
            name="table",
        )

    def call(self, columns: Tensor) -> Tensor:
        distance = columns[:, None, :] - columns[:, :, None]  # (rows, from, to)
        nearest = ops.minimum(ops.abs(distance), FURTHEST)
        bucket = ops.take(ops.convert_to_tensor(self.buckets), nearest)
        later = ops.cast(distance > 0, "int32") * (self.config.distance_buckets // 2)
        biases = rows_of(self.table, bucket + later)  # (rows, from, to, heads)
        return ops.transpose(ops.cast(biases, "float32"), (0, 3, 1, 2))
