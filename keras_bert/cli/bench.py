"""`keras-bert bench`: speed of a model on all installed runtimes, in one table."""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from keras_bert.cli.models import (
    add_encoding_argument,
    add_model_arguments,
    load_model,
    load_tokenizer,
    read_texts,
)
from keras_bert.cli.parsing import positive
from keras_bert.errors import ConfigError, InputError

# Title, width and format of every column of numbers.
COLUMNS = (
    ("p50 ms", 8, lambda row: f"{row['p50_ms']:.2f}"),
    ("p95 ms", 8, lambda row: f"{row['p95_ms']:.2f}"),
    ("p99 ms", 8, lambda row: f"{row['p99_ms']:.2f}"),
    ("tokens/s", 10, lambda row: f"{row['tokens_per_s']:,.0f}"),
    ("per CPU s", 10, lambda row: f"{row['tokens_per_cpu_s']:,.0f}"),
    ("memory", 10, lambda row: f"{row['memory'] / 1e6:,.0f} MB"),
    ("disk", 9, lambda row: f"{row['size'] / 1e6:,.1f} MB"),
    ("difference", 11, lambda row: f"{row['difference']:.1e}"),
)
NAME_WIDTH = 26


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_model_arguments(parser)
    parser.add_argument(
        "--text",
        metavar="FILE",
        help="texts to compute, one per line; by default random ids",
    )
    add_encoding_argument(parser)
    parser.add_argument("--rows", type=positive, default=256, help="number of rows")
    parser.add_argument(
        "--batch-size", type=positive, default=32, help="rows per batch"
    )
    parser.add_argument(
        "--lengths",
        type=positive,
        default=40,
        metavar="MEDIAN",
        help="median length of random rows, in tokens",
    )
    parser.add_argument(
        "--threads", type=positive, default=1, help="threads per runtime"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        help='runtimes to measure, such as "OpenVINO" or "OpenVINO bfloat16"',
    )
    parser.add_argument(
        "--output", metavar="FILE", help="write the results to a .json file"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the output")


def run(args: argparse.Namespace) -> None:
    """Measures each runtime, and prints its row of the table."""
    from keras_bert.serving.runtimes.benchmark import VARIANTS, benchmark

    chosen = _chosen(VARIANTS, args.only)
    model = load_model(args)
    if model.choices:
        raise ConfigError(
            "Expected a model whose input is rows. Received: a multiple-choice model."
        )
    work = _work(model, args)
    measured = [variant for variant in chosen if not variant.missing]
    results = []
    print(_header(model, work, args))
    print(_heading())
    with tempfile.TemporaryDirectory() as folder:
        for row in benchmark(model, work, Path(folder), measured, args.threads):
            tqdm.write(_line(row))  # above the progress bar
            results.append(row)
    for variant in chosen:
        if variant.missing:
            extras = ",".join(variant.missing)
            print(
                f"{variant.name:<{NAME_WIDTH}} pip install 'bert-for-keras[{extras}]'"
            )
    if args.output:
        _write(results, args)


def _chosen(variants: Sequence[Any], only: list[str] | None) -> list[Any]:
    chosen = [
        variant
        for variant in variants
        if not only or any(variant.name.startswith(name) for name in only)
    ]
    if not chosen:
        known = ", ".join(variant.name for variant in variants)
        raise InputError(f"Expected --only with one of: {known}. Received: {only}.")
    return chosen


def _work(model: Any, args: argparse.Namespace) -> Any:
    from keras_bert.serving.runtimes.benchmark import Work, random_rows

    limit = model.config.max_length
    longest = min(args.max_length or 128, limit)
    if args.text is None:
        rows = random_rows(args.rows, model.config.vocab_size, args.lengths, longest)
    else:
        rows = _encoded(args, model.config, longest)
    return Work.of_rows(rows, args.batch_size)


def _encoded(args: argparse.Namespace, config: Any, longest: int) -> list[list[int]]:
    texts = read_texts(args.text, args.rows, args.encoding)
    batch = load_tokenizer(args, config)(
        texts, max_length=longest, padding=True, truncation=True
    )
    pairs = zip(batch["input_ids"], batch["attention_mask"], strict=True)
    return [ids[mask > 0].tolist() for ids, mask in pairs]


# === Printing ===


def _header(model: Any, work: Any, args: argparse.Namespace) -> str:
    count = sum(len(batch["input_ids"]) for batch in work.batches)
    tokens = sum(int(batch["attention_mask"].sum()) for batch in work.batches)
    plural = "" if args.threads == 1 else "s"
    return (
        f"{type(model).__name__}, {model.count_params() / 1e6:.1f} million weights; "
        f"{args.threads} thread{plural}.\n"
        f"{count} rows of {tokens / count:.0f} tokens on average, {work.longest} at "
        f"most, in batches of {args.batch_size};\nlatencies (ms) are for one row at a "
        "time. Differences are the largest from\nthe Keras model in float32, relative "
        "for values above 1.\n"
    )


def _heading() -> str:
    titles = "".join(f"{title:>{width}}" for title, width, _ in COLUMNS)
    return f"{'':<{NAME_WIDTH}}{titles}"


def _line(row: dict) -> str:
    name = f"{row['runtime']} {row['precision']}"
    if "error" in row:
        return f"{name:<{NAME_WIDTH}} {row['error']}"
    figures = "".join(f"{form(row):>{width}}" for _, width, form in COLUMNS)
    return f"{name:<{NAME_WIDTH}}{figures}"


def _write(results: list[dict], args: argparse.Namespace) -> None:
    from keras_bert.atomic_files import new_file

    settings = ("model", "text", "rows", "batch_size", "lengths", "threads")
    used = {name: getattr(args, name) for name in settings}
    with new_file(args.output, args.overwrite) as path:
        text = json.dumps({**used, "results": results}, indent=2)
        path.write_text(text + "\n", encoding="utf-8")
    print(f"Wrote {args.output}")
