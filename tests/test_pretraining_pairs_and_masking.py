"""Sentence pairs and masking: what must hold of every row, and on average."""

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_bert import BertTokenizer
from keras_bert.errors import InputError
from keras_bert.pretraining.corpus import (
    Block,
    TokenizedBlock,
    blocks,
    documents,
    tokenize_block,
)
from keras_bert.pretraining.masking import MaskingSettings, Vocabulary, mask_rows
from keras_bert.pretraining.pairs import pair_rows, sentence_pairs, truncate

SPECIAL = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [f"w{i}" for i in range(300)]
PIECES = [f"##p{i}" for i in range(200)]
VOCABULARY = Vocabulary.of(BertTokenizer(SPECIAL + WORDS + PIECES))
PAD, UNK, CLS, SEP, MASK = 0, 2, 3, 4, 5
FIRST_WORD, FIRST_PIECE = len(SPECIAL), len(SPECIAL) + len(WORDS)
VOCAB_SIZE = FIRST_PIECE + len(PIECES)


# Corpus


def test_documents_end_at_blank_lines():
    lines = ["\n", "a b \n", " c\n", " \t\n", "\n", "d"]
    assert list(documents(lines)) == [["a b", "c"], ["d"]]


@given(st.lists(st.integers(1, 40), max_size=30), st.integers(1, 60))
def test_blocks_hold_every_document_once_and_two_at_least(sizes, size):
    source = [["x" * n, "y"] for n in sizes]
    made = list(blocks(iter(source), size))
    assert [d for block in made for d in block.documents] == source
    assert [block.index for block in made] == list(range(len(made)))
    assert all(len(block.documents) >= 2 for block in made) or len(sizes) < 2
    assert sum(block.size for block in made) == sum(sizes) + 3 * len(sizes)


def test_sentences_without_tokens_are_left_out():
    tokenizer = BertTokenizer(SPECIAL + WORDS)
    block = Block(0, [["w1 w2", "\u200b", "w3"], ["\u200b"], ["w4"]], 0)
    tokenized = tokenize_block(block, tokenizer)
    assert tokenized.sentences == [[0, 2, 3], [3, 4]]
    assert tokenized.tokens.tolist() == tokenizer.text_to_ids("w1 w2 w3 w4")


# Pairs


@st.composite
def token_blocks(draw) -> TokenizedBlock:
    """Documents of sentences; the tokens are their own places."""
    lengths = draw(
        st.lists(
            st.lists(st.integers(1, 9), min_size=1, max_size=12), min_size=2, max_size=6
        )
    )
    starts, place = [], 0
    for sentences in lengths:
        edges = np.cumsum([place, *sentences]).tolist()
        starts.append(edges)
        place = edges[-1]
    return TokenizedBlock(np.arange(place, dtype=np.int32), starts)


@settings(max_examples=300, deadline=None)
@given(token_blocks(), st.integers(2, 40), st.floats(0, 1), st.integers(0, 99))
def test_pairs_are_sentences_in_order(block, room, short, seed):
    document_of = {
        place: index
        for index, starts in enumerate(block.sentences)
        for place in range(starts[0], starts[-1])
    }
    edges = {edge for starts in block.sentences for edge in starts}
    used: set[int] = set()
    for pair in sentence_pairs(
        block, room=room, short_seq_prob=short, rng=random.Random(seed)
    ):
        assert pair.start_a < pair.end_a and pair.start_b < pair.end_b
        assert {*pair[:4]} <= edges
        same = document_of[pair.start_a] == document_of[pair.start_b]
        assert same != pair.is_random
        assert pair.is_random or pair.start_b == pair.end_a
        used.update(range(pair.start_a, pair.end_a))
        used.update(() if pair.is_random else range(pair.start_b, pair.end_b))
    assert used == set(document_of)


def test_one_document_has_no_random_pairs():
    block = TokenizedBlock(np.arange(30), [[0, 3, 5, 9, 14, 20, 25, 30]])
    rng = random.Random(1)
    pairs = [
        pair
        for _ in range(50)
        for pair in sentence_pairs(block, room=9, short_seq_prob=0.5, rng=rng)
    ]
    assert pairs and not any(pair.is_random for pair in pairs)


