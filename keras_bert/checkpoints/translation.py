"""The engine: gives weights another format's names and layout.

Where a weight is in a format is data (`keras_bert.families.rows`), so converting
between any two formats is one `einops.rearrange` from one axes string to the other.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from keras_bert import axes, families
from keras_bert.checkpoints.checkpoint import Tensor
from keras_bert.checkpoints.matching import listing
from keras_bert.config import Config
from keras_bert.errors import CheckpointError
from keras_bert.families.rows import Placement, Row


def translate(
    tensors: Mapping[str, Tensor],
    rows: Iterable[Row],
    source: str,
    target: str,
    config: Config,
) -> dict[str, Tensor]:
    """Gives weights another format's names and layout, without reading them yet.

    Args:
        tensors: by the source format's names.
        rows: the weights to translate.
        source: the format they are in.
        target: the format they are to have.
        config: gives the sizes of the axes.

    Returns:
        Tensors by the target format's names.

    Raises:
        CheckpointError: the target format has no place for a weight.
    """
    sizes = families.of(config).sizes(config)
    rows = list(rows)
    unplaced = [r.placements[source].name for r in rows if target not in r.placements]
    if unplaced:
        raise CheckpointError(
            f"Expected a format that can hold the model. Received: the format "
            f"{target!r}, which has no place for {listing(unplaced)}. Choose another; "
            "keras-bert convert --drop leaves parts of a saved model behind."
        )
    places = [(row.placements[source], row.placements[target]) for row in rows]
    return {to.name: _rearranged(tensors[at.name], at, to, sizes) for at, to in places}


def translate_optimizer(
    optimizer: Mapping[str, Tensor],
    rows: Iterable[Row],
    source: str,
    target: str,
    config: Config,
) -> dict[str, Tensor]:
    """Gives optimizer state another format's names and layout.

    A slot has the layout of its weight; a counter stays as it is. Slots of weights that
    are not in the rows are left out.

    Args:
        optimizer: slots as `<weight>/<slot>`, counters by a name without a slash.
        rows: the weights that are translated.
        source: the format it is in.
        target: the format it is to have.
        config: gives the sizes of the axes.

    Raises:
        CheckpointError: a slot does not have the shape of its weight.
    """
    sizes = families.of(config).sizes(config)
    by_name = {row.placements[source].name: row for row in rows}
    found = {}
    for name, tensor in optimizer.items():
        weight, _, slot = name.rpartition("/")
        if not weight:
            found[name] = tensor
        elif weight in by_name:
            at, to = (by_name[weight].placements[f] for f in (source, target))
            _check_shape(name, tensor, axes.shape(at.axes, sizes))
            found[f"{to.name}/{slot}"] = _rearranged(tensor, at, to, sizes)
    return found


def _check_shape(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tensor.shape != shape:
        raise CheckpointError(
            f"Expected {name} to have its weight's shape {shape}. Received: "
            f"{tensor.shape}. Drop the optimizer's state by name (drop=['optimizer'], "
            "--drop optimizer)."
        )


def _rearranged(
    tensor: Tensor, source: Placement, target: Placement, sizes: dict
) -> Tensor:
    there, here = axes.groups(source.axes), axes.groups(target.axes)
    if there == here:
        return tensor
    if len(there) == 2 and there == here[::-1]:
        return tensor.transposed()
    return Tensor(
        axes.shape(target.axes, sizes),
        tensor.dtype,
        lambda: rearrange(tensor.load(), source, target, sizes),
    )


def rearrange(
    value: np.ndarray, source: Placement, target: Placement, sizes: Mapping[str, int]
) -> np.ndarray:
    """Gives a weight another format's layout.

    Args:
        value: the weight in the layout of `source`.
        source: its place in the format it comes from.
        target: its place in the format it goes to.
        sizes: the size of every axis that they name.

    Returns:
        The same numbers in the layout of `target`, contiguous.

    Example:
        >>> there = Placement("weight", "(heads head_dim) hidden")
        >>> here = Placement("kernel", "hidden heads head_dim")
        >>> dims = {"heads": 2, "head_dim": 3, "hidden": 5}
        >>> rearrange(np.zeros((6, 5)), there, here, dims).shape
        (5, 2, 3)
    """
    import einops

    if source.axes == target.axes:
        return np.ascontiguousarray(value).reshape(value.shape)
    named = {name: sizes[name] for name in axes.names(source.axes)}
    moved = einops.rearrange(value, f"{source.axes} -> {target.axes}", **named)
    return np.ascontiguousarray(moved)
