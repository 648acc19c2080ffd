"""A self-contained HTML page about a run: numbers, tables, charts, texts, attention.

A report is a list of sections, a section a list of blocks. Nothing is loaded from
elsewhere, all text is escaped, and only the page's own script runs.
"""

from keras_bert.analysis.report.attention import AttentionView
from keras_bert.analysis.report.blocks import (
    Block,
    Code,
    Facts,
    FilledMasks,
    Mistake,
    Mistakes,
    Numbers,
    Picture,
    SideBySide,
    Table,
    Text,
)
from keras_bert.analysis.report.charts import Chart, Series, curves
from keras_bert.analysis.report.confusion import ConfusionMatrix
from keras_bert.analysis.report.page import Section, write_report

__all__ = [
    "AttentionView",
    "Block",
    "Chart",
    "Code",
    "ConfusionMatrix",
    "Facts",
    "FilledMasks",
    "Mistake",
    "Mistakes",
    "Numbers",
    "Picture",
    "Section",
    "Series",
    "SideBySide",
    "Table",
    "Text",
    "curves",
    "write_report",
]
