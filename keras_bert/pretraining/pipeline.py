"""Corpus to shards of records: in processes, in bounded memory, resumable.

The text is tokenized once, block by block, into a store beside the output; then one
shard after another is made from it. Both steps are files that are there whole or not
at all, so that a run that was killed goes on where it stopped.
"""

import hashlib
import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from keras_bert.errors import ExistingOutputError, InputError, KerasBertError
from keras_bert.pretraining.corpus import (
    BlockStore,
    chinese_words,
    tokenize_documents,
)
from keras_bert.pretraining.hashed_random import mix
from keras_bert.pretraining.processes import run_tasks
from keras_bert.pretraining.record_maker import RecordMaker
from keras_bert.pretraining.settings import DataSettings
from keras_bert.pretraining.sources import RawBlock, Source
from keras_bert.pretraining.tfrecords import RecordWriter
from keras_bert.tokenization import BertTokenizer

_LAYOUT = 1  # of the work folder and of the draws; a new number begins anew
# Units of work per shard, at least, so that shards are about equally long.
_UNITS_PER_SHARD = 2


class RecordPipeline:
    """A run that makes records, or goes on making them.

    Args:
        source: the text.
        outputs: the shards.
        tokenizer: the tokenizer.
        settings: what records are made like.
        workers: processes.
        overwrite: replace shards that are there already.
        progress: show progress bars.

    Raises:
        ExistingOutputError: a shard of another run is there already.
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
        first = self.outputs[0]
        self.work = first.with_name(f".{first.name}.work")
        self._begin(overwrite)
        self.store = BlockStore(self.work / "blocks", tokenizer.vocab_size)
        (self.work / "shards").mkdir(exist_ok=True)

    def __call__(self) -> Counter[str]:
        """Makes what is missing, and returns what was counted.

        Raises:
            InputError: there is nothing to make records from.
        """
        try:
            found = self._tokenized()
            check_found(found, self.settings)
        except KerasBertError:  # nothing that going on could mend
            shutil.rmtree(self.work)
            raise
        made = self._make_shards(found["blocks"], found["bytes"])
        self._clear()
        return found + made

    def _begin(self, overwrite: bool) -> None:
        plan = self._plan()
        if _read_json(self.work / "plan.json") == plan:
            return
        existing = [path for path in self.outputs if path.exists()]
        if existing and not overwrite:
            raise ExistingOutputError(
                f"{existing[0]} exists already; choose another name or pass "
                "overwrite=True (--overwrite)."
            )
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        _write_json(self.work / "plan.json", plan)

    def _plan(self) -> dict[str, Any]:
        """Everything the records depend on, as JSON gives it back."""
        rules = json.dumps([self.tokenizer.tokens, self.tokenizer.rules])
        plan = {
            "layout": _LAYOUT,
            "settings": asdict(self.settings),
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
        """Removes the work folder, in an order that can be stopped anywhere."""
        shutil.rmtree(self.store.folder)
        (self.work / "plan.json").unlink()
        shutil.rmtree(self.work)

    # First step: text to blocks of tokens

    def _tokenize(self) -> Counter[str]:
        task = _Tokenize(
            self.source, self.tokenizer, self.store, self.settings.chinese_whole_words
        )
        groups = (self.source.blocks(group) for group in self.source.groups())
        blocks = enumerate(chain.from_iterable(groups))
        counts: Counter[str] = Counter()
        with self._bar("tokens ", self.source.size) as bar:
            for found in run_tasks(task, blocks, self.workers):
                counts += found
                bar.update(found["bytes"])
        return counts

    # Second step: blocks of tokens to shards of records

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


class _Tokenize(NamedTuple):
    """Task: a numbered block of text to tokens in the store."""

    source: Source
    tokenizer: BertTokenizer
    store: BlockStore
    chinese_whole_words: bool

    def __call__(self, item: tuple[int, RawBlock]) -> Iterator[Counter[str]]:
        number, raw = item
        if number not in self.store:
            words = chinese_words() if self.chinese_whole_words else None
            documents, counts = self.source.documents(raw)
            block, found = tokenize_documents(documents, self.tokenizer, words)
            counts += found + Counter(blocks=1, bytes=raw.size)
            self.store.save(number, block, counts)
        yield self.store.counts(number)


class Shards(NamedTuple):
    """Which blocks a shard is made of, and which shards are done.

    Every shard takes blocks from all over the corpus, and parts of blocks where
    there are few.

    Attributes:
        outputs: the shards' files.
        done: a folder with a file of counts for each shard that is done.
        blocks: how many blocks there are.
    """

    outputs: list[Path]
    done: Path
    blocks: int

    @property
    def parts(self) -> int:
        """Parts that each block is divided in."""
        return math.ceil(_UNITS_PER_SHARD * len(self.outputs) / self.blocks)

    @property
    def units(self) -> int:
        """Parts of blocks altogether."""
        return self.blocks * self.parts

    def of(self, shard: int) -> list[tuple[int, int]]:
        """Lists the blocks of a shard, and which part of each."""
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
        """Remembers that a shard is done."""
        _write_json(self._file(shard), counts)

    def counts(self) -> Counter[str]:
        """Adds up what was counted in all shards."""
        files = map(self._file, range(len(self.outputs)))
        return sum((Counter(_read_json(file)) for file in files), Counter())

    def _file(self, shard: int) -> Path:
        return self.done / f"{shard:05d}.json"


class _MakeShard(NamedTuple):
    """Task: a shard from the blocks in the store; tells records after each block."""

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
    """Refuses a corpus that no records can be made of."""
    if not found["documents"]:
        raise InputError(
            "Expected text, found none that makes a record. Write one sentence a "
            "line and a blank line between documents, or name the form of the text."
        )
    if settings.objective == "nsp" and found["documents"] == 1:
        raise InputError(
            "Expected at least two documents, received one: the second text of half "
            "of the pairs comes from another document. Put blank lines between "
            "documents, for instance between chapters, or choose another objective."
        )


def _elapsed(bar: tqdm) -> float:
    return max(bar.format_dict["elapsed"] or 0.0, 1e-3)


def _read_json(file: Path) -> Any:
    return json.loads(file.read_text("utf-8")) if file.exists() else None


def _write_json(file: Path, content: Any) -> None:
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    os.replace(partial, file)
