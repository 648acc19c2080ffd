"""The optimizers BERT is trained with, right on every backend.

Keras 3.15 on TensorFlow squares the rows of a sparse gradient one by one, so
that Adam is wrong for every embedding row met twice in a batch, and under a
strategy it clips each replica's gradient before they are summed. These optimizers
make gradients dense, sum them over the replicas, undo the scale of the loss, clip
the sum, and then update.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_bert.errors import ConfigError
from keras_bert.models.replicas import sum_over_replicas
from keras_bert.training.loss_scaling import (
    GROWTH_STEPS,
    INITIAL_SCALE,
    DynamicLossScale,
)
from keras_bert.training.parameters import NOT_DECAYED, kind, part

Tensor = Any


def dense(gradient: Tensor) -> Tensor:
    """Adds up the rows of a sparse gradient."""
    if hasattr(gradient, "dense_shape"):  # tf.IndexedSlices
        import tensorflow as tf

        return tf.convert_to_tensor(gradient)
    return gradient


def _sum_of_squares(gradient: Tensor) -> Tensor:
    gradient = ops.cast(gradient, "float32")
    if keras.backend.backend() != "tensorflow":
        return ops.sum(ops.square(gradient))
    import tensorflow as tf

    return 2.0 * tf.nn.l2_loss(gradient)  # one pass over memory, not two


def _sums_of_squares(gradients: Sequence[Tensor]) -> Tensor:
    return ops.stack([_sum_of_squares(g) for g in gradients])  # (weights,)


class Step(NamedTuple):
    """What the update of a weight needs beside its gradient.

    Attributes:
        rate: the learning rate.
        moving: `(weights,)`, 1.0 for a weight that is updated and 0.0 for one that
            is frozen; all 0.0 in a step that is skipped.
        count: `(weights,)`, updates of each weight, this one included.
    """

    rate: Tensor
    moving: Tensor
    count: Tensor


class SummedGradientOptimizer(keras.optimizers.Optimizer):
    """Sums over replicas, unscales, clips; a subclass says where weights go.

    Args:
        learning_rate: a float or a Keras schedule.
        weight_decay: share of a weight taken off per step, times the learning rate.
        clip_norm: largest global norm of the gradient; None does not clip.
        exclude_from_weight_decay: kinds of weights that are not decayed.
        learning_rate_shares: share of the learning rate by part of the model, as
            from `keras_bert.training.parameters.layer_rates`; 1 where not named.
        initial_scale: first scale of the loss, for float16; a step whose gradient
            is not finite on any replica is then skipped on all. None: no scaling.
        dynamic_growth_steps: finite steps after which that scale doubles.
        name: name of the optimizer.
        **kwargs: arguments of `keras.optimizers.Optimizer`; `use_ema` with
            `ema_momentum` averages the weights, see `keras_bert.training.averaging`.

    Attributes:
        gradient_norm: variable, the norm of the last finite gradient before it was
            clipped, frozen weights left out.
        moving: variable `(weights,)`, 0.0 where a weight is frozen; see
            `keras_bert.training.freezing`.
        loss_scale: variable, the scale of the loss; None without scaling.

    `iterations` counts skipped steps too, so that a schedule ends with the data.

    Raises:
        ConfigError: Keras' own clipping is asked for, or its accumulation of
            gradients under a strategy.
    """

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float = 0.0,
        clip_norm: float | None = 1.0,
        exclude_from_weight_decay: Sequence[str] = NOT_DECAYED,
        learning_rate_shares: Mapping[str, float] | None = None,
        initial_scale: float | None = None,
        dynamic_growth_steps: int = GROWTH_STEPS,
        name: str | None = None,
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
        self.clip_norm = clip_norm
        self.not_decayed = tuple(exclude_from_weight_decay)
        self.learning_rate_shares = dict(learning_rate_shares or {})
        self.initial_scale = initial_scale
        self.dynamic_growth_steps = dynamic_growth_steps
        self._scaling: DynamicLossScale | None = None

    # === Variables ===

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if self.built:
            return
        self._refuse_accumulation_on_replicas()
        super().build(variables)
        vector = dict(shape=(len(variables),), aggregation="only_first_replica")
        self.moving = self.add_variable(initializer="ones", name="moving", **vector)
        self._counts = self.add_variable(name="counts", **vector)
        self.gradient_norm = self.add_variable(
            shape=(), aggregation="only_first_replica", name="gradient_norm"
        )
        if self.initial_scale is not None:
            self._scaling = DynamicLossScale(
                self, self.initial_scale, self.dynamic_growth_steps
            )
        self.paths = [v.path for v in variables]
        self._shares = [self.learning_rate_shares.get(part(p), 1.0) for p in self.paths]
        self._decayed = [self._is_decayed(v) for v in variables]

    def _is_decayed(self, variable: keras.Variable) -> bool:
        # The second is what Keras' `exclude_from_weight_decay()` was told.
        by_kind = kind(variable.path) not in self.not_decayed
        return bool(self.decay_rate) and by_kind and self._use_weight_decay(variable)

    def _refuse_accumulation_on_replicas(self) -> None:
        strategy = getattr(self, "_distribution_strategy", None)
        replicas = getattr(strategy, "num_replicas_in_sync", 1)
        if self.gradient_accumulation_steps and replicas > 1:
            raise ConfigError(
                "Expected no gradient_accumulation_steps on several replicas, where "
                f"Keras cannot. Received: {self.gradient_accumulation_steps} on "
                f"{replicas} replicas. Use keras_bert.training.loop, or one replica."
            )

    # === One step ===

    @property
    def loss_scale(self) -> keras.Variable | None:
        return None if self._scaling is None else self._scaling.scale

    def scale_loss(self, loss: Tensor) -> Tensor:
        """Scales a loss, so that float16 gradients do not vanish."""
        if self.initial_scale is None:
            return super().scale_loss(loss)
        return loss * (self.loss_scale if self.built else self.initial_scale)

    def apply(self, grads: Sequence[Tensor], trainable_variables: Any = None) -> None:
        super().apply([dense(g) for g in grads], trainable_variables)

    def _backend_update_step(
        self, grads: Sequence[Tensor], trainable_variables: Any, learning_rate: Tensor
    ) -> None:
        indices = [self._get_variable_index(v) for v in trainable_variables]
        grads = sum_over_replicas(list(grads))
        norm, finite = self._measure(grads, indices)
        moving = self.moving * _members(indices, len(self.paths))
        grads = self._unscale_and_clip(grads, norm)
        if self._scaling is not None:
            # Zeros: what is not finite would survive a multiplication by zero.
            grads = [ops.where(finite, g, ops.zeros_like(g)) for g in grads]
            moving = moving * ops.cast(finite, moving.dtype)
        count = self._counts + moving
        self._note(norm, finite, count)
        step = Step(ops.convert_to_tensor(learning_rate), moving, count)
        super()._backend_update_step(grads, trainable_variables, step)

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        return grads_and_vars  # summed already, before clipping

    def _measure(
        self, grads: Sequence[Tensor], indices: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """Returns the norm of what moves, unscaled, and whether all is finite.

        The gradients are sums over the replicas, so both are the same on all.
        """
        squares = _sums_of_squares(grads)
        moving = ops.take(ops.convert_to_tensor(self.moving), indices)
        norm = ops.sqrt(ops.sum(ops.where(moving > 0, squares, 0.0)))
        if self._scaling is not None:
            norm = norm / self._scaling.scale
        return norm, ops.isfinite(ops.sum(squares))

    def _unscale_and_clip(self, grads: Sequence[Tensor], norm: Tensor) -> list[Tensor]:
        factor = None
        if self.clip_norm is not None:
            # Never up; and what is not finite stays so, for the loop to notice.
            factor = self.clip_norm / ops.maximum(norm, self.clip_norm)
        if self._scaling is not None:
            factor = (1.0 if factor is None else factor) / self._scaling.scale
        if factor is None:
            return list(grads)
        return [g * ops.cast(factor, g.dtype) for g in grads]

    def _note(self, norm: Tensor, finite: Tensor, count: Tensor) -> None:
        if self._scaling is not None:
            norm = ops.where(finite, norm, ops.convert_to_tensor(self.gradient_norm))
            self._scaling.update(finite)
        self.gradient_norm.assign(norm)
        self._counts.assign(count)

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Step
    ) -> None:
        step, index = learning_rate, self._get_variable_index(variable)
        cast = partial(ops.cast, dtype=variable.dtype)
        moving, count = cast(step.moving[index]), cast(step.count[index])
        change = self.change(cast(gradient), variable, index, moving, count)
        rate = cast(step.rate) * moving * self._shares[index]
        self.assign_sub(variable, rate * change)

    def change(
        self,
        gradient: Tensor,
        variable: keras.Variable,
        index: int,
        moving: Tensor,
        count: Tensor,
    ) -> Tensor:
        """Updates the slots of a weight and says where it goes.

        Args:
            gradient: summed and clipped, of the variable's dtype.
            variable: the weight.
            index: its number among the weights of the optimizer.
            moving: scalar, 1.0; 0.0 where the slots stay as they are.
            count: scalar, updates of this weight, this one included.

        Returns:
            What is taken off the weight, but for the learning rate.
        """
        raise NotImplementedError

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "weight_decay": self.decay_rate,
            "clip_norm": self.clip_norm,
            "exclude_from_weight_decay": list(self.not_decayed),
            "learning_rate_shares": dict(self.learning_rate_shares),
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
        }


def _handle(variable: Any) -> Tensor:
    # Under a strategy Keras hands on TensorFlow's variable, not its own.
    is_keras = isinstance(variable, keras.Variable)
    return (variable.value if is_keras else variable).handle


def _members(indices: Sequence[int], size: int) -> np.ndarray:
    members = np.zeros(size, "float32")
    members[list(indices)] = 1.0
    return members


@keras.saving.register_keras_serializable(package="keras_bert")
class AdamW(SummedGradientOptimizer):
    """Adam with decoupled weight decay, clipped by the global norm.

    Without weight decay it is Adam.

    Args:
        learning_rate: a float or a Keras schedule.
        weight_decay: share of a weight taken off per step, times the learning
            rate; biases and LayerNorm weights are not decayed.
        beta_1: decay of the mean of gradients.
        beta_2: decay of the mean of squared gradients.
        epsilon: added to the root of the latter.
        bias_correction: divide the means by what they lack at the start. Google's
            optimizer does not.
        clip_norm: largest global norm of the gradient; None does not clip.
        name: name of the optimizer.
        **kwargs: arguments of `SummedGradientOptimizer`.

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
        # Google's names.
        self._momentums = self._slots(variables, "adam_m")
        self._velocities = self._slots(variables, "adam_v")

    def _slots(self, variables: Sequence[keras.Variable], name: str) -> list:
        return [self.add_variable_from_reference(v, name=name) for v in variables]

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Step
    ) -> None:
        plain = type(self).change is AdamW.change
        if plain and keras.backend.backend() == "tensorflow":
            self._update_at_once(gradient, variable, learning_rate)
        else:
            super().update_step(gradient, variable, learning_rate)

    def _update_at_once(
        self, gradient: Tensor, variable: keras.Variable, step: Step
    ) -> None:
        """The same step by TensorFlow's own operations: few passes over memory.

        Their epsilon is added before the correction of the bias, ours after. Squares
        have a pass of their own: what Adam's operation makes of 1 - beta_2 in float32
        is 1.3e-5 off, and so would the mean of squares be.
        """
        import tensorflow as tf

        index = self._get_variable_index(variable)
        cast = partial(ops.cast, dtype=variable.dtype)
        moving, count = cast(step.moving[index]), cast(step.count[index])
        rate, gradient = cast(step.rate) * moving * self._shares[index], cast(gradient)
        if self._decayed[index]:
            self.assign(variable, variable * (1.0 - rate * self.decay_rate))
        m, v = self._momentums[index], self._velocities[index]
        tf.raw_ops.ResourceApplyGradientDescent(
            var=_handle(v),
            alpha=(1.0 - self.beta_2) * moving,
            delta=v - ops.square(gradient),
        )
        weight_1, weight_2 = self._weights_so_far(count)
        root = ops.sqrt(weight_2)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(m),
            v=_handle(v),
            beta1_power=0.0,  # the correction of the bias is in rate and epsilon
            beta2_power=0.0,
            lr=rate * root / weight_1,
            beta1=1.0 - (1.0 - self.beta_1) * moving,
            beta2=1.0,
            epsilon=self.epsilon * root,
            grad=gradient,
        )

    def _weights_so_far(self, count: Tensor) -> tuple[Tensor, Tensor]:
        """Returns what the weights in the two means add up to: 1 - beta ** count.

        By the updates of this weight alone; 1 where that is not corrected.
        """
        if not self.bias_correction:
            return ops.ones_like(count), ops.ones_like(count)
        count = ops.maximum(count, 1)  # one that was frozen starts when it moves
        # Written as it stands, float32 would lose five digits of 1 - 0.999.
        first, second = (
            -ops.expm1(count * math.log(beta)) if beta else ops.ones_like(count)
            for beta in (self.beta_1, self.beta_2)
        )
        return first, second

    def change(
        self,
        gradient: Tensor,
        variable: keras.Variable,
        index: int,
        moving: Tensor,
        count: Tensor,
    ) -> Tensor:
        m, v = self._momentums[index], self._velocities[index]
        self.assign(m, m + (gradient - m) * ((1 - self.beta_1) * moving))
        self.assign(v, v + (ops.square(gradient) - v) * ((1 - self.beta_2) * moving))
        mean, square = self._corrected(m, v, count)
        change = mean / (ops.sqrt(square) + self.epsilon)
        if self._decayed[index]:
            change = change + self.decay_rate * variable
        return change

    def _corrected(self, m: Any, v: Any, count: Tensor) -> tuple[Tensor, Tensor]:
        mean, square = ops.convert_to_tensor(m), ops.convert_to_tensor(v)
        if not self.bias_correction:
            return mean, square
        weight_1, weight_2 = self._weights_so_far(count)
        return mean / weight_1, square / weight_2

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "bias_correction": self.bias_correction,
        }


