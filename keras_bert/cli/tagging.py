"""Whole files in, whole files out, for `keras-bert predict`: words, questions."""

import argparse
from pathlib import Path

from keras_bert.cli.beam_answers import refuse_runner
from keras_bert.cli.models import load_model, load_tokenizer
from keras_bert.cli.tables import check_outputs, reading_of
from keras_bert.errors import InputError


def tag_file(args: argparse.Namespace) -> None:
    """Writes the words of `--input` with the tags of the model to `--output`.

    Raises:
        InputError: there is no `--output`, or an argument does not apply.
    """
    from keras_bert.atomic_files import refuse_existing
    from keras_bert.tasks import TokenClassification

    if not args.output:
        raise InputError("Expected --output FILE for the tagged words. Received: none.")
    refuse_runner(args, "tagged words")
    check_outputs(args, args.input)
    refuse_existing([Path(args.output)], args.overwrite)
    model = load_model(args, TokenClassification.head)
    task = TokenClassification(
        model,
        load_tokenizer(args, model.config),
        labels=args.labels,
        max_length=args.max_length,
        doc_stride=args.doc_stride,
    )
    items = task.read(args.input, labeled=False, **reading_of(args))
    outputs = task.outputs(items, batch_size=args.batch_size)
    task.write_predictions(args.output, items, outputs, overwrite=args.overwrite)
    print(f"Wrote {args.output}")


def answer_file(args: argparse.Namespace) -> None:
    """Writes answers to the questions of `--input` in SQuAD's form to `--output`."""
    from keras_bert.atomic_files import refuse_existing
    from keras_bert.tasks import QuestionAnswering

    refuse_runner(args, "predictions in SQuAD's form")
    check_outputs(args, args.input)
    refuse_existing([Path(args.output)], args.overwrite)
    model = load_model(args, QuestionAnswering.head)
    task = QuestionAnswering(
        model,
        load_tokenizer(args, model.config),
        max_length=args.max_length,
        doc_stride=args.doc_stride,
        max_answer_length=args.max_answer_length,
    )
    items = task.read(args.input, labeled=False)
    outputs = task.outputs(items, batch_size=args.batch_size)
    task.write_predictions(args.output, items, outputs, overwrite=args.overwrite)
    print(f"Wrote {args.output}")
