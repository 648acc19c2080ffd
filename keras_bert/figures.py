"""Style and saving of all figures, without pyplot and its global state."""

from pathlib import Path
from typing import TYPE_CHECKING

from keras_bert.atomic_files import new_file
from keras_bert.extras import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Distinguishable with any kind of color vision (Okabe & Ito 2008).
BLUE, ORANGE, GREEN, GRAY = "#0072b2", "#d55e00", "#009e73", "#6b7280"
SMALL = 8  # points, for labels next to the data


def new_figure(width: float, height: float) -> "Figure":
    """Returns an empty figure whose parts never overlap.

    Args:
        width: in inches.
        height: in inches.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = require("matplotlib.figure").Figure
    return figure(figsize=(width, height), layout="constrained", facecolor="white")


def save(figure: "Figure", path: str | Path, dpi: float, overwrite: bool) -> Path:
    """Writes a figure as PNG.

    Raises:
        ExistingOutputError: the file exists and `overwrite` is False.
    """
    with new_file(path, overwrite) as partial:
        figure.savefig(partial, format="png", dpi=dpi)
    return Path(path)
