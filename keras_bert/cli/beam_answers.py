"""Answers to rows on Apache Beam: many processes or machines, one answer per row.

Rows are keyed by their number, and `RunInference` loads the model once in each worker.
"""

import argparse
import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from keras_bert.cli.tables import Answerer, answers
from keras_bert.errors import InputError
from keras_bert.extras import require
from keras_bert.tasks import Example

Load = Callable[[], Answerer]


def add_beam_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `--runner` and `--beam-options`."""
    add = parser.add_argument_group("several processes or machines").add_argument
    add(
        "--runner",
        metavar="NAME",
        help="answer on Apache Beam: DirectRunner, FlinkRunner, SparkRunner, …",
    )
    add(
        "--beam-options",
        metavar="TEXT",
        help="flags of Beam and its runner, quoted, such as '--direct_num_workers=4 "
        "--direct_running_mode=multi_processing'",
    )


def refuse_runner(args: argparse.Namespace, what: str) -> None:
    """Raises for `--runner` where one process writes the output.

    Args:
        args: of a parser with `add_beam_arguments`.
        what: is written.

    Raises:
        InputError: naming the runner.
    """
    if args.runner or args.beam_options:
        raise InputError(
            f"Expected no --runner with {what}, which one process writes. Received: "
            f"--runner {args.runner}. Leave it out."
        )


def rows_of(
    args: argparse.Namespace,
    examples: Iterator[Example],
    load: Load,
    *,
    done: int = 0,
) -> Iterator[dict[str, Any]]:
    """Yields answers, by Apache Beam if `--runner` says so; see `tables.answers`.

    Args:
        args: of a parser with `add_beam_arguments` and `add_text_arguments`.
        examples: the rows.
        load: returns what answers them.
        done: examples at the front that are left out.
    """
    if not vars(args).get("runner"):
        progress = bool(args.output)
        return answers(examples, load, args.batch_size, progress=progress, done=done)
    options = [f"--runner={args.runner}", *shlex.split(args.beam_options or "")]
    folder = Path(args.output or ".").parent
    rest = islice(examples, done, None)
    return answers_on_beam(rest, load, args.batch_size, options, folder)


def answers_on_beam(
    examples: Iterable[Example],
    load: Load,
    batch_size: int,
    options: Sequence[str],
    folder: str | Path = ".",
) -> Iterator[dict[str, Any]]:
    """Yields an answer for every example, in order; that of a blank row is null.

    Args:
        examples: the rows.
        load: returns what answers them, in each worker.
        batch_size: rows that are answered together.
        options: flags of the pipeline.
        folder: where rows and answers are kept meanwhile; all workers must see it.

    Raises:
        InputError: there are no examples.
        MissingExtraError: Apache Beam is not installed.
    """
    with TemporaryDirectory(prefix=".beam-", dir=folder) as place:
        rows, found = Path(place, "rows.jsonl"), Path(place, "answers")
        _write_rows(rows, examples)
        _run(rows, found, load, batch_size, options)
        yield from _in_order(rows, found)


def _write_rows(path: Path, examples: Iterable[Example]) -> None:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for count, e in enumerate(examples, 1):
            row = {"text": e.text, "text_pair": e.text_pair, "row": e.row, "id": e.id}
            file.write(json.dumps({"number": count - 1, **row}) + "\n")
    if not count:
        raise InputError("Expected at least one row in --input. Received: none.")


def _run(
    rows: Path, found: Path, load: Load, batch_size: int, options: Sequence[str]
) -> None:
    beam = require("apache_beam")
    inference = require("apache_beam.ml.inference.base")
    pipelines = require("apache_beam.options.pipeline_options")
    handler = inference.KeyedModelHandler(_handler(inference, load, batch_size))
    with beam.Pipeline(options=pipelines.PipelineOptions(list(options))) as pipeline:
        _ = (
            pipeline
            | "read" >> beam.io.ReadFromText(str(rows))
            | "parse" >> beam.Map(_parsed)
            | "not blank" >> beam.Filter(lambda row: row[1].text is not None)
            | "spread" >> beam.Reshuffle()
            | "answer" >> inference.RunInference(handler)
            | "number" >> beam.Map(lambda answer: f"{answer[0]}\t{answer[1]}")
            | "write" >> beam.io.WriteToText(str(found))
        )


def _parsed(line: str) -> tuple[int, Example]:
    row = json.loads(line)
    return row.pop("number"), Example(**row)


def _handler(inference: Any, load: Load, size: int) -> Any:
    """Returns what Beam loads in a worker, and gives batches of examples to."""

    class Handler(inference.ModelHandler):
        def load_model(self) -> Answerer:
            return load()

        def run_inference(
            self, batch: Sequence[Example], model: Answerer, inference_args: Any = None
        ) -> list[str]:
            return [json.dumps(row, default=_plain) for row in model(list(batch))]

        def batch_elements_kwargs(self) -> dict[str, int]:
            return {"min_batch_size": size, "max_batch_size": size}

    return Handler()


def _plain(value: Any) -> Any:
    return (
        value.decode("utf-8", "replace") if isinstance(value, bytes) else value.tolist()
    )


# === Answers in order ===


def _in_order(rows: Path, found: Path) -> Iterator[dict[str, Any]]:
    """Yields the places and answers of all rows; where an answer lies is in memory."""
    shards = sorted(found.parent.glob(f"{found.name}-*"))
    files = [shard.open("rb") for shard in shards]
    try:
        places = _places(files)
        blank = dict.fromkeys(_answer(files, next(iter(places.values()), None)))
        for line in rows.open(encoding="utf-8"):
            number, example = _parsed(line)
            given = example.text is not None
            answer = _answer(files, places[number]) if given else blank
            yield {**example.place, **answer}
    finally:
        for file in files:
            file.close()


def _places(files: Sequence[Any]) -> Mapping[int, tuple[int, int]]:
    """Returns the file and the offset of the answer of each row."""
    places = {}
    for shard, file in enumerate(files):
        offset = 0
        for line in file:
            places[int(line.partition(b"\t")[0])] = (shard, offset)
            offset += len(line)
    return places


def _answer(files: Sequence[Any], place: tuple[int, int] | None) -> dict[str, Any]:
    if place is None:  # all rows are blank
        return {}
    shard, offset = place
    files[shard].seek(offset)
    return json.loads(files[shard].readline().partition(b"\t")[2])
