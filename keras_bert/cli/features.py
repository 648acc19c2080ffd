"""`keras-bert features`: hidden states of texts, one JSON object per line."""

import argparse
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from keras_bert.cli.answers import write_answers
from keras_bert.cli.models import add_model_arguments, load_model, load_tokenizer
from keras_bert.cli.parsing import integers
from keras_bert.cli.tables import add_text_arguments, table_of, texts_of
from keras_bert.errors import InputError
from keras_bert.tasks import Example

PAIR_MARK = "|||"  # as in Google's script


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_model_arguments(parser)
    add_text_arguments(
        parser, f"one text per line; there, {PAIR_MARK} separates a second text"
    )
    parser.add_argument(
        "--layers",
        type=integers,
        metavar="N",
        help="layers to write, as in --layers -1 -2: 0 is the embeddings, 1 the first "
        "layer, -1 the last; by default the last four",
    )


def run(args: argparse.Namespace) -> None:
    """Writes the hidden states of every text, in order."""

    def numbered(row: Mapping[str, Any], number: int) -> dict[str, Any]:
        return {"linex_index": number, **row}

    write_answers(args, _examples(args), lambda: _Answerer(args), change=numbered)


class _Answerer:
    """The encoder of the arguments."""

    def __init__(self, args: argparse.Namespace):
        self._model = load_model(args)
        self._tokenizer = load_tokenizer(args, self._model.config)
        names = ("layers", "max_length", "batch_size")
        self._options = {name: getattr(args, name) for name in names}

    def names(self) -> list[str]:
        return ["features"]

    def __call__(self, examples: list[Example]) -> Iterator[dict[str, Any]]:
        from keras_bert.analysis import extract_features

        pairs = [e.text_pair for e in examples]
        rows = extract_features(
            self._model,
            self._tokenizer,
            [e.text for e in examples],
            None if None in pairs else pairs,
            **self._options,
        )
        for row in rows:
            yield {"features": row["features"]}


def _examples(args: argparse.Namespace) -> Iterator[Example]:
    examples = texts_of(args)
    marked = args.text or table_of(args, args.input).kind == "txt"
    return _split(examples) if marked else examples


def _split(examples: Iterator[Example]) -> Iterator[Example]:
    """Yields texts with what follows the mark as their second text."""
    first = None
    for number, example in enumerate(examples, 1):
        text, mark, pair = (example.text or "").partition(PAIR_MARK)
        first = mark if first is None and example.text else first
        if example.text and mark != first:
            raise InputError(
                f"Expected {PAIR_MARK} in all lines or in none. Received: "
                f"{'one' if mark else 'none'} in line {number}, unlike the first."
            )
        changes = {"text": text.strip(), "text_pair": pair.strip() if mark else None}
        yield (
            example if example.text is None else dataclasses.replace(example, **changes)
        )
