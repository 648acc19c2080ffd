"""Which tokens the masked language model has to guess, and what hides them."""

from typing import NamedTuple

import numpy as np

from keras_bert.tokenization import BertTokenizer


class MaskingSettings(NamedTuple):
    """How rows are masked.

    Attributes:
        max_predictions: masked positions of a row, at most.
        probability: the share of a row's tokens, special ones included.
        whole_words: hide all pieces of a word together, in the same way.
        hidden: of the chosen, the share that becomes [MASK].
        kept: the share that stays as it is; the rest becomes a random word.
    """

    max_predictions: int = 20
    probability: float = 0.15
    whole_words: bool = False
    hidden: float = 0.8
    kept: float = 0.1


class Vocabulary(NamedTuple):
    """What masking has to know of a vocabulary.

    Attributes:
        mask_id: the id of [MASK].
        continues: bool `(vocab,)`: the token continues a word (`##`).
        replacements: the ids random words are drawn from.
        never_masked: ids of special tokens.
    """

    mask_id: int
    continues: np.ndarray
    replacements: np.ndarray
    never_masked: np.ndarray

    @classmethod
    def of(cls, tokenizer: BertTokenizer) -> "Vocabulary":
        """Reads it from a tokenizer.

        Raises:
            InputError: the vocabulary has no [MASK].
        """
        tokens = tokenizer.tokens
        special = set(tokenizer.all_special_ids)
        words = [
            index
            for index, token in enumerate(tokens)
            if index not in special and token and not token.startswith("[unused")
        ]
        return cls(
            tokenizer.mask_token_id,
            np.array([token.startswith("##") for token in tokens]),
            np.array(words or [tokenizer.mask_token_id], np.int32),
            np.array(sorted(special), np.int32),
        )


class MaskedRows(NamedTuple):
    """Rows with hidden tokens, and what was hidden.

    Attributes:
        input_ids: int32 `(rows, seq)`.
        positions: int32 `(rows, predictions)`, ascending, 0 in padding.
        ids: int32 `(rows, predictions)`: the original tokens.
        weights: float32 `(rows, predictions)`: 1, and 0 in padding.
    """

    input_ids: np.ndarray
    positions: np.ndarray
    ids: np.ndarray
    weights: np.ndarray


def mask_rows(
    input_ids: np.ndarray,
    lengths: np.ndarray,
    vocabulary: Vocabulary,
    settings: MaskingSettings,
    rng: np.random.Generator,
) -> MaskedRows:
    """Chooses tokens of each row and hides them.

    Args:
        input_ids: int32 `(rows, seq)`.
        lengths: int32 `(rows,)`, special tokens included.
        vocabulary: of the ids.
        settings: how many, and how.
        rng: the source of all draws.

    Returns:
        The rows masked; the input is left as it is.

    Source: `create_masked_lm_predictions` in google-research/bert,
    create_pretraining_data.py; here what happens is drawn per word, and [UNK]
    is never chosen, and random words are never special or unused tokens.
    """
    seq = np.arange(input_ids.shape[1])
    candidates = (seq < lengths[:, None]) & ~np.isin(input_ids, vocabulary.never_masked)
    begins = candidates.copy()
    if settings.whole_words:
        # A piece whose word begins before the row stands for that word.
        begins &= ~vocabulary.continues[input_ids] | ~np.roll(candidates, 1, axis=1)
    words = np.where(candidates, begins.cumsum(1) - 1, -1)  # (rows, seq)
    sizes = _sizes(words)  # (rows, words)
    budget = np.minimum(
        settings.max_predictions,
        np.maximum(1, np.rint(lengths * settings.probability).astype(np.int64)),
    )
    chosen_words = _choose(sizes, budget, rng)
    chosen = candidates & np.take_along_axis(chosen_words, words, axis=1)
    action = np.take_along_axis(rng.random(sizes.shape), words, axis=1)
    masked = np.where(
        chosen & (action < settings.hidden), vocabulary.mask_id, input_ids
    )
    replaced = chosen & (action >= settings.hidden + settings.kept)
    masked[replaced] = rng.choice(vocabulary.replacements, int(replaced.sum()))
    return MaskedRows(masked, *_columns(input_ids, chosen, settings.max_predictions))


def _sizes(words: np.ndarray) -> np.ndarray:
    """Counts the tokens of each word `(rows, words)` from `(rows, seq)` numbers."""
    rows, width = len(words), words.shape[1]
    flat = (words + np.arange(rows)[:, None] * width)[words >= 0]
    return np.bincount(flat, minlength=rows * width).reshape(rows, width)


def _choose(
    sizes: np.ndarray, budget: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Takes words in random order; one that no longer fits is passed over."""
    scores = np.where(sizes > 0, rng.random(sizes.shape), 2.0)
    order = scores.argsort(1)
    ranked = np.take_along_axis(sizes, order, axis=1)
    taken = np.zeros_like(ranked, bool)
    left = budget.copy()
    for rank in range(ranked.shape[1]):
        size = ranked[:, rank]
        taken[:, rank] = (size > 0) & (size <= left)
        left -= size * taken[:, rank]
        if not left.any():
            break
    chosen = np.zeros_like(taken)
    np.put_along_axis(chosen, order, taken, axis=1)
    return chosen


def _columns(
    input_ids: np.ndarray, chosen: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lists the chosen positions, their tokens and weights `(rows, predictions)`."""
    rows, positions = chosen.nonzero()
    counts = chosen.sum(1)
    rank = np.arange(len(rows)) - np.repeat(counts.cumsum() - counts, counts)
    columns = [
        np.zeros((len(chosen), width), t) for t in (np.int32, np.int32, np.float32)
    ]
    values = positions, input_ids[rows, positions], 1.0
    for column, value in zip(columns, values, strict=True):
        column[rows, rank] = value
    return tuple(columns)
