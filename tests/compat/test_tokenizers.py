"""The tokenizers of `keras_bert.transformers` against `transformers` 4.57."""

import copy
import json
import pickle

import numpy as np
import pytest

import keras_bert
from keras_bert.errors import InputError, KerasBertError, UnknownNameError
from keras_bert.transformers import (
    AddedToken,
    AutoTokenizer,
    BertTokenizer,
    BertTokenizerFast,
    DistilBertTokenizer,
    DistilBertTokenizerFast,
)
from tests.compat.make_golden import PATH
from tests.compat.tokenizer_calls import LONG, SHORT, TEXTS, VOCAB, answer, calls

GOLDEN = json.loads(PATH.read_text("utf-8"))


@pytest.fixture(scope="module")
def tokenizer() -> BertTokenizerFast:
    return BertTokenizerFast(VOCAB, model_max_length=32)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("call", calls(), ids=lambda call: call.name)
def test_calls_return_what_transformers_does(tokenizer, call):
    found = answer(tokenizer, copy.deepcopy(call))
    assert json.loads(json.dumps(found)) == GOLDEN[call.name]


def test_most_calls_return_something():
    errors = [name for name, found in GOLDEN.items() if found == "an error"]
    assert len(GOLDEN) > 390
    assert len(errors) < 70


# === Beyond single calls ===

CLASSES = (BertTokenizerFast, BertTokenizer)


