"""The optimizers and learning-rate schedules BERT is trained with, on every backend."""

from collections.abc import Callable
from functools import partial

from keras_bert.optimizers.adamw import AdamW
from keras_bert.optimizers.base import SummedGradientOptimizer
from keras_bert.optimizers.float16 import scale_float16
from keras_bert.optimizers.lamb import LAMB
from keras_bert.optimizers.parameter_groups import layer_rates
from keras_bert.optimizers.schedules import (
    SCHEDULES,
    ConstantWithWarmup,
    CosineWarmupDecay,
    LinearWarmupDecay,
    PolynomialWarmupDecay,
    WarmupSchedule,
)

OPTIMIZERS: dict[str, Callable[..., SummedGradientOptimizer]] = {
    "adamw": AdamW,
    "adam": partial(AdamW, weight_decay=0.0, name="adam"),
    "lamb": LAMB,
}

__all__ = [
    "LAMB",
    "OPTIMIZERS",
    "SCHEDULES",
    "AdamW",
    "ConstantWithWarmup",
    "CosineWarmupDecay",
    "LinearWarmupDecay",
    "PolynomialWarmupDecay",
    "SummedGradientOptimizer",
    "WarmupSchedule",
    "layer_rates",
    "scale_float16",
]
