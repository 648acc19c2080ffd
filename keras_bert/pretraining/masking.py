"""Which tokens the masked language model has to predict, and what replaces them."""

from typing import NamedTuple

import numpy as np

from keras_bert.errors import choose
from keras_bert.pretraining.hashed_random import uniform
from keras_bert.pretraining.packing import Places
from keras_bert.pretraining.ranges import within
from keras_bert.pretraining.rows import ModelRows, Pieces, SpecialIds, lay_out
from keras_bert.tokenization import BertTokenizer

UNITS = ("token", "word", "ngram", "span")


class MaskingSettings(NamedTuple):
    """How rows are masked.

    Attributes:
        max_predictions: the most masked positions per row.
        probability: the fraction of a row's tokens, special ones included, to mask.
        unit: what is masked together, in the same way: "token", one at a time;
            "word", all pieces of a word; "ngram", up to `max_ngram` consecutive words,
            `k` of them with weight `1/k`; "span", consecutive words whose number has
            a geometric distribution, as in SpanBERT.
        max_ngram: the most words of an n-gram.
        span_end: probability that a span ends after each of its words.
        max_span: the most words of a span.
        whole_words: n-grams and spans consist of words; if False, of pieces.
        hidden: fraction of the chosen tokens that become [MASK].
        kept: fraction that stay unchanged; the rest become random words.
    """

    max_predictions: int = 20
    probability: float = 0.15
    unit: str = "token"
    max_ngram: int = 3
    span_end: float = 0.2
    max_span: int = 10
    whole_words: bool = True
    hidden: float = 0.8
    kept: float = 0.1

    def length_weights(self) -> np.ndarray:
        """Returns the probabilities of units of 1, 2, … words.

        Raises:
            UnknownNameError: there is no such unit.

        Example:
            >>> MaskingSettings(unit="ngram").length_weights().round(3).tolist()
            [0.545, 0.273, 0.182]
        """
        weights = {
            "token": np.ones(1),
            "word": np.ones(1),
            "ngram": 1 / np.arange(1, self.max_ngram + 1),
            "span": (1 - self.span_end) ** np.arange(self.max_span),
        }[choose("masking unit", self.unit, UNITS)]
        return weights / weights.sum()


class Vocabulary(NamedTuple):
    """What masking needs to know about a vocabulary.

    Attributes:
        mask_id: the id of [MASK].
        continues: bool `(vocab,)`: the token continues a word (`##`).
        maskable: bool `(vocab,)`: the token is not special.
        replacements: the ids that random words are drawn from: those of tokens that
            text can become.
    """

    mask_id: int
    continues: np.ndarray
    maskable: np.ndarray
    replacements: np.ndarray

    @classmethod
    def of(cls, tokenizer: BertTokenizer) -> "Vocabulary":
        """Reads it from a tokenizer.

        Raises:
            InputError: the vocabulary has no [MASK].
        """
        tokens = tokenizer.tokens
        maskable = np.ones(len(tokens), bool)
        maskable[sorted(tokenizer.all_special_ids)] = False
        words = (maskable & _producible(tokenizer)).nonzero()[0].astype(np.int32)
        return cls(
            tokenizer.mask_token_id,
            np.array([token.startswith("##") for token in tokens]),
            maskable,
            words if len(words) else np.array([tokenizer.mask_token_id], np.int32),
        )


def _producible(tokenizer: BertTokenizer) -> np.ndarray:
    """Tells which tokens text can become: not `##汉`, and no capitals if lowercased."""
    words = tokenizer.rules.words
    whole = [t.removeprefix("##") for t in tokenizer.tokens]
    # After a letter a piece is only a piece if both are one word.
    texts = [
        token if token == text else f"a{text}"
        for token, text in zip(tokenizer.tokens, whole, strict=True)
    ]
    found = np.array([words(text) == [text] for text in texts])
    found[sorted(tokenizer.tokens_in_text.values())] = True
    return found


class MaskedRows(NamedTuple):
    """Masked rows, and what was masked.

    Attributes:
        input_ids: int32 `(rows, seq)`.
        positions: int32 `(rows, predictions)`, ascending, 0 in padding.
        ids: int32 `(rows, predictions)`: the original tokens.
        weights: float32 `(rows, predictions)`: 1, or 0 in padding.
    """

    input_ids: np.ndarray
    positions: np.ndarray
    ids: np.ndarray
    weights: np.ndarray


