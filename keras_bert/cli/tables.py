"""What the commands on texts and labeled data share: flags, rows in, lines out."""

import argparse
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol

from tqdm.auto import tqdm

from keras_bert.cli.models import add_encoding_argument
from keras_bert.cli.parsing import add_switch, positive
from keras_bert.errors import InputError
from keras_bert.strings import is_text
from keras_bert.tasks import Example, Table, iter_examples

WINDOW = 16  # batches that are read, sorted by length, and written at a time
log = logging.getLogger(__name__)


# === Flags ===


def add_table_arguments(
    parser: argparse.ArgumentParser,
    *,
    labels: bool = True,
    ids: bool = True,
    pairs: bool = True,
) -> None:
    """Adds the arguments for the columns and the form of tables.

    Args:
        parser: of the command.
        labels: whether it reads labels.
        ids: whether it writes the ids of rows.
        pairs: whether it reads second texts.
    """
    add = parser.add_argument_group(
        "tables (.csv, .tsv, .jsonl, .parquet)",
        "Columns are given by name or by number, from 1.",
    ).add_argument
    column = {"metavar": "COLUMN"}
    add("--text", dest="text_column", help="the text (the column text)", **column)
    if pairs:
        add(
            "--text-pair",
            dest="pair_column",
            help="the second text; by default the column text_pair, if there is one",
            **column,
        )
    if labels:
        add(
            "--negative",
            dest="negative_columns",
            action="append",
            help="of sentence embeddings, a text that does not belong to the first; "
            "repeatable",
            **column,
        )
        add("--label", dest="label_column", help="label (the column label)", **column)
        add(
            "--label-separator",
            metavar="TEXT",
            help="what separates the labels of a row that may have several, such as "
            "'|'; in JSON lines and Parquet these are lists",
        )
    if ids:
        add("--id", dest="id_column", help="a column to copy to the output", **column)
    add(
        "--format",
        metavar="NAME",
        help="csv, tsv, jsonl, parquet, txt or conll, if the suffix does not say it",
    )
    add_switch(parser, "header", True, "the first row of .csv or .tsv has names")
    add(
        "--delimiter",
        metavar="TEXT",
        help="between the fields of .csv or .tsv, if not a comma or a tab",
    )
    add_encoding_argument(parser)


def add_text_arguments(
    parser: argparse.ArgumentParser,
    lines: str,
    *,
    output: str = "a .jsonl, .csv or .tsv file to write",
    pairs: bool = True,
) -> None:
    """Adds the arguments of a command that answers texts with lines of JSON.

    Args:
        parser: of the command.
        lines: what the lines of a text file are.
        output: what the output is.
        pairs: whether it takes second texts.
    """
    add = parser.add_argument
    add("text", nargs="*", metavar="TEXT", help="texts to answer")
    add(
        "--input",
        metavar="FILE",
        help=f"a table instead, or a .txt file with {lines}; - is standard input",
    )
    add("--output", metavar="FILE", help=output)
    add("--overwrite", action="store_true", help="replace the output")
    add("--batch-size", type=positive, default=32, help="rows per batch")
    add_table_arguments(parser, labels=False, pairs=pairs)


# === Rows ===


def table_of(args: argparse.Namespace, path: str) -> Table:
    """Returns a file as the arguments say it is written.

    Raises:
        InputError: an output of the command would replace it.
    """
    check_outputs(args, path)
    return Table(path, args.format, args.header, args.delimiter, args.encoding)


def reading_of(args: argparse.Namespace) -> dict[str, Any]:
    """Returns how files are read, as far as the arguments say it, for `Task.read`.

    Args:
        args: of a parser with `add_table_arguments`.
    """
    given = vars(args)
    values = {name: given.get(flag) for name, flag in _READING.items()}
    values |= {} if args.header else {"header": False}
    values |= {} if args.encoding == "utf-8" else {"encoding": args.encoding}
    return {name: value for name, value in values.items() if value is not None}


_READING = {
    "text": "text_column",
    "text_pair": "pair_column",
    "label": "label_column",
    "negatives": "negative_columns",
    "id": "id_column",
    **{name: name for name in ("label_separator", "format", "delimiter")},
}


