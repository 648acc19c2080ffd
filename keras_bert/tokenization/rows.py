"""Rows of a batch in a graph: truncation, windows, special tokens, padding.

The rows are the same as `keras_bert.tokenization.truncation` makes on the host.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from keras_bert.errors import InputError, choose
from keras_bert.tokenization.truncation import TRUNCATION

_PAD, _CLS, _SEP, _SPECIAL = range(4)  # indices of the pool that rows are gathered from


class RaggedTokens(NamedTuple):
    """The tokens of a batch of texts.

    Attributes:
        ids: int32 ragged `(batch, tokens)`.
        begins: where each token begins in its text, in code points, int32 of the same
            ragged shape; None if not requested.
        ends: where it ends.
    """

    ids: tf.RaggedTensor
    begins: tf.RaggedTensor | None = None
    ends: tf.RaggedTensor | None = None


class RowSpans(NamedTuple):
    """Which tokens each row consists of.

    Attributes:
        samples: the text, or pair, of each row, int64 `(rows,)`.
        begins: for each text of a pair, where its tokens begin in the pool of
            `PaddedRows.take`, int64 `(rows,)`.
        lengths: for each text of a pair, the number of its tokens, int64 `(rows,)`.
    """

    samples: tf.Tensor
    begins: Sequence[tf.Tensor]
    lengths: Sequence[tf.Tensor]

    @property
    def longest(self) -> tf.Tensor:
        """Tokens of the longest row, special ones included; 0 without rows."""
        totals = sum(self.lengths) + len(self.lengths) + 1
        return tf.maximum(tf.reduce_max(totals), 0)


def rows_of(
    texts: Sequence[tf.RaggedTensor],
    max_length: int | tf.Tensor,
    truncation: bool | str,
    stride: int,
) -> RowSpans:
    """Truncates or splits texts, or pairs of texts, to rows of `max_length` tokens.

    Args:
        texts: the ids of the first texts, and of the second, ragged `(batch, tokens)`.
        max_length: tokens per row, special ones included.
        truncation: see `BertTokenizer.__call__`.
        stride: tokens by which windows overlap; 0 makes one row per text.
    """
    if truncation and truncation is not True:
        choose("truncation", truncation, TRUNCATION)
    if stride and not truncation:
        raise InputError(
            "Expected truncation if stride is set. Received: truncation=False."
        )
    # The pool: special tokens, all tokens of the first texts, all of the second.
    sizes = [_SPECIAL, *(len_of(ids.values) for ids in texts)]
    begins = [ids.row_starts() + sum(sizes[: i + 1]) for i, ids in enumerate(texts)]
    lengths = [ids.row_lengths() for ids in texts]
    room = tf.cast(max_length, tf.int64) - len(texts) - 1
    if stride:
        return _windows(begins, lengths, room, stride, truncation == "only_first")
    if truncation:
        lengths = _kept(lengths, room, truncation)
    return RowSpans(tf.range(len_of(begins[0])), begins, lengths)


def len_of(tensor: tf.Tensor) -> tf.Tensor:
    """Returns the length of a vector, int64."""
    return tf.size(tensor, tf.int64)


def _kept(
    lengths: list[tf.Tensor], room: tf.Tensor, truncation: bool | str
) -> list[tf.Tensor]:
    if len(lengths) == 1:
        return [tf.minimum(lengths[0], room)]
    name = "longest_first" if truncation is True else str(truncation)
    kept = _KEEP[name](*lengths, room)
    message = f"truncation={truncation!r} cannot make a pair fit max_length"
    checks = [tf.debugging.assert_non_negative(length, message) for length in kept]
    with tf.control_dependencies([check for check in checks if check is not None]):
        return [tf.identity(length) for length in kept]


def _longest_first(
    first: tf.Tensor, second: tf.Tensor, room: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """`keras_bert.tokenization.truncation.longest_first` on tensors `(batch,)`."""
    second = tf.minimum(second, tf.maximum(room // 2, room - first))
    return tf.minimum(first, room - second), second


_KEEP: dict[str, Callable] = {
    "longest_first": _longest_first,
    "only_first": lambda a, b, room: (tf.minimum(a, room - b), b),
    "only_second": lambda a, b, room: (a, tf.minimum(b, room - a)),
}


def _windows(
    begins: list[tf.Tensor],
    lengths: list[tf.Tensor],
    room: tf.Tensor,
    stride: int,
    only_first: bool,
) -> RowSpans:
    moving = 0 if only_first else len(lengths) - 1
    room -= sum(lengths) - lengths[moving]  # (batch,)
    too_long = lengths[moving] > room
    step = tf.where(too_long, room - stride, 1)
    message = f"stride={stride} must be smaller than the room for the text in a row"
    check = tf.debugging.assert_positive(step, message)
    with tf.control_dependencies([] if check is None else [check]):
        after_first = tf.maximum(lengths[moving] - room, 0)
    count = 1 + tf.where(too_long, -(-after_first // step), 0)
    samples = tf.repeat(tf.range(len_of(count)), count)  # (rows,)
    number = tf.range(len_of(samples)) - tf.gather(
        tf.cumsum(count, exclusive=True), samples
    )
    skipped = number * tf.gather(step, samples)
    begins = [tf.gather(begin, samples) for begin in begins]
    lengths = [tf.gather(length, samples) for length in lengths]
    begins[moving] += skipped
    lengths[moving] = tf.minimum(lengths[moving] - skipped, tf.gather(room, samples))
    return RowSpans(samples, begins, lengths)


class PaddedRows(NamedTuple):
    """Rows as a rectangular array.

    Attributes:
        index: of each token in the pool of `take`, `(rows, seq)`.
        mask: 1 for tokens, 0 for padding, int32 `(rows, seq)`.
        types: 0 for the first text, 1 for the second, int32 `(rows, seq)`.
    """

    index: tf.Tensor
    mask: tf.Tensor
    types: tf.Tensor

    def take(self, special: tf.Tensor, texts: Sequence[tf.RaggedTensor]) -> tf.Tensor:
        """Returns a value for each token `(rows, seq)`.

        Args:
            special: the values for [PAD], [CLS] and [SEP].
            texts: the values for the tokens of the texts, ragged like their ids.
        """
        pool = tf.concat([special, *(text.values for text in texts)], 0)
        return tf.gather(pool, self.index)


def layout(rows: RowSpans, width: int | tf.Tensor) -> PaddedRows:
    """Pads rows: [CLS] text [SEP], and for pairs another text [SEP].

    Args:
        rows: the rows.
        width: tokens per row, at least those of the longest row.
    """
    place = tf.range(tf.cast(width, tf.int64))[None]  # (1, seq)
    index = tf.cast(tf.where(place == 0, _CLS, _PAD), tf.int64)
    types = tf.zeros_like(place, tf.int32)
    end = tf.constant(0, tf.int64)
    for segment, (begin, length) in enumerate(zip(*rows[1:], strict=True)):
        first = end + 1  # (rows, 1) from here on
        end = first + length[:, None]
        index = tf.where(place == end, tf.constant(_SEP, tf.int64), index)
        inside = (place >= first) & (place < end)
        index = tf.where(inside, begin[:, None] + place - first, index)
        types = tf.where((place >= first) & (place <= end), segment, types)
    return PaddedRows(index, tf.cast(place <= end, tf.int32), types)
