"""Tokenizers are what their folders say: as transformers 5 reads them, or refused."""

import json
import logging
import pickle
import re
from functools import cache

import numpy as np
import pytest

from keras_bert import BertTokenizer
from keras_bert.errors import InputError, MissingFileError, UnknownNameError
from keras_bert.tokenization.added_tokens import is_word
from keras_bert.tokenizer_folder import NO_LIMIT
from tests.tokenization import folders
from tests.tokenization.folders import BERT, GENERIC, LOWER, MODEL, UPPER, fast, token
from tests.tokenization.make_golden import (
    FILE,
    TEXTS,
    WHOLE,
    by_transformers,
    checksums,
    encoded,
)
from tests.vocabulary import SPECIAL

VARIANTS = folders.variants()
CONFIG = "tokenizer_config.json"


@cache
def texts(count: int = TEXTS, seed: int = 0) -> list[str]:
    return folders.texts(count, seed)


@pytest.fixture
def read(tmp_path):
    """Writes a folder and reads its tokenizer."""

    def read(files, **overrides) -> BertTokenizer:
        return BertTokenizer.from_pretrained(
            folders.write(tmp_path / "tokenizer", files), **overrides
        )

    return read


def by_host(tokenizer: BertTokenizer, texts: list[str]) -> list[np.ndarray]:
    """Returns ids, begins and ends of each text."""
    batch = tokenizer(texts, truncation=False, return_offsets_mapping=True)
    lengths = batch["attention_mask"].sum(1)
    rows = encoded(batch, len(texts))
    return [row[:length] for row, length in zip(rows, lengths, strict=True)]


# Against transformers


def test_there_are_enough_of_them():
    assert len(VARIANTS) >= 20
    assert len(set(texts())) > 0.98 * TEXTS == 1960


@pytest.mark.parametrize("name", VARIANTS)
def test_golden_of_transformers(read, name):
    tokenizer = read(VARIANTS[name])
    rows = by_host(tokenizer, texts())
    with np.load(FILE) as golden:
        whole = np.concatenate(rows[:WHOLE])
        assert [len(r) for r in rows[:WHOLE]] == golden[f"{name}|lengths"].tolist()
        np.testing.assert_array_equal(whole, golden[f"{name}|tokens"])
        np.testing.assert_array_equal(checksums(rows), golden[f"{name}|checksums"])
    ids, splits = tokenizer.texts_to_ids(texts())
    alone = [row[1:-1, 0] for row in rows]
    np.testing.assert_array_equal(ids, np.concatenate(alone))
    np.testing.assert_array_equal(np.diff(splits), [len(row) for row in alone])


@pytest.mark.parametrize("name", VARIANTS)
def test_transformers_itself(read, name):
    pytest.importorskip("transformers")
    others = texts(150, seed=7)
    expected = by_transformers(VARIANTS[name], others)
    for got, row in zip(by_host(read(VARIANTS[name]), others), expected, strict=True):
        np.testing.assert_array_equal(got, row)


def test_transformers_reads_what_is_saved(read, tmp_path):
    transformers = pytest.importorskip("transformers")
    for number, name in enumerate(VARIANTS):
        ours = read(VARIANTS[name])
        ours.save_pretrained(tmp_path / str(number))
        again = BertTokenizer.from_pretrained(tmp_path / str(number))
        assert again.settings() == ours.settings(), name
        assert again.tokens == ours.tokens
        theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / str(number))
        assert len(theirs) == len(ours)
        for text in texts()[:60]:
            assert theirs(text)["input_ids"] == ours.encode(text), (name, text)
        for file in (tmp_path / "tokenizer").iterdir():
            file.unlink()


@pytest.mark.parametrize("char", "aé\u0301_1中ⅷⓐ\u200d\u20dd\U0001360d")
def test_letters_next_to_a_word(read, char):
    tokenizer = read(VARIANTS["added, all flags"])
    assert is_word(char)
    for text in (f"{char}<word>", f"<word>{char}", f"<word>{char}<word>"):
        assert "<word>" not in tokenizer.tokenize(text)


@pytest.mark.parametrize("char", " -,²½😀\u3000。\x00")
def test_what_is_no_letter_next_to_a_word(read, char):
    tokenizer = read(VARIANTS["added, all flags"])
    assert not is_word(char)
    assert tokenizer.tokenize(f"<word>{char}<word>").count("<word>") == 2


