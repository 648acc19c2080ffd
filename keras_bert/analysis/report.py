"""A self-contained HTML page about a run: numbers, tables, figures, examples.

A report is a list of sections, a section a list of blocks. Pictures are embedded,
nothing is loaded from elsewhere, and all text is escaped.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Protocol

from keras_bert.analysis.fill_mask import Guess, HiddenWord
from keras_bert.atomic_files import new_file
from keras_bert.errors import MissingFileError


class Block(Protocol):
    """A part of a section."""

    def html(self) -> str:
        """Returns the block as HTML."""


@dataclass(frozen=True)
class Text:
    """A paragraph of plain text."""

    text: str

    def html(self) -> str:
        return f"<p>{escape(self.text)}</p>"


@dataclass(frozen=True)
class Numbers:
    """A few numbers in large type, each with a label."""

    values: Mapping[str, str]

    def html(self) -> str:
        cards = "".join(
            f"<div><strong>{escape(value)}</strong><span>{escape(name)}</span></div>"
            for name, value in self.values.items()
        )
        return f'<div class="numbers">{cards}</div>'


@dataclass(frozen=True)
class Table:
    """A table of text; numbers are set in tabular figures.

    Attributes:
        columns: the header.
        rows: a cell per column.
        caption: what the table shows.
        emphasized: indices of rows to emphasize.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    emphasized: Sequence[int] = ()

    def html(self) -> str:
        head = "".join(f"<th>{escape(name)}</th>" for name in self.columns)
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


def _cell(text: str) -> str:
    number = re.match(r"[+\-−±≤<]?\s?\d", text)
    return f"<td{' class=number' if number else ''}>{escape(text)}</td>"


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
class Section:
    """A heading and the blocks below it."""

    title: str
    blocks: Sequence[Block] = field(default_factory=list)

    def html(self) -> str:
        blocks = "\n".join(block.html() for block in self.blocks)
        return f"<section><h2>{escape(self.title)}</h2>\n{blocks}\n</section>"


def write_report(
    path: str | Path,
    title: str,
    sections: Sequence[Section],
    *,
    lead: str = "",
    overwrite: bool = False,
) -> Path:
    """Writes a report as one HTML file.

    Args:
        path: the file to write.
        title: heading of the page.
        sections: the content.
        lead: a sentence or two below the heading.
        overwrite: replace an existing file.

    Returns:
        `path`.

    Raises:
        MissingFileError: a picture does not exist.
        ExistingOutputError: the file exists and `overwrite` is False.

    Example:
        >>> import tempfile
        >>> section = Section("Result", [Numbers({"accuracy": "0.91"})])
        >>> path = Path(tempfile.mkdtemp()) / "report.html"
        >>> write_report(path, "A run", [section]).name
        'report.html'
    """
    page = _PAGE.format(
        title=escape(title),
        style=_STYLE,
        lead=f'<p class="lead">{escape(lead)}</p>' if lead else "",
        sections="\n".join(section.html() for section in sections),
    )
    with new_file(path, overwrite) as partial:
        partial.write_text(page, encoding="utf-8")
    return Path(path)


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{lead}
{sections}
</main>
</body>
</html>
"""

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --soft: #5f6b7a; --line: #dde3ea;
  --paper: #fff; --tint: #f3f6f9; --accent: #0072b2; --right: #007a59;
  --mark: #ffe8a3; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaef; --soft: #9aa7b5;
  --line: #33404d; --paper: #14191f; --tint: #1d242c; --accent: #56b4e9;
  --right: #3fc79a; --mark: #6b5310; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans",
  sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.25rem; margin: 0 0 .8rem; }
section { margin-top: 2.6rem; padding-top: 1.4rem; border-top: 1px solid var(--line); }
p { margin: 0 0 .9rem; max-width: 46rem; }
.lead { color: var(--soft); font-size: 1.08rem; }
.numbers { display: grid; gap: .8rem; margin: 0 0 1.1rem;
  grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); }
.numbers div { background: var(--tint); border-radius: .5rem; padding: .8rem 1rem; }
.numbers strong { display: block; font-size: 1.5rem; line-height: 1.25;
  font-variant-numeric: tabular-nums; }
.numbers span { color: var(--soft); font-size: .88rem; line-height: 1.35;
  display: block; }
.scroll { overflow-x: auto; margin: 0 0 1.1rem; }
table { border-collapse: collapse; min-width: 24rem; font-size: .95rem; }
caption { text-align: left; color: var(--soft); padding-bottom: .4rem; }
th, td { text-align: left; padding: .4rem 1.4rem .4rem 0; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); font-size: .88rem; }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.emphasized td { font-weight: 650; color: var(--accent); }
figure { margin: 0 0 1.1rem; }
img { display: block; max-width: 100%; background: #fff; padding: .5rem;
  border: 1px solid var(--line); border-radius: .5rem; }
figcaption { color: var(--soft); font-size: .9rem; margin-top: .4rem; }
pre, code { font-family: ui-monospace, SFMono-Regular, Menlo, "DejaVu Sans Mono",
  monospace; }
pre { background: var(--tint); border-radius: .5rem; padding: .9rem 1rem;
  font-size: .85rem; line-height: 1.45; white-space: pre-wrap;
  overflow-wrap: anywhere; margin: 0 0 1.1rem; }
.mask { border: 1px solid var(--line); border-radius: .5rem; padding: .8rem 1rem;
  margin: 0 0 .8rem; }
.mask p { margin: 0 0 .5rem; max-width: none; overflow-wrap: anywhere; }
mark { background: var(--mark); color: inherit; border-radius: .2rem;
  padding: 0 .25em; font-weight: 600; }
ol { list-style: none; margin: 0; padding: 0; font-size: .88rem; }
li { display: grid; grid-template-columns: 9rem 1fr 4rem; gap: .7rem;
  align-items: center; }
li i { background: var(--tint); border-radius: .2rem; height: .65rem;
  overflow: hidden; }
li b { display: block; height: 100%; background: var(--soft); }
li span { text-align: right; color: var(--soft); font-variant-numeric: tabular-nums; }
li.right code { color: var(--right); font-weight: 700; }
li.right b { background: var(--right); }
"""
