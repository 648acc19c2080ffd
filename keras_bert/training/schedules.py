"""The schedules of `keras_bert.optimizers`, where scripts used to import them from."""

from keras_bert.optimizers import (  # noqa: F401
    SCHEDULES,
    ConstantWithWarmup,
    CosineWarmupDecay,
    LinearWarmupDecay,
    PolynomialWarmupDecay,
)