def spoken(caplog) -> str:
    return " ".join(record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("cls", CLASSES)
def test_tokens_are_added_and_named(cls):
    tokenizer = cls(VOCAB)
    assert tokenizer.add_tokens(["newa", "newb"]) == 2
    assert tokenizer.add_tokens("newa") == 0
    assert (len(tokenizer), tokenizer.vocab_size) == (92, 90)
    extra = {"additional_special_tokens": ["<e1>", "<e2>"]}
    assert [tokenizer.add_special_tokens(extra) for _ in range(2)] == [2, 0]
    assert tokenizer.additional_special_tokens == ["<e1>", "<e2>"]
    assert tokenizer.additional_special_tokens_ids == [92, 93]
    assert tokenizer.special_tokens_map == {
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
        **extra,
    }
    assert tokenizer.all_special_ids == [1, 3, 0, 2, 4, 92, 93]
    assert tokenizer.tokenize("the <e1> NEWA newb") == ["the", "<e1>", "newa", "newb"]
    assert tokenizer.bos_token is tokenizer.bos_token_id is None
    assert tokenizer.add_special_tokens({"bos_token": "<s>"}) == 1
    assert tokenizer.bos_token_id == 94
    assert tokenizer.all_special_tokens[0] == "<s>"
    assert tokenizer.decode(tokenizer.encode("<e1> newa cat"), True) == "newa cat"
    assert tokenizer.get_added_vocab()["<e2>"] == 93
    assert tokenizer.get_vocab()["newa"] == tokenizer.vocab["newa"] == 90
    found = tokenizer.add_tokens([AddedToken("foo", single_word=True)])
    assert (found, tokenizer.tokenize("foo food")[0]) == (1, "foo")


def test_names_are_given_to_tokens_of_the_vocabulary():
    tokenizer = BertTokenizerFast(VOCAB)
    tokenizer.eos_token = "[SEP]"
    tokenizer.bos_token = tokenizer.cls_token
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (2, 3)
    tokenizer.pad_token_id = 5
    assert tokenizer.pad_token == "the"
    padded = tokenizer(["cat", "the cat"], padding=True)["input_ids"]
    assert padded == [[2, 6, 3, 5], [2, 5, 6, 3]]
    tokenizer.unk_token = "dog"
    assert tokenizer.tokenize("😀") == ["dog"]
    for wrong in ("nothing", None):
        with pytest.raises(InputError, match=rf"as pad_token.*{wrong}"):
            tokenizer.pad_token = wrong
    assert tokenizer.pad_token == "the"


def test_spaces_are_cleaned_up_as_the_class_does():
    text = "he don ' t , run ."
    for cls, clean, left in zip(
        CLASSES,
        ("[CLS] he don't, run. [SEP]",) * 2,
        ("[CLS] he don ' t, run. [SEP]", "[CLS] he don ' t , run . [SEP]"),
        strict=True,
    ):
        tokenizer = cls(VOCAB)
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == clean
        assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == left
        assert cls(VOCAB, clean_up_tokenization_spaces=False).decode(ids) == left


def test_ids_and_tokens_are_decoded_in_every_form(tokenizer):
    ids = tokenizer([SHORT, LONG], padding=True, return_tensors="np")["input_ids"]
    texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
    assert texts[0] == "the cat sat."
    assert tokenizer.decode(ids, skip_special_tokens=True) == texts
    assert tokenizer.decode(np.int64(6)) == tokenizer.decode(6) == "cat"
    assert tokenizer.convert_ids_to_tokens(np.int64(6)) == "cat"
    assert tokenizer.convert_ids_to_tokens(ids[0][:2]) == ["[CLS]", "the"]
    for call in (tokenizer.decode, tokenizer.convert_ids_to_tokens):
        with pytest.raises(UnknownNameError, match="received 90"):
            call([2, 90])


def test_lists_are_tokens_to_one_class_and_pairs_to_the_other():
    assert BertTokenizer(VOCAB).encode(["the", "cat"]) == [2, 5, 6, 3]
    assert BertTokenizer(VOCAB).encode([5, 6], [7]) == [2, 5, 6, 3, 7, 3]
    assert BertTokenizerFast(VOCAB).encode(["the", "cat"]) == [2, 5, 3, 6, 3]
    with pytest.raises(InputError, match="tokens, or ids"):
        BertTokenizer(VOCAB).encode(["the", 5])


def test_a_batch_may_be_an_array(tokenizer):
    texts = [SHORT, LONG]
    expected = tokenizer.batch_encode_plus(texts)
    assert tokenizer.batch_encode_plus(np.array(texts)) == expected
    with pytest.raises(InputError, match="list of texts"):
        tokenizer.batch_encode_plus(np.array(SHORT))


def test_rows_are_padded_with_their_masks(tokenizer):
    row = {
        "input_ids": [2, 5, 3],
        "attention_mask": [1, 0, 1],
        "special_tokens_mask": [1, 0, 1],
    }
    padded = tokenizer.pad([row, {**row, "input_ids": [2, 6, 3]}], "max_length", 4)
    assert padded["attention_mask"] == [[1, 0, 1, 0]] * 2
    assert padded["special_tokens_mask"] == [[1, 0, 1, 1]] * 2


def test_special_tokens_are_split_if_the_tokenizer_says_so():
    tokenizer = BertTokenizerFast(VOCAB, split_special_tokens=True)
    assert tokenizer.tokenize("[PAD]")[0] == "["
    assert tokenizer("[PAD]", split_special_tokens=False)["input_ids"] == [2, 0, 3]


def test_distilbert_takes_no_types():
    for cls in (DistilBertTokenizer, DistilBertTokenizerFast):
        assert list(cls(VOCAB)("cat")) == ["input_ids", "attention_mask"]
        asked = cls(VOCAB)("cat", return_token_type_ids=True)
        assert "token_type_ids" in asked


def test_old_spellings_are_taken_with_a_warning(tokenizer):
    with pytest.warns(FutureWarning, match="pad_to_max_length"):
        found = tokenizer.encode("the cat", max_length=6, pad_to_max_length=True)
    assert found == [2, 5, 6, 3, 0, 0]
    with pytest.warns(FutureWarning, match="truncation=True"):
        found = tokenizer.encode(LONG, max_length=6, pad_to_max_length=True)
    assert len(found) == 6
    with pytest.warns(FutureWarning, match="pad_to_max_length"):
        found = tokenizer(["cat", "the cat"], pad_to_max_length=True)["input_ids"]
    assert found == [[2, 6, 3, 0], [2, 5, 6, 3]]
    with pytest.warns(FutureWarning, match="truncation_strategy"):
        found = tokenizer.encode(
            "the cat", "a dog", max_length=6, truncation_strategy="only_first"
        )
    assert found == [2, 5, 3, 39, 10, 3]
    old = {"pad_to_max_length": True, "truncation_strategy": "only_first"}
    found = tokenizer(
        ["the cat", "cat"], max_length=3, padding=True, truncation=True, **old
    )["input_ids"]
    assert found == [[2, 5, 3], [2, 6, 3]]  # what is said today counts
    new = {"truncation": "only_second", "padding": "longest"}
    found = tokenizer.encode("the cat", "a dog", max_length=6, **old, **new)
    assert found == [2, 5, 6, 3, 39, 3]
    assert len(tokenizer.encode("the cat", max_length=8, **old, **new)) == 4
    with pytest.warns(FutureWarning, match="is_pretokenized"):
        assert tokenizer(["cat"], is_pretokenized=True)["input_ids"] == [2, 6, 3]
    with pytest.warns(FutureWarning, match="max_len"):
        assert tokenizer.max_len == 32
    assert tokenizer.max_len_single_sentence == 30
    assert tokenizer.max_len_sentences_pair == 29


def test_what_transformers_warns_of_is_said_once(caplog):
    tokenizer = BertTokenizerFast(VOCAB, model_max_length=5)
    tokenizer("the cat sat on the mat", verbose=False)
    assert not caplog.records
    for _ in range(2):
        tokenizer("the cat sat on the mat")
        tokenizer("the cat", max_length=3)
        tokenizer("the cat", max_length=3, padding=True)
    assert "8 tokens, more than the 5 positions" in spoken(caplog)
    assert "truncates the longer text first" in spoken(caplog)
    assert "no effect with padding=True" in spoken(caplog)
    assert len(caplog.records) == 3
    caplog.clear()
    unlimited = BertTokenizerFast(VOCAB)
    assert unlimited.model_max_length == int(1e30)
    found = unlimited(["cat", "the cat"], padding="max_length", truncation=True)
    assert found["input_ids"] == [[2, 6, 3], [2, 5, 6, 3]]
    assert "nothing is truncated" in spoken(caplog)


@pytest.mark.parametrize("side", ["left", "right"])
def test_texts_are_truncated_on_either_side(side):
    tokenizer = BertTokenizerFast(VOCAB, truncation_side=side, padding_side=side)
    short = {"max_length": 4, "truncation": True}
    kept = {"left": [9, 10], "right": [5, 6]}[side]
    assert tokenizer.encode("the cat sat on mat dog", **short) == [2, *kept, 3]
    ids = tokenizer.convert_tokens_to_ids(["the", "cat", "sat", "on", "mat", "dog"])
    assert tokenizer.prepare_for_model(ids, **short)["input_ids"] == [2, *kept, 3]
    removed = [5, 6, 7] if side == "left" else [6, 7, 8]
    cut = tokenizer.truncate_sequences([5, 6, 7, 8], None, 2, stride=1)
    assert cut == ([7, 8] if side == "left" else [5, 6], None, removed)
    padded = tokenizer.encode("cat", max_length=5, padding="max_length")
    assert padded == ([0, 0, 2, 6, 3] if side == "left" else [2, 6, 3, 0, 0])


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda t: t(["ok", None]), "NoneType None, at index 1"),
        (lambda t: t([["ok", 1]], is_split_into_words=True), "text 0, word 1"),
        (lambda t: t(["ok", "a\ud800"]), "character 1 of index 1"),
        (lambda t: t(np.array(["ok"])), r"ndarray.*list\(\)"),
        (lambda t: t("ok", paddding=True), "'paddding'.*Did you mean 'padding'"),
        (lambda t: t("ok", padding="most"), "PaddingStrategy.*'most'"),
        (lambda t: t("ok", truncation="most"), "TruncationStrategy.*'most'"),
        (lambda t: t("ok", padding=True, padding_side="top"), "top"),
        (lambda t: t("ok", max_length=1, truncation=True), "2 special tokens.*=1"),
        (
            lambda t: t(LONG, max_length=5, truncation=True, stride=3),
            "max_length=5 and stride=3",
        ),
        (lambda t: t("ok", "ok", max_length=2, truncation=True), "3 special tokens"),
        (
            lambda t: t.prepare_for_model(
                [5, 6], max_length=2, truncation="only_first"
            ),
            "more than 2 tokens",
        ),
        (lambda t: t.pad([{"input_ids": [1]}, {"x": 1}]), "Row 1 lacks input_ids"),
        (lambda t: t.pad({"input_ids": [[1]], "x": [1, 2]}), "'x': 2"),
        (lambda t: t.pad([{"x": [1]}]), "input_ids.*Received: x"),
        (lambda t: t.push_to_hub("me/it"), "hf upload me/it"),
        (lambda t: t.save_pretrained("it", push_to_hub=True), "hf upload it"),
        (lambda t: BertTokenizer(), "vocab_file"),
        (lambda t: BertTokenizer(VOCAB, padding_side="top"), "padding_side 'top'"),
        (lambda t: BertTokenizer(VOCAB, google_rules=True), "google_rules"),
        (lambda t: AutoTokenizer(), "from_pretrained"),
        (lambda t: BertTokenizer.from_pretrained("x", "y"), "'y'"),
    ],
)
def test_what_is_wrong_is_named(tokenizer, call, named):
    with pytest.raises(KerasBertError, match=named):
        call(tokenizer)


