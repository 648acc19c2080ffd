"""`keras-bert predict`: answers of a fine-tuned model, one JSON object per line."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from keras_bert.cli.models import (
    add_answer_arguments,
    add_dtype_argument,
    add_model_arguments,
    answer_options,
    load_model,
    load_tokenizer,
)
from keras_bert.errors import InputError, MissingFileError

DELIMITERS = {".tsv": "\t", ".csv": ","}  # of files with an optional header


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_model_arguments(parser)
    add_dtype_argument(parser)
    add_answer_arguments(parser)
    parser.add_argument("text", nargs="*", metavar="TEXT", help="texts to answer")
    parser.add_argument(
        "--input",
        metavar="FILE",
        help="a file instead: .jsonl with the keys text and text_pair, .tsv or .csv "
        "with these columns, or one text per line, with a tab before the second "
        "text; - is standard input",
    )
    parser.add_argument(
        "--pair", nargs="+", metavar="TEXT", help="second texts, one for each text"
    )
    parser.add_argument("--output", metavar="FILE", help="a .jsonl file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the output")
    parser.add_argument("--batch-size", type=int, default=32, help="rows per batch")


def run(args: argparse.Namespace) -> None:
    """Answers every text, in order."""
    texts, pairs = _read(args)
    write_lines(_answers(texts, pairs, args), args)


def _answers(texts: list, pairs: list | None, args: argparse.Namespace) -> Iterator:
    """Yields lines of JSON; loads the model before the first."""
    from keras_bert.serving.predictor import Predictor

    model = load_model(args, "encoder" if args.embeddings else None)
    predict = Predictor(
        model,
        load_tokenizer(args, model.config),
        max_length=args.max_length,
        labels=args.labels,
        batch_size=args.batch_size,
        round_weights=True,
        **answer_options(args),
    )
    for row in predict(texts, pairs, progress=bool(args.output)):
        yield json.dumps(row, ensure_ascii=False, default=_plain) + "\n"


# === Reading ===


def _read(args: argparse.Namespace) -> tuple[list, list | None]:
    if bool(args.text) == bool(args.input):
        raise InputError("Expected either texts or --input FILE.")
    rows = list(_rows_of(args.input)) if args.input else _given(args)
    pairs = [pair for _, pair in rows]
    if len({pair is None for pair in pairs}) > 1:
        number = pairs.index(None) + 1
        raise InputError(
            "Expected a second text in every row or in none. Received: none in row "
            f"{number}."
        )
    both = bool(pairs) and pairs[0] is not None
    return [text for text, _ in rows], pairs if both else None


def _given(args: argparse.Namespace) -> list[tuple[str, str | None]]:
    pairs = args.pair or [None] * len(args.text)
    if len(pairs) != len(args.text):
        raise InputError(
            f"Expected as many --pair as texts. Received: {len(args.text)} texts and "
            f"{len(pairs)} second texts."
        )
    return list(zip(args.text, pairs, strict=True))


def _rows_of(name: str) -> Iterator[tuple[str, str | None]]:
    lines = _lines_of(name)
    delimiter = DELIMITERS.get(Path(name).suffix.lower())
    columns = lines[0].strip("\ufeff\r").split(delimiter) if delimiter else ()
    if "text" in columns:
        return _table_rows(name, "text_pair" if "text_pair" in columns else None)
    return _line_rows(name, lines)


def _table_rows(name: str, text_pair: str | None) -> Iterator[tuple[str, str | None]]:
    from keras_bert.tasks import read_examples

    for example in read_examples(name, text_pair=text_pair, label=None):
        yield example.text, example.text_pair


def _line_rows(name: str, lines: list[str]) -> Iterator[tuple[str, str | None]]:
    read = _json_row if name.endswith(".jsonl") else _text_row
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield read(line)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f'Expected {{"text": …}} in line {number} of {name}. '
                f"Received: {line[:80]!r}."
            ) from error


def _lines_of(name: str) -> list[str]:
    if name == "-":
        return sys.stdin.read().split("\n")
    if not Path(name).is_file():
        raise MissingFileError(f"Expected a file at {name}; none is there.")
    # Not splitlines(): it also splits at characters inside a text.
    return Path(name).read_text(encoding="utf-8").split("\n")


def _json_row(line: str) -> tuple[str, str | None]:
    row = json.loads(line)
    return row["text"], row.get("text_pair")


def _text_row(line: str) -> tuple[str, str | None]:
    text, tab, pair = line.rstrip("\r").partition("\t")
    return text, pair if tab else None


# === Writing ===


def write_lines(lines: Iterable[str], args: argparse.Namespace) -> None:
    """Writes lines to `--output`, whole or not at all, or to the terminal."""
    if not args.output:
        sys.stdout.writelines(lines)
        return
    from keras_bert.atomic_files import new_file

    with (
        new_file(args.output, args.overwrite) as path,
        path.open("w", encoding="utf-8") as file,
    ):
        file.writelines(lines)
    print(f"Wrote {args.output}")


def _plain(value: Any) -> Any:
    """Returns a bytes string or an array as JSON has it."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.tolist()
