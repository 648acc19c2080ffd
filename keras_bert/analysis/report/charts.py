"""Charts as inline SVG: lines, points and bars over labeled axes."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any

import numpy as np

from keras_bert.analysis.curves import SMOOTHING, points, smooth
from keras_bert.analysis.report.blocks import own

WIDTH, HEIGHT = 460, 300  # of a chart; in a narrow column text must stay readable
LEFT, RIGHT, TOP, BOTTOM = 70, 12, 10, 46  # between the edges and the axes
MOST_POINTS = 600  # of a line
COLORS = 8  # of the style, for series and classes


@dataclass(frozen=True)
class Series:
    """Values to draw.

    Attributes:
        x: `(points,)`; for bars their left and right ends, `(points, 2)`.
        y: `(points,)`.
        name: for the legend; "" is not listed.
        mark: "line", "faint", "points", "bars", or "rule", a dashed line.
        color: index of a color; None is gray.
        tips: a text for each point.
    """

    x: np.ndarray
    y: np.ndarray
    name: str = ""
    mark: str = "line"
    color: int | None = 0
    tips: Sequence[str] = ()


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        title: what it shows.
        x_label, y_label: of the axes, with units.
        series: what is drawn, the first lowest.
        x_range, y_range: ends of the axes; None takes those of the data.
        note: a sentence below.
    """

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    note: str = ""

    def html(self) -> str:
        x = _Axis.over([s.x for s in self.series], self.x_range, LEFT, WIDTH - RIGHT)
        heights = [np.append(s.y, 0) if s.mark == "bars" else s.y for s in self.series]
        y = _Axis.over(heights, self.y_range, HEIGHT - BOTTOM, TOP)
        marks = "".join(_MARKS[s.mark](s, x, y) for s in self.series)
        note = f'<p class="note">{escape(self.note)}</p>' if self.note else ""
        tip = '<p class="tip" aria-live="polite"></p>'
        return (
            f'<figure class="chart"><figcaption>{escape(self.title)}{self._legend()}'
            f'</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="{escape(self.title)}">{x.across(self.x_label)}'
            f"{y.down(self.y_label)}{marks}</svg>"
            f"{tip if any(s.tips for s in self.series) else ''}{note}</figure>"
        )

    def _legend(self) -> str:
        named = [s for s in self.series if s.name]
        if not named:
            return ""
        keys = "".join(
            f'<span class="{_color(s)} {s.mark}">{own(s.name)}</span>' for s in named
        )
        return f'<span class="legend">{keys}</span>'


# === Axes ===


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    begin: float  # pixels
    end: float

    @classmethod
    def over(
        cls, values: Sequence[np.ndarray], ends: Any, begin: float, end: float
    ) -> "_Axis":
        if ends is None:
            found = np.concatenate([np.ravel(v) for v in values] or [np.zeros(1)])
            found = found[np.isfinite(found)]
            ends = (found.min(), found.max()) if len(found) else (0.0, 1.0)
            ends = _padded(*map(float, ends))
        return cls(*ends, begin, end)

    def __call__(self, value: Any) -> Any:
        share = (np.asarray(value, "float64") - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)

    def across(self, label: str) -> str:
        ticks = "".join(
            f'<text x="{self(v):.1f}" y="{HEIGHT - 28}" class="x">{text}</text>'
            for v, text in self.ticks()
        )
        middle = (LEFT + WIDTH - RIGHT) / 2
        name = f'<text x="{middle}" y="{HEIGHT - 6}" class="x">{escape(label)}</text>'
        return ticks + name

    def down(self, label: str) -> str:
        ticks = "".join(
            f'<path class="grid" d="M{LEFT} {self(v):.1f}H{WIDTH - RIGHT}"/>'
            f'<text x="{LEFT - 7}" y="{self(v) + 4:.1f}" class="y">{text}</text>'
            for v, text in self.ticks()
        )
        middle = (TOP + HEIGHT - BOTTOM) / 2
        return (
            f'{ticks}<text class="x" transform="translate(13 {middle}) '
            f'rotate(-90)">{escape(label)}</text>'
        )

    def ticks(self) -> list[tuple[float, str]]:
        """Returns round values between the ends, and how they are written."""
        step = _round_step((self.high - self.low) / 6)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        write = partial(_written, step, max(abs(self.low), abs(self.high)))
        return [(i * step, write(i * step)) for i in range(first, last + 1)]


