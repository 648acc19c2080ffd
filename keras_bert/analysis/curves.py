"""Loss and accuracy of a training run over its steps, as a figure."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from keras_bert import figures
from keras_bert.errors import InputError, MissingFileError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Record = Mapping[str, Any]


class Panel(NamedTuple):
    """One panel: a key of the records, and its labels."""

    key: str
    title: str
    unit: str


PANELS = (
    Panel("mlm_loss", "Masked-LM loss", "nats per masked token"),
    Panel("mlm_accuracy", "Masked-LM accuracy", "share of masked tokens"),
    Panel("nsp_loss", "Next-sentence loss", "nats per pair"),
    Panel("nsp_accuracy", "Next-sentence accuracy", "share of pairs"),
)
# For runs with one loss, such as fine-tuning.
PLAIN_PANELS = (
    Panel("loss", "Loss", "nats per example"),
    Panel("accuracy", "Accuracy", "share of examples"),
)
SMOOTHING = 40  # the smoothing window is the number of points divided by this


def plot_curves(
    metrics: str | Path | Iterable[Record],
    path: str | Path,
    *,
    references: Mapping[str, Mapping[str, float]] | None = None,
    overwrite: bool = False,
) -> Path:
    """Draws losses and accuracies over the steps of a run.

    Training values are drawn raw and smoothed, held-out values as points.

    Args:
        metrics: a `metrics.jsonl` of the training loop, or its records: `step`,
            `split` ("train" or "heldout"), and values by name.
        path: the PNG file to write.
        references: horizontal lines by panel and name, for instance
            `{"mlm_loss": {"unigram entropy": 6.2}}`.
        overwrite: replace an existing file.

    Returns:
        `path`.

    Raises:
        InputError: there is nothing to draw, or a line is invalid.
        MissingFileError: there is no such file.
        ExistingOutputError: the file exists and `overwrite` is False.
        MissingExtraError: matplotlib is not installed.

    Example:
        >>> import tempfile
        >>> records = [{"step": s, "split": "train", "mlm_loss": 9 / s}
        ...            for s in range(1, 5)]
        >>> plot_curves(records, Path(tempfile.mkdtemp()) / "curves.png").name
        'curves.png'
    """
    named = isinstance(metrics, str | Path)
    records = read_metrics(metrics) if named else list(metrics)
    found = {key for record in records for key in record}
    panels = [p for p in PANELS if p.key in found]
    panels = panels or [p for p in PLAIN_PANELS if p.key in found]
    if not panels:
        raise InputError(
            "Expected records with a loss or an accuracy, such as 'mlm_loss'. "
            f"Received {len(records)} records with: {', '.join(sorted(found))}."
        )
    figure = figures.new_figure(10, 3.2 * ((len(panels) + 1) // 2))
    grid = figure.subplots((len(panels) + 1) // 2, min(2, len(panels)), squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw(axes, panel, records, (references or {}).get(panel.key, {}))
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    return figures.save(figure, path, dpi=130, overwrite=overwrite)


def read_metrics(path: str | Path) -> list[Record]:
    """Reads the records of a `metrics.jsonl`.

    Raises:
        MissingFileError: there is no such file.
        InputError: a line is not a JSON object with a `step`.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"Expected a metrics file at {path}; none is there.")
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            record = json.loads(line)
            records.append({**record, "step": int(record["step"])})
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"Expected a JSON object with a step in line {number} of {path}. "
                f"Received: {line[:60]!r}."
            ) from error
    return records


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Smoothes exponentially, without bias towards zero at the start.

    Args:
        values: `(steps,)`.
        window: the effective number of values to average.

    Example:
        >>> smooth(np.array([4.0, 4.0, 4.0]), 5).tolist()
        [4.0, 4.0, 4.0]
    """
    keep = 1 - 2 / (window + 1)
    total = weight = 0.0
    smoothed = []
    for value in values:
        total, weight = keep * total + value, keep * weight + 1
        smoothed.append(total / weight)
    return np.array(smoothed)


def points(records: list[Record], split: str, key: str) -> np.ndarray:
    """Returns steps and finite values, `(2, points)`.

    Args:
        records: lines of a `metrics.jsonl`.
        split: "train" or "heldout".
        key: the name of the value.
    """
    pairs = [
        (record["step"], record[key])
        for record in records
        if record.get("split", "train") == split and record.get(key) is not None
    ]
    found = np.array(pairs, "float64").reshape(-1, 2).T
    return found[:, np.isfinite(found[1])]


def _draw(
    axes: "Axes", panel: Panel, records: list[Record], levels: Mapping[str, float]
) -> None:
    steps, values = points(records, "train", panel.key)
    if len(steps):
        window = max(1, len(steps) // SMOOTHING)
        axes.plot(steps, values, color=figures.BLUE, alpha=0.25, linewidth=0.8)
        axes.plot(
            steps,
            smooth(values, window),
            color=figures.BLUE,
            label="training, smoothed",
        )
    steps, values = points(records, "heldout", panel.key)
    if len(steps):
        axes.plot(
            steps, values, "o-", color=figures.ORANGE, markersize=4, label="held out"
        )
    for name, level in levels.items():
        axes.axhline(level, color=figures.GRAY, linestyle="--", label=name)
    axes.set(title=panel.title, xlabel="step", ylabel=panel.unit)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
