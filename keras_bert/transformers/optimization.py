"""The optimizer and schedule of `transformers` for TensorFlow."""

from collections.abc import Callable, Sequence
from typing import Any, Self

import keras
from keras import ops

from keras_bert.errors import ConfigError
from keras_bert.optimizers import AdamW
from keras_bert.optimizers.base import Tensor, Update

_NOT_DECAYED = ("LayerNorm", "layer_norm", "bias")


@keras.saving.register_keras_serializable(package="keras_bert.transformers")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Rises to a learning rate, then follows another schedule.

    Args:
        initial_learning_rate: the rate at the end of the rise.
        decay_schedule_fn: the schedule after it, a function of the steps since.
        warmup_steps: steps of the rise.
        power: of the share of these steps; 1 is a linear rise.
        name: has no effect.

    Example:
        >>> rate = WarmUp(1e-3, lambda step: 5e-4, warmup_steps=4)
        >>> [round(float(rate(step)), 6) for step in (0, 2, 4)]
        [0.0, 0.0005, 0.0005]

    Source: `WarmUp` in `transformers`, optimization_tf.py.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_schedule_fn: Callable[[Any], Tensor],
        warmup_steps: int,
        power: float = 1.0,
        name: str | None = None,
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_schedule_fn = decay_schedule_fn
        self.warmup_steps = warmup_steps
        self.power = power
        self.name = name

    def __call__(self, step: Any) -> Tensor:
        step = ops.cast(step, "float32")
        warmup = float(self.warmup_steps)
        share = ops.minimum(step / max(warmup, 1.0), 1.0)
        rising = self.initial_learning_rate * ops.power(share, self.power)
        after = self.decay_schedule_fn(ops.maximum(step - warmup, 0.0))
        return ops.where(step < warmup, rising, after)

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_schedule_fn": keras.saving.serialize_keras_object(
                self.decay_schedule_fn
            ),
            "warmup_steps": self.warmup_steps,
            "power": self.power,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        stored = config["decay_schedule_fn"]
        decay = keras.saving.deserialize_keras_object(stored)
        return cls(**{**config, "decay_schedule_fn": decay})