def test_half_of_the_pairs_are_random():
    starts = [list(range(i * 500, i * 500 + 501, 5)) for i in range(20)]
    block = TokenizedBlock(np.arange(10000), starts)
    rng = random.Random(3)
    pairs = [
        pair
        for _ in range(20)
        for pair in sentence_pairs(block, room=37, short_seq_prob=0.1, rng=rng)
    ]
    share = np.mean([pair.is_random for pair in pairs])
    # Pairs cut from a single sentence are always random, hence a little above half.
    deviation = 0.5 / np.sqrt(len(pairs))
    assert 0.5 - 5 * deviation < share < 0.55 + 5 * deviation


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=7),
    st.integers(2, 50),
)
def test_truncation_keeps_inner_tokens(lengths, room):
    spans = np.array([[100, 100 + a, 300, 300 + b] for a, b in lengths])
    cut = truncate(spans, room, np.random.default_rng(5))
    for before, after in zip(spans, cut, strict=True):
        a, b = after[1] - after[0], after[3] - after[2]
        assert (before[::2] <= after[::2]).all() and (after[1::2] <= before[1::2]).all()
        assert a >= 1 and b >= 1
        total = before[1] - before[0] + before[3] - before[2]
        assert a + b == min(total, room)


@settings(max_examples=100, deadline=None)
@given(token_blocks(), st.integers(5, 40), st.integers(0, 99))
def test_rows_hold_their_pairs(block, width, seed):
    pairs = list(
        sentence_pairs(
            block, room=width - 3, short_seq_prob=0.1, rng=random.Random(seed)
        )
    )
    tokens = block.tokens + 1000
    rows = pair_rows(
        tokens,
        pairs,
        max_seq_length=width,
        cls_id=CLS,
        sep_id=SEP,
        rng=np.random.default_rng(seed),
    )
    assert rows.next_sentence_labels.tolist() == [int(p.is_random) for p in pairs]
    for pair, ids, types, length in zip(pairs, *rows[:3], strict=True):
        ids, types = ids.tolist(), types.tolist()
        assert length <= width and ids[length:] == [PAD] * (width - length)
        first = ids.index(SEP)
        assert ids[0] == CLS and ids[length - 1] == SEP
        text_a, text_b = ids[1:first], ids[first + 1 : length - 1]
        for text, start, end in ((text_a, *pair[:2]), (text_b, *pair[2:4])):
            assert text and text == list(range(text[0], text[0] + len(text)))
            assert start + 1000 <= text[0] and text[-1] < end + 1000
        ones = length - first - 1
        assert types == [0] * (first + 1) + [1] * ones + [0] * (width - length)


# Masking


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


def words_of(row: np.ndarray) -> list[list[int]]:
    """Positions of each word of a row, special tokens left out."""
    words: list[list[int]] = []
    previous_is_text = False
    for position, token in enumerate(row.tolist()):
        is_text = token >= FIRST_WORD
        if is_text and previous_is_text and token >= FIRST_PIECE:
            words[-1].append(position)
        elif is_text:
            words.append([position])
        previous_is_text = is_text
    return words


