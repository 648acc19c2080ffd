"""LayerNorm, centered before it is scaled."""

from typing import Any

import keras
from keras import ops

from keras_bert.layers.base import Layer

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_bert")
class LayerNorm(Layer):
    """Normalizes the last axis to mean 0 and variance 1, then scales and shifts.

    Keras' own computes `x * s + (beta - mean * s)`, which cancels digits where the
    mean is far from zero; this one subtracts the mean first. It computes in float32
    under every dtype policy.

    Args:
        config: gives the width and epsilon, which is added to the variance.
        width: the config's field that is the width.
        epsilon: the config's field that is epsilon.
        **kwargs: see `Layer`.

    Call arguments:
        inputs: floats `(..., width)`.

    Returns:
        `(..., width)`, in the policy's compute dtype.

    Source: Ba et al. 2016 (arXiv:1607.06450) equation 3.
    """

    def __init__(
        self,
        config: Any,
        *,
        width: str = "hidden_size",
        epsilon: str = "layer_norm_eps",
        **kwargs: Any,
    ):
        super().__init__(config, **kwargs)
        self.width, self.epsilon = width, epsilon

    def build(self, input_shape: Any = None) -> None:
        width = (getattr(self.config, self.width),)
        self.gamma = self.add_weight(shape=width, initializer="ones", name="gamma")
        self.beta = None
        if self.config.has_bias("norm"):
            self.beta = self.add_weight(shape=width, initializer="zeros", name="beta")

    def call(self, inputs: Tensor) -> Tensor:
        inputs = ops.cast(inputs, "float32")
        centered = inputs - ops.mean(inputs, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(centered), axis=-1, keepdims=True)
        epsilon = getattr(self.config, self.epsilon)
        scale = ops.rsqrt(variance + epsilon) * ops.cast(self.gamma, "float32")
        outputs = centered * scale
        if self.beta is not None:
            outputs = outputs + ops.cast(self.beta, "float32")
        return ops.cast(outputs, self.compute_dtype)

    def get_config(self) -> dict:
        fields = {"width": self.width, "epsilon": self.epsilon}
        return {**super().get_config(), **fields}
