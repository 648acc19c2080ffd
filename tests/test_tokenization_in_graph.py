"""The in-graph tokenizer gives the host tokenizer's answers, also when reloaded."""

import json

import numpy as np
import pytest
import tensorflow as tf
from conftest import shared
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_bert import BertTokenizer
from keras_bert.errors import InputError
from keras_bert.tokenization.in_graph import InGraphTokenizer

VOCAB = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] un ##aff ##able run ##ning low ##er the , . ! [ ]"
).split()
VOCAB += [p + chr(c) for p in ("", "##") for c in range(ord("a"), ord("z") + 1)]
VOCAB += "É E ##\u0301 中 文 ᄒ ##ᅡ ##ᆫ σ ##σ ##ς α ##α ß ı".split()
HOSTILE = [
    "",
    " \t\n",
    "UNaffable, running!",
    "[MASK]",
    "run\x0bning\0 the\u2028the\u3000the\x7f",
    "a" * 200,
    "a" * 201,
    "é" * 200,
    "é" * 201,
    "low" * 60 + " low",
    "ΑΣ ΑΣ. ΑΣΑ Σ ΣΣ Α'Σ ΑΣ'Α ΑΣ\u0301 Α\0Σ Α\u200bΣ\u200bΑ中ΑΣ中Σ",
    "İ ı ß ẞ ﬁ ① Ǆ é e\u0301 한가 中文\uf900 \U00020001",
    "the\u200bthe\ufffd \ue000 \U0001f600 \U000e0001 \xad’“”—",
]
SAMPLE = (
    "aZé09 \t\n\0\x0b\x1f\x7f\x85\xa0\xad’'.,[]Σσςα中한\u0301\u0345\u200b\u2028\ufeff"
)
texts = st.text(st.one_of(st.sampled_from(SAMPLE), st.characters()), max_size=30)


def as_bytes(strings: list[str]) -> tf.Tensor:
    return tf.constant([text.encode("utf-8", "replace") for text in strings])


class Tokenizers:
    """A host tokenizer, its in-graph form, and that form traced for any batch."""

    def __init__(self, host: BertTokenizer, max_length: int = 13) -> None:
        self.host = host
        self.graph = InGraphTokenizer.from_tokenizer(host, max_length)
        strings = tf.TensorSpec([None], tf.string)
        self.tokenize = tf.function(self.graph.tokenize, input_signature=[strings])
        self.encode = tf.function(self.graph.encode, input_signature=[strings])
        self.encode_pair = tf.function(self.graph.encode, input_signature=[strings] * 2)

    def check(self, strings: list[str]) -> None:
        got = self.tokenize(as_bytes(strings)).to_list()
        for text, ids in zip(strings, got, strict=True):
            assert ids == self.host.text_to_ids(text), ascii(text)


@pytest.fixture(scope="module", params=[True, False], ids=["uncased", "cased"])
def both(request) -> Tokenizers:
    return Tokenizers(BertTokenizer(VOCAB, request.param))


def test_hostile_text_alone_and_together(both):
    both.check(HOSTILE)
    for text in HOSTILE:
        both.check([text])


@settings(max_examples=60, deadline=None)
@given(st.lists(texts, min_size=1, max_size=5))
def test_any_text(both, strings):
    # Bytes cannot hold lone surrogates.
    both.check([text.encode("utf-8", "ignore").decode() for text in strings])


def test_every_character(both):
    """A thousand at a time, in a word and as a word."""
    codes = [code for code in range(0x3200) if not 0xD800 <= code < 0xE000]
    both.check([f"a{chr(code)}e {chr(code)}" for code in codes])


@pytest.mark.slow
def test_every_character_of_unicode(both):
    for start in range(0, 0x110000, 0x1000):
        codes = [c for c in range(start, start + 0x1000) if not 0xD800 <= c < 0xE000]
        both.check([f"a{chr(code)}e {chr(code)}" for code in codes])


@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize("max_length", [5, 13, 100])
def test_encode_equals_the_host(both, pair, max_length):
    rng = np.random.default_rng(7)
    graph = InGraphTokenizer.from_tokenizer(both.host, max_length)
    for _ in range(5):
        strings = [list(rng.choice(HOSTILE, 7)) for _ in range(1 + pair)]
        expected = both.host(*strings, max_length=max_length)
        got = graph.encode(*map(as_bytes, strings))
        assert set(got) == {"input_ids", "attention_mask", "token_type_ids"}
        for name, array in got.items():
            assert array.dtype == tf.int32
            np.testing.assert_array_equal(array, expected[name], err_msg=name)


def test_traced_encode(both):
    expected = both.host(HOSTILE, max_length=13)
    got = both.encode(as_bytes(HOSTILE))
    np.testing.assert_array_equal(got["input_ids"], expected["input_ids"])
    got = both.encode_pair(as_bytes(HOSTILE), as_bytes(HOSTILE[::-1]))
    expected = both.host(HOSTILE, HOSTILE[::-1], max_length=13)
    np.testing.assert_array_equal(got["token_type_ids"], expected["token_type_ids"])


def test_saved_model_holds_the_vocabulary(tmp_path, both):
    module = tf.Module()
    module.tokenizer = both.graph
    module.encode = both.encode
    tf.saved_model.save(module, str(tmp_path), signatures=module.encode)
    assert not list((tmp_path / "assets").iterdir())
    loaded = tf.saved_model.load(str(tmp_path))
    expected = both.host(HOSTILE, max_length=13)
    for got in (
        loaded.encode(as_bytes(HOSTILE)),
        loaded.signatures["serving_default"](as_bytes(HOSTILE)),
    ):
        np.testing.assert_array_equal(got["input_ids"], expected["input_ids"])


def test_in_a_data_pipeline(both):
    data = tf.data.Dataset.from_tensor_slices(as_bytes(HOSTILE)).batch(5)
    rows = [ids for batch in data.map(both.graph.tokenize) for ids in batch.to_list()]
    assert rows == [both.host.text_to_ids(text) for text in HOSTILE]


def test_repeated_and_empty_vocabulary_lines():
    vocab = [*VOCAB, "the", "", "##", ""]
    Tokenizers(BertTokenizer(vocab)).check([*HOSTILE, "the #"])


def test_vocabulary_without_special_tokens():
    with pytest.raises(InputError, match=r"\[PAD\]"):
        InGraphTokenizer(["a", "b"])


@pytest.mark.parametrize("name", ["uncased", "chinese"])
def test_published_vocabularies_on_real_text(name):
    vocab = shared("data", "vocab", f"bert-base-{name}-vocab.txt")
    both = Tokenizers(BertTokenizer(vocab))
    naughty = json.loads(shared("data", "tokenizer", "blns.json").read_text("utf-8"))
    both.check(naughty)
    for path in sorted(shared("data", "corpora", "udhr").iterdir()):
        both.check(path.read_text("utf-8").splitlines()[:20])
