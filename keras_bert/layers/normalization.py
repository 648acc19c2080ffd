"""LayerNorm, centered before it is scaled."""

from typing import Any

import keras
from keras import ops

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_bert")
class LayerNorm(keras.layers.Layer):
    """Normalizes the last axis to mean 0 and variance 1, then scales and shifts.

    Keras' own computes `x * s + (beta - mean * s)`, which cancels digits where the
    mean is far from zero; this one subtracts the mean first. It computes in float32
    under every dtype policy.

    Args:
        epsilon: added to the variance.

    Call arguments:
        inputs: floats `(..., hidden)`.

    Returns:
        `(..., hidden)`, in the policy's compute dtype.

    Source: Ba et al. 2016 (arXiv:1607.06450) equation 3.
    """

    def __init__(self, epsilon: float = 1e-12, **kwargs):
        super().__init__(**{"autocast": False, **kwargs})
        self.epsilon = epsilon

    def build(self, inputs_shape):
        width = inputs_shape[-1:]
        self.gamma = self.add_weight(shape=width, initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=width, initializer="zeros", name="beta")
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        inputs = ops.cast(inputs, "float32")
        centered = inputs - ops.mean(inputs, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(centered), axis=-1, keepdims=True)
        scale = ops.rsqrt(variance + self.epsilon) * ops.cast(self.gamma, "float32")
        outputs = centered * scale + ops.cast(self.beta, "float32")
        return ops.cast(outputs, self.compute_dtype)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)

    def get_config(self) -> dict:
        return {**super().get_config(), "epsilon": self.epsilon}
