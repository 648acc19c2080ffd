"""The in-graph tokenizer gives the host tokenizer's answers, also when reloaded."""

import json
from functools import cache
from unicodedata import category

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_bert import BertConfig, BertForSequenceClassification, BertTokenizer
from keras_bert.errors import InputError, UnknownNameError
from keras_bert.tokenization import BertTokenizerLayer, InGraphTokenizer
from keras_bert.tokenization.normalizer import all_expansions
from keras_bert.tokenization.rules import WordRules
from tests.bounds import assert_close
from tests.paths import shared

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
        self.encode = tf.function(self.graph.encode, input_signature=[strings])
        self.encode_pair = tf.function(self.graph.encode, input_signature=[strings] * 2)

    def check(self, strings: list[str]) -> None:
        got = self.graph.tokenize(as_bytes(strings)).to_list()
        for text, ids in zip(strings, got, strict=True):
            assert ids == self.host.text_to_ids(text), ascii(text)

    def check_offsets(self, strings: list[str]) -> None:
        got = self.graph.tokenize_with_offsets(as_bytes(strings))
        expected = self.host(
            strings, max_length=None, truncation=False, return_offsets_mapping=True
        )
        lengths = expected["attention_mask"].sum(axis=1) - 2
        rows = zip(*(field.to_list() for field in got), strict=True)
        for row, (ids, begins, ends) in enumerate(rows):
            kept = slice(1, 1 + lengths[row])
            places = expected["offset_mapping"][row, kept]
            assert ids == expected["input_ids"][row, kept].tolist()
            message = ascii(strings[row])
            assert begins == places[:, 0].tolist(), message
            assert ends == places[:, 1].tolist(), message


def same(got: dict[str, tf.Tensor], expected: dict[str, np.ndarray]) -> None:
    assert set(got) == set(expected)
    for name, array in got.items():
        assert array.dtype == tf.int32
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


@pytest.fixture(
    scope="module",
    params=[(True, False), (False, False), (True, True)],
    ids=["uncased", "cased", "google"],
)
def both(request) -> Tokenizers:
    lower, google = request.param
    return Tokenizers(BertTokenizer(VOCAB, lower, google_rules=google))


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
        same(graph.encode(*map(as_bytes, strings)), expected)


@pytest.mark.parametrize("truncation", ["longest_first", "only_first", "only_second"])
@pytest.mark.parametrize("padding", [True, "max_length"])
def test_truncation_and_padding_equal_the_host(both, truncation, padding):
    strings = [["the low", "run " * 3, ""], ["unaffable " * 2, "low", ""]]
    settings = {"max_length": 11, "truncation": truncation, "padding": padding}
    expected = both.host(*strings, **settings)
    same(both.graph.encode(*map(as_bytes, strings), **settings), expected)
    settings["truncation"] = False
    long = [text + " low" * 20 for text in strings[0]]
    if padding is True:
        expected = both.host(long, strings[1], **settings)
        got = both.graph.encode(as_bytes(long), as_bytes(strings[1]), **settings)
        same(got, expected)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 4)), min_size=1, max_size=5),
    st.integers(11, 20),
    st.integers(1, 3),
    st.sampled_from(["single", "longest_first", "only_first", "only_second"]),
)
def test_windows_equal_the_host(sizes, max_length, stride, kind):
    both = _small()
    long = [" ".join(f"{c}" for c in (LETTERS * 2)[:size]) for size, _ in sizes]
    short = ["the low un ,"[: 4 * size] for _, size in sizes]
    texts = {"single": [long], "only_first": [long, short]}.get(kind, [short, long])
    truncation = True if kind == "single" else kind
    arguments = {"max_length": max_length, "truncation": truncation, "stride": stride}
    arguments["return_offsets_mapping"] = True
    expected = both.host(*texts, **arguments)
    same(both.graph.encode(*map(as_bytes, texts), **arguments), expected)


LETTERS = "abcdefghijklmnopqrstuvwxyz"


@cache
def _small() -> Tokenizers:
    return Tokenizers(BertTokenizer(VOCAB))


