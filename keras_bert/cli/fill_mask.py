"""`keras-bert fill-mask`: the likeliest tokens for the masks of texts."""

import argparse
import json
from typing import Any

from keras_bert.cli.models import (
    add_dtype_argument,
    add_model_arguments,
    load_model,
    load_tokenizer,
)
from keras_bert.cli.parsing import positive


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_model_arguments(parser, heads=False)
    add_dtype_argument(parser)
    add = parser.add_argument
    add("text", nargs="+", metavar="TEXT", help="with the mask token, such as [MASK]")
    add("--top-k", type=positive, default=5, help="tokens for each mask")
    add("--json", action="store_true", help="print one JSON object for each text")


def run(args: argparse.Namespace) -> None:
    """Prints the guesses for each mask of each text."""
    from keras_bert.tasks import MaskedLanguageModel

    args.head = None
    model = load_model(args, MaskedLanguageModel.head)
    task = MaskedLanguageModel(model, load_tokenizer(args, model.config))
    for answer in task.predict(args.text, top_k=args.top_k):
        print(json.dumps(answer, ensure_ascii=False) if args.json else _lines(answer))


def _lines(answer: dict[str, Any]) -> str:
    """Returns the filled text, and a line for each mask."""
    guesses = (
        ", ".join(f"{guess['token']} {guess['probability']:.3f}" for guess in mask)
        for mask in answer["masks"]
    )
    return "\n".join([answer["text"], *(f"  {line}" for line in guesses)])
