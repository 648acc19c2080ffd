"""LAMB: AdamW with layer-wise adaptation, for large batches."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_bert.optimizers.adamw import AdamW
from keras_bert.optimizers.base import Tensor, Update
from keras_bert.optimizers.parameter_groups import kind_of


@keras.saving.register_keras_serializable(package="keras_bert")
class LAMB(AdamW):
    """AdamW whose update of a weight is scaled to the norm of the weight.

    Args:
        learning_rate: a float or a Keras schedule.
        *args: further arguments of `AdamW` by position.
        exclude_from_layer_adaptation: kinds of weights whose update is not scaled;
            None: those that are not decayed.
        name: name of the optimizer.
        **kwargs: arguments of `AdamW`. The paper has `bias_correction`; Google's code
            for ALBERT has none.

    Example:
        >>> import numpy as np
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
        super().__init__(learning_rate, *args, name=name, **kwargs)  # type: ignore[misc]
        self.not_adapted = (
            self.not_decayed
            if exclude_from_layer_adaptation is None
            else tuple(exclude_from_layer_adaptation)
        )

    def update_variable(
        self, variable: keras.Variable, gradient: Tensor, index: int, update: Update
    ) -> None:
        direction = self.direction(variable, gradient, index, update)
        if kind_of(self.paths[index]) not in self.not_adapted:
            direction = _trust_ratio(variable, direction) * direction
        self.assign_sub(variable, update.rate * direction)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "exclude_from_layer_adaptation": list(self.not_adapted),
        }


def _trust_ratio(variable: keras.Variable, direction: Tensor) -> Tensor:
    """Norm of a weight divided by that of its update; 1 where either is zero."""
    weight, step = (ops.sqrt(ops.sum(ops.square(x))) for x in (variable, direction))
    usable = ops.logical_and(weight > 0, step > 0)
    ratio = weight / ops.where(step > 0, step, ops.ones_like(step))
    return ops.where(usable, ratio, ops.ones_like(ratio))
