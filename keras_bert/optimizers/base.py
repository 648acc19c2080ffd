"""The step that AdamW and LAMB share: sum over replicas, unscale, clip, update.

Keras 3.15 on TensorFlow squares the rows of a sparse gradient one by one, so that
Adam is wrong for every embedding row that occurs twice in a batch, and under a
strategy it clips each replica's gradient before they are summed. This optimizer makes
gradients dense, sums them over the replicas, removes the loss scale, clips the sum,
and then updates.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_bert.errors import ConfigError
from keras_bert.layers.replicas import sum_over_replicas
from keras_bert.optimizers.gradients import dense, squared_norms
from keras_bert.optimizers.loss_scaling import GROWTH_STEPS, DynamicLossScale
from keras_bert.optimizers.parameter_groups import NOT_DECAYED, block_of, kind_of

Tensor = Any


class Update(NamedTuple):
    """What the update of a weight needs besides its gradient.

    For a whole step, in place of the learning rate that Keras passes on, `active` and
    `count` are `(weights,)`; for one weight, scalars.

    Attributes:
        rate: the learning rate.
        active: 1.0 for a weight that is updated; 0.0 if it is frozen or the step is
            skipped.
        count: number of updates of the weight, including this one.
    """

    rate: Tensor
    active: Tensor
    count: Tensor


class SummedGradientOptimizer(keras.optimizers.Optimizer):
    """Sums over replicas, unscales and clips; a subclass computes the update.

    Args:
        learning_rate: a float or a Keras schedule.
        weight_decay: fraction of a weight subtracted per step, times the learning
            rate.
        clip_norm: maximum global norm of the gradient; None does not clip.
        exclude_from_weight_decay: kinds of weights that are not decayed.
        learning_rate_shares: multipliers of the learning rate by block of the model,
            as from `keras_bert.optimizers.layer_rates`; 1 where not named.
        initial_scale: first scale of the loss, for float16; a step whose gradient
            is not finite on any replica is then skipped on all. None: no scaling.
        dynamic_growth_steps: finite steps after which that scale doubles.
        name: name of the optimizer.
        **kwargs: arguments of `keras.optimizers.Optimizer`; `use_ema` with
            `ema_momentum` averages the weights, see `keras_bert.training.averaging`.

    Attributes:
        gradient_norm: variable, the norm of the last finite gradient before clipping,
            without frozen weights.
        update_mask: variable `(weights,)`, 0.0 where a weight is frozen; see
            `keras_bert.training.freezing`.
        update_counts: variable `(weights,)`, the number of updates of each weight.
        loss_scale: variable, the scale of the loss; None without scaling.

    `iterations` counts skipped steps too, so that a schedule ends with the data.

    Raises:
        ConfigError: Keras' own clipping is requested, or its gradient accumulation
            under a strategy.
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
                    f"Received: {key}={kwargs[key]}. Pass that number as clip_norm."
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
        # Checkpoints hold these under their variable names, which must not change.
        vector = dict(shape=(len(variables),), aggregation="only_first_replica")
        self.update_mask = self.add_variable(
            initializer="ones", name="moving", **vector
        )
        self.update_counts = self.add_variable(name="counts", **vector)
        self.gradient_norm = self.add_variable(
            shape=(), aggregation="only_first_replica", name="gradient_norm"
        )
        if self.initial_scale is not None:
            self._scaling = DynamicLossScale(
                self, self.initial_scale, self.dynamic_growth_steps
            )
        self.paths = [v.path for v in variables]
        shares = self.learning_rate_shares
        self._shares = [shares.get(block_of(path), 1.0) for path in self.paths]
        self._decayed = [self._is_decayed(v) for v in variables]

    def _is_decayed(self, variable: keras.Variable) -> bool:
        # The second condition is Keras' own `exclude_from_weight_decay()`.
        by_kind = kind_of(variable.path) not in self.not_decayed
        return bool(self.decay_rate) and by_kind and self._use_weight_decay(variable)

    def _refuse_accumulation_on_replicas(self) -> None:
        strategy = getattr(self, "_distribution_strategy", None)
        replicas = getattr(strategy, "num_replicas_in_sync", 1)
        if self.gradient_accumulation_steps and replicas > 1:
            raise ConfigError(
                "Expected no gradient_accumulation_steps on several replicas, where "
                "Keras does not support it. Received: "
                f"{self.gradient_accumulation_steps} on {replicas} replicas. Use "
                "keras_bert.training.loop, or one replica."
            )

    # === One step ===

    @property
    def loss_scale(self) -> keras.Variable | None:
        return None if self._scaling is None else self._scaling.scale

    def scale_loss(self, loss: Tensor) -> Tensor:
        """Scales a loss, so that float16 gradients do not underflow."""
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
        active = self.update_mask * _one_hot_sum(indices, len(self.paths))
        grads = self._unscale_and_clip(grads, norm)
        if self._scaling is not None:
            # Zeros, since NaN and infinity survive a multiplication by zero.
            grads = [ops.where(finite, g, ops.zeros_like(g)) for g in grads]
            active = active * ops.cast(finite, active.dtype)
        count = self.update_counts + active
        self._record(norm, finite, count)
        step = Update(ops.convert_to_tensor(learning_rate), active, count)
        super()._backend_update_step(grads, trainable_variables, step)

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        return grads_and_vars  # already summed, before clipping

    def _measure(
        self, grads: Sequence[Tensor], indices: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """Returns the unscaled norm without frozen weights, and whether all is finite.

        The gradients are sums over the replicas, so both are the same on all.
        """
        squares = squared_norms(grads)
        mask = ops.take(ops.convert_to_tensor(self.update_mask), indices)
        norm = ops.sqrt(ops.sum(ops.where(mask > 0, squares, 0.0)))
        if self._scaling is not None:
            norm = norm / self._scaling.scale
        return norm, ops.isfinite(ops.sum(squares))

    def _unscale_and_clip(self, grads: Sequence[Tensor], norm: Tensor) -> list[Tensor]:
        factor = None
        if self.clip_norm is not None:
            # At most 1; NaN and infinity stay, so that the training loop sees them.
            factor = self.clip_norm / ops.maximum(norm, self.clip_norm)
        if self._scaling is not None:
            factor = (1.0 if factor is None else factor) / self._scaling.scale
        if factor is None:
            return list(grads)
        return [g * ops.cast(factor, g.dtype) for g in grads]

    def _record(self, norm: Tensor, finite: Tensor, count: Tensor) -> None:
        if self._scaling is not None:
            norm = ops.where(finite, norm, ops.convert_to_tensor(self.gradient_norm))
            self._scaling.update(finite)
        self.gradient_norm.assign(norm)
        self.update_counts.assign(count)

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Update
    ) -> None:
        index = self._get_variable_index(variable)
        update = self._update_of(index, learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        self.update_variable(variable, gradient, index, update)

    def _update_of(self, index: int, step: Update, dtype: str) -> Update:
        cast = partial(ops.cast, dtype=dtype)
        active = cast(step.active[index])
        rate = cast(step.rate) * active * self._shares[index]
        return Update(rate, active, cast(step.count[index]))

    def update_variable(
        self, variable: keras.Variable, gradient: Tensor, index: int, update: Update
    ) -> None:
        """Updates one weight and its slots.

        Args:
            variable: the weight.
            gradient: summed and clipped, of the variable's dtype.
            index: number of the weight among those of the optimizer.
            update: its learning rate, and whether and how often it is updated.
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


def _one_hot_sum(indices: Sequence[int], size: int) -> np.ndarray:
    """Returns `(size,)` float32: 1.0 at the given indices, 0.0 elsewhere."""
    mask = np.zeros(size, "float32")
    mask[list(indices)] = 1.0
    return mask
