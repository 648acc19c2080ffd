"""Style and saving of all figures, without pyplot and its global state."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from keras_bert.atomic_files import new_file
from keras_bert.extras import require

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Distinguishable with any kind of color vision (Okabe & Ito 2008).
BLUE, ORANGE, GREEN, GRAY = "#0072b2", "#d55e00", "#009e73", "#6b7280"
SMALL = 8  # points, for labels next to the data
# Parts of the file names of fonts with Chinese, Japanese or Korean, to look at first.
_EASTERN = "cjk sourcehan wqy droidsansfallback pingfang yahei msyh simhei simsun hei "
_EASTERN += "ming gothic meiryo hiragino nanum malgun batang unifont"


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

    Characters that matplotlib's own font lacks are drawn with fonts of the machine.

    Raises:
        ExistingOutputError: the file exists and `overwrite` is False.
    """
    _find_fonts(figure)
    with new_file(path, overwrite) as partial:
        figure.savefig(partial, format="png", dpi=dpi)
    return Path(path)


def _find_fonts(figure: "Figure") -> None:
    """Gives the texts of a figure fonts that have their characters."""
    manager, text = require("matplotlib.font_manager"), require("matplotlib.text")
    labels = figure.findobj(text.Text)
    own = _characters(manager.findfont(manager.FontProperties()))
    missing = {ord(c) for label in labels for c in label.get_text() if not c.isspace()}
    missing -= own
    families = ["sans-serif"]
    for file in _by_name(_font_files()) if missing else ():
        if found := missing & _characters(file):
            # Its list of fonts is kept from an earlier day.
            manager.fontManager.addfont(file)
            families.append(manager.get_font(file).family_name)
            missing -= found
        if not missing:
            break
    if missing:
        log.warning(
            "No font on this machine has %s, drawn as boxes. For Chinese, Japanese and "
            "Korean install the package fonts-noto-cjk (google-noto-sans-cjk-fonts).",
            ", ".join(map(chr, sorted(missing)[:5])),
        )
    for label in labels if len(families) > 1 else ():
        label.set_fontfamily(families)


def _font_files() -> list[str]:
    return require("matplotlib.font_manager").findSystemFonts()


def _by_name(files: Iterable[str]) -> Iterator[str]:
    """Yields files of fonts, first those that say by their names that they fit."""

    def rank(file: str) -> tuple[bool, bool, str]:
        name = Path(file).name.lower().replace("-", "")
        eastern = any(part in name for part in _EASTERN.split())
        return not eastern, "regular" not in name, file

    yield from sorted(files, key=rank)


def _characters(file: str) -> set[int]:
    """Returns the code points that a font has; none if it cannot be read."""
    try:
        return set(require("matplotlib.ft2font").FT2Font(file).get_charmap())
    except (OSError, RuntimeError, ValueError):
        return set()
