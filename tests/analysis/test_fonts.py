"""Labels in scripts that matplotlib's own font lacks."""

import logging
import warnings
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
font_builder = pytest.importorskip("fontTools.fontBuilder")

from fontTools.pens.ttGlyphPen import TTGlyphPen  # noqa: E402

from keras_bert import figures  # noqa: E402


def make_font(path: Path, characters: str) -> Path:
    """Writes a font in which every character is a square."""
    pen = TTGlyphPen(None)
    for step, corner in enumerate([(0, 0), (0, 700), (700, 700), (700, 0)]):
        (pen.lineTo if step else pen.moveTo)(corner)
    pen.closePath()
    names = [".notdef", *(f"u{ord(c):x}" for c in characters)]
    font = font_builder.FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder(names)
    font.setupCharacterMap({ord(c): f"u{ord(c):x}" for c in characters})
    font.setupGlyf(dict.fromkeys(names, pen.glyph()))
    font.setupHorizontalMetrics(dict.fromkeys(names, (800, 50)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": path.stem, "styleName": "Regular"})
    font.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
    font.setupPost()
    font.save(path)
    return path


def draw(text: str, path: Path) -> list[str]:
    """Draws a text; returns the warnings."""
    figure = figures.new_figure(3, 2)
    figure.text(0.1, 0.5, text)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        figures.save(figure, path, dpi=50, overwrite=True)
    return [str(each.message) for each in found if "Glyph" in str(each.message)]


def test_fonts_of_the_machine_draw_what_the_own_font_lacks(
    tmp_path, monkeypatch, caplog
):
    files = [
        make_font(tmp_path / "Tiny.ttf", "한"),
        make_font(tmp_path / "TestCJK-Regular.ttf", "汉あ"),
        tmp_path / "damaged.ttf",
    ]
    files[-1].write_bytes(b"no font")
    monkeypatch.setattr(figures, "_font_files", lambda: list(map(str, files)))
    with caplog.at_level(logging.WARNING):
        assert draw("a 汉あ한", tmp_path / "a.png") == []
    assert not caplog.records


def test_a_machine_without_a_font_says_what_to_install(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(figures, "_font_files", list)
    with caplog.at_level(logging.WARNING):
        assert draw("a 汉", tmp_path / "a.png")
    (record,) = caplog.records
    assert "汉" in record.getMessage() and "fonts-noto-cjk" in record.getMessage()
    assert (tmp_path / "a.png").exists()


def test_other_labels_need_no_search(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "_font_files", pytest.fail)
    assert draw("Größe → β", tmp_path / "a.png") == []
