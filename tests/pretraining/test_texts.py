"""Blocks, objectives and rows: what must hold of every row, and on average."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from keras_bert import BertTokenizer
from keras_bert.pretraining.corpus import (
    BlockStore,
    TokenizedBlock,
    tokenize_documents,
)
from keras_bert.pretraining.hashed_random import mix, text_key, uniform
from keras_bert.pretraining.packing import Places, pack
from keras_bert.pretraining.pairs import OBJECTIVES, joined, pieces_of, truncate
from keras_bert.pretraining.rows import Pieces, SpecialIds, lay_out, piece_lengths
from keras_bert.pretraining.words import word_finder

SPECIAL = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [f"w{i}" for i in range(300)]
PIECES = [f"##p{i}" for i in range(200)]
CLS, SEP = 3, 4


# Draws


def test_draws_are_uniform_and_independent():
    keys = mix(7, np.arange(20_000))
    first, second = uniform(keys, "a", 3), uniform(keys, "b", 3)
    assert stats.kstest(first.ravel(), "uniform").pvalue > 1e-4
    columns = np.concatenate([first, second, first[::-1]], axis=1)
    between = np.corrcoef(columns.T)[np.triu_indices(9, 1)]
    assert abs(between).max() < 5 / np.sqrt(len(keys))


def test_draws_depend_on_keys_and_names_alone():
    keys = mix(7, np.arange(37))
    np.testing.assert_array_equal(
        uniform(keys, "a", 5)[13:20], uniform(keys[13:20], "a", 5)
    )
    np.testing.assert_array_equal(uniform(keys, "a", 5)[:, :3], uniform(keys, "a", 3))
    assert (uniform(keys, "a", 1) != uniform(keys, "b", 1)).all()
    assert mix(1, 2) != mix(2, 1)
    assert len(np.unique(mix(np.arange(100)[:, None], np.arange(100)))) == 10_000


def test_keys_are_the_same_everywhere():
    assert int(mix(12345, 2, text_key(b"text"))) == 17_617_526_857_030_327


# Blocks


def test_sentences_without_tokens_are_left_out_and_counted():
    tokenizer = BertTokenizer(SPECIAL + WORDS)
    documents = [["w1 w2", "\u200b", "w3"], ["\u200b"], [], ["w4", "zz"]]
    block, counts = tokenize_documents(documents, tokenizer)
    assert block.sentences.tolist() == [0, 2, 3, 4, 5]
    assert block.documents.tolist() == [0, 2, 4]
    assert block.tokens.tolist() == tokenizer.text_to_ids("w1 w2 w3 w4 zz")
    assert block.keys.tolist() == [
        text_key("w1 w2\n\u200b\nw3".encode()),
        text_key(b"w4\nzz"),
    ]
    assert counts == {
        "documents": 2,
        "sentences": 4,
        "tokens": 5,
        "unknown_tokens": 1,
        "ideographs": 0,
        "documents_without_tokens": 2,
        "sentences_without_tokens": 2,
    }


def test_pieces_continue_words():
    tokenizer = BertTokenizer([*SPECIAL, "a", "##b", "##c"])
    block, _ = tokenize_documents([["abc a"], ["ab"]], tokenizer)
    assert block.continues.tolist() == [False, True, True, False, False, True]


def test_chinese_words_continue_by_segmentation():
    tokenizer = BertTokenizer([*SPECIAL, *"我爱北京天安门", "o", "##k", "##á"])

    words = word_finder("spaces")
    block, counts = tokenize_documents([["我 ok 爱 北京 天安门"]], tokenizer, words)
    assert counts["ideographs"] == 7
    tokens = tokenizer.convert_ids_to_tokens(block.tokens)
    inside = [t for t, inside in zip(tokens, block.continues, strict=True) if inside]
    assert inside == ["##k", "京", "安", "门"]


@pytest.mark.parametrize(("vocab_size", "dtype"), [(1 << 16, "u2"), (70_000, "i4")])
def test_stored_blocks_come_back(tmp_path, vocab_size, dtype):
    store = BlockStore(tmp_path / "deep", vocab_size)
    top = min(vocab_size, 1 << 16) - 1
    block = TokenizedBlock(
        np.array([5, top, 7], np.int32),
        np.array([False, True, False]),
        np.array([0, 1, 3]),
        np.array([0, 2]),
        np.array([2**64 - 1], np.uint64),
    )
    assert 3 not in store
    store.save(3, block, {"tokens": 3})
    assert 3 in store and store.counts(3) == {"tokens": 3}
    for saved, loaded in zip(block, store.load(3), strict=True):
        assert saved.dtype == loaded.dtype
        np.testing.assert_array_equal(saved, loaded)
    with np.load(next((tmp_path / "deep").iterdir())) as file:
        assert file["tokens"].dtype == dtype


# Objectives


@st.composite
def token_blocks(draw, longest: int = 9) -> TokenizedBlock:
    """Documents of sentences; the tokens are their own places."""
    lengths = draw(
        st.lists(
            st.lists(st.integers(1, longest), min_size=1, max_size=12),
            min_size=2,
            max_size=6,
        )
    )
    sentences = np.cumsum([0, *(n for document in lengths for n in document)])
    documents = np.cumsum([0, *map(len, lengths)])
    tokens = np.arange(sentences[-1], dtype=np.int32) + 1000
    keys = mix(5, np.arange(len(lengths)))
    return TokenizedBlock(tokens, tokens % 3 == 0, sentences, documents, keys)


def document_of(block: TokenizedBlock, place: int) -> int:
    ends = block.sentences[block.documents]
    return int(np.searchsorted(ends, place, side="right"))


@settings(max_examples=300, deadline=None)
@given(token_blocks(), st.floats(0, 1), st.integers(0, 99))
def test_next_sentence_pairs(block, short, seed):
    room = 40
    pieces = pieces_of(block, OBJECTIVES["nsp"], mix(seed, block.keys), room, short)
    assert len(np.unique(pieces.keys)) == len(pieces.keys)
    for (start_a, end_a, start_b, end_b), label in zip(
        pieces.spans, pieces.labels, strict=True
    ):
        assert start_a < end_a and start_b < end_b
        assert end_a - start_a + end_b - start_b <= room
        same = document_of(block, start_a) == document_of(block, start_b)
        assert same != label
        assert document_of(block, start_a) == document_of(block, end_a - 1)
        assert document_of(block, start_b) == document_of(block, end_b - 1)


@settings(max_examples=200, deadline=None)
@given(token_blocks(), st.floats(0, 1), st.integers(0, 99))
def test_all_text_is_used_where_there_is_room(block, short, seed):
    sentence_of_one = {
        int(block.tokens[start])
        for start, end in pairwise(block.sentences)
        if end - start == 1
    }
    for name, objective in OBJECTIVES.items():
        used = joined(block, SEP, 200) if objective.joined else block
        pieces = pieces_of(used, objective, mix(seed, block.keys), 200, short)
        # A random second text is not what the row is there for.
        own = np.where(name == "nsp", 1 - pieces.labels, 1)
        texts = [*pieces.spans[:, :2], *pieces.spans[own > 0, 2:]]
        parts = [used.tokens[start:end] for start, end in texts]
        found = np.concatenate([[], *parts]).astype(int)
        found = sorted(found[found != SEP].tolist())
        assert found == sorted(set(found))
        lost = {*block.tokens.tolist()} - {*found}
        assert lost <= (sentence_of_one if name == "sop" else set())


@settings(max_examples=200, deadline=None)
@given(token_blocks(), st.floats(0, 1), st.integers(0, 99))
def test_sentence_order_pairs(block, short, seed):
    pieces = pieces_of(block, OBJECTIVES["sop"], mix(seed, block.keys), 500, short)
    for (start_a, end_a, start_b, end_b), label in zip(
        pieces.spans, pieces.labels, strict=True
    ):
        assert start_a < end_a and start_b < end_b
        assert (end_b == start_a) if label else (end_a == start_b)
        assert document_of(block, start_a) == document_of(block, end_b - 1)


@settings(max_examples=200, deadline=None)
@given(token_blocks(longest=60), st.floats(0, 1), st.integers(0, 99))
def test_full_sentences(block, short, seed):
    room = 23
    whole = joined(block, SEP, room)
    assert (np.diff(whole.sentences) <= room).all()
    pieces = pieces_of(whole, OBJECTIVES["none"], mix(seed, block.keys), room, short)
    texts = [whole.tokens[a:b] for a, b, _, _ in pieces.spans]
    assert all(0 < len(text) <= room for text in texts)
    assert all(text[0] != SEP != text[-1] for text in texts)
    joined_texts = np.concatenate(texts)
    np.testing.assert_array_equal(joined_texts[joined_texts != SEP], block.tokens)
    assert (pieces.spans[:, 2] == pieces.spans[:, 3]).all()
    ends = {whole.tokens[end - 1] for end in whole.sentences[whole.documents[1:]]}
    assert ends == {SEP}


def many(name: str, documents: int = 200) -> tuple[TokenizedBlock, Pieces]:
    sentences = np.arange(0, documents * 500 + 1, 5)
    block = TokenizedBlock(
        np.arange(documents * 500, dtype=np.int32),
        np.zeros(documents * 500, bool),
        sentences,
        np.arange(0, len(sentences), 100),
        mix(3, np.arange(documents)),
    )
    return block, pieces_of(block, OBJECTIVES[name], block.keys, 37, 0.1)


@pytest.mark.parametrize(("name", "share"), [("nsp", 0.55), ("sop", 0.5)])
def test_about_half_of_the_labels_are_one(name, share):
    _, pieces = many(name)
    deviation = 0.5 / np.sqrt(len(pieces.labels))
    # Pairs of a single sentence always have a random second text.
    assert 0.5 - 5 * deviation < pieces.labels.mean() < share + 5 * deviation


def test_random_texts_come_from_everywhere():
    block, pieces = many("nsp")
    random = pieces.labels == 1
    documents = np.searchsorted(
        block.sentences[block.documents], pieces.spans[random, 2], side="right"
    )
    counts = np.bincount(documents, minlength=201)[1:]
    assert stats.chisquare(counts).pvalue > 1e-4


def test_one_document_gives_pairs_that_follow():
    keys = mix(1, np.arange(1))
    block = TokenizedBlock(
        np.arange(30, dtype=np.int32),
        np.zeros(30, bool),
        np.array([0, 3, 5, 9, 14, 20, 25, 30]),
        np.array([0, 7]),
        keys,
    )
    for seed in range(50):
        pieces = pieces_of(block, OBJECTIVES["nsp"], mix(seed, keys), 9, 0.5)
        assert not pieces.labels.any()


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 60)), min_size=1, max_size=7),
    st.integers(2, 50),
)
def test_truncation_keeps_inner_tokens(lengths, room):
    spans = np.array([[100, 100 + a, 300, 300 + b] for a, b in lengths])
    cut = truncate(spans, room, mix(5, np.arange(len(spans))))
    for before, after in zip(spans, cut, strict=True):
        a, b = after[1] - after[0], after[3] - after[2]
        assert (before[::2] <= after[::2]).all() and (after[1::2] <= before[1::2]).all()
        assert a >= 1 and (b >= 1 or before[2] == before[3])
        total = before[1] - before[0] + before[3] - before[2]
        assert a + b == min(total, room)


def test_truncation_takes_every_part_equally_often():
    spans = np.tile([0, 10, 20, 20], (6000, 1))
    cut = truncate(spans, 7, mix(5, np.arange(6000)))
    assert stats.chisquare(np.bincount(cut[:, 0], minlength=4)).pvalue > 1e-4


# Rows


@settings(max_examples=100, deadline=None)
@given(token_blocks(), st.sampled_from(sorted(OBJECTIVES)), st.integers(1, 5))
def test_rows_hold_their_pieces(block, name, slots):
    width, objective = 41, OBJECTIVES[name]
    room = width - objective.special_tokens
    block = joined(block, SEP, room) if objective.joined else block
    pieces = pieces_of(block, objective, mix(9, block.keys), room, 0.5)
    lengths = piece_lengths(pieces.spans)
    places = pack(lengths, width, slots) if slots > 1 else None
    rows = lay_out(
        block.tokens,
        block.continues,
        pieces,
        width,
        SpecialIds(CLS, SEP),
        places,
        slots,
    )
    places = places or Places(np.arange(len(lengths)), np.zeros(len(lengths), int))
    for piece, (row, slot) in enumerate(zip(*places, strict=True)):
        start_a, end_a, start_b, end_b = pieces.spans[piece]
        second = [*block.tokens[start_b:end_b], SEP] if end_b > start_b else []
        expected = [CLS, *block.tokens[start_a:end_a], SEP, *second]
        here = rows.attention_mask[row] == slot + 1
        assert rows.input_ids[row, here].tolist() == expected
        assert rows.cls_positions[row, slot] == here.argmax()
        assert rows.position_ids[row, here].tolist() == [*range(len(expected))]
        types = [0] * (len(expected) - len(second)) + [1] * len(second)
        assert rows.token_type_ids[row, here].tolist() == types
        assert rows.labels[row, slot] == pieces.labels[piece]
        flags = [*block.continues[start_a:end_a], False]
        assert rows.continues[row, here][1 : len(flags) + 1].tolist() == flags
    assert rows.label_weights.sum() == len(lengths)
    np.testing.assert_array_equal((rows.attention_mask > 0).sum(1), rows.lengths)
    padding = np.arange(width) >= rows.lengths[:, None]
    for column in (rows.input_ids, rows.token_type_ids, rows.position_ids):
        assert not column[padding].any()


def test_sentence_edges_are_kept():
    block, pieces = many("nsp", documents=5)
    edges = set(block.sentences.tolist())
    whole = (
        pieces.spans[:, 1]
        - pieces.spans[:, 0]
        + pieces.spans[:, 3]
        - pieces.spans[:, 2]
    ) < 37
    assert whole.any()
    assert {*pieces.spans[whole].ravel().tolist()} <= edges
    assert all(a < b for a, b in pairwise(sorted(edges)))
