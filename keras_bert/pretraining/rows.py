"""Spans of tokens to model rows, with one or several texts per row."""

from typing import NamedTuple

import numpy as np

from keras_bert.pretraining.packing import Places
from keras_bert.pretraining.ranges import indices
from keras_bert.tokenization import BertTokenizer


class SpecialIds(NamedTuple):
    """The ids around texts."""

    cls: int
    sep: int
    pad: int = 0

    @classmethod
    def of(cls, tokenizer: BertTokenizer) -> "SpecialIds":
        """Reads them from a tokenizer."""
        return cls(
            tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id
        )


class Pieces(NamedTuple):
    """Texts or pairs of texts, as spans in an array of tokens.

    Attributes:
        spans: int64 `(pieces, 4)`: begin and end of the first and of the second
            text; a single text has an empty second span.
        labels: int32 `(pieces,)`: 1 for a random or swapped second text.
        keys: uint64 `(pieces,)`: for every random draw about the piece.
    """

    spans: np.ndarray
    labels: np.ndarray
    keys: np.ndarray

    def take(self, index: np.ndarray | slice) -> "Pieces":
        """Returns some of the pieces."""
        return Pieces(*(column[index] for column in self))


class ModelRows(NamedTuple):
    """Model rows before masking; P is the most pieces of a row.

    Attributes:
        input_ids: int32 `(rows, seq)`.
        token_type_ids: int32 `(rows, seq)`.
        attention_mask: int32 `(rows, seq)`: the number of the piece, from 1; 0 in
            padding.
        position_ids: int32 `(rows, seq)`: restart in each piece.
        lengths: int32 `(rows,)`: tokens, special ones included.
        cls_positions: int32 `(rows, P)`: where pieces begin; 0 where there is none.
        labels: int32 `(rows, P)`.
        label_weights: float32 `(rows, P)`: 0 where there is no piece.
        continues: bool `(rows, seq)`: the token continues the word before it.
        keys: uint64 `(rows,)`: for every random draw about the row.
    """

    input_ids: np.ndarray
    token_type_ids: np.ndarray
    attention_mask: np.ndarray
    position_ids: np.ndarray
    lengths: np.ndarray
    cls_positions: np.ndarray
    labels: np.ndarray
    label_weights: np.ndarray
    continues: np.ndarray
    keys: np.ndarray


def piece_lengths(spans: np.ndarray) -> np.ndarray:
    """Counts the tokens of pieces, special ones included.

    Args:
        spans: int `(pieces, 4)`.

    Returns:
        int64 `(pieces,)`.
    """
    texts = spans[:, 1::2] - spans[:, ::2]  # (pieces, 2)
    return 2 + texts.sum(1) + (texts[:, 1] > 0)


def lay_out(
    tokens: np.ndarray,
    continues: np.ndarray,
    pieces: Pieces,
    width: int,
    special: SpecialIds,
    places: Places | None = None,
    slots: int = 1,
) -> ModelRows:
    """Writes `[CLS] A [SEP] B [SEP]`, or `[CLS] A [SEP]`, for every piece.

    Args:
        tokens: int32 `(tokens,)`: what the spans point into.
        continues: bool `(tokens,)`: the token continues the word before it.
        pieces: the texts.
        width: tokens per row; the pieces of every row must fit.
        special: the ids around texts.
        places: row and slot of each piece; None gives each its own row.
        slots: the most pieces per row.

    Returns:
        The rows. Padding is 0 everywhere except in `input_ids`.
    """
    lengths = piece_lengths(pieces.spans)
    if places is None:
        places = Places(np.arange(len(lengths)), np.zeros(len(lengths), np.int64))
    offsets, row_lengths = _offsets(lengths, places)
    rows = len(row_lengths)
    starts = lengths.cumsum() - lengths
    flat = np.arange(lengths.sum())
    target = flat + np.repeat(places.rows * width + offsets - starts, lengths)

    def table(values: np.ndarray, fill: int = 0) -> np.ndarray:
        made = np.full(rows * width, fill, values.dtype)
        made[target] = values
        return made.reshape(rows, width)

    def by_slot(values: np.ndarray) -> np.ndarray:
        made = np.zeros((rows, slots), values.dtype)
        made[places.rows, places.slots] = values
        return made

    source, types = _sources(pieces.spans)
    ids, continued = tokens[source], continues[source]
    first_sep = starts + 1 + pieces.spans[:, 1] - pieces.spans[:, 0]
    for place, token in (
        (starts, special.cls),
        (first_sep, special.sep),
        (starts + lengths - 1, special.sep),
    ):
        ids[place], continued[place] = token, False
    return ModelRows(
        table(ids, special.pad),
        table(types),
        table(np.repeat(places.slots.astype(np.int32) + 1, lengths)),
        table((flat - np.repeat(starts, lengths)).astype(np.int32)),
        row_lengths.astype(np.int32),
        by_slot(offsets.astype(np.int32)),
        by_slot(pieces.labels),
        by_slot(np.ones(len(lengths), np.float32)),
        table(continued),
        _first_of_rows(pieces.keys, places, rows),
    )


def _offsets(lengths: np.ndarray, places: Places) -> tuple[np.ndarray, np.ndarray]:
    """Returns the offset of each piece in its row, and the lengths of the rows."""
    order = np.lexsort((places.slots, places.rows))
    ends = lengths[order].cumsum()
    row_lengths = np.bincount(places.rows, lengths).astype(np.int64)
    row_starts = row_lengths.cumsum() - row_lengths
    offsets = np.empty_like(lengths)
    offsets[order] = ends - lengths[order] - row_starts[places.rows[order]]
    return offsets, row_lengths


def _sources(spans: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the index of every token of the pieces, and its type.

    The index is 0 for [CLS] and [SEP].
    """
    start_a, end_a, start_b, end_b = spans.T
    zero, one = np.zeros_like(start_a), np.ones_like(start_a)
    starts = np.stack([zero, start_a, zero, start_b, zero], axis=1).ravel()
    sizes = [one, end_a - start_a, one, end_b - start_b, end_b > start_b]
    lengths = np.stack(sizes, axis=1).ravel()
    kinds = np.tile(np.array([0, 0, 0, 1, 1], np.int32), len(spans))
    return indices(starts, lengths), np.repeat(kinds, lengths)


def _first_of_rows(keys: np.ndarray, places: Places, rows: int) -> np.ndarray:
    """Returns the key of each row, that of its first piece."""
    made = np.zeros(rows, np.uint64)
    first = places.slots == 0
    made[places.rows[first]] = keys[first]
    return made
