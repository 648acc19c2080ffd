"""Blocks of tokens to records, as a function of seed, pass and document."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from keras_bert.pretraining.corpus import TokenizedBlock
from keras_bert.pretraining.hashed_random import mix, uniform
from keras_bert.pretraining.masking import MaskedRowMaker, MaskedRows
from keras_bert.pretraining.packing import Places, pack
from keras_bert.pretraining.pairs import joined, pieces_of
from keras_bert.pretraining.records import encode_compact, encode_static
from keras_bert.pretraining.rows import ModelRows, Pieces, piece_lengths
from keras_bert.pretraining.settings import DataSettings
from keras_bert.tokenization import BertTokenizer

_ROWS = 1024  # few enough to stay in the processor's cache


class Batch(NamedTuple):
    """Serialized records, and counts of what they hold."""

    records: list[bytes]
    counts: Counter[str]


class RecordMaker:
    """Makes the records of blocks.

    Args:
        tokenizer: of the blocks.
        settings: how records are made.
    """

    def __init__(self, tokenizer: BertTokenizer, settings: DataSettings) -> None:
        self.settings = settings
        self.make_rows = MaskedRowMaker.of(
            tokenizer,
            settings.max_seq_length,
            settings.pieces_per_row,
            settings.masking_settings,
        )
        forms = {"static": self._static, "compact": self._compact}
        self._encode = forms[settings.form]

    def batches(
        self, block: TokenizedBlock, number_of_pass: int, part: int = 0, parts: int = 1
    ) -> Iterator[Batch]:
        """Yields the records of one pass over a block, shuffled.

        Args:
            block: the documents.
            number_of_pass: from 0.
            part: which of `parts` equal shares of the rows to make.
            parts: how many shares there are.
        """
        settings = self.settings
        keys = mix(settings.random_seed, number_of_pass, block.keys)
        if settings.texts.joined:
            block = joined(block, self.make_rows.special.sep, settings.room)
        pieces = pieces_of(
            block, settings.texts, keys, settings.room, settings.short_seq_prob
        )
        places = self._places(pieces)
        rows = int(places.rows.max(initial=-1)) + 1
        order = _shuffled(pieces.keys, places, rows)[part::parts]
        for some in np.array_split(order, len(order) // _ROWS + 1):
            yield self._encode(block, *_of_rows(pieces, places, some, rows))

    def _places(self, pieces: Pieces) -> Places:
        lengths = piece_lengths(pieces.spans)
        if self.settings.pieces_per_row == 1:
            return Places(np.arange(len(lengths)), np.zeros(len(lengths), np.int64))
        return pack(lengths, self.settings.max_seq_length, self.settings.pieces_per_row)

    def _static(self, block: TokenizedBlock, pieces: Pieces, places: Places) -> Batch:
        settings = self.settings
        rows, masked = self.make_rows(block.tokens, block.continues, pieces, places)
        records = encode_static(
            rows,
            masked,
            naming=settings.naming,
            packed=settings.pieces_per_row > 1,
            labeled=settings.texts.labeled,
        )
        counts = _counts(pieces, places) | self._mask_counts(rows, masked)
        return Batch(records, Counter(counts))

    def _compact(self, block: TokenizedBlock, pieces: Pieces, places: Places) -> Batch:
        continues = None if self.settings.words == "tokenizer" else block.continues
        records = encode_compact(
            block.tokens,
            continues,
            pieces,
            places,
            width=self.settings.max_seq_length,
            slots=self.settings.pieces_per_row,
            labeled=self.settings.texts.labeled,
        )
        return Batch(records, Counter(_counts(pieces, places)))

    def _mask_counts(self, rows: ModelRows, masked: MaskedRows) -> dict[str, int]:
        chosen = masked.weights > 0
        hidden = np.take_along_axis(masked.input_ids, masked.positions, axis=1)
        as_mask = (chosen & (hidden == self.make_rows.vocabulary.mask_id)).sum()
        kept = (chosen & (hidden == masked.ids)).sum()
        return {
            "predictions": int(chosen.sum()),
            "masked": int(as_mask),
            "kept": int(kept),
            "replaced": int(chosen.sum() - as_mask - kept),
        }


def _counts(pieces: Pieces, places: Places) -> dict[str, int]:
    return {
        "records": int(places.rows.max(initial=-1)) + 1,
        "pieces": len(pieces.keys),
        "record_tokens": int(piece_lengths(pieces.spans).sum()),
        "random_or_swapped": int(pieces.labels.sum()),
    }


def _shuffled(keys: np.ndarray, places: Places, rows: int) -> np.ndarray:
    """Returns the rows in random order."""
    first = places.slots == 0
    row_keys = np.zeros(rows, np.uint64)
    row_keys[places.rows[first]] = keys[first]
    return uniform(row_keys, "order", 1)[:, 0].argsort(kind="stable")


def _of_rows(
    pieces: Pieces, places: Places, some: np.ndarray, rows: int
) -> tuple[Pieces, Places]:
    """Takes the pieces of some rows, which are renumbered in their order."""
    number = np.full(rows, -1)
    number[some] = np.arange(len(some))
    chosen = (number[places.rows] >= 0).nonzero()[0]
    return pieces.take(chosen), Places(
        number[places.rows[chosen]], places.slots[chosen]
    )