def _padded(low: float, high: float) -> tuple[float, float]:
    """Returns ends with room at both sides; not below 0 if no value is."""
    room = 0.05 * (high - low) or abs(low) * 0.1 or 1.0
    return (0.0 if 0 <= low < room else low - room), high + room


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= least * 0.999)


def _written(step: float, largest: float, value: float) -> str:
    if not value:
        return "0"
    if not 1e-2 <= largest < 1e6:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    digits = -math.floor(math.log10(step) + 1e-9)
    return f"{value:,.{max(0, digits)}f}"


# === Marks ===


def _color(series: Series) -> str:
    return "gray" if series.color is None else f"c{series.color % COLORS}"


def _line(series: Series, x: _Axis, y: _Axis) -> str:
    pairs = zip(x(series.x), y(series.y), strict=True)
    places = " ".join(f"{a:.1f},{b:.1f}" for a, b in pairs)
    return f'<polyline class="{_color(series)} {series.mark}" points="{places}"/>'


def _points(series: Series, x: _Axis, y: _Axis) -> str:
    pairs = zip(x(series.x), y(series.y), strict=True)
    dots = "".join(
        f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5"{_tip(series, i)}/>'
        for i, (a, b) in enumerate(pairs)
    )
    return f'<g class="{_color(series)} points">{dots}</g>'


def _bars(series: Series, x: _Axis, y: _Axis) -> str:
    bars = "".join(
        f'<rect x="{a + 0.5:.1f}" y="{top:.1f}" width="{max(b - a - 1, 1):.1f}" '
        f'height="{y(0.0) - top:.1f}"{_tip(series, i)}/>'
        for i, ((a, b), top) in enumerate(zip(x(series.x), y(series.y), strict=True))
    )
    return f'<g class="{_color(series)} bars">{bars}</g>'


def _tip(series: Series, index: int) -> str:
    return f' data-tip="{escape(series.tips[index])}"' if series.tips else ""


_MARKS = {
    "line": _line,
    "faint": _line,
    "rule": _line,
    "points": _points,
    "bars": _bars,
}

# === Curves of a run ===


def curves(history: Iterable[Mapping[str, Any]]) -> list[Chart]:
    """Returns charts of losses, metrics and the learning rate over the steps.

    Args:
        history: lines of a `metrics.jsonl`, see `keras_bert.analysis.read_metrics`.
    """
    history = list(history)
    held_out = {n for line in history if line.get("split") == "heldout" for n in line}
    names = dict.fromkeys(name for line in history for name in line)
    chosen = [n for n in names if _unit(n) or n in held_out - NOT_DRAWN]
    chosen.sort(key=lambda name: ("loss" not in name, "rate" in name))
    return [_curve(name, history) for name in chosen]


NOT_DRAWN = {"step", "split", "time"}
_UNITS = {
    "learning_rate": "rate",
    "mlm_loss": "nats per masked token",
    "mlm_accuracy": "share of masked tokens",
    "nsp_loss": "nats per pair",
    "nsp_accuracy": "share of pairs",
}


def _unit(name: str) -> str | None:
    if name in _UNITS:
        return _UNITS[name]
    kinds = {"loss": "mean of the batch", "accuracy": "share of labels"}
    return kinds.get(name.rpartition("_")[2])


def _curve(name: str, history: list[Mapping[str, Any]]) -> Chart:
    title = (
        name.replace("_", " ")
        .replace("mlm", "masked-LM")
        .replace("nsp", "next-sentence")
    )
    series = _training(*points(history, "train", name), smoothed="rate" not in name)
    steps, values = points(history, "heldout", name)
    if len(steps):
        tips = [f"step {s:,.0f}: {v:.4g}" for s, v in zip(steps, values, strict=True)]
        series += [
            Series(steps, values, "", "line", 1),
            Series(steps, values, "development", "points", 1, tips),
        ]
    return Chart(title[0].upper() + title[1:], "step", _unit(name) or "score", series)


def _training(steps: np.ndarray, values: np.ndarray, *, smoothed: bool) -> list[Series]:
    if not len(steps):
        return []
    kept = (
        np.linspace(0, len(steps) - 1, min(len(steps), MOST_POINTS)).round().astype(int)
    )
    raw = Series(steps[kept], values[kept], "", "faint", 0)
    window = max(1, len(steps) // SMOOTHING)
    if not smoothed or window == 1:
        return [Series(steps[kept], values[kept], "training", "line", 0)]
    return [
        raw,
        Series(steps[kept], smooth(values, window)[kept], "training, smoothed"),
    ]
