"""`report.html`: what a run or an evaluation of a task found, in one page."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from keras_bert.analysis.report import (
    AttentionView,
    Code,
    Facts,
    Mistakes,
    Numbers,
    Section,
    SideBySide,
    Table,
    Text,
    curves,
    write_report,
)
from keras_bert.errors import MissingExtraError
from keras_bert.version import __version__

NAME = "report.html"  # in the directory of a run
# Where one process has the model and can ask it for answers.
ALONE = ("one", "mirrored")


@dataclass(frozen=True)
class Answered:
    """Labeled data, and what a model made of them.

    Attributes:
        items: of the task.
        outputs: of the model.
        scores: of the task; None if scikit-learn is not installed.
    """

    items: list
    outputs: Any
    scores: Mapping[str, float] | None

    @classmethod
    def by(cls, task: Any, items: list, *, batch_size: int = 32) -> "Answered":
        """Asks the model of a task."""
        outputs = task.outputs(items, batch_size=batch_size)
        try:
            return cls(items, outputs, task.score(items, outputs))
        except MissingExtraError:
            return cls(items, outputs, None)


@dataclass(frozen=True)
class RunReport:
    """The contents of a report.

    Attributes:
        task: with its model.
        title: of the page.
        data: items of the task, by the name of their file.
        answered: what the model made of labeled data, or None.
        history: lines of the log of training.
        settings: of training.
        command: a line that does the same again.
        texts: whose attention is shown; of none that of the worst mistake.

    Example:
        >>> RunReport(task, "A run", {"dev.csv": items}).write(
        ...     "report.html")  # doctest: +SKIP
    """

    task: Any
    title: str
    data: Mapping[str, list]
    answered: Answered | None = None
    history: Sequence[Mapping[str, Any]] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    command: str | None = None
    texts: Sequence[str] = ()

    def write(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Writes the page.

        Args:
            path: the file.
            overwrite: replace an existing file.

        Raises:
            ExistingOutputError: the file exists and `overwrite` is False.
        """
        sections = [
            *self._scores(),
            *_training(self.history),
            *self._answers(),
            *self._attention(),
            Section("Data", [self._data()]),
            _settings(self.settings, self.command),
        ]
        lead = _size(self.task.model)
        return write_report(path, self.title, sections, lead=lead, overwrite=overwrite)

    def _scores(self) -> list[Section]:
        if self.answered is None:
            return []
        if self.answered.scores is None:
            return [Section("Scores", [Text("Scores need the extra `metrics`.")])]
        return [Section("Scores", _numbers(self.answered.scores))]

    def _answers(self) -> list[Section]:
        if self.answered is None:
            return []
        found = self.task.sections(self.answered.items, self.answered.outputs)
        worst = self._worst
        if worst is None:
            return found
        text = Text("None: all answers are right.")
        return [*found, Section("Worst mistakes", [worst if worst.mistakes else text])]

    @cached_property
    def _worst(self) -> Mistakes | None:
        return self.task.mistakes(self.answered.items, self.answered.outputs)

    def _attention(self) -> list[Section]:
        views = [
            block
            for text, pair in self._texts_to_look_into()
            for block in (
                Text(text if pair is None else f"{text} | {pair}"),
                AttentionView.of(self.task.model, self.task.tokenizer, text, pair),
            )
        ]
        return [Section("Attention", views)] if views else []

    def _texts_to_look_into(self) -> list[tuple[str, str | None]]:
        if self.texts or self.answered is None:
            return [(text, None) for text in self.texts]
        joins = self.task.joins_pairs
        first = self._worst.mistakes[:1] if self._worst else []
        return [(m.text, m.text_pair if joins else None) for m in first]

    def _data(self) -> Table:
        columns = [_facts(self.task, items) for items in self.data.values()]
        rows = [[name, *(c.get(name, "") for c in columns)] for name in columns[0]]
        return Table(["", *self.data], rows)


# === Parts of every page ===

UNSET = (None, "", {}, ())


def _numbers(scores: Mapping[str, float]) -> list[Numbers | Facts]:
    """Returns scores in large type, and those of types, such as PER_f1, below."""
    parts = {
        n: v for n, v in scores.items() if any(n.endswith(f"_{m}") for m in scores)
    }
    main = {name: value for name, value in scores.items() if name not in parts}
    return [Numbers(main), *([Facts(parts)] if parts else [])]


def _training(history: Sequence[Mapping[str, Any]]) -> list[Section]:
    charts = curves(history)
    return [Section("Training", [SideBySide(charts)])] if charts else []


def _settings(settings: Mapping[str, Any], command: str | None) -> Section:
    known = {name: _plain(x) for name, x in settings.items() if x not in UNSET}
    blocks = [Code(command)] if command else []
    return Section("Settings and versions", [*blocks, Facts(known | versions())])


def _plain(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number else str(value)


def _size(model: Any) -> str:
    return f"{type(model).__name__}, {model.count_params():,} parameters."


def _facts(task: Any, items: list) -> dict[str, Any]:
    """Returns what data are like: rows, classes, lengths."""
    lengths = task.lengths(items)
    if lengths is None:
        return {"rows": len(items)}
    limit = task.row_length
    split = "in windows of" if task.options.get("doc_stride") else "cut off at"
    return {
        "rows": len(items),
        "tokens in the longest row": int(lengths.max()),
        "tokens in a row, mean": float(lengths.mean()),
        f"rows {split} {limit} tokens": int(np.sum(lengths > limit)),
        **task.class_facts(items),
    }


def versions() -> dict[str, str]:
    """Returns the versions of what computes."""
    import keras

    backend = keras.backend.backend()
    modules = {name: import_module(name) for name in ("keras", backend, "numpy")}
    found = {name: module.__version__ for name, module in modules.items()}
    return {"keras_bert": __version__, **found, "Python": platform.python_version()}


def title_of(task: Any) -> str:
    """Returns the title of a page about a task."""
    return task.name.upper() if len(task.name) < 4 else task.name.capitalize()


def of_run(
    task: Any, run: Any, recipe: Any, data: Mapping[str, list], **options: Any
) -> RunReport:
    """Returns the report of a run that has ended.

    Args:
        task: trained by it.
        run: a `keras_bert.training.loop.Run`.
        recipe: its settings, a `FineTuning`.
        data: the training data and, second, those to evaluate on, if there are any.
        **options: further attributes of the report.
    """
    from keras_bert.training.recipes import settings

    dtype = task.model.dtype_policy.name
    names = {"task": task.name, "dtype": dtype, "seed": task.seed}
    values = {**names, **settings(recipe), **asdict(run.plan), **task.options}
    dev = list(data.values())[1:] if run.plan.distribution in ALONE else []
    answered = [Answered.by(task, x, batch_size=recipe.batch_size) for x in dev]
    answered = answered[0] if answered else None
    return RunReport(
        task, title_of(task), data, answered, run.history, values, **options
    )


def report_pretraining(run: Any, command: str | None = None) -> Path | None:
    """Writes `report.html` of a run of pretraining: its curves and settings.

    Args:
        run: a `keras_bert.training.loop.Run` that has ended.
        command: a line that does the same again.

    Returns:
        The file, or None if another process of the run writes it.
    """
    if not run.writes:
        return None
    sections = [*_training(run.history), _settings(asdict(run.plan), command)]
    options = {"lead": _size(run.model), "overwrite": True}
    return write_report(run.directory / NAME, "Pretraining", sections, **options)