# In the graph

IN_GRAPH = ["added, all flags, lower-cased", "short words"]


@pytest.mark.parametrize(
    "name",
    [*IN_GRAPH, pytest.param("added, all flags", marks=pytest.mark.slow)],
)
def test_the_graph_gives_the_same(read, name):
    import tensorflow as tf

    from keras_bert.tokenization import InGraphTokenizer

    host = read(VARIANTS[name])
    graph = InGraphTokenizer.from_tokenizer(host, 128)
    some = texts()[:700]
    found = graph.tokenize_with_offsets(tf.constant([text.encode() for text in some]))
    ids, begins, ends = (part.to_list() for part in found)
    assert graph.tokenize(some).to_list() == ids
    for i, row in enumerate(by_host(host, some)):
        assert ids[i] == row[1:-1, 0].tolist(), ascii(some[i])
        if "only" not in some[i].lower():  # see `GraphSearch`
            assert begins[i] == row[1:-1, 1].tolist(), ascii(some[i])
            assert ends[i] == row[1:-1, 2].tolist(), ascii(some[i])


def test_special_tokens_that_text_cannot_name_are_saved(tmp_path):
    names = {"unk_token": "a", "cls_token": "b"}
    ours = BertTokenizer([*SPECIAL, "a", "b"], added_tokens=[], **names)
    ours.save_pretrained(tmp_path / "saved")
    again = BertTokenizer.from_pretrained(tmp_path / "saved")
    text = "[MASK] b x [UNK]"
    np.testing.assert_array_equal(again(text)["input_ids"], ours(text)["input_ids"])


def test_a_saved_graph_finds_added_tokens(read, tmp_path):
    import tensorflow as tf

    from keras_bert.tokenization import BertTokenizerLayer

    host = read(VARIANTS["added, all flags, lower-cased"])
    module = tf.Module()
    module.layer = layer = BertTokenizerLayer.from_tokenizer(host, 16)
    module.encode = tf.function(
        layer, input_signature=[tf.TensorSpec([None], tf.string)]
    )
    tf.saved_model.save(module, str(tmp_path / "saved"))
    some = ["a <strip> b COVID-19<e1>new york", "Only <word>x <word>"]
    expected = host(some, max_length=16)["input_ids"]
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_array_equal(loaded.encode(some)["input_ids"], expected)
    config = json.loads(json.dumps(layer.get_config()))
    options = config["special_tokens"] | {"do_lower_case": config["do_lower_case"]}
    copy = BertTokenizer(config["vocabulary"], **options)
    assert (copy.tokens, copy.settings()) == (host.tokens, host.settings())


def test_the_graph_refuses_what_it_does_not_have(read):
    from keras_bert.tokenization import InGraphTokenizer

    host = read(VARIANTS["control characters kept"])
    with pytest.raises(InputError, match="clean_text=False"):
        InGraphTokenizer.from_tokenizer(host)


# What is not supported is refused


def json_file(**changes):
    return {"tokenizer.json": fast(LOWER) | changes}


def with_model(**changes):
    model = fast(LOWER)["model"] | changes
    return json_file(model={k: v for k, v in model.items() if v is not None})