def mask_rows(
    input_ids: np.ndarray,
    lengths: np.ndarray,
    continues: np.ndarray,
    keys: np.ndarray,
    vocabulary: Vocabulary,
    settings: MaskingSettings,
) -> MaskedRows:
    """Chooses tokens of each row and masks them.

    Units are taken in random order until the row's budget is used up. A unit that
    exceeds the budget, or reaches a special token or one already taken, is shortened
    to whole words; it is skipped if nothing is left of it.

    Args:
        input_ids: int32 `(rows, seq)`.
        lengths: int `(rows,)`, special tokens included.
        continues: bool `(rows, seq)`: the token continues the word before it.
        keys: uint64 `(rows,)`: what the draws of a row depend on.
        vocabulary: of the ids.
        settings: how many tokens, and how.

    Returns:
        New rows; the input is not modified.

    Source: `create_masked_lm_predictions` in google-research/bert and in
    tensorflow/models (n-grams), create_pretraining_data.py; Joshi et al. 2020,
    "SpanBERT", section 3.1. Unlike there, a unit is masked, replaced or kept as a
    whole, words are never split, [UNK] is never chosen, and random words are never
    special or unused tokens.
    """
    seq = input_ids.shape[1]
    maskable = vocabulary.maskable.take(input_ids)
    maskable &= np.arange(seq) < lengths[:, None]
    budget = np.minimum(
        settings.max_predictions,
        np.maximum(1, np.rint(lengths * settings.probability).astype(np.int64)),
    )
    pick = _pick_tokens if settings.unit == "token" else _pick_units
    positions, units = pick(maskable, continues, keys, budget, settings)
    return _hide(input_ids, positions, units, keys, vocabulary, settings)


