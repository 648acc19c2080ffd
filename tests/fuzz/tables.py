"""Tables of results in documents."""

import datetime
import shlex
import sys
from pathlib import Path


def write_between(path: Path, mark: str, lines: list[str]) -> None:
    """Replaces the lines of a document between two comments."""
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    before, rest = path.read_text().split(begin)
    after = rest.split(end)[1]
    path.write_text("\n".join([f"{before}{begin}", "", *lines, "", f"{end}{after}"]))


def made_by(module: str) -> str:
    """Returns a sentence about a command and its date."""
    command = f"python -m {module} {shlex.join(sys.argv[1:])}".strip()
    return f"Made by `{command}` on {datetime.date.today()}."
