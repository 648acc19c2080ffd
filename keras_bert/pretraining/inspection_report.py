"""An inspection of records as text for a terminal, and as a figure."""

import textwrap
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_bert import figures
from keras_bert.pretraining.inspection import Inspection, Instance, Statistics, share

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEGEND = "[a→MASK] hidden   [a→b] replaced   [a=a] kept"
LABELS = ("second text follows", "second text random or swapped")
_BINS = 16
_BAR = 40  # characters of the longest bar


# === Text ===


def format_inspection(inspection: Inspection) -> str:
    """Returns the instances and statistics as text for a terminal."""
    instances = (
        format_instance(instance, number)
        for number, instance in enumerate(inspection.instances, 1)
    )
    parts = [*instances, LEGEND] if inspection.instances else []
    return "\n\n".join([*parts, format_statistics(inspection.statistics)])


def format_instance(instance: Instance, number: int = 1, width: int = 88) -> str:
    """Returns one instance as text.

    Args:
        instance: its pieces.
        number: for the headline.
        width: characters per line.

    Example:
        >>> from keras_bert.pretraining.inspection import InstancePiece
        >>> print(format_instance([InstancePiece("[CLS] a [b→MASK] [SEP]", 4, 1, 0)]))
        Instance 1: 4 tokens, 1 to predict; second text follows
          [CLS] a [b→MASK] [SEP]
    """
    name = f"Instance {number}"
    headed = [
        (f"{name}.{index}" if len(instance) > 1 else name, piece)
        for index, piece in enumerate(instance, 1)
    ]
    return "\n".join(
        f"{head}: {piece.length} tokens, {piece.predictions} to predict"
        f"{'' if piece.label is None else f'; {LABELS[piece.label]}'}\n"
        f"{_wrapped(piece.text, width)}"
        for head, piece in headed
    )


