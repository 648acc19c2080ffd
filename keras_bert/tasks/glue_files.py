"""The tasks of GLUE by name, and XNLI: their files as published, labels and metrics.

Their columns have fixed places, whatever a header calls them. For tables of any other
form, see `keras_bert.tasks.read_examples`.

Source: the archives of gluebenchmark.com; the processors in google-research/bert,
run_classifier.py; GLUE (arXiv:1804.07461), table 1.
"""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from keras_bert.errors import InputError, MissingFileError, choose
from keras_bert.tasks.examples import Example, iter_examples
from keras_bert.tasks.tables import Table
from keras_bert.tasks.text_lines import text_lines
from keras_bert.tasks.tfds_tables import is_tfds, with_split

log = logging.getLogger(__name__)


class Columns(NamedTuple):
    """Where a file is, and what its columns hold.

    Attributes:
        file: relative to the directory of the data.
        texts: places of the text, or of both of a pair.
        label: place of the label, from the end if negative; None: there is none.
        header: whether the first row is one; or how it begins, in a form of the file
            that is recognized by it.
        only: a place and the text that rows must have there; others are skipped.
        id: place of the row's number in GLUE's test files.
        broken: whether some of the published rows lack columns; they are left out.
    """

    file: str
    texts: tuple[int, ...]
    label: int | None = None
    header: bool | str = True
    only: tuple[int, str] | None = None
    id: int | None = None
    broken: bool = False


class GlueTask(NamedTuple):
    """A task, and its files.

    Attributes:
        labels: the classes in the order of their ids; none for a number.
        files: by split, such as `train`, `dev` and `test`: its forms, of which the
            first that is there is read.
        folder: what the directory of its files is called.
        metrics: names, as in `keras_bert.tasks.metrics`.
        recipe: of its settings, in `keras_bert.training.recipes.FINE_TUNING`.
        submission: name of the file of predictions; None: GLUE takes none.
        spellings: other spellings of labels.
    """

    labels: tuple[str, ...]
    files: Mapping[str, tuple[Columns, ...]]
    folder: str
    metrics: tuple[str, ...] = ("accuracy",)
    recipe: str | None = None
    submission: str | None = None
    spellings: Mapping[str, str] = {}

    def labels_for(self, config: Any) -> list[str] | None:
        """Returns the classes in the order of a model's ids.

        Args:
            config: of the model. Where its classes have the task's names, their order
                is the model's; else it is the task's.

        Returns:
            The classes, or None for a number.
        """
        named = [self.label(str(name).lower()) for name in config.labels]
        known = bool(config.id2label) and sorted(named) == sorted(self.labels)
        same_size = len(named) == len(self.labels) > 2
        if config.id2label and same_size and not known:
            log.warning(
                "The model calls its classes %s; they are taken for %s, in this order.",
                *(", ".join(config.labels), ", ".join(self.labels)),
            )
        return (named if known else list(self.labels)) or None

    def label(self, name: str) -> str:
        """Returns a label in the spelling of `labels`, if it is one."""
        return self.spellings.get(name, name)


def _tsv(
    train: tuple[int, ...], label: int, test: tuple[int, ...] | None = None, **more: Any
) -> dict[str, tuple[Columns, ...]]:
    """Returns the files of a task whose three files have headers."""
    files = {s: (Columns(f"{s}.tsv", train, label, **more),) for s in ("train", "dev")}
    return {**files, "test": (Columns("test.tsv", test or train, id=0),)}


def _cola(*names: str) -> tuple[Columns, ...]:
    """Returns the forms of a file in GLUE and in the corpus of its authors."""
    places = ("", "raw/", "cola_public/raw/")
    files = [f"{place}{name}.tsv" for name in names for place in places]
    return tuple(Columns(file, (3,), 1, header=False) for file in files)


def _sst(split: str) -> tuple[Columns, ...]:
    """Returns both forms: with GLUE's header, and of two columns without any."""
    return (
        Columns(f"{split}.tsv", (0,), 1, header="sentence"),
        Columns(f"{split}.tsv", (0,), 1, header="text"),
        Columns(f"{split}.tsv", (0,), 1, header=False),
    )


def _mnli(kind: str) -> GlueTask:
    places = (8, 9)
    files = {"train": (Columns("train.tsv", places, -1),)}
    for name in ("matched", "mismatched"):
        files[f"dev-{name}"] = (Columns(f"dev_{name}.tsv", places, -1),)
        files[f"test-{name}"] = (Columns(f"test_{name}.tsv", places, id=0),)
    usual = {split: files[f"{split}-{kind}"] for split in ("dev", "test")}
    return GlueTask(
        _ENTAILMENT,
        files | usual,
        "MNLI",
        recipe="mnli",
        submission={"matched": "MNLI-m.tsv", "mismatched": "MNLI-mm.tsv"}[kind],
    )


