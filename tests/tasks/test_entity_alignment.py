"""Every annotated entity comes back from its tokens, or is known not to."""

import pytest

from keras_bert import BertTokenizer
from keras_bert.tasks.conll_files import Mark, Sentence, read_sentences
from keras_bert.tasks.entity_alignment import misaligned_entities
from tests.paths import shared

# By the line of the sentence: a word with a byte order mark at its end, which no
# tokenizer of BERT keeps.
KNOWN = {
    "wnut17/dev.conll": [
        (16728, "Dubbz\ufeff", "has no token for '\\ufeff' at its edge")
    ]
}
FILES = ("wikigold/wikigold.conll.txt", "wnut17/dev.conll", "wnut17/test.annotated")


@pytest.mark.parametrize("file", FILES)
def test_entities_of_published_data_come_back(file):
    vocab = shared("data", "vocab", "bert-base-cased-vocab.txt")
    tokenizer = BertTokenizer(vocab, do_lower_case=False)
    sentences = list(read_sentences(shared("data", "ner", file)))
    assert misaligned_entities(sentences, tokenizer) == KNOWN.get(file, [])


def test_marks_and_words_that_do_not_come_back_are_listed():
    tokenizer = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "golden", "a"])
    found = misaligned_entities(
        [
            Sentence(
                text="a golden", marks=(Mark("X", 2, 6), Mark("X", 7, 8)), lines=(5,)
            ),
            Sentence(("a", "\x07", "a"), ("B-X", "I-X", "B-X")),
        ],
        tokenizer,
    )
    assert found == [
        (5, "gold", "ends inside the token 'golden'"),
        (5, "n", "begins inside the token 'golden'"),
        (0, "a \x07", "has no token for ' \\x07' at its edge"),
    ]
