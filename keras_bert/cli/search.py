"""`keras-bert search`: an index of texts, and the texts nearest to queries."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_bert.cli.embeddings import (
    Answerer,
    add_embedding_arguments,
    encoding_options,
    load_embedder,
)
from keras_bert.cli.parsing import positive
from keras_bert.cli.tables import add_table_arguments, answers, examples_of, table_of
from keras_bert.errors import InputError

# How an index was made, which queries follow; prompts are those of the texts.
HOW = (
    *("vocab", "max_length", "dtype", "pooling", "normalize", "truncate_dim"),
    *("prompt", "prompt_name"),
)
SAME = 1e-3  # how far a vector may be from the stored one, relative to its length


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.description = (
        "With --input, makes an index of the texts of a file. With --query, prints the "
        "nearest of them, found by comparing all."
    )
    add = parser.add_argument
    add("--index", required=True, metavar="DIR", help="the index")
    add("--query", nargs="+", default=[], metavar="TEXT", help="what to look for")
    add("--input", metavar="FILE", help="a table, or a .txt file with a text per line")
    add("--top", type=positive, default=10, help="texts to print for each query")
    add("--overwrite", action="store_true", help="replace the index")
    add("--batch-size", type=positive, default=32, help="rows per batch")
    add_embedding_arguments(parser, required=False)
    add_table_arguments(parser, labels=False, pairs=False)


def run(args: argparse.Namespace) -> None:
    """Makes the index, answers the queries, or both."""
    if not (args.input or args.query):
        raise InputError("Expected --input FILE, --query TEXT, or both.")
    if args.input:
        _make(args)
    if args.query:
        _answer(args)


# === The index ===


def _make(args: argparse.Namespace) -> None:
    from keras_bert.tasks import VectorIndex
    from keras_bert.tasks.vector_index import refuse_to_replace

    if not args.model:
        raise InputError("Expected --model PATH with --input. Received: none.")
    refuse_to_replace(Path(args.index), args.overwrite)
    kept: list[dict[str, Any]] = []
    texts = _noting(examples_of(args, table_of(args, args.input), pairs=False), kept)
    answerer = Answerer(args, document=True)
    rows = answers(texts, lambda: answerer, args.batch_size, progress=True)
    vectors = [row["embedding"] for row in rows]
    found = [n for n, vector in enumerate(vectors) if vector is not None]
    index = VectorIndex(
        np.array([vectors[n] for n in found]).reshape(len(found), answerer.width),
        [kept[n] for n in found],
        answerer.embedder.model.recipe.similarity,
        {"model": _lasting(args.model), "made": {n: getattr(args, n) for n in HOW}},
    )
    index.save(args.index, overwrite=args.overwrite)
    print(f"Wrote {args.index}, {len(found):,} texts", file=sys.stderr)


def _noting(examples: Iterator[Any], kept: list[dict[str, Any]]) -> Iterator[Any]:
    """Yields examples and notes what the index tells of each."""
    for example in examples:
        kept.append({**example.place, "text": example.text})
        yield example


def _lasting(path: str) -> str:
    return path if "://" in path else str(Path(path).absolute())


# === Queries ===


def _answer(args: argparse.Namespace) -> None:
    from keras_bert.tasks import VectorIndex

    index = VectorIndex.load(args.index)
    made, model = index.facts.get("made"), index.facts.get("model")
    known = isinstance(made, dict) and made.keys() >= {*HOW}
    if not known or not isinstance(model, str):
        raise InputError(
            f"Expected an index made by keras-bert search in {args.index}. Received: "
            "another one. Search it by keras_bert.tasks.VectorIndex."
        )
    changes = {n: getattr(args, n) for n in ("model", "vocab", "dtype")}
    made = {**made, "model": model, "batch_size": args.batch_size}
    made |= {name: value for name, value in changes.items() if value is not None}
    of_texts = argparse.Namespace(**made)
    embedder = load_embedder(of_texts)
    options = encoding_options(of_texts)
    _check_same(
        embedder.encode_document(index.texts[0]["text"], **options), index, made
    )
    options |= {"prompt": args.prompt, "prompt_name": args.prompt_name}
    given = {name: value for name, value in options.items() if value is not None}
    queries = embedder.encode_query(args.query, **given)
    for query, hits in zip(args.query, index.search(queries, args.top), strict=True):
        for rank, hit in enumerate(hits, 1):
            line = {"query": query, "rank": rank, **hit}
            print(json.dumps(line, ensure_ascii=False))


def _check_same(vector: np.ndarray, index: Any, made: dict[str, Any]) -> None:
    """Refuses a model that makes other vectors than those of the index."""
    stored = np.asarray(index.vectors[0])
    same = vector.shape == stored.shape
    far = np.linalg.norm(vector - stored) if same else np.inf
    if not far <= SAME * max(np.linalg.norm(stored), 1e-12):
        raise InputError(
            "Expected the model that the index was made with. Received: "
            f"{made['model']}, which makes another vector of its first text. Name that "
            "model by --model, or make the index again."
        )
