"""Whole files in, whole files out, for `keras-bert predict`: words, questions."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_bert.cli.beam_answers import refuse_runner
from keras_bert.cli.models import load_model, load_tokenizer
from keras_bert.cli.tables import check_outputs, reading_of
from keras_bert.errors import InputError


def tag_file(args: argparse.Namespace) -> None:
    """Writes the words of `--input` with the tags of the model to `--output`.

    Raises:
        InputError: there is no `--output`, or an argument does not apply.
    """
    if not args.output:
        raise InputError("Expected --output FILE for the tagged words. Received: none.")
    options = {"labels": args.labels, "doc_stride": args.doc_stride}
    _write(args, "ner", "tagged words", reading_of(args), options)


def answer_file(args: argparse.Namespace) -> None:
    """Writes answers to the questions of `--input` in SQuAD's form to `--output`."""
    names = ("doc_stride", "max_answer_length")
    options = {name: getattr(args, name) for name in names}
    _write(args, "qa", "predictions in SQuAD's form", {}, options)


def _write(
    args: argparse.Namespace,
    name: str,
    what: str,
    reading: Mapping[str, Any],
    options: Mapping[str, Any],
) -> None:
    from keras_bert.atomic_files import refuse_existing
    from keras_bert.tasks import TASKS

    refuse_runner(args, what)
    check_outputs(args, args.input)
    refuse_existing([Path(args.output)], args.overwrite)
    kind = TASKS[name]
    model = load_model(args, kind.head)
    tokenizer = load_tokenizer(args, model.config)
    task: Any = kind(model, tokenizer, max_length=args.max_length, **options)
    items = task.read(args.input, labeled=False, **reading)
    outputs = task.outputs(items, batch_size=args.batch_size)
    task.write_predictions(args.output, items, outputs, overwrite=args.overwrite)
    print(f"Wrote {args.output}")