def test_a_vocabulary_is_learned_with_the_same_rules():
    cased = BertTokenizerFast(VOCAB, do_lower_case=False, model_max_length=24)
    lists = [["The cat"] * 9, ["the dog"] * 9], ["The cat"] * 9 + ["the dog"] * 9
    for texts in lists:
        made = cased.train_new_from_iterator(iter(texts), 50, length=2)
        assert type(made) is BertTokenizerFast
        assert made.tokenize("The dog") == ["The", "dog"]
        assert made.model_max_length == 24


# === Files ===


def test_a_folder_is_written_and_read_again(tmp_path, caplog):
    made = BertTokenizer(VOCAB, do_lower_case=False, model_max_length=24)
    made.add_special_tokens({"additional_special_tokens": ["<e1>"], "bos_token": "<s>"})
    files = made.save_pretrained(tmp_path)
    assert [file.split("/")[-1] for file in files] == [
        "tokenizer_config.json",
        "tokenizer.json",
        "vocab.txt",
    ]
    made.add_tokens("newa")
    assert made.save_pretrained(str(tmp_path)) == files  # replaces them
    for cls in (BertTokenizer, BertTokenizerFast, keras_bert.BertTokenizer):
        again = cls.from_pretrained(tmp_path)
        assert again.tokenize("The <e1> newa") == made.tokenize("The <e1> newa")
        assert (len(again), again.model_max_length) == (93, 24)
    again = AutoTokenizer.from_pretrained(str(tmp_path), padding_side="left", foo=3)
    assert (again.bos_token, again.padding_side) == ("<s>", "left")
    assert again.name_or_path == str(tmp_path)
    assert "foo=3 has no effect" in spoken(caplog)
    assert not again.do_lower_case