REFUSED = {
    "roberta": ({"vocab.txt": LOWER, CONFIG: {"tokenizer_class": "RobertaTokenizer"}},
                "'RobertaTokenizer', another algorithm"),
    "japanese": ({"vocab.txt": LOWER,
                  CONFIG: {"tokenizer_class": "BertJapaneseTokenizer"}},
                 "BertJapaneseTokenizer"),
    "of the model": ({"vocab.txt": LOWER,
                      "config.json": {"tokenizer_class": "XLNetTokenizer"}},
                     "XLNetTokenizer"),
    "bpe": (with_model(type="BPE", merges=[]), "Received: BPE"),
    "old bpe": (with_model(type=None, merges=[]), "Received: BPE"),
    "bpe for BERT": (with_model(type="BPE") | {CONFIG: BERT}, "Received: BPE"),
    "unigram": (with_model(type="Unigram", vocab=[["a", 0.0]]), "Unigram"),
    "no model": ({"tokenizer.json": {}, CONFIG: GENERIC}, "neither|no|found none"),
    "normalizer": (json_file(normalizer={"type": "Lowercase"}),
                   "BertNormalizer as normalizer .* Lowercase"),
    "no normalizer": (json_file(normalizer=None), "Received: None"),
    "pre-tokenizer": (json_file(pre_tokenizer={"type": "Whitespace"}), "Whitespace"),
    "post-processor": (json_file(post_processor={"type": "RobertaProcessing"}),
                       "post_processor .*RobertaProcessing"),
    "no post-processor": (json_file(post_processor=None), "null"),
    "ids around texts": (json_file(post_processor={"type": "BertProcessing",
                         "cls": ["[CLS]", 3], "sep": ["[SEP]", 3]}),
                         "the ids of the vocabulary"),
    "parts": (json_file(normalizer="Bert"), "an object as normalizer .* 'Bert'"),
    "a list": (json_file(added_tokens={"a": 1}), "a list as added_tokens"),
    "a token without id": (json_file(added_tokens=["a"]), "integers as ids"),
    "no unknown token": ({"vocab.txt": LOWER, CONFIG: {"unk_token": "<unk>"}},
                         "<unk> in the vocabulary"),
    "template": (json_file(post_processor=fast(LOWER, template=True)["post_processor"]
                           | {"single": []}), "TemplateProcessing"),
    "case as a string": ({"vocab.txt": LOWER, CONFIG: {"do_lower_case": "False"}},
                         "true or false for do_lower_case .* 'False'"),
    "accents as a number": ({"vocab.txt": LOWER, CONFIG: {"strip_accents": 0}},
                            "strip_accents .* 0"),
    "a list as a token": ({"vocab.txt": LOWER, CONFIG: {"cls_token": ["a"]}},
                          r"\['a'\].* cls_token in "),
    "a flag as a string": ({"vocab.txt": LOWER, CONFIG: {"cls_token":
                           {"content": "[CLS]", "lstrip": "yes"}}}, "cls_token"),
    "no length": ({"vocab.txt": LOWER, CONFIG: {"model_max_length": "512"}}, "'512'"),
    "negative length": ({"vocab.txt": LOWER, CONFIG: {"model_max_length": -1}}, "-1"),
    "padding": ({"vocab.txt": LOWER, CONFIG: {"padding_side": "left"}},
                "padding_side 'right' .* 'left'"),
    "truncation": (json_file(truncation={"direction": "Left"}), "truncation_side"),
    "a large id": (with_model(vocab={"[UNK]": 10**19}), r"'\[UNK\]' has 1000000"),
    "a negative id": (with_model(vocab={"a": -1}), "'a' has -1"),
    "a double id": (with_model(vocab={"a": 0, "b": 0}), "'a' and 'b' both have 0"),
    "no id": (with_model(vocab={"a": "0"}), "'a' has '0'"),
    "a boolean id": (with_model(vocab={"a": True}), "'a' has True"),
    "a large added id": ({"vocab.txt": LOWER, "added_tokens.json": {"x": 10**19}},
                         "10000"),
    "no added id": ({"vocab.txt": LOWER, "added_tokens.json": {"x": None}}, "None"),
    "a double added id": (json_file(added_tokens=[token("x") | {"id": 200}] * 2),
                          "'x' and 'x' both have 200"),
    "a double id of added tokens": ({"vocab.txt": LOWER, "added_tokens.json":
                                    {"x": 200, "y": 200}}, "'x' and 'y' both have 200"),
    "a double id in the config": ({"vocab.txt": LOWER, CONFIG: {"added_tokens_decoder":
                                  {"200": token("x"), "0200": token("y")}}}, "both"),
    "a list as vocabulary": (with_model(vocab=["a"]), "WordPiece with list as vocab"),
    "added tokens": ({"vocab.txt": LOWER, CONFIG: {"added_tokens_decoder": []}},
                     "added_tokens_decoder"),
    "an added token": ({"vocab.txt": LOWER, CONFIG: {"added_tokens_decoder": {"9": 9}}},
                       "Received: 9"),
    "special tokens": ({"vocab.txt": LOWER, CONFIG: {"additional_special_tokens": 9}},
                       "additional_special_tokens .* 9"),
    "no object": ({"vocab.txt": LOWER, CONFIG: "[]"}, "JSON object"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(read, name):
    files, message = REFUSED[name]
    with pytest.raises((InputError, MissingFileError), match=message):
        read(files)


@pytest.mark.parametrize(
    "text",
    [
        *("{", "[" * 100_000, '{"a": ' + "9" * 5000 + "}", "\xff"),
        '{"do_lower_case": true, "do_lower_case": false}',
        '{"model": {"vocab": {"[PAD]": 0, "a": 1, "a": 2}}}',
    ],
)
@pytest.mark.parametrize("name", [CONFIG, "tokenizer.json", "special_tokens_map.json"])
def test_files_that_are_no_json(tmp_path, name, text):
    folder = folders.write(tmp_path, {"vocab.txt": LOWER})
    (folder / name).write_bytes(text.encode("latin1"))
    with pytest.raises(InputError, match=name):
        BertTokenizer.from_pretrained(folder)


def test_names_that_are_no_folders(tmp_path, monkeypatch):
    with pytest.raises(MissingFileError, match="write hf://bert-base-uncased"):
        BertTokenizer.from_pretrained("bert-base-uncased")
    monkeypatch.setenv("HOME", str(tmp_path))
    folders.write(tmp_path / "tokenizer", {"vocab.txt": LOWER})
    assert BertTokenizer.from_pretrained("~/tokenizer").tokens == LOWER


def test_names_of_the_hub(tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    folders.write(tmp_path, {"vocab.txt": LOWER})
    asked = []
    monkeypatch.setattr(
        hub,
        "snapshot_download",
        lambda name, allow_patterns: asked.append((name, allow_patterns)) or tmp_path,
    )
    assert BertTokenizer.from_pretrained("hf://org/name").tokens == LOWER
    assert asked == [("org/name", ["*.json", "*.txt"])]


# What is said


@pytest.mark.parametrize(("vocab", "kept"), [(LOWER, "hello"), (UPPER, "Hello")])
def test_a_vocabulary_alone_tells_its_case(read, caplog, vocab, kept):
    caplog.set_level(logging.INFO)
    tokenizer = read({"vocab.txt": vocab})
    assert tokenizer.tokenize("Hello") == [kept]
    assert ("its tokens are cased" in caplog.text) == (kept == "Hello")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"vocab.txt": [*LOWER, LOWER[9]]}, f"lines 10 and {len(LOWER) + 1}: its id"),
        ({"vocab.txt": UPPER, CONFIG: BERT}, "no do_lower_case: false"),
        (
            {"vocab.txt": LOWER, CONFIG: {"never_split": ["a"]}},
            "never_split=.* no effect",
        ),
        (
            {"vocab.txt": LOWER, CONFIG: {"do_basic_tokenize": False}},
            "do_basic_tokenize=False",
        ),
        (
            {"tokenizer.json": fast(LOWER, False), "config.json": MODEL},
            "The normalizer in .*do_lower_case=True",
        ),
        (
            {
                "vocab.txt": [*LOWER, "<e1>"],
                "tokenizer.json": fast(LOWER),
                CONFIG: BERT,
            },
            "different tokens",
        ),
        (
            {"vocab.txt": LOWER, "added_tokens.json": {"<e1>": len(LOWER) + 7}},
            f"'<e1>' .* has id {len(LOWER)}, .* not {len(LOWER) + 7}",
        ),
    ],
)
def test_what_may_surprise_is_said(read, caplog, files, message):
    caplog.set_level(logging.WARNING)
    read(files)
    assert any(re.search(message, text) for text in caplog.messages)


