"""What a file for `keras-bert predict` holds: texts, questions, choices or words."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from keras_bert.cli.tables import check_outputs, reading_of, table_of, texts_of
from keras_bert.errors import InputError
from keras_bert.tasks import Example, Table
from keras_bert.tasks.tables import STDIN

TEXTS, QUESTIONS, CHOICES, WORDS = "texts", "questions", "choices", "words"
# Files of one word in a line, and files of SQuAD, by their suffixes.
SUFFIXES = {
    ".json": QUESTIONS,
    **dict.fromkeys((".conll", ".conllu", ".conllup", ".bmes", ".bio"), WORDS),
    **dict.fromkeys((".bioes", ".iob", ".iob2"), WORDS),
}
# Tables that do not hold texts: their kinds, and the columns or keys that tell them.
TABLES = (
    (QUESTIONS, ("jsonl",), ("question", "context")),
    (WORDS, ("jsonl",), ("tokens",)),
    (WORDS, ("jsonl",), ("words",)),
    (CHOICES, ("jsonl", "parquet"), ("text", "choices")),
    (CHOICES, ("csv", "tsv"), ("sent1", "ending0")),
)


def form_of(args: argparse.Namespace) -> str:
    """Returns what `--input` holds, by its name or its first row.

    Args:
        args: of a parser with `add_text_arguments`. Columns that are named, and
            standard input, are those of texts.
    """
    if not args.input or args.text:
        return TEXTS
    if args.format == "conll":
        return WORDS
    suffix = Path(args.input).suffix.lower()
    if suffix in SUFFIXES and args.format is None:
        return SUFFIXES[suffix]
    if args.input == STDIN or args.text_column or args.pair_column:
        return TEXTS
    return _form_of_table(table_of(args, args.input))


def _form_of_table(table: Table) -> str:
    known = [(form, columns) for form, kinds, columns in TABLES if table.kind in kinds]
    keys = {key: key for _, columns in known for key in columns} | {"text": "text"}
    try:
        row = next(table.rows(keys, keys), None) if known else None
    except InputError:  # said again when texts are read, with what these need
        return TEXTS
    held = {k for k, value in row.cells.items() if value is not None} if row else set()
    for form, columns in known:
        if held.issuperset(columns) and ("text" in columns) == ("text" in held):
            return form
    return TEXTS


def examples_in(args: argparse.Namespace, form: str) -> Iterator[Example]:
    """Yields the rows of `--input`, or the texts of the command line.

    Args:
        args: see `form_of`.
        form: what `form_of` returned, other than words.
    """
    return _READ[form](args)


def _texts(args: argparse.Namespace) -> Iterator[Example]:
    return texts_of(args, alternatives=True)


def _choices(args: argparse.Namespace) -> Iterator[Example]:
    from keras_bert.tasks.multiple_choice import read_choices

    check_outputs(args, args.input)
    return iter(read_choices(args.input, labeled=False, **reading_of(args)))


def _questions(args: argparse.Namespace) -> Iterator[Example]:
    """Yields questions and their texts."""
    from keras_bert.tasks.question_files import read_questions

    check_outputs(args, args.input)
    for row, question in enumerate(read_questions(args.input, labeled=False), 1):
        yield Example(question.text, question.passage.text, row=row, id=question.id)


_READ = {TEXTS: _texts, CHOICES: _choices, QUESTIONS: _questions}
