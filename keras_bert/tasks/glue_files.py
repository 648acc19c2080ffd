"""The files that Google's `run_classifier.py` reads: CoLA, MNLI, MRPC and XNLI.

Their columns have fixed places, whatever a header calls them. For tables of any other
form, see `keras_bert.tasks.read_examples`.

Source: the processors in google-research/bert, run_classifier.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from keras_bert.errors import InputError, MissingFileError, choose
from keras_bert.tasks.examples import Example
from keras_bert.tasks.text_lines import text_lines


class Columns(NamedTuple):
    """Where a file is, and what its columns hold.

    Attributes:
        file: relative to the directory of the data.
        texts: places of the text, or of both of a pair.
        label: place of the label, from the end if negative; None: there is none.
        header: whether the first row is one.
        only: a place and the text that rows must have there; others are skipped.
    """

    file: str
    texts: tuple[int, ...]
    label: int | None = None
    header: bool = True
    only: tuple[int, str] | None = None


class GlueTask(NamedTuple):
    """A task, and its files.

    Attributes:
        labels: the classes in the order of their ids.
        files: by split: `train`, `dev`, and `test` if it has one.
        spellings: other spellings of labels.
    """

    labels: tuple[str, ...]
    files: Mapping[str, Columns]
    spellings: Mapping[str, str] = {}


_ENTAILMENT = ("contradiction", "entailment", "neutral")
_MNLI, _MRPC = (8, 9), (3, 4)

TASKS = {
    "cola": GlueTask(
        ("0", "1"),
        {
            "train": Columns("train.tsv", (3,), 1, header=False),
            "dev": Columns("dev.tsv", (3,), 1, header=False),
            "test": Columns("test.tsv", (1,)),
        },
    ),
    "mnli": GlueTask(
        _ENTAILMENT,
        {
            "train": Columns("train.tsv", _MNLI, -1),
            "dev": Columns("dev_matched.tsv", _MNLI, -1),
            "test": Columns("test_matched.tsv", _MNLI),
        },
    ),
    "mrpc": GlueTask(
        ("0", "1"),
        {
            "train": Columns("train.tsv", _MRPC, 0),
            "dev": Columns("dev.tsv", _MRPC, 0),
            "test": Columns("test.tsv", _MRPC),
        },
    ),
    "xnli": GlueTask(
        _ENTAILMENT,
        {
            "train": Columns("multinli/multinli.train.zh.tsv", (0, 1), 2),
            "dev": Columns("xnli.dev.tsv", (6, 7), 1, only=(0, "zh")),
        },
        {"contradictory": "contradiction"},
    ),
}


def read_glue(folder: str | Path, task: str, split: str) -> list[Example]:
    """Reads a file of one of the tasks.

    Args:
        folder: of the data.
        task: a name of `TASKS`.
        split: "train", "dev" or "test", whose labels are not read.

    Returns:
        The examples, all of them, with the line of each as its row.

    Raises:
        UnknownNameError: there is no such task.
        MissingFileError: the task has no such split, or the file is not there.
        InputError: a line has too few columns; or there are no examples.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "dev.tsv").write_text("gj04\\t0\\t*\\tThey drank.\\n")
        >>> read_glue(folder, "cola", "dev")
        [Example(text='They drank.', text_pair=None, label='0')]
    """
    known = TASKS[choose("task", task, TASKS)]
    if split not in known.files:
        raise MissingFileError(
            f"Expected a split of {task}: {', '.join(known.files)}. Received: {split}, "
            "which Google's script does not read either."
        )
    columns = known.files[split]
    path = Path(folder, columns.file)
    if not path.is_file():
        raise MissingFileError(f"Expected the {split} file of {task} at {path}.")
    found = [
        _example(columns, known, cells, number, path)
        for number, cells in _rows(path)
        if _is_wanted(columns, cells, number, path)
    ]
    if not found:
        raise InputError(f"Expected examples in {path}. Received: none.")
    return found


def _rows(path: Path) -> Iterator[tuple[int, Sequence[str]]]:
    """Yields number and cells of each line; quotation marks are text."""
    with path.open("rb") as file:
        for number, line in enumerate(
            text_lines(file, "utf-8", "\n", name=str(path)), 1
        ):
            yield number, line.rstrip("\r\n").split("\t")


def _is_wanted(columns: Columns, cells: Sequence[str], number: int, path: Path) -> bool:
    if columns.header and number == 1:
        return False
    places = (*columns.texts, columns.label or 0, *(columns.only or ())[:1])
    if len(cells) <= max(places):
        raise InputError(
            f"Expected at least {max(places) + 1} columns, separated by tabs, in line "
            f"{number} of {path}. Received: {len(cells)}."
        )
    return columns.only is None or cells[columns.only[0]] == columns.only[1]


def _example(
    columns: Columns, task: GlueTask, cells: Sequence[str], number: int, path: Path
) -> Example:
    label = None if columns.label is None else cells[columns.label]
    label = task.spellings.get(label, label) if label is not None else None
    if label is not None and label not in task.labels:
        raise InputError(
            f"Expected a label among {', '.join(task.labels)} in line {number} of "
            f"{path}. Received: {label!r}."
        )
    return Example(*(cells[place] for place in columns.texts), label=label, row=number)
