"""Masking: what must hold of every row, and on average."""

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_bert import BertTokenizer
from keras_bert.errors import InputError, UnknownNameError
from keras_bert.pretraining.hashed_random import mix
from keras_bert.pretraining.masking import (
    UNITS,
    MaskedRows,
    MaskingSettings,
    Vocabulary,
    mask_rows,
)

SPECIAL = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [f"w{i}" for i in range(300)]
PIECES = [f"##p{i}" for i in range(200)]
VOCABULARY = Vocabulary.of(BertTokenizer(SPECIAL + WORDS + PIECES))
PAD, UNK, CLS, SEP, MASK = 0, 2, 3, 4, 5
FIRST_WORD, FIRST_PIECE = len(SPECIAL), len(SPECIAL) + len(WORDS)
VOCAB_SIZE = FIRST_PIECE + len(PIECES)


def random_rows(rows: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows `[CLS] … [SEP] … [SEP]` of words and pieces, some unknown, padded."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(FIRST_WORD, VOCAB_SIZE, (rows, width)).astype(np.int32)
    ids[rng.random(ids.shape) < 0.02] = UNK
    lengths = rng.integers(5, width + 1, rows).astype(np.int32)
    column = np.arange(width)
    ids[:, 0] = CLS
    ids[(column == lengths[:, None] - 1) | (column == lengths[:, None] // 2)] = SEP
    ids[column >= lengths[:, None]] = PAD
    return ids, lengths


def mask(
    ids: np.ndarray,
    lengths: np.ndarray,
    how: MaskingSettings,
    seed: int = 0,
    continues: np.ndarray | None = None,
) -> MaskedRows:
    keys = mix(seed, np.arange(len(ids)))
    if continues is None:
        continues = VOCABULARY.continues[ids]
    return mask_rows(ids, lengths, continues, keys, VOCABULARY, how)


def words_of(row: np.ndarray, continues: np.ndarray) -> list[list[int]]:
    """Positions of each word of a row, special tokens left out."""
    words: list[list[int]] = []
    previous_is_text = False
    for position, token in enumerate(row.tolist()):
        is_text = token >= FIRST_WORD
        if is_text and previous_is_text and continues[position]:
            words[-1].append(position)
        elif is_text:
            words.append([position])
        previous_is_text = is_text
    return words


HOW = st.builds(
    MaskingSettings,
    max_predictions=st.integers(1, 12),
    probability=st.floats(0, 1),
    unit=st.sampled_from(UNITS),
    max_ngram=st.integers(1, 5),
    max_span=st.integers(1, 10),
    span_end=st.floats(0.05, 0.95),
    whole_words=st.booleans(),
    hidden=st.just(0.8),
    kept=st.just(0.1),
)


@settings(max_examples=300, deadline=None)
@given(st.integers(5, 60), HOW, st.integers(0, 999), st.floats(0, 1))
def test_every_masked_row(width, how, seed, share_of_continued):
    ids, lengths = random_rows(7, width, seed)
    before = ids.copy()
    # Words by any rule, as jieba's are.
    continues = np.random.default_rng(seed).random(ids.shape) < share_of_continued
    masked = mask(ids, lengths, how, seed, continues)
    np.testing.assert_array_equal(ids, before)
    most = how.max_predictions
    whole = how.unit != "token" and how.whole_words
    for row, flags, hidden, places, labels, weights, length in zip(
        ids, continues & whole, *masked, lengths, strict=True
    ):
        count = int(weights.sum())
        assert weights.tolist() == [1.0] * count + [0.0] * (most - count)
        assert not places[count:].any() and not labels[count:].any()
        places, labels = places[:count], labels[:count]
        assert (np.diff(places) > 0).all()
        assert (row[places] == labels).all() and (labels >= FIRST_WORD).all()
        restored = hidden.copy()
        restored[places] = labels
        np.testing.assert_array_equal(restored, row)
        budget = min(most, max(1, round(int(length) * how.probability)))
        assert count <= budget
        chosen = set(places.tolist())
        words = words_of(row, flags)
        left_out = [len(word) for word in words if not chosen & set(word)]
        assert all(chosen >= set(word) or not chosen & set(word) for word in words)
        # What was passed over would not have fitted.
        assert all(size > budget - count for size in left_out)


def test_types_are_those_of_records():
    ids, lengths = random_rows(3, 13)
    masked = mask(ids, lengths, MaskingSettings(7, unit="span"))
    assert [column.dtype for column in masked] == ["int32", "int32", "int32", "float32"]
    assert [column.shape for column in masked] == [(3, 13), (3, 7), (3, 7), (3, 7)]
    none = mask(ids[:0], lengths[:0], MaskingSettings(7, unit="span"))
    assert [len(column) for column in none] == [0, 0, 0, 0]


@pytest.mark.parametrize("unit", UNITS)
def test_shares_of_actions(unit):
    """80/10/10 within four standard errors, on a hundred thousand masked tokens."""
    ids, lengths = random_rows(9000, 101, 4)
    masked = mask(ids, lengths, MaskingSettings(20, 0.25, unit), 8)
    real = masked.weights > 0
    shown = np.take_along_axis(masked.input_ids, masked.positions, axis=1)
    assert real.sum() > 100_000
    other = VOCAB_SIZE - FIRST_WORD
    is_random = (shown != MASK) & (shown != masked.ids)
    expected = {
        "mask": (shown == MASK, 0.8),
        "kept": (shown == masked.ids, 0.1 + 0.1 / other),
        "random": (is_random, 0.1 * (1 - 1 / other)),
    }
    for name, (happened, share) in expected.items():
        # Tokens of a unit go together; rows do not, so they give the error.
        surplus = ((happened - share) * real).sum(1)
        assert abs(surplus.sum()) < 4 * np.sqrt((surplus**2).sum()), name
    drawn = shown[is_random & real]
    assert drawn.min() >= FIRST_WORD  # never a special or unused token
    frequency = np.bincount(drawn, minlength=VOCAB_SIZE)[FIRST_WORD:]
    mean = len(drawn) / other
    assert abs(frequency - mean).max() < 6 * np.sqrt(mean)


def test_positions_are_uniform():
    ids = np.full((20000, 23), FIRST_WORD, np.int32)
    ids[:, 0], ids[:, -1] = CLS, SEP
    masked = mask(ids, np.full(len(ids), 23), MaskingSettings(20, 0.15), 2)
    counts = np.bincount(masked.positions[masked.weights > 0], minlength=23)
    assert counts[0] == counts[-1] == 0
    share = 3 / 21
    bound = 5 * np.sqrt(len(ids) * share * (1 - share))
    assert abs(counts[1:-1] - len(ids) * share).max() < bound


# Units


def one_at_a_time(
    words: list[list[int]], budget: int, weights: np.ndarray, rng: random.Random
) -> list[int]:
    """Masks a row as described: unit by unit; gives the words taken."""
    taken: set[int] = set()
    lengths = rng.choices(range(1, len(weights) + 1), weights, k=len(words))
    for first in rng.sample(range(len(words)), len(words)):
        for word in range(first, min(first + lengths[first], len(words))):
            before = words[word - 1][-1] if word > first else words[word][0] - 1
            fits = len(words[word]) <= budget and before == words[word][0] - 1
            if word in taken or not fits:
                break
            taken.add(word)
            budget -= len(words[word])
    return sorted(taken)


def run_lengths(taken: list[int]) -> list[int]:
    """Sizes of runs of neighboring numbers."""
    runs: list[int] = []
    for index, number in enumerate(taken):
        if index and taken[index - 1] == number - 1:
            runs[-1] += 1
        else:
            runs.append(1)
    return runs


@pytest.mark.parametrize(
    "how",
    [
        MaskingSettings(20, 0.2, "ngram"),
        MaskingSettings(25, 0.3, "ngram", max_ngram=4, whole_words=False),
        MaskingSettings(20, 0.2, "span"),
        MaskingSettings(9, 0.3, "span", whole_words=False),
    ],
)
def test_runs_are_as_long_as_those_made_one_unit_at_a_time(how):
    ids, lengths = random_rows(4000, 97, 3)
    continues = VOCABULARY.continues[ids] & how.whole_words
    masked = mask(ids, lengths, how, 5)
    rng = random.Random(9)
    ours, expected = Counter(), Counter()
    for row, flags, places, weights, length in zip(
        ids, continues, masked.positions, masked.weights, lengths, strict=True
    ):
        words = words_of(row, flags)
        budget = min(how.max_predictions, max(1, round(length * how.probability)))
        chosen = set(places[weights > 0].tolist())
        ours.update(run_lengths([n for n, w in enumerate(words) if w[0] in chosen]))
        weights = how.length_weights()
        expected.update(run_lengths(one_at_a_time(words, budget, weights, rng)))
    assert sum(ours.values()) > 5000
    for length in ours | expected:
        counts = ours[length], expected[length]
        assert abs(counts[0] - counts[1]) < 5 * np.sqrt(sum(counts) + 1), length


def test_lengths_of_units():
    """Rows that are wide and masked little hold a single unit of the full length."""
    ids = np.full((20000, 301), FIRST_WORD, np.int32)
    lengths = np.full(len(ids), 301)
    for how, longest, share in (
        (MaskingSettings(3, 0.15, "ngram"), 3, (1 / 3) / (1 + 1 / 2 + 1 / 3)),
        (MaskingSettings(10, 0.15, "span"), 10, 0.2 * 0.8**9 / (1 - 0.8**10)),
    ):
        masked = mask(ids, lengths, how, 1)
        together = (np.diff(masked.positions, axis=1) == 1).all(1).mean()
        error = np.sqrt(share * (1 - share) / len(ids))
        by_chance = longest * (longest - 1) / 301  # shorter ones side by side
        assert share - 4 * error < together < share + 4 * error + by_chance
    mean = MaskingSettings(unit="span").length_weights() @ np.arange(1, 11)
    assert round(mean, 1) == 3.8  # as the SpanBERT paper says


def test_pieces_of_a_word_are_treated_alike():
    ids = np.tile(np.array([FIRST_WORD, FIRST_PIECE, FIRST_PIECE + 1], np.int32), 40)
    ids = np.tile(np.concatenate([[CLS], ids, [SEP]]), (500, 1)).astype(np.int32)
    lengths = np.full(len(ids), ids.shape[1])
    masked = mask(ids, lengths, MaskingSettings(60, 0.4, "word"), 6)
    words = masked.input_ids[:, 1:-1].reshape(-1, 3)
    assert set((words == MASK).sum(1).tolist()) == {0, 3}


def test_words_of_an_ngram_are_treated_alike():
    ids = np.full((5000, 201), FIRST_WORD, np.int32)
    how = MaskingSettings(2, 0.15, "ngram", max_ngram=2)
    masked = mask(ids, np.full(len(ids), 201), how, 6)
    together = np.diff(masked.positions, axis=1)[:, 0] == 1
    shown = np.take_along_axis(masked.input_ids, masked.positions, axis=1)
    hidden = (shown == MASK).sum(1)
    assert abs(together.mean() - 1 / 3) < 0.04
    assert (hidden[together] == 1).mean() < 0.02  # two single words side by side
    assert (hidden[~together] == 1).mean() > 0.25  # 0.32 if drawn for each


def test_chinese_words_are_hidden_whole():
    """Characters are tokens of their own; only `continues` knows the words."""
    ids = np.arange(FIRST_WORD, FIRST_WORD + 60, dtype=np.int32)
    ids = np.tile(np.concatenate([[CLS], ids, [SEP]]), (300, 1)).astype(np.int32)
    continues = np.zeros(ids.shape, bool)
    continues[:, 2:-1:2] = True  # words of two characters
    lengths = np.full(len(ids), ids.shape[1])
    masked = mask(ids, lengths, MaskingSettings(21, 0.3, "word"), 3, continues)
    words = (masked.input_ids[:, 1:-1] == MASK).reshape(-1, 30, 2)
    assert words.any() and (words[..., 0] == words[..., 1]).all()
    assert (masked.weights.sum(1) == 18).all()


def test_single_tokens_are_ngrams_of_one_piece():
    ids, lengths = random_rows(97, 61, 3)
    tokens = mask(ids, lengths, MaskingSettings(9, 0.3), 4)
    how = MaskingSettings(9, 0.3, "ngram", max_ngram=1, whole_words=False)
    for ours, expected in zip(mask(ids, lengths, how, 4), tokens, strict=True):
        np.testing.assert_array_equal(ours, expected)


# Keys and bounds


@pytest.mark.parametrize("unit", UNITS)
def test_a_row_depends_on_its_key_alone(unit):
    ids, lengths = random_rows(13, 37)
    continues, keys = VOCABULARY.continues[ids], mix(3, np.arange(13))
    how = MaskingSettings(unit=unit)
    order = np.random.default_rng(1).permutation(13)[:5]
    arrays = ids, lengths, continues, keys
    all_rows = mask_rows(*arrays, VOCABULARY, how)
    some = mask_rows(*(array[order] for array in arrays), VOCABULARY, how)
    for ours, expected in zip(some, all_rows, strict=True):
        np.testing.assert_array_equal(ours, expected[order])
    assert (mask(ids, lengths, how, 4).input_ids != all_rows.input_ids).any()


@pytest.mark.parametrize("unit", UNITS)
def test_rows_of_unknown_words_have_nothing_to_guess(unit):
    ids = np.array([[CLS, UNK, UNK, SEP, UNK, SEP]] * 2, np.int32)
    masked = mask(ids, np.array([6, 6]), MaskingSettings(3, unit=unit))
    assert masked.weights.sum() == 0
    np.testing.assert_array_equal(masked.input_ids, ids)


def test_vocabulary_without_mask():
    with pytest.raises(InputError, match=r"\[MASK\]"):
        Vocabulary.of(BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"]))


def test_unknown_unit():
    with pytest.raises(UnknownNameError, match="Did you mean 'word'"):
        mask(*random_rows(3, 13), MaskingSettings(unit="words"))
