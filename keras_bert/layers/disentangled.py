"""Disentangled attention: scores of content, and of content with distances."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
from keras import ops

from keras_bert.distances import rows_of_distances
from keras_bert.layers.attention import SelfAttention
from keras_bert.layers.base import Layer
from keras_bert.layers.lookup import inside, kept_inside
from keras_bert.layers.normalization import LayerNorm
from keras_bert.layers.relative_positions import at_places

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_bert")
class DistanceVectors(Layer):
    """A vector for every distance of two tokens, or every bucket of them.

    Args:
        config: gives `hidden_size` and `disentangled`.
        **kwargs: see `Layer`.

    Source: `get_rel_embedding` in Hugging Face's `modeling_deberta_v2.py`.
    """

    def build(self, input_shape: Any = None) -> None:
        how = self.config.disentangled
        self.table = self.add_weight(
            shape=(2 * how.rows, self.config.hidden_size),
            initializer=self.initializer("table"),
            name="table",
        )
        self.layer_norm = None
        if how.norm:
            self.layer_norm = self.add_layer(LayerNorm, "layer_norm")

    def vectors(self) -> Tensor:
        """Returns them, `(2 rows, hidden)`."""
        table = ops.convert_to_tensor(self.table)
        return self.layer_norm(table) if self.layer_norm else table


@keras.saving.register_keras_serializable(package="keras_bert")
class DisentangledAttention(SelfAttention):
    """Self-attention whose scores gain products of words with distances.

    Args:
        config: gives what `SelfAttention` takes, and `disentangled`.
        **kwargs: see `Layer`.

    Call arguments:
        As those of `SelfAttention`; `positions` are the vectors of distances, see
        `DistanceVectors`.

    Source: He et al. 2020 (arXiv:2006.03654) equation 4.
    """

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        config, how = self.config, self.config.disentangled
        width, split = config.hidden_size, config.splits_biases
        self.query_bias = self._bias("query_bias") if split else None
        self.value_bias = self._bias("value_bias") if split else None
        self.distance_key = self.distance_query = None
        dense = partial(self.add_dense, width, inputs=width)
        if how.projects("c2p"):
            self.distance_key = dense("distance_key", use_bias=not split)
        if how.projects("p2c"):
            self.distance_query = dense("distance_query")
        self.distance_dropout = None
        if how.rows and how.terms:
            rate = config.hidden_dropout_prob
            self.distance_dropout = self.add_dropout(rate, "distance_dropout")
        longest, buckets = config.max_position_embeddings, how.rows * how.buckets
        self.rows = rows_of_distances(longest, how.furthest, buckets)

    def _bias(self, name: str) -> Any:
        width = (self.config.hidden_size,)
        return self.add_weight(shape=width, initializer="zeros", name=name)

    def project(
        self, hidden: Tensor, dropout_seed: Tensor, training: bool
    ) -> dict[str, Tensor]:
        projected = super().project(hidden, dropout_seed, training)
        for name, bias in (("query", self.query_bias), ("value", self.value_bias)):
            if bias is not None:
                x = projected[name]
                projected[name] = x + ops.cast(bias, x.dtype)
        projected["query"] = projected["query"] * self.config.disentangled.scale
        return projected

    def gains(
        self, positions: Tensor | None, dropout_seed: Tensor, training: bool
    ) -> Callable | None:
        how, drop = self.config.disentangled, {"training": training}
        if positions is None or self.distance_dropout is None:
            return None
        vectors = self.distance_dropout(positions, dropout_seed, **drop)
        made: dict[str, Tensor] = {}
        if "c2p" in how.terms:
            dense = self.distance_key or self.key
            made["keys"] = self._heads(dense(vectors, dropout_seed, **drop))
        if "p2c" in how.terms:
            dense = self.distance_query or self.query
            queries = self._heads(dense(vectors, dropout_seed, **drop))
            made["queries"] = queries * (self.config.head_dim**-0.5 * how.scale)
        return partial(self._gains, **made)

    def _heads(self, x: Tensor) -> Tensor:
        config = self.config
        x = ops.reshape(x, (-1, config.num_attention_heads, config.head_dim))
        return ops.transpose(x, (1, 2, 0))[None]  # 1 heads head_dim distances

    def _gains(
        self,
        query: Tensor,
        key: Tensor,
        columns: Tensor,
        span: Any,
        keys: Tensor | None = None,
        queries: Tensor | None = None,
    ) -> Tensor:
        distance = columns[:, :, None] - columns[:, None, :]  # (rows, from, to)
        known = ops.convert_to_tensor(self.rows)
        at = distance + self.config.max_position_embeddings - 1
        place = ops.take(known, kept_inside(at, len(self.rows)))[:, None]
        # NaN for tokens that are further apart than the model has positions.
        scores = ops.where(inside(at, len(self.rows)), 0.0, float("nan"))[:, None]
        if keys is not None:
            scores = scores + at_places(ops.matmul(query, keys), place)
        if queries is not None:
            turned = ops.swapaxes(place, -1, -2)
            by_key = at_places(ops.matmul(key, queries), turned)
            scores = scores + ops.swapaxes(by_key, -1, -2)
        return scores
