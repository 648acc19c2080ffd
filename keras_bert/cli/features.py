"""`keras-bert features`: hidden states of texts, one JSON object per line."""

import argparse
import json

from keras_bert.cli.models import add_model_arguments, load_model, load_tokenizer
from keras_bert.cli.parsing import integers
from keras_bert.cli.predict import write_lines
from keras_bert.errors import InputError

PAIR_MARK = "|||"  # as in Google's script


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_model_arguments(parser)
    parser.add_argument("text", nargs="*", metavar="TEXT", help="texts to encode")
    parser.add_argument(
        "--input",
        metavar="FILE",
        help=f"a file instead, one text per line; {PAIR_MARK} separates a second text",
    )
    parser.add_argument("--output", metavar="FILE", help="a .jsonl file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the output")
    parser.add_argument(
        "--layers",
        type=integers,
        default="-1,-2,-3,-4",
        metavar="N,N",
        help="layers to write, as in --layers=-1,-2: 0 is the embeddings, 1 the first "
        "layer, -1 the last",
    )
    parser.add_argument("--batch-size", type=int, default=32, help="rows per batch")


def run(args: argparse.Namespace) -> None:
    """Writes the hidden states of every text, in order."""
    texts, pairs = _read(args)
    from keras_bert.analysis import extract_features

    model = load_model(args)
    rows = extract_features(
        model,
        load_tokenizer(args, model.config),
        texts,
        pairs,
        layers=args.layers,
        max_length=args.max_length,
        batch_size=args.batch_size,
    )
    write_lines((json.dumps(row, ensure_ascii=False) + "\n" for row in rows), args)


def _read(args: argparse.Namespace) -> tuple[list[str], list[str] | None]:
    if bool(args.text) == bool(args.input):
        raise InputError("Expected either texts or --input FILE.")
    lines = [line.partition(PAIR_MARK) for line in _lines(args)]
    texts = [text.strip() for text, _, _ in lines]
    pairs = [pair.strip() for _, mark, pair in lines if mark]
    if len(pairs) not in (0, len(texts)):
        raise InputError(
            f"Expected {PAIR_MARK} in all {len(texts)} lines or in none. "
            f"Received: {len(pairs)} lines with it."
        )
    return texts, pairs or None


def _lines(args: argparse.Namespace) -> list[str]:
    if args.text:
        return args.text
    from keras_bert.tokenization.files import read_lines

    return [line for line in read_lines(args.input) if line.strip()]