def test_what_is_stored_counts_and_else_the_class(tmp_path):
    keras_bert.BertTokenizer(VOCAB).save_pretrained(tmp_path)
    cleans = [c.from_pretrained(tmp_path).clean_up_tokenization_spaces for c in CLASSES]
    assert cleans == [False, True]  # as transformers 4.57 with a tokenizer.json
    for clean in (False, True):
        BertTokenizer(VOCAB, clean_up_tokenization_spaces=clean).save_pretrained(
            tmp_path
        )
        for cls in CLASSES:
            again = cls.from_pretrained(tmp_path)
            assert again.clean_up_tokenization_spaces is clean
            assert again.model_max_length == int(1e30)


def test_transformers_reads_what_is_written(tmp_path):
    transformers = pytest.importorskip("transformers")
    made = DistilBertTokenizer(VOCAB, model_max_length=24)
    made.add_special_tokens({"additional_special_tokens": ["<e1>"]})
    made.save_pretrained(tmp_path)
    other = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS.values():
        assert other(text)["input_ids"] == made(text)["input_ids"]
    stored = json.loads((tmp_path / "tokenizer_config.json").read_text("utf-8"))
    assert stored["tokenizer_class"] == "DistilBertTokenizer"


CONFIG = "tokenizer_config.json"


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "Bert"),
        ({"config.json": {"model_type": "bert"}}, "Bert"),
        ({"config.json": {"model_type": "distilbert"}}, "DistilBert"),
        (
            {"tokenizer_config.json": {"tokenizer_class": "DistilBertTokenizer"}},
            "Distil",
        ),
        ({"tokenizer_config.json": {"tokenizer_class": "BertTokenizerFast"}}, "Bert"),
    ],
)
def test_the_class_is_that_of_the_checkpoint(tmp_path, files, expected, fast):
    (tmp_path / "vocab.txt").write_text("\n".join(VOCAB), "utf-8")
    for name, values in files.items():
        (tmp_path / name).write_text(json.dumps(values), "utf-8")
    found = AutoTokenizer.from_pretrained(tmp_path, use_fast=fast)
    assert type(found).__name__.startswith(expected)
    assert type(found).__name__.endswith("Fast") == fast


