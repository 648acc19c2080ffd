"""Corpus to shards of records: in processes, in bounded memory, resumable.

The text is tokenized once, block by block, into a store next to the output; then one
shard after another is made from it. Blocks and shards are complete or absent, so a run
that was killed resumes where it stopped.
"""

import hashlib
import json
import math
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from keras_bert.atomic_files import new_file, refuse_existing
from keras_bert.errors import InputError
from keras_bert.output_locks import writer_lock
from keras_bert.pretraining.corpus import (
    BlockStore,
    TokenizedBlock,
    tokenize_documents,
)
from keras_bert.pretraining.hashed_random import mix
from keras_bert.pretraining.processes import run_tasks
from keras_bert.pretraining.record_maker import RecordMaker
from keras_bert.pretraining.settings import DataSettings
from keras_bert.pretraining.sources import RawBlock, Source
from keras_bert.pretraining.tfrecords import RecordWriter
from keras_bert.pretraining.words import dictionary_key, word_finder
from keras_bert.tokenization import BertTokenizer

_LAYOUT = 2  # of the work folder and the random draws; a change discards old work
_UNITS_PER_SHARD = 2  # at least, so that shards have similar lengths


class RecordPipeline:
    """Makes records, or resumes making them.

    Args:
        source: the text.
        outputs: the shards.
        tokenizer: the tokenizer.
        settings: how records are made.
        workers: the number of processes.
        overwrite: replace existing shards.
        progress: show progress bars.
    """

    def __init__(
        self,
        source: Source,
        outputs: Sequence[Path],
        tokenizer: BertTokenizer,
        settings: DataSettings,
        *,
        workers: int = 1,
        overwrite: bool = False,
        progress: bool = True,
    ) -> None:
        self.source = source
        self.outputs = list(outputs)
        self.settings = settings
        self.workers = workers
        self.progress = progress
        self.tokenizer = tokenizer
        self.overwrite = overwrite
        first = self.outputs[0]
        self.work = first.with_name(f".{first.name}.work")

    def __call__(self) -> Counter[str]:
        """Makes what is missing, and returns counts.

        Raises:
            InputError: there is no text.
            ExistingOutputError: a shard of another run exists.
            LockedOutputError: another process makes these shards.
        """
        first, work = self.outputs[0], self.work
        first.parent.mkdir(parents=True, exist_ok=True)
        # Workers lock the shards they write, so the run locks its work.
        with writer_lock(first, work.with_name(f"{work.name}.lock")):
            self._begin()
            return self._run()

    def _run(self) -> Counter[str]:
        try:
            found = self._tokenized()
            check_found(found, self.settings)
        except InputError:  # resuming could not fix it
            shutil.rmtree(self.work)
            raise
        made = self._make_shards(found["blocks"], found["bytes"])
        self._clear()
        return found + made

    def _begin(self) -> None:
        plan, found = self._plan(), _read_json(self.work / "plan.json")
        if found is None:  # what a run left that was killed at its end
            shutil.rmtree(self.work, ignore_errors=True)
        if found != plan:
            refuse_existing(self.outputs, self.overwrite)
            shutil.rmtree(self.work, ignore_errors=True)
            self.work.mkdir()
            _write_json(self.work / "plan.json", plan)
        self.store = BlockStore(self.work / "blocks", len(self.tokenizer))
        (self.work / "shards").mkdir(exist_ok=True)

    def _plan(self) -> dict[str, Any]:
        """Everything the records depend on, as read back from JSON."""
        rules = json.dumps([self.tokenizer.tokens, self.tokenizer.settings()])
        plan = {
            "layout": _LAYOUT,
            "settings": asdict(self.settings),
            "user_dict": dictionary_key(self.settings.user_dict),
            "tokenizer": hashlib.sha256(rules.encode()).hexdigest(),
            "source": self.source.fingerprint(),
            "outputs": [path.name for path in self.outputs],
        }
        return json.loads(json.dumps(plan))

    def _tokenized(self) -> Counter[str]:
        file = self.work / "tokenized.json"
        if not file.exists():
            _write_json(file, self._tokenize())
        return Counter(_read_json(file))

    def _clear(self) -> None:
        """Removes the work folder in an order that is safe to interrupt."""
        shutil.rmtree(self.store.folder)
        (self.work / "plan.json").unlink()
        shutil.rmtree(self.work)

    # === First step: text to blocks of tokens ===

    def _tokenize(self) -> Counter[str]:
        task = _Tokenize(self.source, self.tokenizer, self.store, self.settings)
        groups = (self.source.blocks(group) for group in self.source.groups())
        blocks = enumerate(chain.from_iterable(groups))
        counts: Counter[str] = Counter()
        with self._bar("tokens ", self.source.size) as bar:
            for found in run_tasks(task, blocks, self.workers):
                counts += found
                bar.update(found["bytes"])
        return counts

    # === Second step: blocks of tokens to shards of records ===

    def _make_shards(self, blocks: int, size: int) -> Counter[str]:
        maker = RecordMaker(self.tokenizer, self.settings)
        shards = Shards(self.outputs, self.work / "shards", blocks)
        missing = list(shards.missing())
        step = size / shards.units
        total = step * self.settings.dupe_factor * sum(map(shards.count, missing))
        records = 0
        with self._bar("records", total) as bar:
            task = _MakeShard(maker, self.store, shards)
            for made in run_tasks(task, missing, self.workers):
                records += made
                bar.update(step)
                bar.set_postfix_str(f"{records / _elapsed(bar):,.0f} instances/s")
        return shards.counts()

    def _bar(self, name: str, size: float | None) -> tqdm:
        return tqdm(
            total=size,
            desc=name,
            unit="B",
            unit_scale=True,
            disable=not self.progress,
        )


