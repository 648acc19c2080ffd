"""The weight table: a weight's place in a format is data.

A `Row` is one weight. For every format it names a `Slot`: the weight's name there
and how its axes lie. Converting between any two formats is then one call of
`einops.rearrange` from one axes string to the other, in either direction.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from keras_bert import axes
from keras_bert.errors import CheckpointError

MAX_LAYERS = 1000  # beyond, a config is damaged or means harm
KINDS = ("kernel", "embedding", "bias", "norm")


class Slot(NamedTuple):
    """A weight's place in one format.

    Attributes:
        name: the weight's name, with `{i}` for the layer's number.
        axes: its dimensions in order, see `keras_bert.axes`.
    """

    name: str
    axes: str


class Row(NamedTuple):
    """One weight in every format.

    Attributes:
        kind: one of `KINDS`; kernels and embeddings decay, biases and norms do not.
        slots: format name to place.
    """

    kind: str
    slots: Mapping[str, Slot]


def expand(rows: Iterable[Row], layers: int) -> list[Row]:
    """Writes out the rows of every layer.

    Args:
        rows: rows whose names may hold `{i}`.
        layers: number of layers.

    Returns:
        Rows without holes, a repeated one for every layer.

    Raises:
        CheckpointError: there are too many layers to be true.

    Example:
        >>> row = Row("bias", {"keras": Slot("layer_{i}/bias", "hidden")})
        >>> [r.slots["keras"].name for r in expand([row], 2)]
        ['layer_0/bias', 'layer_1/bias']
    """
    if layers > MAX_LAYERS:
        raise CheckpointError(
            f"Expected at most {MAX_LAYERS} layers. Received: {layers} in the config."
        )
    expanded = []
    for row in rows:
        repeated = any("{i}" in slot.name for slot in row.slots.values())
        for i in range(layers if repeated else 1):
            slots = {k: Slot(s.name.format(i=i), s.axes) for k, s in row.slots.items()}
            expanded.append(Row(row.kind, slots))
    return expanded


def rearrange(
    value: np.ndarray, source: Slot, target: Slot, sizes: Mapping[str, int]
) -> np.ndarray:
    """Turns a weight from one format's layout into another's.

    Args:
        value: the weight as `source` describes it.
        source: its place in the format it comes from.
        target: its place in the format it goes to.
        sizes: size of every axis the two slots name.

    Returns:
        The same numbers, contiguous, as `target` describes them.

    Example:
        >>> there = Slot("weight", "(heads head_dim) hidden")
        >>> here = Slot("kernel", "hidden heads head_dim")
        >>> dims = {"heads": 2, "head_dim": 3, "hidden": 5}
        >>> rearrange(np.zeros((6, 5)), there, here, dims).shape
        (5, 2, 3)
    """
    import einops

    if source.axes == target.axes:
        return np.ascontiguousarray(value).reshape(value.shape)
    named = {name: sizes[name] for name in axes.names(source.axes)}
    turned = einops.rearrange(value, f"{source.axes} -> {target.axes}", **named)
    return np.ascontiguousarray(turned)
