"""Characters and words to tokens, and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_bert import BertTokenizer
from keras_bert.errors import InputError
from keras_bert.tasks.alignment import IGNORED, Alignment, encode_words
from tests.vocabulary import SPECIAL

PIECES = [*"abcdefgz北京天安门é😀", *(f"##{letter}" for letter in "abcdefgz"), "ab"]
VOCAB = [*SPECIAL, *PIECES]
ACCENTED = "e\N{COMBINING ACUTE ACCENT}"
ZERO_WIDTH = "\N{ZERO WIDTH SPACE}"


def aligned(text: str, **rules) -> Alignment:
    return Alignment.of(BertTokenizer(VOCAB, **rules), text)


@pytest.mark.parametrize(
    "text",
    [
        *("abc", "a-c", "É", ACCENTED, f"c{ACCENTED}d", "北京", "a北b", "😀", "😀😀"),
        *("❤\N{VARIATION SELECTOR-16}", "👩\N{ZERO WIDTH JOINER}👧", "a\u00adb", "xyz"),
        *("a\r\nb", "a \0b", "a\x07b", f"a{ZERO_WIDTH}b", "ﬁ", "İ", "각", "(a)"),
    ],
)
@pytest.mark.parametrize("lower", [True, False])
def test_characters_come_back_from_their_tokens(text, lower):
    whole = f"é {text}\r\n😀 {ZERO_WIDTH}c"
    alignment = aligned(whole, do_lower_case=lower)
    tokens = alignment.tokens(2, 2 + len(text))
    assert alignment.characters(*tokens) == (2, 2 + len(text))
    assert alignment.mismatch(2, 2 + len(text)) is None


@pytest.mark.parametrize(
    ("text", "start", "end", "reason"),
    [
        ("a hxh b", 3, 5, "begins inside the token 'hxh'"),
        ("a hxh b", 2, 4, "ends inside the token 'hxh'"),
        ("a bb c", 1, 4, "has no token for ' ' at its edge"),
        ("a bb c", 2, 5, "has no token for ' ' at its edge"),
        (f"a {ZERO_WIDTH} b", 2, 3, "has no token"),
        (f"a{ZERO_WIDTH} b", 0, 2, f"has no token for {ZERO_WIDTH!r} at its edge"),
        (f"c{ACCENTED} b", 0, 2, f"ends inside the token {ACCENTED!r}"),
        ("a", 0, 0, "has no token"),
        ("", 0, 0, "has no token"),
    ],
)
def test_what_does_not_come_back_has_a_reason(text, start, end, reason):
    assert aligned(text).mismatch(start, end) == reason


def test_spaces_that_a_tokenizer_counts_to_a_token_are_left_out():
    # As SentencePiece's tokenizers do; special tokens cover nothing.
    alignment = Alignment("a bc d", [(0, 0), (0, 1), (1, 4), (4, 6), (0, 0)])
    assert alignment.tokens(2, 4) == (2, 2)
    assert alignment.characters(2, 3) == (2, 6)
    assert alignment.characters(0, 4) == (0, 6)
    assert alignment.mismatch(2, 4) is None


def test_tokens_may_share_a_character():
    # As bytes of an emoji do.
    alignment = Alignment("a😀b", [(0, 1), (1, 2), (1, 2), (1, 2), (2, 3)])
    assert alignment.tokens(1, 2) == (1, 3)
    assert alignment.characters(2, 2) == (1, 2)


@settings(deadline=None, max_examples=200)
@given(
    st.text(st.sampled_from("ab é北😀\u0301\u200b\u200d\n\r\x07-."), max_size=12),
    st.data(),
)
def test_a_reason_is_given_exactly_if_characters_change(text, data):
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    alignment = aligned(text)
    tokens = alignment.tokens(start, end)
    back = tokens and alignment.characters(*tokens)
    assert (alignment.mismatch(start, end) is None) == (back == (start, end))


# === Words ===


def label_rows(sentences, **lengths):
    """Returns ids, and the number of each word, from 1, where its label is."""
    tokenizer = BertTokenizer(VOCAB)
    features, words = encode_words(sentences, tokenizer, **lengths)
    shape = features["input_ids"].shape
    tokens = [tokenizer.convert_ids_to_tokens(row) for row in features["input_ids"]]
    return tokens, words.spread(words.words, shape), words


def test_the_first_token_of_a_word_has_its_label():
    sentences = [["a", "bcd", ZERO_WIDTH, "😀"], [], ["\x07"], ["b-c"]]
    tokens, labels, words = label_rows(sentences, max_length=9)
    assert tokens[0] == ["[CLS]", "a", "b", "##c", "##d", "😀", "[SEP]"]
    none = IGNORED
    np.testing.assert_array_equal(labels[0], [none, 0, 1, none, none, 3, none])
    assert (labels[1:3] == none).all()
    np.testing.assert_array_equal(labels[3], [none, 0, *[none] * 5])
    assert words.sentences.tolist() == [0, 0, 0, 3]  # what vanishes is not here


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_a_word_of_a_long_sentence_is_labeled_once_and_has_context(stride):
    sentence = [*"abcdefg", "abc", *"abcdefg", "aab", "z"]  # tokens: 7 + 2 + 7 + 2 + 1
    tokens, labels, words = label_rows([["b"], sentence], max_length=8, stride=stride)
    assert words.sentences.tolist() == [0] + [1] * len(sentence)
    assert words.words.tolist() == [0, *range(len(sentence))]
    assert sorted(labels[labels >= 0]) == sorted([0, *range(len(sentence))])
    firsts = [word[:2] if word in ("abc", "aab") else word for word in ["b", *sentence]]
    firsts[firsts.index("aa")] = "a"
    found = [tokens[r][c] for r, c in zip(words.rows, words.columns, strict=True)]
    assert found == firsts
    later = words.columns[(words.rows > 1)] - 1
    assert later.min() >= stride // 2  # tokens before it, except in the first row


def test_a_long_sentence_without_stride_is_cut_off():
    assert label_rows([[*"abcdefg"]], max_length=5)[2].words.tolist() == [0, 1, 2]
    with pytest.raises(InputError, match="stride=3 must be smaller than the 3 tokens"):
        label_rows([[*"abcdefg"]], max_length=5, stride=3)