def test_no_model_max_length(read):
    tokenizer = read({"vocab.txt": LOWER, CONFIG: {"model_max_length": 1e30} | BERT})
    assert tokenizer.model_max_length == NO_LIMIT
    assert tokenizer("a " * 700, max_length=None)["input_ids"].shape == (1, 702)
    with pytest.raises(InputError, match="Expected max_length with"):
        tokenizer("a", max_length=None, padding="max_length")


def test_a_byte_order_mark_is_no_token(tmp_path):
    vocab = "\ufeff" + "\n".join(LOWER)
    (tmp_path / "vocab.txt").write_text(vocab, "utf-8")
    assert BertTokenizer.from_pretrained(tmp_path).tokens == LOWER


# Adding tokens


def test_tokens_are_added_as_by_transformers():
    transformers = pytest.importorskip("transformers")
    ours = BertTokenizer(LOWER)
    theirs = transformers.BertTokenizer(vocab={t: i for i, t in enumerate(LOWER)})
    calls = [
        ("add_tokens", "one"),
        ("add_tokens", ["one", "hello", "", "two"]),
        ("add_tokens", []),
        ("add_tokens", transformers.AddedToken("three", single_word=True, lstrip=True)),
        ("add_tokens", [transformers.AddedToken("Four", normalized=False)]),
        ("add_special_tokens", {"additional_special_tokens": ["<e1>", "<e2>"]}),
        ("add_special_tokens", {"mask_token": "<mask>"}),
        ("add_special_tokens", {"sep_token": transformers.AddedToken("[SEP]")}),
    ]
    for name, value in calls:
        assert getattr(ours, name)(value) == getattr(theirs, name)(value), value
        assert len(ours) == len(theirs)
    assert ours.add_tokens(["<e3>"], special_tokens=True) == 1
    assert theirs.add_tokens(["<e3>"], special_tokens=True) == 1
    assert ours.mask_token_id == theirs.mask_token_id == ours.vocab["<mask>"]
    text = "One onetwo three threes Four four <e1>a<e2> <e3> <mask> [MASK] hellos"
    assert ours.encode(text) == theirs(text)["input_ids"]
    assert set(theirs.all_special_ids) <= set(ours.all_special_ids)
    ids = ours.encode(text)
    assert "<e1>" in ours.decode(ids, skip_special_tokens=False)
    assert "<e1>" not in ours.decode(ids)
    copy = pickle.loads(pickle.dumps(ours))
    assert copy.encode(text) == ids
    assert (copy.tokens, copy.settings()) == (ours.tokens, ours.settings())