def _sides(no: str, yes: str) -> dict[str, str]:
    return {no: "0", yes: "1"}


_ENTAILMENT = ("contradiction", "entailment", "neutral")
_FOLLOWS, _BINARY = ("entailment", "not_entailment"), ("0", "1")
_ACCURACY_F1 = ("accuracy", "f1")
_MRPC = _tsv((3, 4), 0)
_QQP = _tsv((3, 4), 5, test=(1, 2), broken=True)

GLUE = {
    "cola": GlueTask(
        _BINARY,
        {
            "train": _cola("train", "in_domain_train"),
            "dev": _cola("dev", "in_domain_dev"),
            "dev-out-of-domain": _cola("out_of_domain_dev"),
            "test": (Columns("test.tsv", (1,), id=0),),
        },
        "CoLA",
        metrics=("matthews_correlation",),
        recipe="cola",
        submission="CoLA.tsv",
        spellings=_sides("unacceptable", "acceptable"),
    ),
    "sst-2": GlueTask(
        _BINARY,
        {
            "train": _sst("train"),
            "dev": _sst("dev"),
            "test": (
                Columns("test.tsv", (1,), header="index", id=0),
                *_sst("test"),
            ),
        },
        "SST-2",
        recipe="sst-2",
        submission="SST-2.tsv",
        spellings=_sides("negative", "positive"),
    ),
    "mrpc": GlueTask(
        _BINARY,
        {
            "train": (*_MRPC["train"], Columns("msr_paraphrase_train.txt", (3, 4), 0)),
            "dev": _MRPC["dev"],
            "test": (*_MRPC["test"], Columns("msr_paraphrase_test.txt", (3, 4), 0)),
        },
        "MRPC",
        metrics=_ACCURACY_F1,
        recipe="mrpc",
        submission="MRPC.tsv",
        spellings=_sides("not_equivalent", "equivalent"),
    ),
    "sts-b": GlueTask(
        (),
        {
            split: (*forms, Columns(f"sts-{split}.csv", (5, 6), 4, header=False))
            for split, forms in _tsv((7, 8), 9).items()
        },
        "STS-B",
        metrics=("pearson", "spearman"),
        recipe="sts-b",
        submission="STS-B.tsv",
    ),
    "qqp": GlueTask(
        _BINARY,
        _QQP,
        "QQP",
        metrics=_ACCURACY_F1,
        recipe="qqp",
        submission="QQP.tsv",
        spellings=_sides("not_duplicate", "duplicate"),
    ),
    "mnli": _mnli("matched"),
    "mnli-mm": _mnli("mismatched"),
    "qnli": GlueTask(
        _FOLLOWS, _tsv((1, 2), 3), "QNLI", recipe="qnli", submission="QNLI.tsv"
    ),
    "rte": GlueTask(
        _FOLLOWS, _tsv((1, 2), 3), "RTE", recipe="rte", submission="RTE.tsv"
    ),
    "wnli": GlueTask(
        _BINARY,
        _tsv((1, 2), 3),
        "WNLI",
        recipe="wnli",
        submission="WNLI.tsv",
        spellings=_sides("not_entailment", "entailment"),
    ),
    "xnli": GlueTask(
        _ENTAILMENT,
        {
            "train": (Columns("multinli/multinli.train.zh.tsv", (0, 1), 2),),
            "dev": (Columns("xnli.dev.tsv", (6, 7), 1, only=(0, "zh")),),
        },
        "XNLI",
        recipe="mnli",
        spellings={"contradictory": "contradiction"},
    ),
}
_ALIASES = {"sst2": "sst-2", "stsb": "sts-b", "mnlimm": "mnli-mm", "mnlim": "mnli"}
_ALIASES |= {"mnlimatched": "mnli", "mnlimismatched": "mnli-mm"}


def glue_name(name: str | None) -> str | None:
    """Returns the key in `GLUE` of a task as people write it, or None if it is none.

    Example:
        >>> [glue_name(name) for name in ("SST2", "sts_b", "MNLI-mm", "ner")]
        ['sst-2', 'sts-b', 'mnli-mm', None]
    """
    plain = (name or "").lower().translate({ord(c): None for c in "-_ "})
    found = _ALIASES.get(plain, plain)
    return found if found in GLUE else None