def test_windows_cut_answers_out_of_text(both):
    text = "Run 中文é  the\u200b lower, " * 9
    question = ["unaffable?"]
    arguments = {"max_length": 17, "stride": 4, "return_offsets_mapping": True}
    got = both.graph.encode(as_bytes(question), as_bytes([text]), **arguments)
    same(got, both.host(question, [text], **arguments))
    assert len(got["input_ids"]) > 5
    assert set(got["overflow_to_sample_mapping"].numpy()) == {0}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"stride": 3, "max_length": 9}, tf.errors.InvalidArgumentError, "stride=3"),
        (
            {"truncation": "only_second", "max_length": 9},
            tf.errors.InvalidArgumentError,
            "only_second",
        ),
        ({"truncation": "only_frist"}, UnknownNameError, "only_first"),
        ({"truncation": False, "stride": 2}, InputError, "Expected truncation"),
    ],
)
def test_what_cannot_fit(both, arguments, error, message):
    texts = as_bytes(["the low " * 9]), as_bytes(["the low " * 9])
    with pytest.raises(error, match=message):
        both.graph.encode(*texts, **arguments)


def test_offsets_of_hostile_text(both):
    both.check_offsets(HOSTILE)
    both.check_offsets([text for text in HOSTILE if text.isascii()])
    both.check_offsets([""])


@settings(max_examples=60, deadline=None)
@given(st.lists(texts, min_size=1, max_size=5))
def test_offsets_of_any_text(both, strings):
    both.check_offsets([t.encode("utf-8", "ignore").decode() for t in strings])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=9), min_size=1, max_size=3))
def test_bytes_that_are_no_text_are_dropped(both, strings):
    strings = [b"the " + text + "é".encode() for text in strings]
    expected = [both.host.text_to_ids(t.decode("utf-8", "replace")) for t in strings]
    assert both.graph.tokenize(strings).to_list() == expected


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


@pytest.mark.parametrize(
    ("rules", "google"),
    [
        ((True, False, True), False),
        ((False, True, False), True),
        pytest.param((True, False, True), True, marks=pytest.mark.slow),
        pytest.param((False, True, False), False, marks=pytest.mark.slow),
    ],
)
def test_other_rules(rules, google):
    lower, strip, chinese = rules
    settings = {"strip_accents": strip, "tokenize_chinese_chars": chinese}
    settings["google_rules"] = google
    vocab = [*VOCAB, "é", "##中", "中文", "##文", "##\U00020001"]
    both = Tokenizers(BertTokenizer(vocab, lower, **settings))
    strings = [*HOSTILE, "a中文a 中文 文 É中\U00020001 \U00100000中 x\U00100001"]
    both.check(strings)
    both.check_offsets(strings)


def test_vocabulary_of_what_tensorflow_text_would_split():
    # Punctuation since Unicode 15 and 16; letters to a Python that knows 14.
    new = [char for char in "\u1b4e\U00011f43" if category(char) == "Cn"]
    vocab = [*VOCAB, *new, *(f"a{c}" for c in new), "\U00100000", "##\U00100001"]
    strings = [f"a{c}a {c} {c}{c} the{c}" for c in "\u1b4e\U00011f43\u1b4f"]
    strings += ["\U00100000 \U00100000\U00100001 \U00100002"]
    Tokenizers(BertTokenizer(vocab)).check(strings)
    Tokenizers(BertTokenizer(VOCAB)).check(strings)


def test_tokens_that_no_text_gives():
    vocab = [
        *VOCAB,
        "the low",
        "a-b",
        "##-",
        "'s",
        "\ufffd",
        "x\0y",
        "z\x11",
        "##z\x11",
    ]
    strings = [
        "the low a-b a's \ufffd\ufffdthe x\0y xy z\x11 az\x11",
        "-\ufffd" + "é" * 201,
    ]
    Tokenizers(BertTokenizer(vocab)).check(strings)


def test_long_words_among_others(both):
    words = ["a" * 200, "a" * 201, "é" * 201, "한" * 67, "한" * 66 + "aa", "a-" * 150]
    words += [
        "中" * 201,
        "𠀁" * 201,
        "low" * 67,
        "ab" * 99 + "é" * 3,
        "\u200b" * 300 + "a",
    ]
    strings = [f"the {word}, {word}x {word}" for word in words]
    both.check(strings)
    both.check_offsets(strings)


def test_no_character_becomes_more_than_three():
    for rules in map(WordRules, (True, False, True), (None, True, False)):
        for google in (False, True):
            parts = all_expansions(rules._replace(google_rules=google)).values()
            assert max(len(text.replace(" ", "")) for text in parts) <= 3


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


def published(name: str) -> Tokenizers:
    vocab = shared("data", "vocab", f"bert-base-{name}-vocab.txt")
    cased = name in ("cased", "multilingual-cased")
    return Tokenizers(BertTokenizer(vocab, do_lower_case=not cased))