def test_another_algorithm_says_what_to_do(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "roberta"}')
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(KerasBertError, match=str(tmp_path)):
        AutoTokenizer.from_pretrained(tmp_path)


def test_where_files_are_may_be_said_by_name(tmp_path):
    BertTokenizer(VOCAB).save_pretrained(tmp_path)
    for cls in (AutoTokenizer, BertTokenizer):
        again = cls.from_pretrained(pretrained_model_name_or_path=tmp_path)
        assert again.name_or_path == str(tmp_path)


def test_a_vocabulary_file_is_enough(tmp_path):
    BertTokenizer(VOCAB).save_vocabulary(tmp_path, "my")
    file = tmp_path / "my-vocab.txt"
    assert file.read_text("utf-8").split("\n")[:-1] == VOCAB
    for tokenizer in (
        BertTokenizer(file),
        BertTokenizer(vocab_file=str(file), do_lower_case=True, do_basic_tokenize=True),
        BertTokenizerFast.from_pretrained(file),
    ):
        assert tokenizer.encode("The cat") == [2, 5, 6, 3]
    BertTokenizer(VOCAB, do_lower_case=False).save_pretrained(tmp_path)
    fast = BertTokenizerFast(tokenizer_file=tmp_path / "tokenizer.json")
    assert fast.tokenize("the cat") == ["the", "cat"]


def test_a_name_is_one_of_the_hub(monkeypatch, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    BertTokenizer(VOCAB).save_pretrained(tmp_path / "there")
    asked = []

    def download(name, **options):
        asked.append((name, options.get("revision"), options.get("cache_dir")))
        assert not any("safetensors" in p for p in options["allow_patterns"])
        return str(tmp_path / "there")

    monkeypatch.setattr(hub, "snapshot_download", download)
    monkeypatch.chdir(tmp_path)
    options = {"revision": "v1", "cache_dir": "here", "use_fast": True}
    for name in ("bert-base-uncased", "hf://org/name"):
        assert len(AutoTokenizer.from_pretrained(name, **options)) == 90
    assert asked == [("bert-base-uncased", "v1", "here"), ("org/name", "v1", "here")]
    assert len(AutoTokenizer.from_pretrained("there")) == 90  # a folder of that name
    assert len(asked) == 2


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copies_of_a_tokenizer_are_equal(clone):
    made = BertTokenizer(VOCAB, padding_side="left", clean_up_tokenization_spaces=False)
    made.add_special_tokens({"additional_special_tokens": ["<e1>"], "bos_token": "<s>"})
    other = clone(made)
    other = pickle.loads(other) if isinstance(other, bytes) else other
    assert type(other) is BertTokenizer
    assert repr(other) == repr(made)
    assert other.decode([2, 5, 20]) == made.decode([2, 5, 20]) == "[CLS] the ?"
    texts = ["the <e1>", "cat<s>"]
    assert other(texts, padding=True) == made(texts, padding=True)


def test_it_is_taken_where_the_native_tokenizer_is(tmp_path, tokenizer):
    native = keras_bert.BertTokenizer(VOCAB, model_max_length=32)
    assert isinstance(tokenizer, keras_bert.BertTokenizer)
    texts = [SHORT, LONG]
    expected = native(texts, max_length=12)
    found = tokenizer.encode_batch(texts, max_length=12)
    assert {k: v.tolist() for k, v in found.items()} == {
        k: v.tolist() for k, v in expected.items()
    }
    assert (
        native.texts_to_ids(texts)[0].tolist()
        == tokenizer.texts_to_ids(texts)[0].tolist()
    )
    settings = tokenizer.settings()
    assert settings == native.settings()
    assert keras_bert.BertTokenizer(tokenizer.base_tokens, **settings).tokens == VOCAB
