"""Attention probabilities of each head, as arrays and as heat maps."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_bert import figures
from keras_bert.errors import InputError

MAX_PIXELS = 16_000  # of width and height of a figure


class AttentionMaps(NamedTuple):
    """The attention of one text.

    Attributes:
        tokens: labels of the rows and columns of a map.
        probabilities: float32 `(layers, heads, seq, seq)`: `[..., i, j]` is how much
            token i attends to token j; a row sums to 1.
    """

    tokens: list[str]
    probabilities: np.ndarray


def attention_maps(
    model: Any,
    tokenizer: Any,
    text: str,
    text_pair: str | None = None,
    *,
    max_length: int | None = None,
) -> AttentionMaps:
    """Computes the attention of every head for a text, or a pair.

    Args:
        model: any model with an encoder, whether its config requests attentions or not.
        tokenizer: the model's tokenizer.
        text: the text.
        text_pair: a second text.
        max_length: the most tokens; None takes the model's limit.

    Returns:
        Tokens and probabilities.

    Example:
        >>> tokens, probabilities = attention_maps(
        ...     model, tokenizer, "A fine film.")  # doctest: +SKIP

    Source: Vaswani et al. 2017 (arXiv:1706.03762), section 3.2.1.
    """
    from keras import ops

    batch = tokenizer.encode_batch(
        [text],
        text_pairs=None if text_pair is None else [text_pair],
        max_length=max_length or model.max_text_length(tokenizer),
    )
    encoded = model.encoder(batch)
    maps = [
        ops.convert_to_numpy(ops.cast(a[0], "float32")) for a in encoded["attentions"]
    ]
    tokens = tokenizer.convert_ids_to_tokens(batch["input_ids"][0])
    return AttentionMaps(tokens, np.stack(maps))


def plot_attention(
    tokens: Sequence[str],
    probabilities: np.ndarray,
    path: str | Path,
    *,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    overwrite: bool = False,
) -> Path:
    """Draws one heat map per head, a row of maps per layer.

    Args:
        tokens: labels of the rows and columns of the maps.
        probabilities: `(layers, heads, seq, seq)`.
        path: the PNG file to write.
        layers: indices of the layers to draw; None draws all.
        heads: indices of the heads to draw; None draws all.
        overwrite: replace an existing file.

    Returns:
        `path`.

    Raises:
        InputError: the shape does not match the tokens, or an index is out of range.
        ExistingOutputError: the file exists and `overwrite` is False.
        MissingExtraError: matplotlib is not installed.

    Example:
        >>> import tempfile
        >>> maps = np.full((1, 2, 3, 3), 1 / 3)
        >>> path = Path(tempfile.mkdtemp()) / "attention.png"
        >>> plot_attention(["a", "b", "c"], maps, path).name
        'attention.png'
    """
    probabilities = np.asarray(probabilities)
    size = len(tokens)
    if probabilities.ndim != 4 or probabilities.shape[2:] != (size, size):
        raise InputError(
            f"Expected attention of shape (layers, heads, {size}, {size}), as there "
            f"are {size} tokens. Received: {probabilities.shape}."
        )
    layers = _numbers("layers", layers, probabilities.shape[0])
    heads = _numbers("heads", heads, probabilities.shape[1])
    side = max(1.8, 0.17 * size)  # inches; a label needs 0.17
    label = 0.075 * max(map(len, tokens)) + 0.3
    width = side * len(heads) + label + 0.8  # the color bar
    height = (side + 0.25) * len(layers) + label
    figure = figures.new_figure(width, height)
    grid = figure.subplots(
        len(layers), len(heads), squeeze=False, sharex=True, sharey=True
    )
    for axes, (layer, head) in zip(grid.flat, product(layers, heads), strict=True):
        image = _draw(axes, probabilities[layer, head], f"layer {layer} head {head}")
    _label(grid, list(tokens))
    bar = figure.colorbar(image, ax=grid, shrink=min(0.8, 3 / height), pad=0.01)
    bar.set_label("attention probability", fontsize=figures.SMALL)
    bar.ax.tick_params(labelsize=figures.SMALL)
    dpi = min(130, MAX_PIXELS / max(width, height))
    return figures.save(figure, path, dpi=dpi, overwrite=overwrite)


def _numbers(kind: str, chosen: Sequence[int] | None, size: int) -> list[int]:
    chosen = list(range(size) if chosen is None else chosen)
    if not chosen or min(chosen) < 0 or max(chosen) >= size:
        raise InputError(f"Expected {kind} from 0 to {size - 1}. Received: {chosen}.")
    return chosen


def _draw(axes: Any, probabilities: np.ndarray, title: str) -> Any:
    axes.set_title(title, fontsize=figures.SMALL)
    axes.tick_params(length=0)
    # The same scale everywhere, so that maps can be compared.
    return axes.imshow(probabilities, vmin=0, vmax=1, cmap="viridis")


def _label(grid: np.ndarray, tokens: list[str]) -> None:
    """Labels the left and the bottom side of the grid with tokens."""
    ticks = range(len(tokens))
    for axes in grid[:, 0]:
        axes.set_yticks(ticks, tokens, fontsize=figures.SMALL)
        axes.set_ylabel("from", color=figures.GRAY, fontsize=figures.SMALL)
    for axes in grid[-1]:
        axes.set_xticks(ticks, tokens, fontsize=figures.SMALL, rotation=90)
        axes.set_xlabel("to", color=figures.GRAY, fontsize=figures.SMALL)