def test_what_cannot_be_added():
    tokenizer = BertTokenizer(LOWER)
    for value in (3, [None], [{"content": 3}], {"a": "b"}):
        with pytest.raises(InputError, match="Expected a token"):
            tokenizer.add_tokens(value)
    with pytest.raises(UnknownNameError, match="mask_token"):
        tokenizer.add_special_tokens({"mask": "<mask>"})
    with pytest.raises(InputError, match="token of the vocabulary as unk_token"):
        tokenizer.add_special_tokens({"unk_token": "<unk>"})
    assert tokenizer.tokens == LOWER


def test_google_finds_no_named_tokens(read):
    files = VARIANTS["added, all flags, lower-cased"]
    assert read(files).tokenize("[MASK] <e1>") == ["[MASK]", "<e1>"]
    google = read(files, google_rules=True, max_word_length=None)
    assert google.tokenize("[MASK] <e1>")[-1] == "<e1>"
    assert "[MASK]" not in google.tokenize("[MASK] <e1>")
    assert google.tokenize("a" * 200) != ["[UNK]"] == google.tokenize("a" * 201)
    assert google.tokenize("ΣΣ") == ["σ", "##ς"] != read(files).tokenize("ΣΣ")


def test_an_added_token_makes_a_model_larger(tmp_path):
    from keras_bert import BertConfig, BertModel

    tokenizer = BertTokenizer([*SPECIAL, "a", "b"])
    settings = {"num_hidden_layers": 1, "hidden_act": "gelu_new"}
    config = BertConfig.preset("tiny", vocab_size=len(tokenizer), **settings)
    tokenizer.add_tokens(["<e1>", "<e2>"])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<q>"]})
    model = BertModel(config).resize_token_embeddings(len(tokenizer))
    model.save_pretrained(tmp_path / "huggingface", tokenizer=tokenizer)
    text = "a<e1> b <q>[MASK] <e2>"
    for name in ("vocab.txt", CONFIG):
        (tmp_path / "huggingface" / name).unlink()
    check_conversions(tmp_path, tokenizer, text)


def check_conversions(tmp_path, tokenizer, text):
    """A folder with only `tokenizer.json` has a tokenizer in every format."""
    from keras_bert.checkpoints import formats
    from keras_bert.checkpoints.conversion import convert

    for to in formats.FORMATS:
        convert(tmp_path / "huggingface", tmp_path / "new" / to, to, verify=False)
        loaded = BertTokenizer.from_pretrained(tmp_path / "new" / to)
        assert loaded.tokens == tokenizer.tokens, to
        if to != "keras_hub":  # which has no added tokens
            assert loaded.encode(text) == tokenizer.encode(text), to
        listed = next((tmp_path / "new" / to).rglob("vocab*.txt"))
        assert listed.read_text("utf-8").splitlines() == tokenizer.tokens
