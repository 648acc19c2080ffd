"""Tables of results in documents, to which a run adds the rows that it made."""

import datetime
from collections.abc import Iterable
from pathlib import Path


def row(*cells: object) -> str:
    """Returns a row of a table, with the date at its end."""
    return f"| {' | '.join(map(str, cells))} | {datetime.date.today()} |"


def head(*names: str) -> list[str]:
    """Returns the first two rows of a table."""
    return [f"| {' | '.join(names)} | date |", f"|---{'|---:' * len(names)}|"]


def write_rows(
    path: Path, mark: str, head: list[str], rows: list[str], order: Iterable[str]
) -> None:
    """Writes rows into the table between two comments of a document.

    Args:
        path: the document.
        mark: the word in the comments.
        head: the first rows of the table.
        rows: new rows; others stay.
        order: the first cells of all rows, in order.
    """
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    before, rest = path.read_text(encoding="utf-8").split(begin)
    kept, after = rest.split(end)
    found = {_name(line): line for line in (*kept.splitlines(), *rows)}
    lines = [*head, *(found[name] for name in order if name in found)]
    text = "\n".join([f"{before}{begin}", "", *lines, "", f"{end}{after}"])
    path.write_text(text, encoding="utf-8")


def _name(line: str) -> str:
    return line.strip("| ").split(" | ")[0]
