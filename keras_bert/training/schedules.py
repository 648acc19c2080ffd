"""Learning-rate schedules."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_bert")
class LinearWarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly to the peak, then falls linearly to zero.

    The decay is counted from step 0, not from the end of the warm-up, so at the
    join the rate steps down from the peak to what the decay has reached, exactly
    as in Google's code.

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

    def __init__(self, peak: float, total_steps: int, warmup_steps: int = 0):
        self.peak = peak
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        total = float(self.total_steps)
        decayed = self.peak * (1.0 - ops.minimum(step, total) / total)
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