def check_outputs(args: argparse.Namespace, path: str) -> None:
    """Raises an error if an output of the command would replace its input.

    Raises:
        InputError: naming the input.
    """
    given = vars(args)
    outputs = (given.get(name) for name in ("output", "predictions", "report"))
    if any(name and Path(name).resolve() == Path(path).resolve() for name in outputs):
        raise InputError(f"Expected another output than the input {path}.")


def examples_of(
    args: argparse.Namespace,
    table: Table,
    *,
    pairs: bool = True,
    alternatives: bool = False,
) -> Iterator[Example]:
    """Yields an example for each row of a table, also for blank ones.

    Args:
        args: of a parser with `add_table_arguments`.
        table: the file.
        pairs: whether second texts are read.
        alternatives: see `iter_examples`.
    """
    given = vars(args)
    columns = {"text": args.text_column or "text", "id": given.get("id_column")}
    named = given.get("pair_column")
    columns |= {"text_pair": named or "text_pair"} if pairs else {}
    optional = () if named else ("text_pair",)
    return iter_examples(table, columns, optional, alternatives=alternatives)


def texts_of(args: argparse.Namespace, **options: bool) -> Iterator[Example]:
    """Yields the texts of the command line, or the rows of `--input`.

    Args:
        args: of a parser with `add_text_arguments`.
        **options: see `examples_of`.

    Raises:
        InputError: there are both or neither, or not as many second texts.
    """
    if bool(args.text) == bool(args.input):
        raise InputError("Expected either texts or --input FILE.")
    pairs = vars(args).get("pair") or [None] * len(args.text)
    if len(pairs) != len(args.text):
        raise InputError(
            f"Expected as many --pair as texts. Received: {len(args.text)} texts and "
            f"{len(pairs)} second texts."
        )
    if args.input:
        return examples_of(args, table_of(args, args.input), **options)
    return map(Example, map(_checked, args.text), map(_checked, pairs))


def _checked(text: str | None) -> str | None:
    if text is not None and not is_text(text):
        raise InputError(
            "Expected texts in UTF-8. Received: other bytes, "
            f"{text.encode('utf-8', 'surrogateescape')[:40]!r}. Put them in a file and "
            "pass its --encoding."
        )
    return text


# === Answers ===


class Answerer(Protocol):
    """Answers texts, all of them or none with a second text."""

    def __call__(self, examples: list[Example]) -> Iterable[Mapping[str, Any]]:
        """Returns an answer per example, in order."""
        ...

    def names(self) -> Iterable[str]:
        """Returns the names in an answer."""
        ...


def answers(
    examples: Iterator[Example],
    load: Callable[[], Answerer],
    batch_size: int,
    *,
    progress: bool = False,
    done: int = 0,
) -> Iterator[dict[str, Any]]:
    """Yields an answer for every example; that of a blank row is null.

    Args:
        examples: read a few batches at a time.
        load: returns what answers them; called after the first have been read.
        batch_size: rows per batch.
        progress: show a progress bar.
        done: examples at the front that are left out, for they have been answered.

    Raises:
        InputError: there are no examples.
    """
    examples = islice(examples, done, None)
    windows = iter(lambda: list(islice(examples, WINDOW * batch_size)), [])
    first = next(windows, None)
    if first is None and done:
        return
    if first is None:
        raise InputError("Expected at least one row in --input. Received: none.")
    answer, blank = load(), 0
    with tqdm(unit=" rows", initial=done, disable=not progress) as bar:
        for window in chain([first], windows):
            yield from _answered(window, answer)
            blank += sum(e.text is None for e in window)
            bar.update(len(window))
    if blank:
        log.warning("answered %d blank row%s with null", blank, "s" * (blank > 1))


def _answered(window: list[Example], answer: Answerer) -> Iterator[dict[str, Any]]:
    given = [e for e in window if e.text is not None]
    found = iter(answer(given) if given else ())
    for example in window:
        blank = example.text is None
        row = dict.fromkeys(answer.names()) if blank else next(found)
        yield {**example.place, **row}
