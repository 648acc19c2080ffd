"""Dynamic loss scaling, so that float16 gradients do not underflow.

Keras' `LossScaleOptimizer` looks at the gradient of the first replica alone: when
another one overflows, its weights become infinite. Here the optimizer asks whether
the gradient summed over all replicas is finite, so all of them skip the same steps.
"""

from typing import Any

import keras
from keras import ops

Tensor = Any

INITIAL_SCALE = 2.0**15
GROWTH_STEPS = 2000
# Zero gradients never overflow; without a limit the scale would become infinite.
LIMITS = (1.0, 2.0**64)


class DynamicLossScale:
    """Doubles after a number of consecutive finite steps, halves after any other.

    Args:
        optimizer: it keeps the two numbers among its variables.
        initial_scale: the first scale.
        growth_steps: finite steps before the scale doubles.

    Source: Micikevicius et al. 2017 (arXiv:1710.03740), section 3.2; the numbers
    are those of Keras' `LossScaleOptimizer`.
    """

    def __init__(
        self,
        optimizer: keras.optimizers.Optimizer,
        initial_scale: float = INITIAL_SCALE,
        growth_steps: int = GROWTH_STEPS,
    ):
        self.growth_steps = growth_steps
        options = dict(shape=(), dtype="float32", aggregation="only_first_replica")
        self.scale = optimizer.add_variable(
            initializer=keras.initializers.Constant(initial_scale),
            name="loss_scale",
            **options,
        )
        self.finite_steps = optimizer.add_variable(
            initializer="zeros", name="finite_steps", **options
        )

    def update(self, finite: Tensor) -> None:
        """Adjusts the scale after a step.

        Args:
            finite: scalar bool, the same on all replicas.
        """
        steps = ops.where(finite, self.finite_steps + 1.0, 0.0)
        grow = steps >= self.growth_steps
        factor = ops.where(finite, ops.where(grow, 2.0, 1.0), 0.5)
        self.scale.assign(ops.clip(self.scale * factor, *LIMITS))
        self.finite_steps.assign(ops.where(grow, 0.0, steps))
