"""`keras-bert bench`: a model on every runtime installed, in one table."""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from keras_bert.cli.models import add_model_arguments, load_model, load_tokenizer
from keras_bert.errors import ConfigError, InputError, MissingFileError

# Title, width and form of every column of figures.
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
        "--text", metavar="FILE", help="texts to compute, one a line; random ids if not"
    )
    parser.add_argument("--rows", type=int, default=256, help="rows to compute")
    parser.add_argument("--batch-size", type=int, default=32, help="rows together")
    parser.add_argument(
        "--lengths",
        type=int,
        default=40,
        metavar="MEDIAN",
        help="middle of the lengths of random rows, in tokens",
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of a runtime")
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        help='runtimes to measure, such as "OpenVINO" or "OpenVINO bfloat16"',
    )
    parser.add_argument("--output", metavar="FILE", help="a .json file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the output")


def run(args: argparse.Namespace) -> None:
    """Measures, and prints a row of the table as each is known."""
    from keras_bert.serving.runtimes.benchmark import VARIANTS, benchmark

    chosen = _chosen(VARIANTS, args.only)
    model = load_model(args)
    if model.choices:
        raise ConfigError("Expected a model of rows. Received: one of choices.")
    work = _work(model, args)
    measured = [variant for variant in chosen if not variant.missing]
    results = []
    print(_about(model, work, args))
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

    limit = model.config.max_position_embeddings
    longest = min(args.max_length or 128, limit)
    if args.text is None:
        rows = random_rows(args.rows, model.config.vocab_size, args.lengths, longest)
    else:
        rows = _encoded(args, longest)
    return Work.of_rows(rows, args.batch_size)


def _encoded(args: argparse.Namespace, longest: int) -> list[list[int]]:
    if not Path(args.text).is_file():
        raise MissingFileError(f"Expected a file at {args.text}; none is there.")
    lines = Path(args.text).read_text(encoding="utf-8").split("\n")
    texts = [line for line in lines if line.strip()][: args.rows]
    if not texts:
        raise InputError(f"Expected texts in {args.text}. Received: empty lines.")
    batch = load_tokenizer(args)(
        texts, max_length=longest, padding=True, truncation=True
    )
    pairs = zip(batch["input_ids"], batch["attention_mask"], strict=True)
    return [ids[mask > 0].tolist() for ids, mask in pairs]


# === Printing ===


def _about(model: Any, work: Any, args: argparse.Namespace) -> str:
    count = sum(len(batch["input_ids"]) for batch in work.batches)
    tokens = sum(int(batch["attention_mask"].sum()) for batch in work.batches)
    plural = "" if args.threads == 1 else "s"
    return (
        f"{type(model).__name__}, {model.count_params() / 1e6:.1f} million weights; "
        f"{args.threads} thread{plural}.\n"
        f"{count} rows of {tokens / count:.0f} tokens on average, {work.longest} at "
        f"most, in batches of {args.batch_size}; ms are those of one row at a time.\n"
        "The difference is the largest to the Keras model in float32; above 1, a "
        "share.\n"
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
    told = {name: getattr(args, name) for name in settings}
    with new_file(args.output, args.overwrite) as path:
        text = json.dumps({**told, "results": results}, indent=2)
        path.write_text(text + "\n", encoding="utf-8")
    print(f"Wrote {args.output}")
