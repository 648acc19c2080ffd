"""Learning-rate schedules with the warm-up of Google's code."""

import math
from typing import Any

import keras
from keras import ops

from keras_bert.errors import ConfigError

Tensor = Any


class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly from zero to the peak, then decays as a subclass computes.

    Progress is counted from step 0, not from the end of the warm-up. At the end of the
    warm-up the rate therefore drops from the peak to what the decay has reached,
    exactly as in Google's code.

    Args:
        peak: the highest rate.
        total_steps: steps after which the rate is constant.
        warmup_steps: steps of the rise.

    Raises:
        ConfigError: `total_steps` below 1 or `warmup_steps` below 0.
    """

    def __init__(self, peak: float, total_steps: int, warmup_steps: int = 0):
        if total_steps < 1 or warmup_steps < 0:
            raise ConfigError(
                "Expected total_steps of 1 or more and warmup_steps of 0 or more. "
                f"Received: {total_steps} and {warmup_steps}."
            )
        self.peak = peak
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps

    def after_warmup(self, progress: Tensor) -> Tensor:
        """Returns the rate at a fraction of the steps, in [0, 1]."""
        raise NotImplementedError

    def __call__(self, step: Any) -> Tensor:
        step = ops.cast(step, "float32")
        total = float(self.total_steps)
        decayed = self.after_warmup(ops.minimum(step, total) / total)
        if not self.warmup_steps:
            return decayed
        rising = self.peak * (step / float(self.warmup_steps))
        return ops.where(step < self.warmup_steps, rising, decayed)

    def get_config(self) -> dict:
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
        }


class _DecayToEnd(WarmupSchedule):
    """Decays from the peak to a final rate."""

    def __init__(
        self, peak: float, total_steps: int, warmup_steps: int = 0, end: float = 0.0
    ):
        super().__init__(peak, total_steps, warmup_steps)
        self.end = end

    def remaining(self, progress: Tensor) -> Tensor:
        """Returns the fraction of `peak - end` that is left, 1 to 0."""
        raise NotImplementedError

    def after_warmup(self, progress: Tensor) -> Tensor:
        return self.end + (self.peak - self.end) * self.remaining(progress)

    def get_config(self) -> dict:
        return {**super().get_config(), "end": self.end}


@keras.saving.register_keras_serializable(package="keras_bert")
class LinearWarmupDecay(WarmupSchedule):
    """Rises linearly to the peak, then decays linearly to zero.

    Args:
        peak: the highest rate.
        total_steps: steps after which the rate is zero.
        warmup_steps: steps of the rise.

    Example:
        >>> rate = LinearWarmupDecay(1e-3, total_steps=10, warmup_steps=4)
        >>> [round(float(rate(step)), 6) for step in (0, 2, 4, 10)]
        [0.0, 0.0005, 0.0006, 0.0]

    Source: `create_optimizer` in Google's `optimization.py`.
    """

    def after_warmup(self, progress: Tensor) -> Tensor:
        return self.peak * (1.0 - progress)


@keras.saving.register_keras_serializable(package="keras_bert")
class PolynomialWarmupDecay(_DecayToEnd):
    """Rises linearly to the peak, then decays as a power of the steps left.

    Args:
        peak: the highest rate.
        total_steps: steps after which the rate is `end`.
        warmup_steps: steps of the rise.
        end: the final rate.
        power: 1 is linear; the LAMB paper uses 0.5 for BERT.

    Example:
        >>> rate = PolynomialWarmupDecay(1e-3, total_steps=4, power=0.5)
        >>> [round(float(rate(step)), 6) for step in (0, 3, 4)]
        [0.001, 0.0005, 0.0]

    Source: `tf.train.polynomial_decay` as Google's `optimization.py` calls it.
    """

    def __init__(
        self,
        peak: float,
        total_steps: int,
        warmup_steps: int = 0,
        end: float = 0.0,
        power: float = 1.0,
    ):
        super().__init__(peak, total_steps, warmup_steps, end)
        self.power = power

    def remaining(self, progress: Tensor) -> Tensor:
        return ops.power(1.0 - progress, self.power)

    def get_config(self) -> dict:
        return {**super().get_config(), "power": self.power}


@keras.saving.register_keras_serializable(package="keras_bert")
class CosineWarmupDecay(_DecayToEnd):
    """Rises linearly to the peak, then decays along half a cosine.

    Args:
        peak: the highest rate.
        total_steps: steps after which the rate is `end`.
        warmup_steps: steps of the rise.
        end: the final rate.

    Example:
        >>> rate = CosineWarmupDecay(1e-3, total_steps=6)
        >>> [round(float(rate(step)), 6) for step in (0, 2, 3, 6)]
        [0.001, 0.00075, 0.0005, 0.0]

    Source: Loshchilov & Hutter 2016 (arXiv:1608.03983), without restarts.
    """

    def remaining(self, progress: Tensor) -> Tensor:
        return 0.5 * (1.0 + ops.cos(math.pi * progress))


@keras.saving.register_keras_serializable(package="keras_bert")
class ConstantWithWarmup(WarmupSchedule):
    """Rises linearly to the peak and stays there.

    Args:
        peak: the highest rate.
        total_steps: steps of the run; the rate does not depend on them.
        warmup_steps: steps of the rise.

    Example:
        >>> rate = ConstantWithWarmup(1e-3, total_steps=10, warmup_steps=4)
        >>> [round(float(rate(step)), 6) for step in (0, 2, 4, 10)]
        [0.0, 0.0005, 0.001, 0.001]
    """

    def after_warmup(self, progress: Tensor) -> Tensor:
        return self.peak * ops.ones_like(progress)


# By the names that Hugging Face's `get_scheduler` has for their shapes.
SCHEDULES: dict[str, type[WarmupSchedule]] = {
    "linear": LinearWarmupDecay,
    "polynomial": PolynomialWarmupDecay,
    "cosine": CosineWarmupDecay,
    "constant": ConstantWithWarmup,
}