def _wrapped(text: str, width: int) -> str:
    return textwrap.fill(
        text,
        width,
        initial_indent="  ",
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def format_statistics(statistics: Statistics) -> str:
    """Returns statistics as text: a table, and the lengths as bars."""
    s = statistics
    rows = {
        "instances": f"{s.instances:,} of {s.width} tokens",
        "tokens": f"{s.tokens:,}, padding not counted",
        "fill": f"{s.fill:.1%} of the capacity",
        "pieces": f"{s.pieces_per_row:.2f} per row",
        "to predict": f"{s.predictions:,}, {s.mask_rate:.1%} of the tokens",
        **_kinds(s),
        "whole words": f"{_percent(s.whole_word_share)} of words of several tokens",
        **_unseen_words(s),
        **_label_rows(s),
    }
    table = "\n".join(f"{name:<12} {value}" for name, value in rows.items())
    return f"{table}\n\n{_bars(s.piece_lengths, 'tokens')}"


def _unseen_words(s: Statistics) -> dict[str, str]:
    if not s.ideographs:
        return {}
    return {
        "  Chinese": f"{s.ideographs:,} ideographs, each counted as a word: words of "
        "several are not seen here"
    }


def _kinds(s: Statistics) -> dict[str, str]:
    return {
        f"  {name}": f"{count:,}, {_percent(share(count, s.predictions))}"
        for name, count in _by_kind(s).items()
    }


def _by_kind(s: Statistics) -> dict[str, int]:
    return {"[MASK]": s.hidden, "replaced": s.replaced, "kept": s.kept}


def _label_rows(s: Statistics) -> dict[str, str]:
    total = int(s.labels.sum())
    if not total:
        return {"labels": "none"}
    return {
        f"label {label}": f"{count:,}, {count / total:.1%}: {LABELS[label]}"
        for label, count in enumerate(s.labels.tolist())
    }


def _percent(share: float) -> str:
    return "–" if np.isnan(share) else f"{share:.1%}"


def _bars(counts: np.ndarray, unit: str) -> str:
    """Draws a histogram with bars of characters."""
    edges, sums = _binned(counts)
    ranges = [_range(low, high - 1) for low, high in pairwise(edges)]
    longest, digits = max(sums.max(), 1), max(map(len, ranges))
    lines = [
        f"{numbers:>{digits}} {'█' * -(-_BAR * count // longest):<{_BAR}} {count:,}"
        for numbers, count in zip(ranges, sums.tolist(), strict=True)
    ]
    return "\n".join([f"Pieces by {unit}", *lines])


def _range(first: int, last: int) -> str:
    return f"{first}–{last}" if last > first else f"{first}"


def _binned(counts: np.ndarray) -> tuple[list[int], np.ndarray]:
    """Sums counts in about `_BINS` bins; returns edges and sums."""
    size = max(1, -(-(len(counts) - 1) // _BINS))
    edges = list(range(1, len(counts) + size, size))
    return edges, np.add.reduceat(counts, edges[:-1])


# === Figure ===


def draw(inspection: Inspection, path: str | Path, *, overwrite: bool = False) -> Path:
    """Draws the distributions of lengths, fill, masking and labels.

    Args:
        inspection: whose statistics to draw.
        path: the PNG file.
        overwrite: replace an existing file.

    Returns:
        `path`.

    Raises:
        ExistingOutputError: the file exists and `overwrite` is False.
        MissingExtraError: matplotlib is not installed.
    """
    figure = figures.new_figure(10, 6.4)
    s = inspection.statistics
    panels = (_draw_lengths, _draw_fill, _draw_kinds, _draw_labels)
    for axes, draw_panel in zip(figure.subplots(2, 2).flat, panels, strict=True):
        draw_panel(axes, s)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        f"{s.instances:,} instances, {s.tokens:,} tokens, {s.mask_rate:.1%} to predict"
    )
    return figures.save(figure, path, dpi=130, overwrite=overwrite)


def _draw_lengths(axes: "Axes", s: Statistics) -> None:
    edges, sums = _binned(s.piece_lengths)
    axes.stairs(sums, edges, fill=True, color=figures.BLUE)
    axes.set(title="Length of pieces", xlabel="tokens", ylabel="pieces")


def _draw_fill(axes: "Axes", s: Statistics) -> None:
    edges, sums = _binned(s.row_lengths)
    axes.stairs(
        sums, 100 * (np.array(edges) - 1) / s.width, fill=True, color=figures.GREEN
    )
    axes.axvline(
        100 * s.fill, color=figures.GRAY, linestyle="--", label=f"mean {s.fill:.1%}"
    )
    axes.set(
        title="Fill of rows", xlabel="% of the capacity", ylabel="rows", xlim=(0, 100)
    )
    axes.legend(frameon=False, loc="upper left")


def _draw_kinds(axes: "Axes", s: Statistics) -> None:
    _draw_shares(axes, _by_kind(s), (figures.BLUE, figures.ORANGE, figures.GRAY))
    axes.set(title="Tokens to predict", ylabel="%")


def _draw_labels(axes: "Axes", s: Statistics) -> None:
    """Draws the labels, or the pieces per row if there are none."""
    if s.labels.any():
        names = (textwrap.fill(f"{i}: {name}", 20) for i, name in enumerate(LABELS))
        counts = dict(zip(names, s.labels.tolist(), strict=True))
        _draw_shares(axes, counts, (figures.BLUE, figures.ORANGE))
        axes.set(title="Labels", ylabel="%")
        return
    found = s.pieces.nonzero()[0].tolist()
    _draw_shares(axes, {str(n): int(s.pieces[n]) for n in found}, (figures.BLUE,))
    axes.set(title="Pieces per row", ylabel="% of rows")


def _draw_shares(axes: "Axes", counts: dict[str, int], colors: Sequence[str]) -> None:
    total = max(sum(counts.values()), 1)
    shares = [100 * count / total for count in counts.values()]
    bars = axes.bar(list(counts), shares, color=colors, width=0.6)
    labels = [f"{s:.1f} %\n{n:,}" for s, n in zip(shares, counts.values(), strict=True)]
    axes.bar_label(bars, labels, padding=2)
    axes.set_ylim(0, max(*shares, 1) * 1.25)