def read_glue(folder: str | Path, task: str, split: str) -> list[Example]:
    """Reads a file of one of the tasks.

    Args:
        folder: of the data of the task, or of all tasks; or `tfds:glue/sst2`.
        task: a name of `GLUE`, with or without hyphen.
        split: "train", "dev" or "test", whose labels are not published.

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
    name = choose("task", glue_name(task) or task, GLUE)
    known = GLUE[name]
    if split not in known.files:
        raise MissingFileError(
            f"Expected a split of {name}: {', '.join(known.files)}. Received: {split}."
        )
    if is_tfds(folder):
        return _from_tfds(folder, name, split)
    path, columns = glue_file(folder, name, split)
    found, broken = [], []
    for number, cells in _rows(path):
        if columns.header and number == 1:
            _check_header(columns, known, cells, path)
            width = len(cells)
        elif columns.broken and len(cells) != width:
            broken.append(number)
        elif _is_wanted(columns, cells, number, path):
            found.append(_example(columns, known, cells, number, path))
    if broken:
        log.warning(
            "%s: left out %d rows without all %d columns, the first in line %d",
            *(path, len(broken), width, broken[0]),
        )
    if not found:
        raise InputError(f"Expected examples in {path}. Received: none.")
    return found


def _from_tfds(source: Any, task: str, split: str) -> list[Example]:
    name, _, kind = split.partition("-")
    kind = kind or {"mnli": "matched", "mnli-mm": "mismatched"}.get(task, "")
    name = {"dev": "validation"}.get(name, name)
    named = f"{name}_{kind}" if kind and name != "train" else name
    columns = {"text": "text", "text_pair": "text_pair", "label": "label", "id": "idx"}
    table = Table(with_split(source, named))
    label = GLUE[task].label
    return [
        replace(example, label=example.label and label(example.label))
        for example in iter_examples(table, columns, ("text_pair", "id"))
    ]


def glue_file(folder: str | Path, task: str, split: str) -> tuple[Path, Columns]:
    """Returns where the file of a split is, and its columns.

    Args:
        folder: of the data of the task, or of all tasks.
        task: a key of `GLUE`.
        split: of it.

    Raises:
        MissingFileError: it is not there.
    """
    known = GLUE[task]
    forms = known.files[split]
    for place in (Path(folder), Path(folder, known.folder)):
        for columns in forms:
            path = place / columns.file
            if path.is_file() and _begins(path, columns.header):
                return path, columns
    places = " or ".join(dict.fromkeys(columns.file for columns in forms))
    raise MissingFileError(
        f"Expected the {split} file of {task} at {folder}: {places}, here or in "
        f"{known.folder}. Received: {_listed(Path(folder))}."
    )


def _listed(folder: Path) -> str:
    """Returns the names in a folder."""
    if not folder.is_dir():
        return f"{'a file' if folder.exists() else 'nothing'} there"
    names = sorted(path.name for path in islice(folder.iterdir(), 1000))
    more = " …" if len(names) > 12 else ""
    return (", ".join(names[:12]) or "an empty folder") + more


def _begins(path: Path, header: bool | str) -> bool:
    """Whether a file begins as the form with this header does."""
    if isinstance(header, bool):
        return True
    return next(_rows(path), (1, [""]))[1][0] == header


def _rows(path: Path) -> Iterator[tuple[int, Sequence[str]]]:
    """Yields number and cells of each line; quotation marks are text."""
    with path.open("rb") as file:
        for number, line in enumerate(
            text_lines(file, "utf-8", "\n", name=str(path)), 1
        ):
            yield number, line.rstrip("\r\n").split("\t")


def _check_header(
    columns: Columns, task: GlueTask, cells: Sequence[str], path: Path
) -> None:
    label = columns.label
    if label is not None and label < len(cells) and _is_label(cells[label], task):
        raise InputError(
            f"Expected the names of columns in line 1 of {path}, as published. "
            f"Received: the label {cells[label]!r}. Read it as a table: --task "
            "classification --train FILE --no-header."
        )


def _is_wanted(columns: Columns, cells: Sequence[str], number: int, path: Path) -> bool:
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
    label = None if columns.label is None else task.label(cells[columns.label])
    if label is not None and not _is_label(label, task):
        expected = f"among {', '.join(task.labels)}" if task.labels else "as a number"
        raise InputError(
            f"Expected a label {expected} in line {number} of {path}. Received: "
            f"{label!r}."
        )
    texts = (cells[place] for place in columns.texts)
    id = None if columns.id is None else cells[columns.id]
    return Example(*texts, label=label, row=number, id=id)


def _is_label(label: str, task: GlueTask) -> bool:
    if task.labels:
        return label in task.labels
    try:
        return math.isfinite(float(label))
    except ValueError:
        return False
