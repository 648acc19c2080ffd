"""Documents to sentence pairs, and those to rows of token ids.

A sentence pair is two spans of the block's tokens, so that pairs cost a few
numbers each and rows are made for many at once.
"""

import random
from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from keras_bert.pretraining.corpus import TokenizedBlock


class Pair(NamedTuple):
    """Two half-open spans of tokens, and whether the second is a random one."""

    start_a: int
    end_a: int
    start_b: int
    end_b: int
    is_random: bool


class PairRows(NamedTuple):
    """Model rows of sentence pairs, before masking.

    Attributes:
        input_ids: int32 `(rows, seq)`, 0 in padding.
        token_type_ids: int32 `(rows, seq)`.
        lengths: int32 `(rows,)`, special tokens included.
        next_sentence_labels: int32 `(rows,)`, 1 for a random second text.
    """

    input_ids: np.ndarray
    token_type_ids: np.ndarray
    lengths: np.ndarray
    next_sentence_labels: np.ndarray


def sentence_pairs(
    block: TokenizedBlock, *, room: int, short_seq_prob: float, rng: random.Random
) -> Iterator[Pair]:
    """Yields the pairs of every document of a block.

    Sentences fill a row until it is full; a random cut makes the two texts. In
    half of the pairs, and in those of one sentence, the second text is replaced
    by one from another document of the block, and what it replaced is used
    again. Pairs may be longer than `room`.

    Args:
        block: at least two documents, or no second text can be random.
        room: tokens of a row beside the special ones.
        short_seq_prob: how often a row aims at a shorter, random length.
        rng: the source of all draws.

    Source: `create_instances_from_document` in google-research/bert,
    create_pretraining_data.py; here every row draws its own target length, and
    the other document is never the same one.
    """
    for index in range(len(block.sentences)):
        yield from _document_pairs(block.sentences, index, room, short_seq_prob, rng)


def _document_pairs(
    documents: list[list[int]],
    index: int,
    room: int,
    short_seq_prob: float,
    rng: random.Random,
) -> Iterator[Pair]:
    starts, first, last = documents[index], 0, len(documents[index]) - 1
    while first < last:
        short = rng.random() < short_seq_prob
        target = rng.randint(2, room) if short else room
        end = min(last, bisect_left(starts, starts[first] + target, lo=first + 1))
        cut = rng.randint(first + 1, end - 1) if end - first > 1 else end
        span_a = starts[first], starts[cut]
        if cut < end and rng.random() >= 0.5:
            yield Pair(*span_a, starts[cut], starts[end], False)
            first = end
            continue
        if len(documents) > 1:
            other = documents[_other(index, len(documents), rng)]
            room_b = max(1, target - (span_a[1] - span_a[0]))
            yield Pair(*span_a, *_random_span(other, room_b, rng), True)
        first = cut


def _other(index: int, count: int, rng: random.Random) -> int:
    other = rng.randrange(count - 1)
    return other + (other >= index)


def _random_span(starts: list[int], size: int, rng: random.Random) -> tuple[int, int]:
    """Sentences from a random one on, until there are `size` tokens."""
    first = rng.randrange(len(starts) - 1)
    end = bisect_left(starts, starts[first] + size, lo=first + 1)
    return starts[first], starts[min(end, len(starts) - 1)]


def truncate(spans: np.ndarray, room: int, rng: np.random.Generator) -> np.ndarray:
    """Shortens pairs to `room` tokens.

    The longer text gives up tokens one by one, each from its front or its back
    by the toss of a coin; of equal texts the second one gives.

    Args:
        spans: int `(pairs, 4)`: begin and end of the first and second text.
        room: tokens that fit.
        rng: the source of all draws.

    Returns:
        int `(pairs, 4)`.

    Source: `truncate_seq_pair` in google-research/bert,
    create_pretraining_data.py.
    """
    lengths = spans[:, 1::2] - spans[:, ::2]  # (pairs, 2)
    keep_b = np.minimum(lengths[:, 1], np.maximum(room // 2, room - lengths[:, 0]))
    keep_a = np.minimum(lengths[:, 0], room - keep_b)
    removed = lengths - np.stack([keep_a, keep_b], axis=1)
    front = rng.binomial(removed, 0.5)
    shortened = spans.copy()
    shortened[:, ::2] += front
    shortened[:, 1::2] -= removed - front
    return shortened


def pair_rows(
    tokens: np.ndarray,
    pairs: list[Pair],
    *,
    max_seq_length: int,
    cls_id: int,
    sep_id: int,
    rng: np.random.Generator,
) -> PairRows:
    """Makes rows `[CLS] A [SEP] B [SEP]` of pairs.

    Args:
        tokens: the token ids the pairs point into.
        pairs: the pairs.
        max_seq_length: the width of a row.
        cls_id: the id of [CLS].
        sep_id: the id of [SEP].
        rng: the source of truncation's draws.
    """
    table = np.array(pairs, np.int64).reshape(-1, 5)
    spans = truncate(table[:, :4], max_seq_length - 3, rng)
    start_a, end_a, start_b, end_b = spans.T[:, :, None]  # each (rows, 1)
    first_sep = end_a - start_a + 1
    last_sep = first_sep + end_b - start_b + 1
    column = np.arange(max_seq_length)
    in_b = column > first_sep
    source = np.where(in_b, column - first_sep - 1 + start_b, column - 1 + start_a)
    ids = tokens[np.clip(source, 0, len(tokens) - 1)]  # (rows, seq)
    ids[:, 0] = cls_id
    ids[(column == first_sep) | (column == last_sep)] = sep_id
    ids[column > last_sep] = 0
    types = (in_b & (column <= last_sep)).astype(np.int32)
    lengths = (last_sep[:, 0] + 1).astype(np.int32)
    return PairRows(ids, types, lengths, table[:, 4].astype(np.int32))
