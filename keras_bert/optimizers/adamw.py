"""Adam with decoupled weight decay."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_bert.optimizers.base import SummedGradientOptimizer, Tensor, Update


@keras.saving.register_keras_serializable(package="keras_bert")
class AdamW(SummedGradientOptimizer):
    """Adam with decoupled weight decay, clipped by the global norm.

    Without weight decay it is Adam.

    Args:
        learning_rate: a float or a Keras schedule.
        weight_decay: fraction of a weight subtracted per step, times the learning
            rate; biases and LayerNorm weights are not decayed.
        beta_1: decay of the mean of gradients.
        beta_2: decay of the mean of squared gradients.
        epsilon: added to the square root of the latter.
        bias_correction: divide both means by the sum of their weights so far.
            Google's optimizer does not.
        clip_norm: maximum global norm of the gradient; None does not clip.
        name: name of the optimizer.
        **kwargs: arguments of `SummedGradientOptimizer`.

    Raises:
        ConfigError: Keras' own clipping is requested.

    Example:
        >>> import numpy as np
        >>> optimizer = AdamW(learning_rate=0.5, weight_decay=0.0)
        >>> weight = keras.Variable(np.zeros(2))
        >>> optimizer.apply([np.ones(2)], [weight])
        >>> np.round(weight, 4).tolist()
        [-0.5, -0.5]

    Source: Loshchilov & Hutter 2017 (arXiv:1711.05101); `AdamWeightDecayOptimizer`
    in Google's `optimization.py`.
    """

    def __init__(
        self,
        learning_rate: Any = 5e-5,
        weight_decay: float = 0.01,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        bias_correction: bool = True,
        clip_norm: float | None = 1.0,
        name: str = "adamw",
        **kwargs: Any,
    ):
        super().__init__(
            learning_rate,
            weight_decay=weight_decay,
            clip_norm=clip_norm,
            name=name,
            **kwargs,
        )
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.bias_correction = bias_correction

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        # The slot names of Google's optimizer.
        self._momentums, self._velocities = (
            [self.add_variable_from_reference(v, name=name) for v in variables]
            for name in ("adam_m", "adam_v")
        )

    def update_variable(
        self, variable: keras.Variable, gradient: Tensor, index: int, update: Update
    ) -> None:
        # The fused operations keep their numbers in float32.
        on_tensorflow = keras.backend.backend() == "tensorflow"
        if on_tensorflow and variable.dtype == "float32":
            self._update_fused(variable, gradient, index, update)
        else:
            direction = self.direction(variable, gradient, index, update)
            self.assign_sub(variable, update.rate * direction)

    def _update_fused(
        self, variable: keras.Variable, gradient: Tensor, index: int, update: Update
    ) -> None:
        """The same update by TensorFlow's fused operations: fewer passes over memory.

        They add epsilon before the bias correction, we add it after. The mean of
        squares is updated in a separate pass: the fused operation computes 1 - beta_2
        in float32, which is 1.3e-5 off, and so would the mean be.
        """
        import tensorflow as tf

        rate, active, count = update
        if self._decayed[index]:
            self.assign(variable, variable * (1.0 - rate * self.decay_rate))
        m, v = self._momentums[index], self._velocities[index]
        tf.raw_ops.ResourceApplyGradientDescent(
            var=_handle(v),
            alpha=(1.0 - self.beta_2) * active,
            delta=v - ops.square(gradient),
        )
        correction_1, correction_2 = self._corrections(count)
        root = ops.sqrt(correction_2)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(m),
            v=_handle(v),
            beta1_power=0.0,  # the bias correction is in lr and epsilon
            beta2_power=0.0,
            lr=rate * root / correction_1,
            beta1=1.0 - (1.0 - self.beta_1) * active,
            beta2=1.0,
            epsilon=self.epsilon_at(correction_2) * root,
            grad=gradient,
        )

    def direction(
        self, variable: keras.Variable, gradient: Tensor, index: int, update: Update
    ) -> Tensor:
        """Updates the slots and returns what to subtract, per unit of learning rate."""
        m, v = self._momentums[index], self._velocities[index]
        active = update.active
        self.assign(m, m + (gradient - m) * ((1 - self.beta_1) * active))
        self.assign(v, v + (ops.square(gradient) - v) * ((1 - self.beta_2) * active))
        mean, square = ops.convert_to_tensor(m), ops.convert_to_tensor(v)
        correction_1, correction_2 = self._corrections(update.count)
        root = ops.sqrt(square / correction_2)
        direction = mean / correction_1 / (root + self.epsilon_at(correction_2))
        if self._decayed[index]:
            direction = direction + self.decay_rate * variable
        return direction

    def epsilon_at(self, correction_2: Tensor) -> Tensor | float:
        """Returns what is added to the square root of the corrected mean of squares.

        Args:
            correction_2: the bias correction of that mean.
        """
        return self.epsilon

    def _corrections(self, count: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the bias corrections `1 - beta ** count` of both means.

        `count` is the number of updates of this weight; 1 without bias correction.
        """
        if not self.bias_correction:
            return ops.ones_like(count), ops.ones_like(count)
        count = ops.maximum(count, 1)  # a frozen weight starts when it thaws
        # In float32, 1 - 0.999 as written would lose five digits.
        first, second = (
            -ops.expm1(count * math.log(beta)) if beta else ops.ones_like(count)
            for beta in (self.beta_1, self.beta_2)
        )
        return first, second

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "bias_correction": self.bias_correction,
        }


def _handle(variable: Any) -> Tensor:
    # Under a strategy Keras passes TensorFlow's variable, not its own.
    is_keras = isinstance(variable, keras.Variable)
    return (variable.value if is_keras else variable).handle
