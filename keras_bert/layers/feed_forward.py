"""The position-wise feed-forward layer."""

from functools import partial
from typing import Any

import keras
from keras import ops

from keras_bert.layers import activations
from keras_bert.layers.base import Layer

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_bert")
class FeedForward(Layer):
    """Two dense layers with an activation between, applied to every token.

    Args:
        config: gives `hidden_size`, `intermediate_size` and `hidden_act`.
        **kwargs: see `Layer`.

    Call arguments:
        hidden: `(batch, seq, hidden)`.
        dropout_seed: of adapters, see `Dense`.

    Returns:
        `(batch, seq, hidden)`.

    Source: Vaswani et al. 2017 (arXiv:1706.03762) section 3.3.
    """

    def build(self, input_shape: Any = None) -> None:
        hidden, mlp = self.config.hidden_size, self.config.intermediate_size
        self.intermediate_dense = self.add_dense(mlp, "intermediate_dense", hidden)
        self.output_dense = self.add_dense(hidden, "output_dense", mlp)
        self.activation = activations.get(self.config.hidden_act)

    def call(
        self, hidden: Tensor, dropout_seed: Tensor | None = None, training: bool = False
    ) -> Tensor:
        wide = self.intermediate_dense(hidden, dropout_seed, training=training)
        return self.output_dense(self.activation(wide), dropout_seed, training=training)


@keras.saving.register_keras_serializable(package="keras_bert")
class GatedFeedForward(Layer):
    """Dense layers of which one is activated and multiplied with the other.

    Args:
        config: gives `hidden_size`, `intermediate_size`, `hidden_act`, `mlp_dropout`
            and whether both are one matrix.
        **kwargs: see `Layer`.

    Call arguments:
        hidden, dropout_seed: see `FeedForward`.

    Returns:
        `(batch, seq, hidden)`.

    Source: Shazeer 2020 (arXiv:2002.05202) section 2.
    """

    def build(self, input_shape: Any = None) -> None:
        config, bias = self.config, self.config.has_bias("mlp")
        hidden, mlp = config.hidden_size, config.intermediate_size
        dense = partial(self.add_dense, use_bias=bias)
        if "gate" in config.fused:
            self.intermediate_dense = dense(2 * mlp, "intermediate_dense", hidden)
            self.gate_dense = None
        else:
            self.intermediate_dense = dense(mlp, "intermediate_dense", hidden)
            self.gate_dense = dense(mlp, "gate_dense", hidden)
        self.output_dense = dense(hidden, "output_dense", mlp)
        rate = config.mlp_dropout
        self.dropout = self.add_dropout(rate, "dropout") if rate else None
        self.activation = activations.get(config.hidden_act)

    def call(
        self, hidden: Tensor, dropout_seed: Tensor | None = None, training: bool = False
    ) -> Tensor:
        drop = {"training": training}
        wide = self.intermediate_dense(hidden, dropout_seed, **drop)
        if self.gate_dense is None:
            wide, gate = ops.split(wide, 2, axis=-1)
        else:
            gate = self.gate_dense(hidden, dropout_seed, **drop)
        wide = self.activation(wide) * gate
        if self.dropout and dropout_seed is not None:
            wide = self.dropout(wide, dropout_seed, **drop)
        return self.output_dense(wide, dropout_seed, **drop)
