"""A task of GLUE by name: `--task sst2 --data DIR`, in the commands that take tasks."""

import argparse
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from keras_bert.cli.tables import reading_of
from keras_bert.errors import InputError, choose
from keras_bert.tasks import TASKS, Example
from keras_bert.tasks.glue_files import GLUE, GlueTask, glue_name, read_glue

HELP = f"a task of GLUE, which is {', '.join(GLUE)}"
STS_B = (0.0, 5.0)  # the smallest and the largest score


class NamedData(NamedTuple):
    """The data of a task of GLUE.

    Attributes:
        name: a key of `GLUE`.
        task: the task.
        folder: of its files, or of those of all tasks.
    """

    name: str
    task: GlueTask
    folder: str

    def read(self, split: str) -> list[Example]:
        """Returns the examples of a split."""
        return read_glue(self.folder, self.name, split)

    def labels(self, args: argparse.Namespace, config: Any) -> list[str] | None:
        """Returns the classes in the order of a model's ids."""
        return args.labels or self.task.labels_for(config)

    def submitted(self, row: Mapping[str, Any], number: int) -> dict[str, Any]:
        """Returns an answer as GLUE takes it: the row's index and the prediction."""
        return {"index": row.get("id", number), "prediction": _prediction(row)}


def _prediction(row: Mapping[str, Any]) -> str:
    if "label" in row:
        return row["label"].decode()
    low, high = STS_B
    return f"{min(max(float(row['scores']), low), high):.3f}"


def named_data(
    args: argparse.Namespace, kinds: Iterable[str] = tuple(TASKS)
) -> NamedData | None:
    """Returns the data of the task of GLUE that the arguments name, if they do.

    The arguments then have the kind of the task as `task`.

    Args:
        args: of a parser with `--task` and `--data`.
        kinds: other names that `--task` may have.

    Raises:
        InputError: there is no `--data`, or columns are named.
        UnknownNameError: there is no such task.
    """
    name = glue_name(args.task)
    if name is None:
        if args.task:
            choose("task", args.task, (*kinds, *GLUE))
        return None
    if not args.data:
        raise InputError(
            f"Expected --data with the folder of {name}. Received: none. For files of "
            "your own, pass --task classification or --task regression."
        )
    if reading := reading_of(args):
        raise InputError(
            f"Expected no {', '.join(reading)} with --task {args.task}, whose files "
            "have columns that are known. For tables of another form, pass --task "
            "classification or --task regression."
        )
    task = GLUE[name]
    args.task = "classification" if task.labels else "regression"
    return NamedData(name, task, args.data)
