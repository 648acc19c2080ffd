"""Which optimizers scale the loss: those of models that compute in float16."""

import keras

from keras_bert.errors import ConfigError
from keras_bert.optimizers.base import SummedGradientOptimizer
from keras_bert.optimizers.loss_scaling import INITIAL_SCALE


def scale_float16(
    optimizer: keras.optimizers.Optimizer, policy: keras.DTypePolicy
) -> keras.optimizers.Optimizer:
    """Makes an optimizer scale the loss where gradients are float16.

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
            "was built without. Pass it initial_scale, for instance 2.0**15."
        )
    optimizer.initial_scale = INITIAL_SCALE
    return optimizer