@settings(max_examples=150, deadline=None)
@given(
    st.integers(5, 60),
    st.integers(1, 12),
    st.floats(0, 1),
    st.booleans(),
    st.integers(0, 999),
)
def test_every_masked_row(width, most, probability, whole, seed):
    ids, lengths = random_rows(7, width, seed)
    before = ids.copy()
    how = MaskingSettings(most, probability, whole)
    masked = mask_rows(ids, lengths, VOCABULARY, how, np.random.default_rng(seed))
    np.testing.assert_array_equal(ids, before)
    for row, hidden, places, labels, weights, length in zip(
        ids, *masked, lengths, strict=True
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
        budget = min(most, max(1, round(int(length) * probability)))
        assert count <= budget
        words = words_of(row) if whole else [[p] for w in words_of(row) for p in w]
        chosen = set(places.tolist())
        left_out = [len(word) for word in words if not chosen & set(word)]
        assert all(chosen >= set(word) or not chosen & set(word) for word in words)
        # What was passed over would not have fitted.
        assert all(size > budget - count for size in left_out)


def test_shares_of_actions():
    """80/10/10 within five standard deviations, on a hundred thousand tokens."""
    ids, lengths = random_rows(9000, 101, 4)
    how = MaskingSettings(20, 0.15, False)
    masked = mask_rows(ids, lengths, VOCABULARY, how, np.random.default_rng(8))
    rows, real = np.arange(len(ids))[:, None], masked.weights > 0
    shown = masked.input_ids[rows, masked.positions][real]
    labels = masked.ids[real]
    count = len(labels)
    assert count >= 60_000 and lengths.sum() >= 100_000
    other = VOCAB_SIZE - FIRST_WORD
    expected = {
        "mask": (shown == MASK, 0.8),
        "kept": (shown == labels, 0.1 + 0.1 / other),
        "random": ((shown != MASK) & (shown != labels), 0.1 * (1 - 1 / other)),
    }
    for name, (happened, share) in expected.items():
        bound = 5 * np.sqrt(share * (1 - share) / count)
        assert abs(happened.mean() - share) < bound, name
    drawn = shown[expected["random"][0]]
    assert drawn.min() >= FIRST_WORD  # never a special or unused token
    frequency = np.bincount(drawn, minlength=VOCAB_SIZE)[FIRST_WORD:]
    mean = len(drawn) / other
    assert abs(frequency - mean).max() < 6 * np.sqrt(mean)


def test_positions_are_uniform():
    ids = np.full((20000, 23), FIRST_WORD, np.int32)
    ids[:, 0], ids[:, -1] = CLS, SEP
    lengths = np.full(len(ids), 23, np.int32)
    how = MaskingSettings(20, 0.15, False)
    masked = mask_rows(ids, lengths, VOCABULARY, how, np.random.default_rng(2))
    counts = np.bincount(masked.positions[masked.weights > 0], minlength=23)
    assert counts[0] == counts[-1] == 0
    share = 3 / 21
    bound = 5 * np.sqrt(len(ids) * share * (1 - share))
    assert abs(counts[1:-1] - len(ids) * share).max() < bound


def test_pieces_of_a_word_are_treated_alike():
    ids = np.tile(np.array([FIRST_WORD, FIRST_PIECE, FIRST_PIECE + 1], np.int32), 40)
    ids = np.tile(np.concatenate([[CLS], ids, [SEP]]), (500, 1)).astype(np.int32)
    lengths = np.full(len(ids), ids.shape[1], np.int32)
    how = MaskingSettings(60, 0.4, True)
    masked = mask_rows(ids, lengths, VOCABULARY, how, np.random.default_rng(6))
    words = masked.input_ids[:, 1:-1].reshape(-1, 3)
    hidden = (words == MASK).sum(1)
    assert set(hidden.tolist()) == {0, 3}


def test_masking_follows_its_seed():
    ids, lengths = random_rows(13, 37)
    made = [
        mask_rows(ids, lengths, VOCABULARY, MaskingSettings(), np.random.default_rng(s))
        for s in (1, 1, 2)
    ]
    np.testing.assert_array_equal(made[0].input_ids, made[1].input_ids)
    assert (made[0].input_ids != made[2].input_ids).any()


def test_rows_of_unknown_words_have_nothing_to_guess():
    ids = np.array([[CLS, UNK, UNK, SEP, UNK, SEP]], np.int32)
    how = MaskingSettings(3)
    masked = mask_rows(ids, np.array([6]), VOCABULARY, how, np.random.default_rng(0))
    assert masked.weights.sum() == 0
    np.testing.assert_array_equal(masked.input_ids, ids)


def test_vocabulary_without_mask():
    with pytest.raises(InputError, match=r"\[MASK\]"):
        Vocabulary.of(BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"]))


def test_pairwise_sentences_cover_documents():
    tokenizer = BertTokenizer(SPECIAL + WORDS)
    made = tokenize_block(Block(0, [["w1", "w2 w3"], ["w4"]], 0), tokenizer)
    parts = [made.tokens[a:b].tolist() for s in made.sentences for a, b in pairwise(s)]
    assert [tokenizer.convert_ids_to_tokens(part) for part in parts] == [
        ["w1"],
        ["w2", "w3"],
        ["w4"],
    ]
