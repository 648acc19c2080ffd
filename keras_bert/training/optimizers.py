"""AdamW as BERT was trained with, right on every backend.

Keras 3.15 on TensorFlow squares the rows of a sparse gradient one by one, so
that Adam is wrong for every embedding row met twice in a batch, and under a
strategy it clips each replica's gradient before they are summed. This optimizer
makes gradients dense, sums them over the replicas, clips the sum, and then
updates.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_bert.errors import ConfigError

Tensor = Any

# Weights are decayed by their kind, the last part of their path. By rank would
# be wrong for biases that are kept per head.
NOT_DECAYED = ("bias", "gamma", "beta")


def dense(gradient: Tensor) -> Tensor:
    """Adds up the rows of a sparse gradient."""
    if hasattr(gradient, "dense_shape"):  # tf.IndexedSlices
        import tensorflow as tf

        return tf.convert_to_tensor(gradient)
    return gradient


def sum_over_replicas(gradients: Sequence[Tensor]) -> list[Tensor]:
    """Sums gradients over the replicas of a tf.distribute strategy."""
    if keras.backend.backend() != "tensorflow":
        return list(gradients)
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return list(gradients)
    return list(context.all_reduce(tf.distribute.ReduceOp.SUM, list(gradients)))


def global_norm(gradients: Sequence[Tensor]) -> Tensor:
    """Returns the Euclidean norm of all gradients together, float32."""
    squares = [ops.sum(ops.square(ops.cast(g, "float32"))) for g in gradients]
    return ops.sqrt(sum(squares))


@keras.saving.register_keras_serializable(package="keras_bert")
class AdamW(keras.optimizers.Optimizer):
    """Adam with decoupled weight decay, clipped by the global norm.

    Args:
        learning_rate: a float or a Keras schedule.
        weight_decay: share of a weight taken off per step, times the learning
            rate; biases and LayerNorm weights are never decayed.
        beta_1: decay of the mean of gradients.
        beta_2: decay of the mean of squared gradients.
        epsilon: added to the root of the latter.
        bias_correction: divide the means by what they lack at the start. Google's
            optimizer does not.
        clip_norm: largest global norm of the gradient; None does not clip.
        name: name of the optimizer.
        **kwargs: arguments of `keras.optimizers.Optimizer`.

    Raises:
        ConfigError: Keras' own clipping is asked for.

    Example:
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
        # Keras' own weight decay and clipping stay off: see the module docstring.
        for key in ("clipnorm", "clipvalue", "global_clipnorm"):
            if kwargs.get(key) is not None:
                raise ConfigError(
                    "Expected clip_norm alone to limit the gradient. "
                    f"Received: {key}={kwargs[key]}. Give that number as clip_norm."
                )
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.decay_rate = weight_decay
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.bias_correction = bias_correction
        self.clip_norm = clip_norm

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._momentums = self._slots(variables, "adam_m")
        self._velocities = self._slots(variables, "adam_v")
        self._decayed = {self._var_key(v): _is_decayed(v) for v in variables}

    def _slots(self, variables: Sequence[keras.Variable], name: str) -> list:
        return [self.add_variable_from_reference(v, name=name) for v in variables]

    def apply(self, grads: Sequence[Tensor], trainable_variables: Any = None) -> None:
        super().apply([dense(g) for g in grads], trainable_variables)

    def _clip_gradients(self, grads: Sequence[Tensor]) -> list[Tensor]:
        # Keras calls this before its own sum over replicas; ours comes first.
        grads = sum_over_replicas(grads)
        if self.clip_norm is None:
            return grads
        # Never up; and not finite stays not finite, for a loss scale to notice.
        scale = self.clip_norm / ops.maximum(global_norm(grads), self.clip_norm)
        return [g * ops.cast(scale, g.dtype) for g in grads]

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        return grads_and_vars  # summed already, before clipping

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor
    ) -> None:
        rate = ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        m = self._momentums[self._get_variable_index(variable)]
        v = self._velocities[self._get_variable_index(variable)]
        self.assign(m, m + (gradient - m) * (1 - self.beta_1))
        self.assign(v, v + (ops.square(gradient) - v) * (1 - self.beta_2))
        mean, square = self._corrected(m, v, variable.dtype)
        change = mean / (ops.sqrt(square) + self.epsilon)
        if self._decayed[self._var_key(variable)]:
            change = change + self.decay_rate * variable
        self.assign_sub(variable, rate * change)

    def _corrected(self, m: Any, v: Any, dtype: str) -> tuple[Tensor, Tensor]:
        mean, square = ops.convert_to_tensor(m), ops.convert_to_tensor(v)
        if not self.bias_correction:
            return mean, square
        step = ops.cast(self.iterations + 1, dtype)
        return (
            mean / (1 - ops.power(ops.cast(self.beta_1, dtype), step)),
            square / (1 - ops.power(ops.cast(self.beta_2, dtype), step)),
        )

    def get_config(self) -> dict:
        config = super().get_config()
        return {
            **config,
            "weight_decay": self.decay_rate,
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "bias_correction": self.bias_correction,
            "clip_norm": self.clip_norm,
        }


def _is_decayed(variable: keras.Variable) -> bool:
    return variable.path.split("/")[-1] not in NOT_DECAYED
