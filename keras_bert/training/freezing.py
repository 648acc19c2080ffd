"""Freezing weights by layer or by name, and thawing layers one by one.

An optimizer of `keras_bert.optimizers` holds a mask with 1 or 0 for each weight. A
frozen weight is neither updated nor decayed, its slots do not change, its gradient does
not count in the norm that is clipped, and its bias correction starts at its own first
update. This works in a compiled model, under a strategy and on every backend, without
retracing, and is part of every checkpoint. `freeze_layers`, `freeze` and
`unfreeze_every` of a `Plan` use it in the training loop.

The gradients of frozen weights are still computed and their slots still stored. For
weights that stay frozen throughout, Keras' `layer.trainable = False` before `compile`
saves both.
"""

import re
from collections.abc import Collection, Iterable
from typing import Any

import keras

from keras_bert.config import Config
from keras_bert.errors import ConfigError
from keras_bert.optimizers import SummedGradientOptimizer
from keras_bert.optimizers.parameter_groups import block_of, depths


def freeze(
    optimizer: SummedGradientOptimizer,
    config: Config,
    layers: int | None = None,
    patterns: Iterable[str] = (),
) -> None:
    """Freezes the embeddings and the first layers, and thaws all others.

    Args:
        optimizer: of this package, built.
        config: of the model.
        layers: number of layers to freeze, besides the embeddings; None freezes
            nothing.
        patterns: regular expressions; a weight whose path one of them matches, from
            anywhere in it, is frozen too.

    Raises:
        ConfigError: the encoder has fewer layers, a pattern matches no weight, nothing
            is left to train, or the optimizer is another one.

    Example:
        >>> freeze(model.optimizer, model.config, layers=2)  # doctest: +SKIP
        >>> freeze(
        ...     model.optimizer, model.config, patterns=["embeddings", "layer_[0-3]/"]
        ... )  # doctest: +SKIP
    """
    mask = update_mask(optimizer, config, layers, patterns)
    optimizer.update_mask.assign(mask)


def update_mask(
    optimizer: SummedGradientOptimizer,
    config: Config,
    layers: int | None,
    patterns: Iterable[str] = (),
) -> list[float]:
    """Returns what `freeze` assigns to `update_mask` of an optimizer.

    Args:
        optimizer, config, layers, patterns: see `freeze`.

    Raises:
        ConfigError: see `freeze`.
    """
    _check_optimizer(optimizer)
    check_layers(config, layers)
    lowest = -1 if layers is None else layers
    frozen = {name for name, depth in depths(config).items() if depth <= lowest}
    by_name = matching(patterns, optimizer.paths)
    return [
        float(block_of(path) not in frozen and path not in by_name)
        for path in optimizer.paths
    ]


def matching(patterns: Iterable[str], paths: Collection[str]) -> set[str]:
    """Returns the paths of weights that patterns match.

    Args:
        patterns: see `freeze`.
        paths: of all weights that are trained.

    Raises:
        ConfigError: a pattern is no regular expression or matches nothing, or nothing
            is left.

    Example:
        >>> sorted(matching(["query", "_1/"], ["layer_0/query", "layer_1/key", "bias"]))
        ['layer_0/query', 'layer_1/key']
    """
    found: set[str] = set()
    for pattern in patterns:
        try:
            matched = {path for path in paths if re.search(pattern, path)}
        except re.error as error:
            raise ConfigError(
                "Expected a regular expression, such as 'layer_[0-3]/', to freeze. "
                f"Received: {pattern!r}: {error}."
            ) from error
        if not matched:
            parts = dict.fromkeys(map(block_of, paths))
            raise ConfigError(
                "Expected a pattern that matches the name of a weight to freeze. "
                f"Received: {pattern!r}. There are weights of {', '.join(parts)}, such "
                f"as {next(iter(paths), None)}."
            )
        found |= matched
    if found and len(found) == len(set(paths)):
        raise ConfigError(
            "Expected weights to train. Received: patterns that freeze all of them, "
            f"{list(patterns)}."
        )
    return found


def check_layers(config: Config, layers: int | None) -> None:
    """Raises an error if an encoder has fewer layers than are to be frozen.

    Args:
        config: of the model.
        layers: see `freeze`.

    Raises:
        ConfigError: the encoder has fewer layers.
    """
    if layers is not None and not 0 <= layers <= config.num_blocks:
        raise ConfigError(
            f"Expected 0 to {config.num_blocks} layers to freeze, which is how many "
            f"have weights of their own. Received: {layers}."
        )


def _check_optimizer(optimizer: Any) -> None:
    if not isinstance(optimizer, SummedGradientOptimizer) or not optimizer.built:
        raise ConfigError(
            "Expected a built optimizer of keras_bert.optimizers to freeze "
            f"weights in. Received: {type(optimizer).__module__}."
            f"{type(optimizer).__qualname__}, "
            f"{'built' if optimizer.built else 'not built'}."
        )


def layers_frozen(epoch: int, layers: int) -> int | None:
    """Returns how many layers are frozen if one thaws every epoch, topmost first.

    Args:
        epoch: number of the epoch, from 0.
        layers: number of layers frozen in epoch 0, besides the embeddings.

    Returns:
        The argument of `freeze`. The embeddings thaw last, an epoch after the first
        layer.

    Example:
        >>> [layers_frozen(epoch, 2) for epoch in range(4)]
        [2, 1, 0, None]

    Source: Howard & Ruder 2018 (arXiv:1801.06146), section 3.3.
    """
    return layers - epoch if epoch <= layers else None


class GradualUnfreezing(keras.callbacks.Callback):
    """Freezes the embeddings and layers, and thaws one layer every epoch of `fit`.

    Args:
        layers: number of layers frozen in epoch 0, besides the embeddings; None: all.

    Example:
        >>> model.fit(..., callbacks=[GradualUnfreezing()])  # doctest: +SKIP
    """

    def __init__(self, layers: int | None = None):
        super().__init__()
        self.layers = layers

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        config, optimizer = self.model.config, self.model.optimizer
        if not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        layers = config.num_blocks if self.layers is None else self.layers
        freeze(optimizer, config, layers_frozen(epoch, layers))