def _ranked(scores: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Sorts the positions of candidates by score; what follows them is meaningless.

    A score and its position are packed into one integer, since sorting those is
    several times faster than `argsort`.
    """
    seq = scores.shape[1]
    bits = seq.bit_length()
    both = (scores * 2.0 ** (62 - bits)).astype(np.int64) << bits
    both |= np.arange(seq)
    both[~candidates] = np.iinfo(np.int64).max
    both.sort(axis=1)
    return both & ((1 << bits) - 1)


def _pick_tokens(
    maskable: np.ndarray,
    continues: np.ndarray,
    keys: np.ndarray,
    budget: np.ndarray,
    settings: MaskingSettings,
) -> tuple[np.ndarray, np.ndarray]:
    """Picks single tokens, as `_pick_units` would if every unit were one token.

    Returns:
        Positions `(rows, predictions)`, ascending, `seq` in padding; and the number
        of each one's unit, counted from the left.
    """
    rows, seq = maskable.shape
    width = settings.max_predictions
    column = np.arange(min(width, seq))
    order = _ranked(uniform(keys, "mask order", seq), maskable)[:, :width]
    count = np.minimum(budget, maskable.sum(1))[:, None]
    positions = np.full((rows, width), seq)
    positions[:, : len(column)] = np.sort(np.where(column < count, order, seq), axis=1)
    return positions, np.broadcast_to(np.arange(width), positions.shape)


def _pick_units(
    maskable: np.ndarray,
    continues: np.ndarray,
    keys: np.ndarray,
    budget: np.ndarray,
    settings: MaskingSettings,
) -> tuple[np.ndarray, np.ndarray]:
    """Picks words, n-grams or spans; returns the same as `_pick_tokens`."""
    seq = maskable.shape[1]
    # A piece whose word begins before the row counts as a word.
    before = np.zeros_like(maskable)
    before[:, 1:] = maskable[:, :-1]
    begins = maskable & ~(before & continues & settings.whole_words)
    order = _ranked(uniform(keys, "mask order", seq), begins)
    weights = settings.length_weights()
    drawn = uniform(keys, "mask length", seq)[begins] if len(weights) > 1 else 0.0
    lengths = weights.cumsum().searchsorted(drawn, side="right") + 1
    words = _Words(maskable, begins)
    words.take_in_order(order, begins.sum(1), lengths, len(weights), budget)
    return words.columns(settings.max_predictions)


class _Words:
    """The words of all rows in one list, and the unit each belongs to."""

    def __init__(self, maskable: np.ndarray, begins: np.ndarray) -> None:
        self.maskable = maskable
        self.of_token = begins.ravel().cumsum() - 1  # (rows * seq,)
        self.starts = begins.ravel().nonzero()[0]  # (words,)
        sizes = np.bincount(self.of_token[maskable.ravel()], minlength=len(self.starts))
        self.edges = np.concatenate([[0], sizes.cumsum()])  # counted in maskable tokens
        self.unit = np.full(len(self.starts), -1)

    def take_in_order(
        self,
        order: np.ndarray,
        counts: np.ndarray,
        lengths: np.ndarray | int,
        longest: int,
        budget: np.ndarray,
    ) -> None:
        """Takes units that begin at the positions in `order`.

        Args:
            order: int `(rows, seq)`, positions.
            counts: int `(rows,)`: how many of them are valid.
            lengths: words of the unit that begins with each word.
            longest: the largest of the lengths.
            budget: int `(rows,)`: tokens to take.
        """
        seq = order.shape[1]
        step = np.arange(longest)
        limits = np.minimum(lengths, self._words_left_in_run())
        edges = np.pad(self.edges, (0, longest), "edge")
        unit = np.pad(self.unit, (0, longest))
        left, made = budget.copy(), np.zeros_like(budget)
        rows = np.arange(len(order))
        for rank in range(counts.max(initial=0)):
            rows = rows[(left[rows] > 0) & (rank < counts[rows])]
            first = self.of_token[rows * seq + order[rows, rank]]
            window = first[:, None] + step  # (rows, longest)
            tokens = edges[window + 1] - edges[first][:, None]
            taken = (step < limits[first][:, None]) & (unit[window] < 0)
            taken &= tokens <= left[rows][:, None]
            taken = np.logical_and.accumulate(taken, axis=1)
            number = np.broadcast_to(made[rows][:, None], window.shape)
            unit[window[taken]] = number[taken]
            left[rows] -= edges[first + taken.sum(1)] - edges[first]
            made[rows] += taken[:, 0]
        self.unit = unit[: len(self.unit)]

    def _words_left_in_run(self) -> np.ndarray:
        """Counts for each word the adjacent words from it on, within its row."""
        ends = self.starts + np.diff(self.edges)
        next_start = np.append(self.starts[1:], -1)
        last = (ends != next_start) | (ends % self.maskable.shape[1] == 0)
        lasts = last.nonzero()[0]
        runs = np.diff(lasts, prepend=-1)
        return np.repeat(lasts, runs) - np.arange(len(self.starts)) + 1

    def columns(self, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the positions taken `(rows, width)`, and their units."""
        count, seq = self.maskable.shape
        units = np.append(self.unit, -1)[self.of_token].reshape(count, seq)
        rows, taken = (self.maskable & (units >= 0)).nonzero()
        rank = within(np.bincount(rows, minlength=count))
        positions = np.full((count, width), seq)
        positions[rows, rank] = taken
        numbers = np.full((count, width), -1)
        numbers[rows, rank] = units[rows, taken]
        changes = np.diff(numbers, axis=1) != 0
        return positions, np.pad(changes.cumsum(1), ((0, 0), (1, 0)))


def _hide(
    input_ids: np.ndarray,
    positions: np.ndarray,
    units: np.ndarray,
    keys: np.ndarray,
    vocabulary: Vocabulary,
    settings: MaskingSettings,
) -> MaskedRows:
    """Masks, replaces or keeps each unit at random."""
    width = positions.shape[1]
    real = positions < input_ids.shape[1]
    positions = np.where(real, positions, 0)
    ids = np.where(real, np.take_along_axis(input_ids, positions, axis=1), 0)
    action = np.take_along_axis(uniform(keys, "mask action", width), units, axis=1)
    word = uniform(keys, "mask word", width) * len(vocabulary.replacements)
    shown = np.where(
        action < settings.hidden + settings.kept,
        ids,
        vocabulary.replacements.take(word.astype(np.int64)),
    )
    shown[action < settings.hidden] = vocabulary.mask_id
    masked = input_ids.copy()
    rows, columns = real.nonzero()
    masked[rows, positions[rows, columns]] = shown[rows, columns]
    return MaskedRows(
        masked,
        positions.astype(np.int32),
        ids.astype(np.int32),
        real.astype(np.float32),
    )


class MaskedRowMaker(NamedTuple):
    """Assembles pieces into rows and masks them.

    Attributes:
        special: the ids around texts.
        vocabulary: of the tokens.
        width: tokens per row.
        slots: the most pieces per row.
        masking: how rows are masked.
    """

    special: SpecialIds
    vocabulary: Vocabulary
    width: int
    slots: int
    masking: MaskingSettings

    @classmethod
    def of(
        cls, tokenizer: BertTokenizer, width: int, slots: int, masking: MaskingSettings
    ) -> "MaskedRowMaker":
        """Takes ids and vocabulary from a tokenizer."""
        special, vocabulary = SpecialIds.of(tokenizer), Vocabulary.of(tokenizer)
        return cls(special, vocabulary, width, slots, masking)

    def __call__(
        self, tokens: np.ndarray, continues: np.ndarray, pieces: Pieces, places: Places
    ) -> tuple[ModelRows, MaskedRows]:
        """Returns rows before and after masking; for the arguments see `lay_out`."""
        rows = lay_out(
            tokens, continues, pieces, self.width, self.special, places, self.slots
        )
        ids, lengths, within_word = rows.input_ids, rows.lengths, rows.continues
        return rows, mask_rows(
            ids, lengths, within_word, rows.keys, self.vocabulary, self.masking
        )
