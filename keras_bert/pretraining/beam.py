"""The default policy on Apache Beam, for corpora that exceed one machine.

The functions and the instances are those of `pipeline.py`: random draws are keyed by
seed, pass and document, and blocks depend on the input alone.
"""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from keras_bert.errors import ExistingOutputError
from keras_bert.extras import require
from keras_bert.output_locks import writer_lock
from keras_bert.pretraining.names import split_shards
from keras_bert.pretraining.pipeline import check_found, tokenize_block
from keras_bert.pretraining.record_maker import RecordMaker
from keras_bert.pretraining.settings import DataSettings
from keras_bert.pretraining.sources import Source
from keras_bert.tokenization import BertTokenizer

beam = require("apache_beam")
FileSystems = require("apache_beam.io.filesystems").FileSystems
Metrics = require("apache_beam.metrics").Metrics
PipelineOptions = require("apache_beam.options.pipeline_options").PipelineOptions

_COUNTERS = "keras_bert"


def create_on_beam(
    source: Source,
    output: str | Path,
    tokenizer: BertTokenizer,
    settings: DataSettings,
    options: Sequence[str] = (),
    overwrite: bool = False,
) -> Counter[str]:
    """Makes records in a Beam pipeline.

    Args:
        source: the text; workers must be able to read its files.
        output: `name@4` stands for `name-00000-of-00004` and so on, a plain name for
            one such file, on any file system that Beam can write to.
        tokenizer: the tokenizer.
        settings: how records are made.
        options: flags of the pipeline and its runner, `--runner=FlinkRunner` and so on.
        overwrite: replace existing files.

    Returns:
        Counts; see `create_pretraining_data`.

    Raises:
        ExistingOutputError: an output exists and `overwrite` is False.
        LockedOutputError: another process makes these shards, on a local file system.
        InputError: there is no text.

    Example:
        >>> create_on_beam(
        ...     TextFiles("corpus/*.txt"), "records@4", tokenizer, DataSettings(),
        ...     ["--direct_running_mode=multi_processing", "--direct_num_workers=2"],
        ... )  # doctest: +SKIP
    """
    stem, shards, suffix = split_shards(str(output))
    with _locked(f"{stem}-00000-of-{shards or 1:05d}{suffix}"):
        _refuse_existing(f"{stem}-*-of-*{suffix}", overwrite)
        pipeline = beam.Pipeline(options=PipelineOptions(list(options)))
        passes = range(settings.dupe_factor)
        # Beam would convert named tuples to rows of a table; Any prevents it.
        _ = (
            pipeline
            | "groups" >> beam.Create(source.groups()).with_output_types(Any)
            | "spread groups" >> beam.Reshuffle()
            | "read" >> beam.FlatMap(source.blocks).with_output_types(Any)
            | "spread blocks" >> beam.Reshuffle()
            | "tokenize" >> beam.ParDo(_Tokenize(source, tokenizer, settings))
            | "passes"
            >> beam.FlatMap(
                lambda block: [(block, number) for number in passes]
            ).with_output_types(Any)
            | "spread passes" >> beam.Reshuffle()
            | "make" >> beam.ParDo(_MakeRecords(tokenizer, settings))
            | "write"
            >> beam.io.WriteToTFRecord(
                stem, file_name_suffix=suffix, num_shards=shards or 1
            )
        )
        result = pipeline.run()
        result.wait_until_finish()
        counts = _counted(result)
        check_found(counts, settings)
    return counts


class _Counting(beam.DoFn):
    """Adds counts to the pipeline's counters."""

    def count(self, counts: Counter[str]) -> None:
        for name, number in counts.items():
            if " at " not in name:  # a place in a file, not a count
                Metrics.counter(_COUNTERS, name).inc(number)


class _Tokenize(_Counting):
    def __init__(
        self, source: Source, tokenizer: BertTokenizer, settings: DataSettings
    ) -> None:
        self._source, self._made_of = source, (tokenizer, settings)

    def process(self, raw: Any) -> Iterator[Any]:
        block, counts = tokenize_block(self._source, raw, *self._made_of)
        self.count(counts)
        yield block


class _MakeRecords(_Counting):
    def __init__(self, tokenizer: BertTokenizer, settings: DataSettings) -> None:
        self._made_of = tokenizer, settings

    def setup(self) -> None:
        self._maker = RecordMaker(*self._made_of)

    def process(self, item: Any) -> Iterator[bytes]:
        block, number_of_pass = item
        for batch in self._maker.batches(block, number_of_pass):
            self.count(batch.counts)
            yield from batch.records


def _locked(shard: str) -> contextlib.AbstractContextManager:
    """Takes the lock of a run without Beam that makes this shard first."""
    if FileSystems.get_scheme(shard) is not None:  # on another file system
        return contextlib.nullcontext()
    first = Path(shard)
    first.parent.mkdir(parents=True, exist_ok=True)
    return writer_lock(first, first.with_name(f".{first.name}.work.lock"))


def _refuse_existing(pattern: str, overwrite: bool) -> None:
    [match] = FileSystems.match([pattern])
    if match.metadata_list and not overwrite:
        raise ExistingOutputError(
            f"{match.metadata_list[0].path} exists already; choose another name or "
            "pass overwrite=True (--overwrite)."
        )


def _counted(result: Any) -> Counter[str]:
    found: Iterable[Any] = result.metrics().query()["counters"]
    counts: Counter[str] = Counter()
    for each in found:
        if each.key.metric.namespace == _COUNTERS:
            counts[each.key.metric.name] += each.result
    return counts