@keras.saving.register_keras_serializable(package="keras_bert")
class LAMB(AdamW):
    """AdamW whose change of a weight is made as long as the weight, for large batches.

    Args:
        learning_rate: a float or a Keras schedule.
        *args: further arguments of `AdamW` by position.
        exclude_from_layer_adaptation: kinds of weights whose change keeps its
            length; None takes those that are not decayed.
        name: name of the optimizer.
        **kwargs: arguments of `AdamW`. The paper has `bias_correction`; Google's code
            for ALBERT has none.

    Example:
        >>> optimizer = LAMB(learning_rate=0.5, weight_decay=0.0)
        >>> weight = keras.Variable(np.array([3.0, 4.0]))
        >>> optimizer.apply([np.array([1e-3, 1e-3])], [weight])
        >>> round(float(np.linalg.norm(weight - np.array([3.0, 4.0]))), 4)
        2.5

    Source: You et al. 2019 (arXiv:1904.00962), algorithm 2; `LAMBOptimizer` in the
    `lamb_optimizer.py` of Google's ALBERT.
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        *args: Any,
        exclude_from_layer_adaptation: Sequence[str] | None = None,
        name: str = "lamb",
        **kwargs: Any,
    ):
        super().__init__(learning_rate, *args, name=name, **kwargs)
        self.not_adapted = (
            self.not_decayed
            if exclude_from_layer_adaptation is None
            else tuple(exclude_from_layer_adaptation)
        )

    def change(
        self,
        gradient: Tensor,
        variable: keras.Variable,
        index: int,
        moving: Tensor,
        count: Tensor,
    ) -> Tensor:
        change = super().change(gradient, variable, index, moving, count)
        if kind(self.paths[index]) in self.not_adapted:
            return change
        return _trust_ratio(variable, change) * change

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "exclude_from_layer_adaptation": list(self.not_adapted),
        }


def _trust_ratio(variable: keras.Variable, change: Tensor) -> Tensor:
    """Length of a weight by that of its change; 1 where either is zero."""
    length, other = (ops.sqrt(ops.sum(ops.square(x))) for x in (variable, change))
    usable = ops.logical_and(length > 0, other > 0)
    ratio = length / ops.where(other > 0, other, ops.ones_like(other))
    return ops.where(usable, ratio, ops.ones_like(ratio))


OPTIMIZERS: dict[str, Callable[..., SummedGradientOptimizer]] = {
    "adamw": AdamW,
    "adam": partial(AdamW, weight_decay=0.0, name="adam"),
    "lamb": LAMB,
}


def scale_float16(
    optimizer: keras.optimizers.Optimizer, policy: keras.DTypePolicy
) -> keras.optimizers.Optimizer:
    """Has an optimizer scale the loss where gradients are float16.

    Args:
        optimizer: not built yet. Keras' own are wrapped in its `LossScaleOptimizer`.
        policy: of the model.

    Returns:
        The optimizer to use.

    Raises:
        ConfigError: the optimizer was built without a scale.
    """
    if policy.compute_dtype != "float16":
        return optimizer
    if not isinstance(optimizer, SummedGradientOptimizer):
        keras_own = keras.optimizers.LossScaleOptimizer
        return optimizer if isinstance(optimizer, keras_own) else keras_own(optimizer)
    if optimizer.initial_scale is not None or optimizer.loss_scale_factor is not None:
        return optimizer
    if optimizer.built:
        raise ConfigError(
            "Expected an optimizer with a loss scale for float16. Received: one that "
            "was built without. Give it initial_scale, for instance 2.0**15."
        )
    optimizer.initial_scale = INITIAL_SCALE
    return optimizer
