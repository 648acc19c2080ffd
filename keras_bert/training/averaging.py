"""Exponential moving averages of the weights.

The averages are Keras' own (`use_ema=True`, `ema_momentum` of an optimizer), kept
among the optimizer's variables and so in every checkpoint. Keras swaps them with the
weights by adding and subtracting, which changes the last bits of both. An evaluation
must not change the run, so here the weights are copied and restored.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import keras
import numpy as np

from keras_bert.errors import ConfigError


@contextmanager
def averaged_weights(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Gives a model its averaged weights inside, and restores its own bit for bit.

    Evaluate, save or export the model inside.

    Args:
        optimizer: the model's, with `use_ema=True`.

    Raises:
        ConfigError: the optimizer keeps no averages.

    Example:
        >>> from keras_bert.optimizers import AdamW
        >>> optimizer = AdamW(0.5, weight_decay=0.0, use_ema=True, ema_momentum=0.5)
        >>> weight = keras.Variable([0.0])
        >>> for _ in range(2):
        ...     optimizer.apply([keras.ops.ones(1)], [weight])
        >>> with averaged_weights(optimizer):
        ...     print(round(float(weight[0]), 4))
        -0.75
        >>> round(float(weight[0]), 4)
        -1.0
    """
    own = _take_averages(optimizer)
    try:
        yield
    finally:
        _restore(optimizer, own)


def _take_averages(optimizer: Any) -> list[np.ndarray]:
    """Assigns the averages to the weights and returns their previous values."""
    pairs = _pairs(optimizer)
    own = [variable.numpy() for variable, _ in pairs]
    _restore(optimizer, [average.numpy() for _, average in pairs])
    return own


def _restore(optimizer: Any, values: list[np.ndarray]) -> None:
    with _scope(optimizer):
        for (variable, _), value in zip(_pairs(optimizer), values, strict=True):
            variable.assign(value)


def _pairs(optimizer: Any) -> list[tuple[keras.Variable, keras.Variable]]:
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not optimizer.use_ema or not optimizer.built:
        raise ConfigError(
            "Expected a built optimizer with use_ema=True. Received: "
            f"use_ema={optimizer.use_ema}, built={optimizer.built}."
        )
    averages = optimizer._model_variables_moving_average
    pairs = zip(optimizer._trainable_variables, averages, strict=True)
    return [(variable, average) for variable, average in pairs if average is not None]


def _scope(optimizer: Any) -> Any:
    strategy = getattr(optimizer, "_distribution_strategy", None)
    return nullcontext() if strategy is None else strategy.scope()


class EvaluateAveraged(keras.callbacks.Callback):
    """Evaluates the averaged weights in `fit`, and trains on with the others.

    When `fit` ends, the model has the averaged weights, as with Keras.

    Args:
        until_next_epoch: keep them from the end of an epoch to the start of the
            next, so that a `ModelCheckpoint` saves what was evaluated. It has to
            come after this callback in the list.

    Example:
        >>> model.compile(AdamW(use_ema=True))  # doctest: +SKIP
        >>> model.fit(..., callbacks=[EvaluateAveraged()])  # doctest: +SKIP
    """

    def __init__(self, until_next_epoch: bool = False):
        super().__init__()
        self.until_next_epoch = until_next_epoch
        self._training = False
        self._own: list[np.ndarray] | None = None  # while the averages are assigned

    def on_train_begin(self, logs: Any = None) -> None:
        self._training = True

    def on_test_begin(self, logs: Any = None) -> None:
        self._take()

    def on_test_end(self, logs: Any = None) -> None:
        if not (self._training and self.until_next_epoch):
            self._give_back()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.until_next_epoch:
            self._take()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._give_back()

    def on_train_end(self, logs: Any = None) -> None:
        self._training = False
        self._own = None  # Keras has assigned the averages for good

    def _take(self) -> None:
        if self._own is None:
            self._own = _take_averages(self.model.optimizer)

    def _give_back(self) -> None:
        if self._own is not None:
            _restore(self.model.optimizer, self._own)
            self._own = None
