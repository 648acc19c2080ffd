"""Whole files in, whole files out, for `keras-bert predict`: words, questions."""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from keras_bert.cli.answers import going_on, job_of
from keras_bert.cli.beam_answers import refuse_runner
from keras_bert.cli.models import load_model, load_tokenizer
from keras_bert.cli.partial_files import partial_file
from keras_bert.cli.tables import WINDOW, check_outputs, reading_of
from keras_bert.errors import InputError

Lines = Callable[[list, Any], list[str]]  # items and what the model says of them


def tag_file(args: argparse.Namespace) -> None:
    """Writes the words of `--input` with the tags of the model to `--output`.

    Raises:
        InputError: there is no `--output`, or an argument does not apply.
    """
    from keras_bert.tasks.conll_files import writer_of

    if not args.output:
        raise InputError("Expected --output FILE for the tagged words. Received: none.")
    options = {"labels": args.labels, "doc_stride": args.doc_stride}
    task = _task(args, "ner", "tagged words", options)
    written = writer_of(args.output)

    def lines(items: list, outputs: Any) -> list[str]:
        return [written(item) for item in task.tagged(items, outputs)]

    _write(args, task, task.read(args.input, labeled=False, **reading_of(args)), lines)


def answer_file(args: argparse.Namespace) -> None:
    """Writes answers to the questions of `--input` in SQuAD's form to `--output`."""
    names = ("doc_stride", "max_answer_length")
    options = {name: getattr(args, name) for name in names}
    task = _task(args, "qa", "predictions in SQuAD's form", options)
    items = task.read(args.input, labeled=False)
    if task.options["may_be_impossible"] is None:  # is one for the whole file
        impossible = any(item.is_impossible for item in items)
        task.options["may_be_impossible"] = impossible

    def lines(items: list, outputs: Any) -> list[str]:
        found = outputs.predictions.items()
        return [f"    {json.dumps(str(id))}: {json.dumps(text)}" for id, text in found]

    _write(args, task, items, lines, frame=("{\n", ",\n", "\n}\n"))


def _task(
    args: argparse.Namespace, name: str, what: str, options: Mapping[str, Any]
) -> Any:
    """Returns the task of the model, if its answers can be written to `--output`."""
    from keras_bert.atomic_files import refuse_existing
    from keras_bert.tasks import TASKS

    refuse_runner(args, what)
    check_outputs(args, args.input)
    refuse_existing([Path(args.output)], args.overwrite)
    kind = TASKS[name]
    model = load_model(args, kind.head)
    tokenizer = load_tokenizer(args, model.config)
    return kind(model, tokenizer, max_length=args.max_length, **options)


def _write(
    args: argparse.Namespace,
    task: Any,
    items: list,
    lines: Lines,
    frame: tuple[str, str, str] = ("", "", ""),
) -> None:
    """Writes lines of some batches at a time; an interrupted run goes on.

    Args:
        args: of the command.
        task: which answers.
        items: of the input.
        lines: returns what is written of answered items.
        frame: what is before, between and after the lines.
    """
    first, between, last = frame
    size = WINDOW * args.batch_size
    with partial_file(args.output, job_of(args), overwrite=args.overwrite) as file:
        going_on(file)
        for begin in tqdm(range(file.rows, len(items), size), unit=" batches"):
            some = items[begin : begin + size]
            found = lines(some, task.outputs(some, batch_size=args.batch_size))
            ended = begin + len(some) == len(items)
            text = (between if begin else first) + between.join(found)
            file.append(text + (last if ended else ""), len(some))
    print(f"Wrote {args.output}")