def tokenize_block(
    source: Source, raw: RawBlock, tokenizer: BertTokenizer, settings: DataSettings
) -> tuple[TokenizedBlock, Counter[str]]:
    """Decodes and tokenizes a block of text, and counts what is in it."""
    words = word_finder(settings.words, settings.user_dict)
    documents, irregularities = source.documents(raw)
    block, counts = tokenize_documents(documents, tokenizer, words)
    return block, irregularities + counts + Counter(blocks=1, bytes=raw.size)


class _Tokenize(NamedTuple):
    """Task: tokenizes a numbered block of text into the store."""

    source: Source
    tokenizer: BertTokenizer
    store: BlockStore
    settings: DataSettings

    def __call__(self, item: tuple[int, RawBlock]) -> Iterator[Counter[str]]:
        number, raw = item
        if number not in self.store:
            made = tokenize_block(self.source, raw, self.tokenizer, self.settings)
            self.store.save(number, *made)
        yield self.store.counts(number)


class Shards(NamedTuple):
    """Which blocks each shard is made of, and which shards are done.

    Every shard takes blocks from the whole corpus, or parts of blocks if there are few.

    Attributes:
        outputs: the files of the shards.
        done: a folder with a file of counts for each shard that is done.
        blocks: the number of blocks.
    """

    outputs: list[Path]
    done: Path
    blocks: int

    @property
    def parts(self) -> int:
        """The number of parts that each block is divided into."""
        return math.ceil(_UNITS_PER_SHARD * len(self.outputs) / self.blocks)

    @property
    def units(self) -> int:
        """The number of parts of all blocks."""
        return self.blocks * self.parts

    def of(self, shard: int) -> list[tuple[int, int]]:
        """Lists the blocks of a shard, each with the part to take."""
        units = range(shard, self.units, len(self.outputs))
        return [divmod(unit, self.parts) for unit in units]

    def count(self, shard: int) -> int:
        """Counts the parts of blocks that a shard is made of."""
        return len(self.of(shard))

    def missing(self) -> Iterator[int]:
        """Yields the shards that are not done."""
        for shard in range(len(self.outputs)):
            if not self._file(shard).exists():
                yield shard

    def finish(self, shard: int, counts: Counter[str]) -> None:
        """Marks a shard as done."""
        _write_json(self._file(shard), counts)

    def counts(self) -> Counter[str]:
        """Returns the counts of all shards together."""
        files = map(self._file, range(len(self.outputs)))
        return sum((Counter(_read_json(file)) for file in files), Counter())

    def _file(self, shard: int) -> Path:
        return self.done / f"{shard:05d}.json"


class _MakeShard(NamedTuple):
    """Task: makes a shard from the store; reports records after each block."""

    maker: RecordMaker
    store: BlockStore
    shards: Shards

    def __call__(self, shard: int) -> Iterator[int]:
        counts: Counter[str] = Counter()
        with RecordWriter([self.shards.outputs[shard]], overwrite=True) as file:
            for number_of_pass in range(self.maker.settings.dupe_factor):
                for block, part in self._order(shard, number_of_pass):
                    found = self._write(file, number_of_pass, block, part)
                    yield found["records"]
                    counts += found
        self.shards.finish(shard, counts)

    def _order(self, shard: int, number_of_pass: int) -> list[tuple[int, int]]:
        units = self.shards.of(shard)
        drawn = mix(self.maker.settings.random_seed, number_of_pass, np.array(units))
        return [units[place] for place in drawn[:, 0].argsort(kind="stable")]

    def _write(
        self, file: RecordWriter, number_of_pass: int, block: int, part: int
    ) -> Counter[str]:
        counts: Counter[str] = Counter()
        tokens = self.store.load(block)
        parts = self.shards.parts
        for batch in self.maker.batches(tokens, number_of_pass, part, parts):
            file.write(batch.records)
            counts += batch.counts
        return counts


def check_found(found: Counter[str], settings: DataSettings) -> None:
    """Raises `InputError` if no records can be made from the corpus."""
    if not found["documents"]:
        raise InputError(
            "Expected text, found none that makes a record. Write one sentence per "
            "line and a blank line between documents, or choose another source."
        )
    if settings.objective == "nsp" and found["documents"] == 1:
        raise InputError(
            "Expected at least two documents, received one: half of the pairs take "
            "their second text from another document. Put blank lines between "
            "documents, for instance between chapters, or choose another objective."
        )


def _elapsed(bar: tqdm) -> float:
    return max(bar.format_dict["elapsed"] or 0.0, 1e-3)


def _read_json(file: Path) -> Any:
    return json.loads(file.read_text("utf-8")) if file.exists() else None


def _write_json(file: Path, content: Any) -> None:
    with new_file(file) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
