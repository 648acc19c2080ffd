"""What stands on the encoder: pooling, gathering, the masked-LM transform."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_bert.errors import choose
from keras_bert.features import MASK_VALUE
from keras_bert.layers import activations
from keras_bert.layers.base import Layer
from keras_bert.layers.lookup import inside, kept_inside, nan_unless
from keras_bert.layers.normalization import LayerNorm

Tensor = Any


def gather_positions(hidden: Tensor, positions: Tensor) -> Tensor:
    """Picks the hidden states at some positions of every row.

    Gathering before the vocabulary projection is what makes pretraining affordable: 20
    positions of 128 go through the largest matrix of the model.

    Args:
        hidden: `(batch, seq, hidden)`.
        positions: integers `(batch, predictions)`.

    Returns:
        `(batch, predictions, hidden)`; NaN for a position that is not in its row.

    Source: `gather_indexes` in Google's `run_pretraining.py`.
    """
    batch, seq, width = ops.shape(hidden)
    start = ops.arange(batch, dtype=positions.dtype)[:, None] * seq
    rows = ops.reshape(hidden, (batch * seq, width))  # (batch seq) hidden
    taken = ops.take(rows, kept_inside(positions, seq) + start, axis=0)
    return nan_unless(inside(positions, seq), taken)


def pool_tokens(
    hidden: Tensor, mask: Tensor, pooling: str, cls_positions: Tensor | None = None
) -> Tensor:
    """Pools the tokens of rows, or of the pieces packed into them.

    Args:
        hidden: `(batch, seq, hidden)`.
        mask: numbers of the pieces from 1, 0 for padding, `(batch, seq)`.
        pooling: "cls", the first token, be it padding; "first", the first that is not;
            or "mean".
        cls_positions: integers `(batch, pieces)`, where the pieces begin; None means
            one piece, at the start.

    Returns:
        `(batch, hidden)`, or `(batch, pieces, hidden)` with `cls_positions`.
    """
    if pooling == "cls":
        if cls_positions is None:
            return hidden[:, 0]
        return gather_positions(hidden, cls_positions)
    real = mask > 0
    if pooling == "first":
        own = (real & (ops.cumsum(ops.cast(real, "int32"), axis=1) == 1))[:, None]
    elif cls_positions is None:
        own = real[:, None]  # (batch, 1, seq)
    else:
        inner = kept_inside(cls_positions, ops.shape(mask)[1])
        own = ops.take_along_axis(mask, inner, axis=1)[..., None] == mask[:, None]
        own &= real[:, None]  # (batch, pieces, seq)
    weights = ops.cast(own, "float32")
    total = ops.matmul(weights, ops.cast(hidden, "float32"))
    mean = total / ops.maximum(ops.sum(weights, -1, keepdims=True), 1.0)
    return mean[:, 0] if cls_positions is None else mean


def _mean(logits: Tensor, real: Tensor, scores: Tensor) -> Tensor:
    weights = ops.cast(real, logits.dtype)
    return ops.sum(logits * weights, 1) / ops.maximum(ops.sum(weights, 1), 1.0)


def _max(logits: Tensor, real: Tensor, scores: Tensor) -> Tensor:
    return ops.max(ops.where(real, logits, MASK_VALUE), 1)


def _learned(logits: Tensor, real: Tensor, scores: Tensor) -> Tensor:
    weights = ops.softmax(ops.where(real, scores, MASK_VALUE), axis=1)
    return ops.sum(logits * weights, 1)


# How the logits of the windows of a text become those of the text.
WINDOW_POOLINGS = {"mean": _mean, "max": _max, "learned": _learned}


@keras.saving.register_keras_serializable(package="keras_bert")
class WindowQuery(Layer):
    """Scores the windows of a text; their softmax is how much each window counts.

    A text's logits are the mean of its windows' by these weights. Since the classifier
    is linear, they are also the classifier's of the weighted mean of the windows'
    vectors. It begins with equal weights.

    Call arguments:
        pooled: vectors of windows, `(windows, hidden)`.

    Returns:
        float32 `(windows, 1)`.

    Source: Yang et al. 2016, "Hierarchical attention networks", equations 8 to 10,
    without their hidden layer.
    """

    def build(self, input_shape: Any = None) -> None:
        shape = (self.config.hidden_size,)
        self.query = self.add_weight(shape=shape, initializer="zeros", name="query")

    def call(self, pooled: Tensor) -> Tensor:
        query = ops.cast(ops.convert_to_tensor(self.query), "float32")
        return ops.sum(ops.cast(pooled, "float32") * query, -1, keepdims=True)


def pool_windows(
    logits: Tensor, mask: Tensor, pooling: str, scores: Tensor | None = None
) -> Tensor:
    """Returns the logits of texts, given those of their windows.

    Args:
        logits: `(batch windows, classes)`.
        mask: 0 for padding, `(batch, windows, seq)`; windows without tokens are left
            out.
        pooling: a name of `WINDOW_POOLINGS`.
        scores: of windows, `(batch windows, 1)`, for those that are learned.

    Returns:
        `(batch, classes)`.

    Raises:
        UnknownNameError: there is no such pooling.
    """
    pool = WINDOW_POOLINGS[choose("window_pooling", pooling, WINDOW_POOLINGS)]
    real = ops.any(mask > 0, -1)[..., None]  # (batch, windows, 1)
    batch, windows, _ = ops.shape(real)
    if scores is not None:
        scores = ops.reshape(scores, (batch, windows, 1))
    return pool(ops.reshape(logits, (batch, windows, logits.shape[-1])), real, scores)


@keras.saving.register_keras_serializable(package="keras_bert")
class Pooler(Layer):
    """A dense layer on the first token, or on the first of every piece.

    Args:
        config: gives `hidden_size`.
        activation: of the dense layer.
        **kwargs: see `Layer`.

    Call arguments:
        hidden: `(batch, seq, hidden)`.
        cls_positions: integers `(batch, pieces)`, where the pieces of packed rows
            begin; None means one piece, at the start.
        drop: applied to these tokens first.

    Returns:
        `(batch, hidden)`, or `(batch, pieces, hidden)` with `cls_positions`.

    Source: `get_pooled_output` in Google's `modeling.py`.
    """

    def __init__(self, config: Any, *, activation: str = "tanh", **kwargs: Any):
        super().__init__(config, **kwargs)
        self.activation = activation

    def build(self, input_shape: Any = None) -> None:
        width = self.config.hidden_size
        activation = self.activation
        self.dense = self.add_dense(width, "dense", width, activation=activation)

    def call(
        self,
        hidden: Tensor,
        cls_positions: Tensor | None = None,
        drop: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        if cls_positions is None:
            first = hidden[:, 0]
        else:
            first = gather_positions(hidden, cls_positions)
        return self.dense(drop(first) if drop else first)

    def get_config(self) -> dict:
        return {**super().get_config(), "activation": self.activation}


@keras.saving.register_keras_serializable(package="keras_bert")
class MaskedLMTransform(Layer):
    """Dense, activation, LayerNorm: what comes before the vocabulary projection.

    Args:
        config: gives `transform_act`, `transform_eps` and the widths.
        **kwargs: see `Layer`.

    Call arguments:
        hidden: `(batch, predictions, hidden)`.

    Returns:
        `(batch, predictions, embedding)`.

    Source: `get_masked_lm_output` in Google's `run_pretraining.py`.
    """

    def build(self, input_shape: Any = None) -> None:
        hidden, embedding = self.config.hidden_size, self.config.embedding_width
        bias = self.config.has_bias("classifier")
        self.dense = self.add_dense(embedding, "dense", hidden, use_bias=bias)
        self.activation = activations.get(self.config.transform_act)
        self.layer_norm = self.add_layer(
            LayerNorm, "layer_norm", width="embedding_width", epsilon="transform_eps"
        )

    def call(self, hidden: Tensor) -> Tensor:
        return self.layer_norm(self.activation(self.dense(hidden)))


@keras.saving.register_keras_serializable(package="keras_bert")
class OutputBias(Layer):
    """Adds a bias to logits, if the config has one, and makes them float32.

    Call arguments:
        logits: `(..., vocab)`.

    Returns:
        float32 `(..., vocab)`.
    """

    def build(self, input_shape: Any = None) -> None:
        self.bias = None
        if self.config.has_bias("decoder"):
            shape = (self.config.vocab_size,)
            self.bias = self.add_weight(shape=shape, initializer="zeros", name="bias")

    def call(self, logits: Tensor) -> Tensor:
        logits = ops.cast(logits, "float32")
        return logits if self.bias is None else logits + ops.cast(self.bias, "float32")
