"""The page: sections in one HTML file, with its style and its script."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from keras_bert.analysis.report.blocks import Block
from keras_bert.atomic_files import new_file


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
        >>> section = Section("Result")
        >>> path = Path(tempfile.mkdtemp()) / "report.html"
        >>> write_report(path, "A run", [section]).name
        'report.html'
    """
    script = _resource("script.js")
    page = Template(_resource("page.html")).substitute(
        title=escape(title),
        style=_resource("style.css"),
        script=script,
        script_hash=_hash(script),
        lead=f'<p class="lead">{escape(lead)}</p>' if lead else "",
        sections="\n".join(section.html() for section in sections),
    )
    with new_file(path, overwrite) as partial:
        # Half a character, which a text in memory may hold, has no UTF-8.
        partial.write_text(page, encoding="utf-8", errors="replace")
    return Path(path)


def _resource(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """Returns what the page's policy allows to run: this script and no other."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return base64.b64encode(digest).decode("ascii")