@keras.saving.register_keras_serializable(package="keras_bert.transformers")
class AdamWeightDecay(AdamW):
    """Adam with decoupled weight decay of the variables that names choose.

    Args:
        learning_rate: a float or a schedule.
        beta_1: decay of the mean of gradients.
        beta_2: decay of the mean of squared gradients.
        epsilon: added to the square root of the latter, before its bias correction.
        amsgrad: cannot be had.
        weight_decay_rate: fraction of a weight subtracted per step, times the learning
            rate.
        include_in_weight_decay: parts of names of variables that are decayed, also if
            they are excluded.
        exclude_from_weight_decay: parts of names of variables that are not.
        name: name of the optimizer.
        clipnorm: maximum norm of the gradient of each variable.
        clipvalue: maximum of the values of the gradient.
        global_clipnorm: maximum norm of the gradient of all variables.
        lr: the old name of `learning_rate`.
        **kwargs: arguments of `keras_bert.optimizers.base.SummedGradientOptimizer`.

    A name is the path of a variable; in that of a LayerNorm, such as
    `layer_0/attention_norm/gamma`, "LayerNorm" is found too, as it is called in
    `transformers`.

    Raises:
        ConfigError: `amsgrad` or `decay` is asked for.

    Example:
        >>> import numpy as np
        >>> optimizer = AdamWeightDecay(learning_rate=0.5)
        >>> weight = keras.Variable(np.zeros(2))
        >>> optimizer.apply([np.ones(2)], [weight])
        >>> np.round(weight, 4).tolist()
        [-0.5, -0.5]

    Source: the class of this name in `transformers`, optimization_tf.py.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        weight_decay_rate: float = 0.0,
        include_in_weight_decay: Sequence[str] | None = None,
        exclude_from_weight_decay: Sequence[str] | None = None,
        name: str = "AdamWeightDecay",
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        lr: float | None = None,
        decay: float = 0.0,
        **kwargs: Any,
    ) -> None:
        if amsgrad or decay:
            raise ConfigError(
                "Expected amsgrad=False and no decay; for a rate that decays, give a "
                f"schedule. Received: amsgrad={amsgrad}, decay={decay}."
            )
        super().__init__(
            learning_rate if lr is None else lr,
            weight_decay=weight_decay_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            clip_norm=global_clipnorm,
            name=name,
            **kwargs,
        )
        self.weight_decay_rate = weight_decay_rate
        self.included = tuple(include_in_weight_decay or ())
        self.excluded = tuple(exclude_from_weight_decay or ())
        self.norm_limit, self.value_limit = clipnorm, clipvalue

    def _is_decayed(self, variable: keras.Variable) -> bool:
        path = variable.path
        names = f"{path} {path.replace('norm/', 'LayerNorm/')}"
        included = any(part in names for part in self.included)
        excluded = any(part in names for part in self.excluded)
        return bool(self.decay_rate) and (included or not excluded)

    def epsilon_at(self, correction_2: Tensor) -> Tensor:
        return self.epsilon / ops.sqrt(correction_2)

    def update_variable(
        self, variable: keras.Variable, gradient: Tensor, index: int, update: Update
    ) -> None:
        if self.norm_limit is not None:
            norm = ops.sqrt(ops.sum(ops.square(gradient)))
            gradient = gradient * (self.norm_limit / ops.maximum(norm, self.norm_limit))
        if self.value_limit is not None:
            gradient = ops.clip(gradient, -self.value_limit, self.value_limit)
        super().update_variable(variable, gradient, index, update)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        limit = config.pop("clip_norm")
        del config["bias_correction"], config["weight_decay"]
        return {
            **config,
            "weight_decay_rate": self.weight_decay_rate,
            "include_in_weight_decay": list(self.included),
            "exclude_from_weight_decay": list(self.excluded),
            "global_clipnorm": limit,
            "clipnorm": self.norm_limit,
            "clipvalue": self.value_limit,
        }


def create_optimizer(
    init_lr: float,
    num_train_steps: int,
    num_warmup_steps: int,
    min_lr_ratio: float = 0.0,
    adam_beta1: float = 0.9,
    adam_beta2: float = 0.999,
    adam_epsilon: float = 1e-8,
    adam_clipnorm: float | None = None,
    adam_global_clipnorm: float | None = None,
    weight_decay_rate: float = 0.0,
    power: float = 1.0,
    include_in_weight_decay: Sequence[str] | None = None,
) -> tuple[AdamWeightDecay, keras.optimizers.schedules.LearningRateSchedule]:
    """Returns an optimizer whose rate rises linearly, then decays, and its schedule.

    Biases and LayerNorms are not decayed.

    Args:
        init_lr: the highest rate.
        num_train_steps: steps of the training, the rise included.
        num_warmup_steps: steps of the rise.
        min_lr_ratio: the final rate, as a fraction of the highest.
        adam_beta1: see `AdamWeightDecay`.
        adam_beta2: see `AdamWeightDecay`.
        adam_epsilon: see `AdamWeightDecay`.
        adam_clipnorm: see `AdamWeightDecay`.
        adam_global_clipnorm: see `AdamWeightDecay`.
        weight_decay_rate: see `AdamWeightDecay`.
        power: of the decay; 1 is linear.
        include_in_weight_decay: see `AdamWeightDecay`.

    Raises:
        ConfigError: no step is left after the rise.

    Example:
        >>> optimizer, rate = create_optimizer(1e-3, 10, num_warmup_steps=2)
        >>> [round(float(rate(step)), 6) for step in (0, 2, 6, 10)]
        [0.0, 0.001, 0.0005, 0.0]

    Source: the function of this name in `transformers`, optimization_tf.py.
    """
    if num_train_steps <= num_warmup_steps:
        raise ConfigError(
            f"Expected more num_train_steps than num_warmup_steps. Received: "
            f"{num_train_steps} and {num_warmup_steps}."
        )
    schedule = keras.optimizers.schedules.PolynomialDecay(
        init_lr, num_train_steps - num_warmup_steps, init_lr * min_lr_ratio, power
    )
    if num_warmup_steps:
        schedule = WarmUp(init_lr, schedule, num_warmup_steps)
    optimizer = AdamWeightDecay(
        schedule,
        adam_beta1,
        adam_beta2,
        adam_epsilon,
        weight_decay_rate=weight_decay_rate,
        include_in_weight_decay=include_in_weight_decay,
        exclude_from_weight_decay=_NOT_DECAYED,
        clipnorm=adam_clipnorm,
        global_clipnorm=adam_global_clipnorm,
    )
    return optimizer, schedule