def corpora() -> list[str]:
    files = sorted(shared("data", "corpora").rglob("*.txt"))
    return [line for file in files for line in file.read_text("utf-8").split("\n")]


@pytest.mark.parametrize(
    "name",
    ["uncased", "chinese"]
    + [
        pytest.param(n, marks=pytest.mark.slow) for n in ("cased", "multilingual-cased")
    ],
)
def test_published_vocabularies_on_all_corpora(name):
    both, lines = published(name), corpora()
    assert len(lines) > 50_000
    ids, splits = both.host.texts_to_ids(lines)
    for start in range(0, len(lines), 4096):
        got = both.graph.tokenize(lines[start : start + 4096])
        ends = splits[start : start + 4097]
        np.testing.assert_array_equal(got.row_splits, ends - ends[0])
        np.testing.assert_array_equal(got.values, ids[ends[0] : ends[-1]])


def test_offsets_in_real_text():
    both = published("uncased")
    both.check_offsets(corpora()[::23])
    golden = shared("data", "tokenizer", "golden")
    questions = golden / "squad_questions_uncased_part1.jsonl"
    lines = questions.read_text("utf-8").splitlines()
    both.check_offsets([json.loads(line)["text"] for line in lines])
    torture = (golden / "llamacpp_bert_bge.inp").read_bytes().decode()
    both.check_offsets(torture.split("\n__ggml_vocab_test__\n"))
    naughty = json.loads(shared("data", "tokenizer", "blns.json").read_text("utf-8"))
    both.check_offsets(naughty)
    both.check(naughty)


# The Keras layer


@pytest.fixture(scope="module")
def layer() -> BertTokenizerLayer:
    return BertTokenizerLayer(VOCAB, max_length=13)


def test_layer_takes_texts_and_pairs(layer):
    texts, host = ["UNaffable, running!", "the"], layer.tokenizer
    same(layer(tf.constant(texts)), host(texts, max_length=13))
    same(layer(texts), host(texts, max_length=13))
    same(layer(tf.constant(texts)[:, None]), host(texts, max_length=13))
    pair = [tf.constant(texts), tf.constant(texts[::-1])]
    same(layer(pair), host(texts, texts[::-1], max_length=13))
    symbolic = layer(keras.Input((), dtype="string"))
    assert {tensor.shape for tensor in symbolic.values()} == {(None, None)}


def test_layer_of_a_host_tokenizer():
    host = BertTokenizer(
        [t.replace("[UNK]", "<u>") for t in VOCAB],
        False,
        strip_accents=True,
        model_max_length=11,
        unk_token="<u>",
    )
    made = BertTokenizerLayer.from_tokenizer(host, padding="max_length", name="cut")
    copy = BertTokenizerLayer.from_config(json.loads(json.dumps(made.get_config())))
    assert copy.name == "cut"
    texts = ["É the THE", ""]
    same(copy(texts), host(texts, max_length=11, padding="max_length"))
    assert copy(keras.Input((), dtype="string"))["input_ids"].shape == (None, 11)
    with pytest.raises(InputError, match="max_length"):
        BertTokenizerLayer(VOCAB, padding="longest")


def test_layer_in_a_pipeline(layer):
    data = tf.data.Dataset.from_tensor_slices((HOSTILE, HOSTILE[::-1])).batch(5)
    first = next(iter(data.map(lambda a, b: layer([a, b]))))
    same(first, layer.tokenizer(HOSTILE[:5], HOSTILE[:-6:-1], max_length=13))


@pytest.mark.parametrize("pair", [pytest.param(False, marks=pytest.mark.slow), True])
def test_layer_in_a_model_saved_and_exported(tmp_path, layer, pair):
    config = BertConfig.preset("tiny", vocab_size=len(VOCAB), num_hidden_layers=1)
    bert = BertForSequenceClassification(config)
    text = [keras.Input((), dtype="string", name=n) for n in ("a", "b")[: 1 + pair]]
    text = text if pair else text[0]
    model = keras.Model(text, bert(layer(text)))
    strings = tf.constant(["UNaffable, running!", "the"])
    inputs = [strings, strings[::-1]] if pair else strings
    expected = bert(layer(inputs)).numpy()
    assert_close(model(inputs), expected)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_close(loaded(inputs), expected)
    model.export(tmp_path / "exported", verbose=False)
    served = tf.saved_model.load(tmp_path / "exported")
    assert_close(served.serve(inputs), expected)
