"""Text files to pretraining records: the whole way, streaming, in processes."""

import math
import multiprocessing
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing.pool import Pool
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from keras_bert.errors import ConfigError, InputError, choose
from keras_bert.pretraining import google
from keras_bert.pretraining.corpus import Block, blocks, documents, tokenize_block
from keras_bert.pretraining.masking import MaskingSettings, Vocabulary, mask_rows
from keras_bert.pretraining.pairs import Pair, pair_rows, sentence_pairs
from keras_bert.pretraining.records import RecordWriter, encode_examples
from keras_bert.tokenization import BertTokenizer
from keras_bert.tokenization.files import expand, read_lines

POLICIES = ("default", "google")
GOOGLE_LIMIT_MB = 200
_ROWS = 1024


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """What records are made like; names and defaults are Google's flags.

    Args:
        max_seq_length: tokens of a row.
        max_predictions_per_seq: masked positions of a row, at most.
        masked_lm_prob: the share of a row's tokens that is masked.
        short_seq_prob: how often a row is made shorter than it could be.
        dupe_factor: passes over the corpus, each paired and masked anew.
        do_whole_word_mask: mask all pieces of a word together.
        random_seed: of every draw.

    Raises:
        ConfigError: a value is out of its range.
    """

    max_seq_length: int = 128
    max_predictions_per_seq: int = 20
    masked_lm_prob: float = 0.15
    short_seq_prob: float = 0.1
    dupe_factor: int = 10
    do_whole_word_mask: bool = False
    random_seed: int = 12345

    def __post_init__(self) -> None:
        ranges = {
            "max_seq_length": (5, math.inf),
            "max_predictions_per_seq": (1, math.inf),
            "masked_lm_prob": (0, 1),
            "short_seq_prob": (0, 1),
            "dupe_factor": (1, math.inf),
            "random_seed": (0, math.inf),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(
                    f"Expected {name} from {low} to {high}, received {value}."
                )

    @property
    def masking(self) -> MaskingSettings:
        """The part of the settings that masking takes."""
        return MaskingSettings(
            self.max_predictions_per_seq, self.masked_lm_prob, self.do_whole_word_mask
        )


def create_pretraining_data(
    input_files: str | Path | Sequence[str | Path],
    output_files: str | Path | Sequence[str | Path],
    tokenizer: BertTokenizer,
    settings: DataSettings | None = None,
    *,
    policy: str = "default",
    workers: int = 1,
    block_bytes: int = 1 << 21,
    limit_mb: float = GOOGLE_LIMIT_MB,
    overwrite: bool = False,
    progress: bool = True,
) -> int:
    """Turns text into records of masked language modeling and next sentences.

    The output appears whole, or not at all.

    Args:
        input_files: UTF-8 text, one sentence a line, a blank line between
            documents; names, patterns, comma lists, `.gz` included.
        output_files: TFRecord files; `name@4` stands for
            `name-00000-of-00004` and so on. Records go round over them.
        tokenizer: the tokenizer.
        settings: see `DataSettings`.
        policy: "default" streams, in memory that does not grow with the corpus,
            and gives the same records whatever the number of workers. "google"
            gives Google's own records, bit by bit, and holds everything in
            memory.
        workers: processes that make records; "google" has one.
        block_bytes: text that is worked on at a time; random second texts come
            from the same block. Memory goes with this, and with `dupe_factor`
            times this per worker.
        limit_mb: the most input the "google" policy takes.
        overwrite: replace files that are there already.
        progress: show a progress bar.

    Returns:
        The number of records.

    Raises:
        MissingFileError: an input does not exist.
        ExistingOutputError: an output exists and `overwrite` is False.
        InputError: there is nothing to make records from.

    Example:
        >>> create_pretraining_data(
        ...     "corpus/*.txt", "records@4", tokenizer, workers=4
        ... )  # doctest: +SKIP
        51234
    """
    settings = settings or DataSettings()
    choose("policy", policy, POLICIES)
    files = expand(input_files)
    outputs = output_names(output_files)
    tokenizer.mask_token_id  # noqa: B018  refuses a vocabulary without [MASK] early
    if policy == "google":
        _check_size(files, limit_mb)
        parts = _google_parts(files, tokenizer, settings)
        count = 1
    else:
        parts = _default_parts(files, tokenizer, settings, workers, block_bytes)
        count = settings.dupe_factor
    with (
        RecordWriter(outputs, count, overwrite) as writer,
        _bar(files, progress) as bar,
    ):
        written = 0
        for size, per_part in parts:
            for part, examples in enumerate(per_part):
                writer.write(examples, part)
                written += len(examples)
            bar.update(size)
            bar.set_postfix_str(f"{written / _elapsed(bar):,.0f} instances/s")
        if not written:
            raise InputError(
                f"Expected text in {', '.join(map(str, files))}, found none that "
                "makes a record. Write one sentence a line and a blank line between "
                "documents."
            )
    return written


def output_names(output_files: str | Path | Sequence[str | Path]) -> list[Path]:
    """Lists the files that output names, comma lists and `name@count` stand for.

    Example:
        >>> [path.name for path in output_names("a.tfrecord,b@2")]
        ['a.tfrecord', 'b-00000-of-00002', 'b-00001-of-00002']
    """
    items = [output_files] if isinstance(output_files, str | Path) else output_files
    names = [name for item in items for name in str(item).split(",") if name]
    return [Path(shard) for name in names for shard in _shards(name)]


def _shards(name: str) -> list[str]:
    stem, at, count = name.rpartition("@")
    if not (at and count.isdecimal() and int(count)):
        return [name]
    return [f"{stem}-{i:05d}-of-{int(count):05d}" for i in range(int(count))]


# What is made per step: bytes of text done, and examples for each part.
Made = tuple[int, list[list[bytes]]]


def _default_parts(
    files: Sequence[Path],
    tokenizer: BertTokenizer,
    settings: DataSettings,
    workers: int,
    block_bytes: int,
) -> Iterator[Made]:
    source = blocks(_checked(documents(_lines(files))), block_bytes)
    with _mapper(_Maker(tokenizer, settings), workers) as make_all:
        yield from make_all(source)


def _make_block(tokenizer: BertTokenizer, settings: DataSettings, block: Block) -> Made:
    """Makes the examples of a block, one list per pass."""
    vocabulary = Vocabulary.of(tokenizer)
    tokenized = tokenize_block(block, tokenizer)
    passes = []
    for index in range(settings.dupe_factor):
        # Keyed by what the block is, so that no draw depends on who makes it.
        seeds = np.random.SeedSequence((settings.random_seed, index, block.index))
        rng = np.random.default_rng(seeds)
        pairs = list(
            sentence_pairs(
                tokenized,
                room=settings.max_seq_length - 3,
                short_seq_prob=settings.short_seq_prob,
                rng=random.Random(int(rng.integers(2**63))),
            )
        )
        order = rng.permutation(len(pairs))
        # Rows few enough to stay in the processor's cache are made faster.
        passes.append(
            [
                example
                for some in np.array_split(order, len(pairs) // _ROWS + 1)
                for example in _examples(
                    tokenized.tokens,
                    [pairs[place] for place in some],
                    tokenizer,
                    vocabulary,
                    settings,
                    rng,
                )
            ]
        )
    return block.size, passes


def _examples(
    tokens: np.ndarray,
    pairs: list[Pair],
    tokenizer: BertTokenizer,
    vocabulary: Vocabulary,
    settings: DataSettings,
    rng: np.random.Generator,
) -> list[bytes]:
    rows = pair_rows(
        tokens,
        pairs,
        max_seq_length=settings.max_seq_length,
        cls_id=tokenizer.cls_token_id,
        sep_id=tokenizer.sep_token_id,
        rng=rng,
    )
    masked = mask_rows(rows.input_ids, rows.lengths, vocabulary, settings.masking, rng)
    column = np.arange(settings.max_seq_length)
    return encode_examples(
        {
            "input_ids": masked.input_ids,
            "input_mask": column < rows.lengths[:, None],
            "segment_ids": rows.token_type_ids,
            "masked_lm_positions": masked.positions,
            "masked_lm_ids": masked.ids,
            "masked_lm_weights": masked.weights,
            "next_sentence_labels": rows.next_sentence_labels,
        }
    )


def _checked(source: Iterable[list[str]]) -> Iterator[list[str]]:
    """Refuses a corpus of one document: no second text could be a random one."""
    first = list(islice(source, 2))
    if len(first) == 1:
        raise InputError(
            "Expected at least two documents, received one: the second text of half "
            "of the pairs comes from another document. Put blank lines between "
            "documents, for instance between chapters."
        )
    yield from first
    yield from source


def _lines(files: Sequence[Path]) -> Iterator[str]:
    """Yields all lines; a file's end also ends a document."""
    for file in files:
        yield from read_lines([file])
        yield ""


class _Maker(NamedTuple):
    """Makes the examples of blocks; a process holds one."""

    tokenizer: BertTokenizer
    settings: DataSettings

    def __call__(self, block: Block) -> Made:
        return _make_block(self.tokenizer, self.settings, block)


_maker_of_process: list[_Maker] = []


def _start_process(maker: _Maker) -> None:
    _maker_of_process[:] = [maker]


def _call_maker(block: Block) -> Made:
    return _maker_of_process[0](block)


@contextmanager
def _mapper(maker: _Maker, workers: int) -> Iterator[Callable[..., Iterator[Made]]]:
    """Yields a function from blocks to what is made of them, order kept."""
    if workers <= 1:
        yield partial(map, maker)
        return
    # A forked process could inherit TensorFlow's locks; a spawned one has none.
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, _start_process, (maker,)) as pool:
        yield partial(_ordered, pool, workers + 2)


def _ordered(pool: Pool, ahead: int, source: Iterable[Block]) -> Iterator[Made]:
    """Maps in processes; unlike `imap`, reads only a little ahead."""
    source = iter(source)
    waiting = deque(pool.apply_async(_call_maker, (x,)) for x in islice(source, ahead))
    while waiting:
        yield waiting.popleft().get()
        waiting += [pool.apply_async(_call_maker, (x,)) for x in islice(source, 1)]


# Google's policy


def _google_parts(
    files: Sequence[Path], tokenizer: BertTokenizer, settings: DataSettings
) -> Iterator[Made]:
    flags = {name: getattr(settings, name) for name in google.GoogleSettings._fields}
    flags = google.GoogleSettings(**flags)
    rng = random.Random(settings.random_seed)
    made = google.instances(read_lines(files), tokenizer, flags, rng)
    size = sum(file.stat().st_size for file in files)
    step = 1000
    for start in range(0, len(made), step):
        examples = encode_examples(google.columns(made[start : start + step], flags))
        yield size * len(examples) // len(made), [examples]


def _check_size(files: Sequence[Path], limit_mb: float) -> None:
    size = sum(file.stat().st_size for file in files) / 1e6
    if size > limit_mb:
        raise InputError(
            f"The google policy holds the corpus in memory and takes at most "
            f"{limit_mb:g} MB, received {size:.1f} MB. Use the default policy, or "
            "raise the limit (--google_limit_mb)."
        )


def _bar(files: Sequence[Path], shown: bool) -> tqdm:
    compressed = any(file.suffix == ".gz" for file in files)
    total = None if compressed else sum(file.stat().st_size for file in files)
    return tqdm(
        total=total, disable=not shown, unit="B", unit_scale=True, desc="records"
    )


def _elapsed(bar: tqdm) -> float:
    return max(bar.format_dict["elapsed"] or 0.0, 1e-3)
