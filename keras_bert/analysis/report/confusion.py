"""The confusion matrix of a classifier as inline SVG, for two classes or a hundred."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from keras_bert.analysis.report.blocks import Table

ROOM = 920  # pixels of the page's column
MOST_CLASSES = 100  # that are drawn
SIDE_OF_NUMBERS = 24  # pixels of a cell that has room for a number
LABEL = 24  # columns of a class name
MANY = 40  # classes, whose names are set smaller


@dataclass(frozen=True)
class ConfusionMatrix:
    """Counts of right and predicted classes; a row's colors are shares of the row.

    Attributes:
        counts: `(classes, classes)`; `[i, j]` examples of class i were taken for j.
        labels: names of the classes.
    """

    counts: np.ndarray
    labels: Sequence[str]

    def html(self) -> str:
        shown = self._classes()
        font = 12.0 if len(shown) <= MANY else 9.5
        widest = max(_columns(_short(self.labels[i])) for i in shown)
        label = 10 + 0.58 * font * widest
        largest = min(96.0, max(40.0, 300 / len(shown)))
        cell = min(largest, max(10.0, (ROOM - label) / len(shown)))
        size = cell * len(shown)
        side = round(label + size + 2)
        marks = "".join(self._row(i, n, shown, cell) for n, i in enumerate(shown))
        return (
            f'<figure class="matrix"><div class="scroll"><svg width="{side}" '
            f'height="{side}" font-size="{font:.1f}" role="img" '
            f'aria-label="confusion matrix"><g transform="translate({label:.1f} '
            f'{label:.1f})"><rect class="frame" width="{size:.1f}" '
            f'height="{size:.1f}"/>{self._labels(shown, cell)}{marks}</g></svg></div>'
            f'<p class="tip" aria-live="polite"></p><p class="note">Rows: expected '
            "class. Columns: predicted class. Color: share of the row."
            f"{self._left_out(shown)}</p></figure>"
        )

    def confusions(self, most: int = 12) -> Table:
        """Returns the most frequent confusions as a table."""
        wrong = self.counts - np.diag(np.diag(self.counts))
        order = np.argsort(-wrong, axis=None, kind="stable")[:most]
        pairs = np.stack(np.unravel_index(order, wrong.shape), 1)
        totals = self.counts.sum(1)
        rows = [
            [self.labels[i], self.labels[j], int(n), f"{n / totals[i]:.1%}"]
            for i, j in pairs
            if (n := wrong[i, j])
        ]
        header = ["expected", "predicted", "rows", "share"]
        return Table(header, rows, "Most frequent confusions")

    def _classes(self) -> list[int]:
        """Returns the classes to draw: all, or those with most errors."""
        wrong = self.counts.sum(0) + self.counts.sum(1) - 2 * np.diag(self.counts)
        return sorted(np.argsort(-wrong, kind="stable")[:MOST_CLASSES].tolist())

    def _left_out(self, shown: Sequence[int]) -> str:
        if len(shown) == len(self.labels):
            return ""
        return f" The {len(shown)} of {len(self.labels)} classes with most errors."

    def _labels(self, shown: Sequence[int], cell: float) -> str:
        middles = ((np.arange(len(shown)) + 0.5) * cell + 3.5).tolist()
        names = [escape(_short(self.labels[i])) for i in shown]
        return "".join(
            f'<text class="y" x="-6" y="{at:.1f}">{name}</text>'
            f'<text transform="translate({at:.1f} -6) rotate(-90)">{name}</text>'
            for name, at in zip(names, middles, strict=True)
        )

    def _row(self, i: int, n: int, shown: Sequence[int], cell: float) -> str:
        total = max(1, int(self.counts[i].sum()))
        return "".join(
            _cell(
                count, count / total, m * cell, n * cell, cell, i == j, self._tip(i, j)
            )
            for m, j in enumerate(shown)
            if (count := int(self.counts[i, j]))
        )

    def _tip(self, i: int, j: int) -> str:
        count, total = int(self.counts[i, j]), int(self.counts[i].sum())
        what = "right" if i == j else f"taken for {self.labels[j]}"
        return (
            f"{self.labels[i]}: {count:,} of {total:,} rows {what}, {count / total:.1%}"
        )


def _cell(
    count: int, share: float, x: float, y: float, side: float, right: bool, tip: str
) -> str:
    number = (
        f'<text class="x{" strong" if share > 0.55 else ""}" x="{x + side / 2:.1f}" '
        f'y="{y + side / 2 + 4:.1f}">{count}</text>'
    )
    return (
        f'<rect class="{"right" if right else "wrong"}" x="{x:.1f}" y="{y:.1f}" '
        f'width="{side:.1f}" height="{side:.1f}" fill-opacity="{max(share, 0.08):.2f}" '
        f'data-tip="{escape(tip)}"/>{number if side >= SIDE_OF_NUMBERS else ""}'
    )


def _short(name: str) -> str:
    """Returns a name without its middle if it is long; names often share beginnings."""
    if _columns(name) <= LABEL:
        return name
    half = LABEL // 2 if _columns(name) == len(name) else LABEL // 4
    return f"{name[:half]}…{name[1 - half :]}"


def _columns(text: str) -> int:
    """Returns the width of a text; Chinese and Japanese characters take two columns."""
    return sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in text)
