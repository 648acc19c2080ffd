"""Files of words in, files of tagged words out, for `keras-bert predict`."""

import argparse
from pathlib import Path

from keras_bert.cli.models import load_model, load_tokenizer
from keras_bert.cli.tables import check_outputs, reading_of
from keras_bert.errors import InputError

FORMAT = "conll"


def has_words(args: argparse.Namespace) -> bool:
    """Whether the input is a file of words in columns."""
    named = Path(args.input or "").suffix == f".{FORMAT}" and args.format is None
    return named or (bool(args.input) and args.format == FORMAT)


def tag_file(args: argparse.Namespace) -> None:
    """Writes the words of `--input` with the tags of the model to `--output`.

    Raises:
        InputError: there is no `--output`, or an argument does not apply.
    """
    from keras_bert.atomic_files import refuse_existing
    from keras_bert.tasks import TokenClassification

    if not args.output:
        raise InputError("Expected --output FILE for the tagged words. Received: none.")
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
