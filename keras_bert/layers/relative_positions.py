"""Scores of queries and keys for how far apart their tokens are."""

from typing import Any

import keras
from keras import ops

from keras_bert.layers.base import Layer

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_bert")
class RelativePositions(Layer):
    """A vector for every distance of two tokens, which their scores gain a product of.

    Args:
        config: gives `max_position_embeddings`, `head_dim`, and whether keys have a
            product too (`position_embedding_type="relative_key_query"`).
        **kwargs: see `Layer`.

    Call arguments:
        query: scaled, `(batch, heads, seq, head_dim)`.
        key: `(batch, heads, seq, head_dim)`.
        columns: where tokens are in their rows, `(rows, seq)`, of all rows or of one
            for all.
        span: columns are below it.

    Returns:
        What the scores gain, float32 `(batch, heads, seq, seq)`.

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
        first = self.config.max_position_embeddings - span
        table = ops.convert_to_tensor(self.table)[first : first + 2 * span - 1]
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
