"""Pretraining examples as records: masked when they are made, or when they are read.

A static record is masked and ready for the model: a `tf.train.Example` with the
fields of `keras_bert.features.PRETRAINING_RECORD`. A compact record holds the tokens of
a row's texts and is masked each time it is read:

    ids_u16 or ids_u32   bytes   the tokens, without special ones, little-endian
    pieces               int64   for each piece the lengths of its two texts
    labels               int64   for each piece; absent without a sentence objective
    shape                int64   length of the row; for packed rows also the most pieces
    continues            bytes   one bit per token: it continues the word before it;
                                 absent where `##` tells
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from keras_bert.errors import InputError
from keras_bert.features import record_fields
from keras_bert.pretraining.examples import Column, Ragged, encode_examples
from keras_bert.pretraining.masking import MaskedRows
from keras_bert.pretraining.packing import Places
from keras_bert.pretraining.ranges import indices, within
from keras_bert.pretraining.rows import ModelRows, Pieces

COMPACT_IDS = {"ids_u16": np.dtype("<u2"), "ids_u32": np.dtype("<u4")}


# === Static records ===


def encode_static(
    rows: ModelRows,
    masked: MaskedRows,
    *,
    naming: str = "google",
    packed: bool = False,
    labeled: bool = True,
) -> list[bytes]:
    """Serializes masked rows.

    Args:
        rows: before masking.
        masked: after masking.
        naming: of the fields, "google" or "model_garden".
        packed: rows hold several pieces.
        labeled: pieces have labels.

    Returns:
        One message per row.
    """
    columns = static_columns(rows, masked)
    fields = record_fields(packed, labeled)
    return encode_examples({f.key(naming): columns[f.name] for f in fields})


def static_columns(rows: ModelRows, masked: MaskedRows) -> dict[str, np.ndarray]:
    """Returns the fields of static records by their names in this package."""
    return {
        **rows._asdict(),
        "input_ids": masked.input_ids,
        "masked_lm_positions": masked.positions,
        "masked_lm_ids": masked.ids,
        "masked_lm_weights": masked.weights,
        "next_sentence_labels": rows.labels,
        "next_sentence_weights": rows.label_weights,
    }


# === Compact records ===


def encode_compact(
    tokens: np.ndarray,
    continues: np.ndarray | None,
    pieces: Pieces,
    places: Places,
    *,
    width: int,
    slots: int = 1,
    labeled: bool = True,
) -> list[bytes]:
    """Serializes rows that are assembled and masked when they are read.

    Args:
        tokens: int32 `(tokens,)`: what the pieces point into.
        continues: bool `(tokens,)`: the token continues the word before it; None
            where the vocabulary's `##` tells.
        pieces: the texts.
        places: row and slot of each piece.
        width: tokens per row.
        slots: the most pieces per row.
        labeled: pieces have labels.

    Returns:
        One message per row.
    """
    order = np.lexsort((places.slots, places.rows))
    spans = pieces.spans[order]
    sizes = (spans[:, 1::2] - spans[:, ::2]).ravel()
    source = indices(spans[:, ::2].ravel(), sizes)
    last = np.bincount(places.rows).cumsum()  # where each row's pieces end
    row_ends = sizes.cumsum()[2 * last - 1]
    ids = tokens[source]
    key = "ids_u16" if ids.max(initial=0) < 1 << 16 else "ids_u32"
    shape = [width] if slots == 1 else [width, slots]
    columns: dict[str, Column] = {
        key: Ragged(ids.astype(COMPACT_IDS[key]), row_ends).split(),
        "pieces": Ragged(sizes, 2 * last),
        "shape": np.tile(shape, (len(last), 1)),
    }
    if labeled:
        columns["labels"] = Ragged(pieces.labels[order], last)
    if continues is not None:
        columns["continues"] = _bits(Ragged(continues[source], row_ends))
    return encode_examples(columns)


class CompactRows(NamedTuple):
    """What compact records hold, as `keras_bert.pretraining.rows.lay_out` takes it.

    Attributes:
        tokens: int32 `(tokens,)`, of all rows.
        continues: bool `(tokens,)`, or None if records have no such field.
        spans: int64 `(pieces, 4)`, in `tokens`.
        places: row and slot of each piece.
    """

    tokens: np.ndarray
    continues: np.ndarray | None
    spans: np.ndarray
    places: Places


def decode_compact(
    ids: Mapping[str, Sequence[bytes]], continues: Sequence[bytes], pieces: Ragged
) -> CompactRows:
    """Decodes the fields of a batch; the inverse of `encode_compact`.

    Args:
        ids: by the keys of `COMPACT_IDS`; each row has bytes under one of them.
        continues: of each row; all empty if records have no such field.
        pieces: the lengths of texts, two for each piece.

    Raises:
        InputError: the fields of a row do not belong together.
    """
    decoded = [
        _row_ids(row, number)
        for number, row in enumerate(zip(*map(ids.get, COMPACT_IDS), strict=True))
    ]
    sizes = np.array([len(row) for row in decoded])
    _check_pieces(pieces, sizes)
    ends = pieces.values.cumsum()
    spans = np.stack([ends - pieces.values, ends], axis=1).reshape(-1, 4)
    counts = np.diff(pieces.ends, prepend=0) // 2  # pieces of each row
    rows = np.repeat(np.arange(len(counts)), counts)
    return CompactRows(
        np.concatenate(decoded).astype(np.int32),
        _flags(continues, sizes) if any(continues) else None,
        spans,
        Places(rows, within(counts)),
    )


def _row_ids(row: Sequence[bytes], number: int) -> np.ndarray:
    """Decodes the ids of a row, which are under one of the keys."""
    found = [x for x in zip(row, COMPACT_IDS.values(), strict=True) if x[0]]
    if len(found) != 1 or len(found[0][0]) % found[0][1].itemsize:
        raise _foreign(number, f"not one of {', '.join(COMPACT_IDS)}, or a part of it")
    return np.frombuffer(*found[0])


def _check_pieces(pieces: Ragged, sizes: np.ndarray) -> None:
    """Raises unless the texts of each row take up its tokens."""
    texts = np.diff(pieces.ends, prepend=0)
    # Lengths above that of all rows could overflow the sums.
    values = np.where(pieces.values > sizes.sum(), -1, pieces.values)
    sums = np.concatenate([[0], values.cumsum()])
    wrong = sums[pieces.ends] - sums[pieces.ends - texts] != sizes
    wrong |= texts % 2 == 1
    wrong[np.repeat(np.arange(len(texts)), texts)[values < 0]] = True
    if wrong.any():
        raise _foreign(int(wrong.argmax()), "lengths of texts that are not its tokens")


def _flags(continues: Sequence[bytes], sizes: np.ndarray) -> np.ndarray:
    """Decodes one bit for each token."""
    flags = []
    for number, (row, size) in enumerate(zip(continues, sizes.tolist(), strict=True)):
        if len(row) != -(-size // 8):
            raise _foreign(number, f"{len(row)} bytes of flags for {size} tokens")
        bits = np.frombuffer(row, np.uint8)
        flags.append(np.unpackbits(bits, count=size, bitorder="little"))
    return np.concatenate(flags).astype(bool)


def _foreign(row: int, what: str) -> InputError:
    return InputError(
        f"Expected compact records of `keras-bert data`. Received in row {row} of a "
        f"batch: {what}. Make them again."
    )


def _bits(flags: Ragged) -> list[bytes]:
    """Packs the flags of each row, eight per byte."""
    sizes = np.diff(flags.ends, prepend=0)
    table = np.zeros((len(sizes), sizes.max(initial=0)), bool)
    table[np.repeat(np.arange(len(sizes)), sizes), within(sizes)] = flags.values
    packed = np.packbits(table, axis=1, bitorder="little")
    used = -(-sizes // 8)
    return [row[:n].tobytes() for row, n in zip(packed, used.tolist(), strict=True)]
