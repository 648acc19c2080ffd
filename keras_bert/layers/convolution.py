"""A convolution over the tokens of a row, after the first block."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_bert.layers import activations
from keras_bert.layers.base import Layer
from keras_bert.layers.normalization import LayerNorm

Tensor = Any


def shift_columns(values: Tensor, by: int) -> Tensor:
    """Shifts values along their rows; 0 where there is no such column.

    Args:
        values: `(batch, seq, ...)`.
        by: token `i` gets the value of token `i + by`.

    Example:
        >>> shift_columns(ops.array([[1, 2, 3]]), -1).numpy().tolist()
        [[0, 1, 2]]
    """
    before, after = max(-by, 0), max(by, 0)
    rest = [(0, 0)] * (len(values.shape) - 2)
    padded = ops.pad(values, [(0, 0), (before, after), *rest])
    return padded[:, after : after + ops.shape(values)[1]]


@keras.saving.register_keras_serializable(package="keras_bert")
class Convolution(Layer):
    """Adds a convolution of the embeddings to the states behind the first block.

    Args:
        config: gives `hidden_size`, `convolution` and `hidden_dropout_prob`.
        **kwargs: see `Layer`.

    Call arguments:
        embeddings: `(batch, seq, hidden)`.
        hidden: the states, `(batch, seq, hidden)`.
        mask: integers `(batch, seq)`, see `attention_bias`; neighbours are of the same
            piece.
        dropout_seed: see `DropoutSeed`.
        shift: see `shift_columns`.

    Returns:
        `(batch, seq, hidden)`, 0 at padding.

    Source: He et al. 2020 (arXiv:2006.03654), version 2 of the authors' code;
    `ConvLayer` in Hugging Face's `modeling_deberta_v2.py`.
    """

    def build(self, input_shape: Any = None) -> None:
        config, width = self.config, self.config.hidden_size
        self.taps, activation = config.convolution or (0, "linear")
        self.kernel = self.add_weight(
            shape=(self.taps, width, width),
            initializer=self.initializer("kernel"),
            name="kernel",
        )
        self.bias = self.add_weight(shape=(width,), initializer="zeros", name="bias")
        self.activation = activations.get(activation)
        rate = config.hidden_dropout_prob
        self.dropout = self.add_dropout(rate, "dropout")
        self.layer_norm = self.add_layer(LayerNorm, "layer_norm")

    def call(
        self,
        embeddings: Tensor,
        hidden: Tensor,
        mask: Tensor,
        dropout_seed: Tensor,
        shift: Callable = shift_columns,
        training: bool = False,
    ) -> Tensor:
        kernel = ops.cast(self.kernel, embeddings.dtype)
        total = ops.cast(self.bias, embeddings.dtype)
        for tap in range(self.taps):
            by = tap - (self.taps - 1) // 2
            near = ops.cast((shift(mask, by) == mask) & (mask > 0), embeddings.dtype)
            total = total + ops.matmul(
                shift(embeddings, by) * near[..., None], kernel[tap]
            )
        dropped = self.dropout(total, dropout_seed, training=training)
        change = ops.cast(self.activation(dropped), "float32")
        changed = self.layer_norm(ops.cast(hidden, "float32") + change)
        return changed * ops.cast(mask > 0, changed.dtype)[..., None]
