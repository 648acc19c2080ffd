"""Relative position embeddings: attention scores that depend on distances."""

from typing import Any

import keras
from keras import ops

from keras_bert.layers.base import Layer
from keras_bert.layers.lookup import inside, kept_inside, nan_unless, rows_of

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_bert")
class RelativePositions(Layer):
    """An embedding of every distance; its product with queries is added to the scores.

    Args:
        config: gives `max_position_embeddings`, `head_dim`, and whether the product
            with keys is added too (`position_embedding_type="relative_key_query"`).
        **kwargs: see `Layer`.

    Call arguments:
        query: scaled, `(batch, heads, seq, head_dim)`.
        key: `(batch, heads, seq, head_dim)`.
        columns: where tokens are in their rows, `(rows, seq)`, of all rows or of one
            for all.
        span: columns are below it.

    Returns:
        What is added to the scores, float32 `(batch, heads, seq, seq)`; NaN for tokens
        that are further apart than the model has positions.

    Source: Shaw et al. 2018 (arXiv:1803.02155) equation 4; Huang et al. 2020
    (arXiv:2009.13658) section 3.2.3; `BertSelfAttention` in Hugging Face's
    `modeling_bert.py` up to version 4.
    """

    def build(self, input_shape: Any = None) -> None:
        config = self.config
        self.table = self.add_weight(
            shape=(2 * config.max_position_embeddings - 1, config.head_dim),
            initializer=self.initializer("table"),
            name="table",
        )

    def call(self, query: Tensor, key: Tensor, columns: Tensor, span: Any) -> Tensor:
        size = 2 * self.config.max_position_embeddings - 1
        rows = ops.arange(2 * span - 1) + self.config.max_position_embeddings - span
        table = rows_of(self.table, kept_inside(rows, size))
        table = nan_unless(inside(rows, size), table)
        table = ops.transpose(ops.cast(table, query.dtype))  # head_dim distances
        distance = columns[:, :, None] - columns[:, None, :]  # (rows, from, to)
        place = (distance + span - 1)[:, None]
        scores = at_places(ops.matmul(query, table), place)
        if self.config.position_embedding_type == "relative_key_query":
            scaled = key * self.config.head_dim**-0.5
            by_key = at_places(ops.matmul(scaled, table), ops.swapaxes(place, -1, -2))
            scores = scores + ops.swapaxes(by_key, -1, -2)
        return scores


def at_places(scores: Tensor, places: Tensor) -> Tensor:
    """Picks the scores at places, `(batch or 1, 1, seq, others)`, in float32."""
    shape = (*ops.shape(scores)[:-1], ops.shape(places)[-1])
    places = ops.broadcast_to(places, shape)
    return ops.cast(ops.take_along_axis(scores, places, axis=-1), "float32")
