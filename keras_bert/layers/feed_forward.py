"""The position-wise feed-forward layer."""

from typing import Any

import keras

from keras_bert.layers import activations
from keras_bert.layers.initializers import normal

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_bert")
class FeedForward(keras.layers.Layer):
    """Two dense layers with an activation between, applied to every token.

    Args:
        intermediate_size: width between the two.
        hidden_act: activation, by its name in the config.
        initializer_range: standard deviation of the initializer.
        site: name of this place in the model, for initial values.
        seed: seed of the initial values; None draws from Keras' global one.

    Call arguments:
        hidden: `(batch, seq, hidden)`.

    Returns:
        `(batch, seq, hidden)`.

    Source: Vaswani et al. 2017 (arXiv:1706.03762) section 3.3.
    """

    def __init__(
        self,
        intermediate_size: int,
        hidden_act: str = "gelu",
        initializer_range: float = 0.02,
        site: str = "feed_forward",
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.intermediate_size = intermediate_size
        self.hidden_act = hidden_act
        self.initializer_range = initializer_range
        self.site = site
        self.seed = seed
        self.activation = activations.get(hidden_act)

    def build(self, hidden_shape):
        width = hidden_shape[-1]
        self.intermediate_dense = self._dense(
            "intermediate_dense", self.intermediate_size
        )
        self.intermediate_dense.build(hidden_shape)
        self.output_dense = self._dense("output_dense", width)
        self.output_dense.build((*hidden_shape[:-1], self.intermediate_size))
        self.built = True

    def _dense(self, name: str, units: int) -> keras.layers.Dense:
        place = f"{self.site}/{name}"
        return keras.layers.Dense(
            units,
            kernel_initializer=normal(self.initializer_range, self.seed, place),
            dtype=self.dtype_policy,
            name=name,
        )

    def call(self, hidden: Tensor) -> Tensor:
        return self.output_dense(self.activation(self.intermediate_dense(hidden)))

    def compute_output_shape(self, hidden_shape):
        return hidden_shape

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "intermediate_size": self.intermediate_size,
            "hidden_act": self.hidden_act,
            "initializer_range": self.initializer_range,
            "site": self.site,
            "seed": self.seed,
        }
