"""The position-wise feed-forward layer."""

from typing import Any

import keras

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
