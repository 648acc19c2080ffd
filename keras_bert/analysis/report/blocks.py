"""What a section of a report consists of: text, numbers, tables, examples."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Protocol

from keras_bert.analysis.fill_mask import Guess, HiddenWord
from keras_bert.errors import MissingFileError


class Block(Protocol):
    """A part of a section."""

    def html(self) -> str:
        """Returns the block as HTML."""


Value = str | int | float


def shown(value: Value) -> str:
    """Returns a value as HTML; a number keeps all its digits in an attribute.

    Example:
        >>> shown(2 / 3)
        '<data value="0.6666666666666666">0.6667</data>'
        >>> shown("a < b")
        'a &lt; b'
    """
    if isinstance(value, str):
        return escape(value)
    if value != value:
        return "undefined"
    if isinstance(value, int):
        text = f"{value:,}"
    else:
        text = f"{value:.4f}" if 1e-3 <= abs(value) <= 1 else f"{value:.4g}"
    return f'<data value="{value!r}">{text}</data>'


def own(text: str) -> str:
    """Returns text as HTML, in its own direction."""
    return f"<bdi>{escape(text)}</bdi>"


@dataclass(frozen=True)
class Text:
    """A paragraph of plain text."""

    text: str

    def html(self) -> str:
        return f"<p>{escape(self.text)}</p>"


@dataclass(frozen=True)
class Numbers:
    """A few numbers in large type, each with a label."""

    values: Mapping[str, Value]

    def html(self) -> str:
        cards = "".join(
            f"<div><strong>{shown(value)}</strong><span>{escape(name)}</span></div>"
            for name, value in self.values.items()
        )
        return f'<div class="numbers">{cards}</div>'


@dataclass(frozen=True)
class Facts:
    """Names and values, in as many columns as fit."""

    values: Mapping[str, Value]

    def html(self) -> str:
        rows = "".join(
            f"<div><dt>{escape(name)}</dt><dd>{shown(value)}</dd></div>"
            for name, value in self.values.items()
        )
        return f'<dl class="facts">{rows}</dl>'


@dataclass(frozen=True)
class SideBySide:
    """Blocks next to each other, or below each other where there is no room."""

    blocks: Sequence[Block]

    def html(self) -> str:
        return f'<div class="pair">{"".join(b.html() for b in self.blocks)}</div>'


@dataclass(frozen=True)
class Table:
    """A table; numbers are set in tabular figures. A long one scrolls.

    Attributes:
        columns: the header.
        rows: a cell per column.
        caption: what the table shows.
        emphasized: indices of rows to emphasize.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Value]]
    caption: str = ""
    emphasized: Sequence[int] = ()

    def html(self) -> str:
        columns = [*zip(*self.rows, strict=True)] or [()] * len(self.columns)
        head = "".join(
            f"<th{' class=number' if all(map(_is_number, cells)) else ''}>"
            f"{escape(name)}</th>"
            for name, cells in zip(self.columns, columns, strict=True)
        )
        body = "".join(
            f"<tr{' class=emphasized' if i in self.emphasized else ''}>"
            + "".join(map(_cell, row))
            + "</tr>"
            for i, row in enumerate(self.rows)
        )
        caption = f"<caption>{escape(self.caption)}</caption>" if self.caption else ""
        return (
            f'<div class="scroll"><table>{caption}<thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )


def _cell(value: Value) -> str:
    number = " class=number" if _is_number(value) else ""
    return f"<td{number}>{shown(value)}</td>"


def _is_number(value: Value) -> bool:
    text = isinstance(value, str)
    return not text or re.match(r"[+\-−±≤<]?\s?\d", value) is not None


@dataclass(frozen=True)
class Picture:
    """A PNG file, embedded.

    Attributes:
        path: the file.
        caption: what it shows, also the alternative text.
    """

    path: str | Path
    caption: str

    def html(self) -> str:
        path = Path(self.path)
        if not path.is_file():
            raise MissingFileError(
                f"Expected a picture for the report at {path}; none is there."
            )
        data = base64.b64encode(path.read_bytes()).decode("ascii")
        caption = escape(self.caption)
        return (
            f'<figure><img src="data:image/png;base64,{data}" alt="{caption}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )


@dataclass(frozen=True)
class Code:
    """Text in a fixed-width font, such as a request and its response."""

    text: str

    def html(self) -> str:
        return f"<pre>{escape(self.text)}</pre>"


@dataclass(frozen=True)
class FilledMasks:
    """Sentences with a masked word, and a model's predictions.

    Attributes:
        examples: the sentences, each with its guesses, the best first.
        mask: the mask token.
    """

    examples: Sequence[tuple[HiddenWord, Sequence[Guess]]]
    mask: str = "[MASK]"

    def html(self) -> str:
        return "".join(self._example(*example) for example in self.examples)

    def _example(self, hidden: HiddenWord, guesses: Sequence[Guess]) -> str:
        before, _, after = hidden.text.partition(self.mask)
        bars = "".join(self._bar(guess, hidden.truth) for guess in guesses)
        return (
            f'<div class="mask"><p>{escape(before)}<mark>{escape(hidden.truth)}</mark>'
            f"{escape(after)}</p><ol>{bars}</ol></div>"
        )

    def _bar(self, guess: Guess, truth: str) -> str:
        right = " class=right" if guess.token == truth else ""
        share = f"{guess.probability:.1%}"
        return (
            f"<li{right}><code>{escape(guess.token)}</code>"
            f'<i><b style="width:{share}"></b></i><span>{share}</span></li>'
        )


@dataclass(frozen=True)
class Mistake:
    """An answer that is wrong, or far off.

    Attributes:
        text: the text.
        text_pair: its second text, or None.
        gold: the right answer.
        found: that of the model.
        value: how wrong, for instance the probability of the answer.
        row: number of the row in its file, or an id, if it has one.
    """

    text: str
    text_pair: str | None
    gold: str
    found: str
    value: float
    row: int | str | None = None


@dataclass(frozen=True)
class Mistakes:
    """Texts with right and wrong answers.

    Attributes:
        mistakes: in order.
        measure: what their value is.
        limit: characters that are shown of a text.
    """

    mistakes: Sequence[Mistake]
    measure: str
    limit: int = 1500

    def html(self) -> str:
        return f'<ol class="mistakes">{"".join(map(self._item, self.mistakes))}</ol>'

    def _item(self, mistake: Mistake) -> str:
        kind = "id" if isinstance(mistake.row, str) else "row"
        place = f"<span>{kind} {escape(str(mistake.row))}</span>"
        row = "" if mistake.row is None else place
        texts = "".join(
            f'<p dir="auto">{escape(text[: self.limit])}'
            f"{'…' if len(text) > self.limit else ''}</p>"
            for text in (mistake.text, mistake.text_pair)
            if text is not None
        )
        return (
            f'<li>{texts}<div class="verdict"><span>expected <b class="gold">'
            f'{own(mistake.gold or "none")}</b></span><span>received <b class="found">'
            f"{own(mistake.found or 'none')}</b></span><span>{escape(self.measure)} "
            f"{shown(mistake.value)}</span>{row}</div></li>"
        )
