"""Texts given to a model with a tokenizer."""

import logging

import keras
import numpy as np
import pytest
from keras import ops

import keras_bert
from keras_bert.errors import ConfigError, InputError, UnknownNameError
from tests.bounds import assert_close
from tests.cases import CONFIG
from tests.vocabulary import SPECIAL

TINY = CONFIG.replace(
    num_hidden_layers=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
)
TOKENS = [*SPECIAL, "good", "bad", "film", "very", "##s"]
FIRST, SECOND = ["good film", "very very bad films", "Bad"], ["bad", "good", "films"]
PAIRS = list(zip(FIRST, SECOND, strict=True))
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"


def _model(head="SequenceClassification", **changes):
    model = getattr(keras_bert, f"BertFor{head}")(TINY.replace(**changes), seed=1)
    model.tokenizer = keras_bert.BertTokenizer(TOKENS)
    return model


@pytest.fixture(scope="module")
def model():
    made = _model()
    made.compile(run_eagerly=True)
    return made


def _numpy(x):
    return ops.convert_to_numpy(x)


def _dataset(*columns):
    import tensorflow as tf

    data = columns if len(columns) > 1 else columns[0]
    return tf.data.Dataset.from_tensor_slices(data).batch(2)


TEXTS = {
    "a list": FIRST,
    "an array": np.array(FIRST),
    "an array of objects": np.array(FIRST, object),
    "bytes": np.array([text.encode() for text in FIRST]),
    "a column": np.array(FIRST)[:, None],
    "a tuple of three": tuple(FIRST),
    "by name": {"text": FIRST},
    "a pair of None": {"text": np.array(FIRST), "text_pair": None},
}
IN_PAIRS = {
    "tuples": PAIRS,
    "rows of an array": np.array(PAIRS),
    "two columns": (FIRST, SECOND),
    "two arrays": [np.array(FIRST), np.array(SECOND)],
    "by name": {"text": FIRST, "text_pair": SECOND},
}


@pytest.mark.parametrize("form", TEXTS)
def test_forms_of_texts(model, form):
    expected = _numpy(model(model.tokenizer(FIRST)))
    np.testing.assert_array_equal(_numpy(model(TEXTS[form])), expected)
    assert_close(model.predict(TEXTS[form], verbose=0), expected)


@pytest.mark.parametrize("form", IN_PAIRS)
def test_forms_of_pairs(model, form):
    expected = _numpy(model(model.tokenizer(FIRST, SECOND)))
    np.testing.assert_array_equal(_numpy(model(IN_PAIRS[form])), expected)
    assert_close(model.predict(IN_PAIRS[form], verbose=0), expected)


def test_one_text_is_a_batch_of_one(model):
    expected = _numpy(model(FIRST))[:1]
    assert_close(_numpy(model(FIRST[0])), expected)


def test_texts_train_as_their_ids(model):
    labels = [0, 1, 2]
    ids = model.tokenizer(FIRST)
    expected = model.evaluate(ids, np.array(labels), verbose=0)
    assert model.evaluate(FIRST, labels, verbose=0) == expected
    assert model.evaluate({"text": FIRST, "labels": labels}, verbose=0) == expected
    one, other = _model(), _model()
    for each, x in ((one, FIRST), (other, ids)):
        each.compile(run_eagerly=True)
        held = (x, np.array(labels))
        each.fit(x, labels, validation_data=held, shuffle=False, verbose=0)
        each.train_on_batch(x, labels)
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


DATASETS = {
    "texts": (FIRST, [0, 1, 2]),
    "pairs": ((FIRST, SECOND), [0, 1, 2]),
    "names": ({"text": FIRST, "text_pair": SECOND}, [0, 1, 2]),
    "names and labels": ({"text": FIRST, "label": [0, 1, 2]},),
    "ids": ({"input_ids": [[2, 5, 3], [2, 6, 3], [2, 7, 3]]}, [0, 1, 2]),
}


@pytest.mark.parametrize("form", DATASETS)
def test_datasets_of_texts(model, form):
    dataset = _dataset(*DATASETS[form])
    x = DATASETS[form][0]
    inputs = {k: v for k, v in x.items() if k != "label"} if isinstance(x, dict) else x
    expected = model.evaluate(inputs, [0, 1, 2], verbose=0)
    assert model.evaluate(dataset, verbose=0) == pytest.approx(expected, rel=1e-5)
    assert_close(model.predict(dataset, verbose=0), _numpy(model(inputs)))


@pytest.mark.skipif(not ON_TENSORFLOW, reason="tensors of strings are TensorFlow's")
def test_tensors_of_strings(model):
    import tensorflow as tf

    expected = _numpy(model(FIRST))
    tensor = tf.constant(FIRST)
    np.testing.assert_array_equal(_numpy(model(tensor)), expected)
    assert_close(_numpy(tf.function(lambda x: model(x))(tensor)), expected)
    assert_close(model.predict(tensor, verbose=0), expected)


def test_choices():
    model = _model("MultipleChoice")
    listed = [["good", "bad film"], ["very good", "bad"]]
    flat = model.tokenizer([text for row in listed for text in row])
    expected = _numpy(model({k: v.reshape(2, 2, -1) for k, v in flat.items()}))
    assert expected.shape == (2, 2)
    for form in (listed, np.array(listed), {"text": listed}):
        np.testing.assert_array_equal(_numpy(model(form)), expected)
    questions = [["good"] * 2, ["film"] * 2]
    pairs = [
        list(zip(*row, strict=True)) for row in zip(questions, listed, strict=True)
    ]
    by_name = {"text": questions, "text_pair": listed}
    np.testing.assert_array_equal(_numpy(model(pairs)), _numpy(model(by_name)))
    with pytest.raises(InputError, match=r"shape \(batch, choices\). Received: \(2,\)"):
        model([["good", "bad"], ["good"]])


def test_texts_are_cut_off_and_a_warning_says_so(caplog):
    model = _model()
    model.tokenizer.model_max_length = 4
    with caplog.at_level(logging.WARNING):
        model(["good bad film", "bad"])
    assert "1 of 2 rows have the most tokens, 4" in caplog.text
    model.tokenizer.model_max_length = 10**6
    assert model(["good " * 99]).shape == (1, 5)


WRONG = {
    "two strings": (("good", "bad"), "which may be texts or pairs"),
    "lists of two": ([["good", "bad"], ["bad", "good"]], "may be texts or pairs"),
    "None": (["good", None], "Expected a text. Received: None in row 1"),
    "NaN": (np.array(["good", np.nan], object), "Received: nan in row 1"),
    "a pair and a text": ([("a", "b"), ("a",)], r"Received: \('a', 'b'\) in row 0"),
    "one second text": ({"text": FIRST, "text_pair": ["a"]}, r"shape \(3,\). .*\(1,\)"),
    "three texts a row": (np.array([["a", "b", "c"]]), r"shape \(batch,\)"),
    "a Keras tensor": (keras.Input((), dtype="string"), "BertTokenizerLayer"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_text_is_named(model, case):
    inputs, message = WRONG[case]
    with pytest.raises(InputError, match=message):
        model(inputs)


def test_other_names_and_texts_one_by_one(model):
    with pytest.raises(UnknownNameError, match=r"idx.*one of text, text_pair"):
        model({"text": FIRST, "idx": [1, 2, 3]})
    with pytest.raises(InputError, match=r"batches of texts.*Batch the dataset"):
        model.predict(_dataset(FIRST).unbatch())


def test_a_tokenizer_is_attached_or_asked_for(model):
    bare = keras_bert.BertForSequenceClassification(TINY, seed=1)
    for texts in (FIRST, {"text": FIRST}, FIRST[0]):
        with pytest.raises(InputError, match=r"tokenized first.*model\.tokenizer ="):
            bare(texts)
    with pytest.raises(InputError, match="tokenized first"):
        model.encoder(FIRST)
    with pytest.raises(ConfigError, match="Received: TrackedList"):
        bare.tokenizer = TOKENS
    many = keras_bert.BertTokenizer([*TOKENS, *map(str, range(99))])
    with pytest.raises(ConfigError, match=r"at most 99 tokens.*Received: 109"):
        bare.tokenizer = many
    assert bare.tokenizer is None and "tokenizer" not in bare.get_config()


# === Files ===


def test_one_file_takes_texts(model, tmp_path):
    model.tokenizer.add_tokens(["<e>"])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.tokenizer.settings() == model.tokenizer.settings()
    texts = [*FIRST, "good<e>film"]
    expected = model.predict(texts, verbose=0)
    np.testing.assert_array_equal(loaded.predict(texts, verbose=0), expected)


@pytest.mark.parametrize("format", ["keras", "huggingface", "keras_hub", "google"])
def test_directories_keep_the_tokenizer(format, tmp_path):
    model = _model(hidden_act="gelu_new", num_labels=5)
    if format == "google":
        model = keras_bert.BertForPreTraining(TINY.replace(hidden_act="gelu_new"))
        model.tokenizer = keras_bert.BertTokenizer(TOKENS)
    model.save_pretrained(tmp_path / "one", format=format)
    loaded = type(model).from_pretrained(tmp_path / "one")
    assert loaded.find_tokenizer is not None  # unread until it is used
    for output, expected in zip(
        keras.tree.flatten(loaded(FIRST)),
        keras.tree.flatten(model(FIRST)),
        strict=True,
    ):
        assert_close(_numpy(output), _numpy(expected))
    loaded.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").tokenizer.tokens == TOKENS


def test_tokenizers_that_cannot_be_read_are_left_out(tmp_path, caplog):
    _model().save_pretrained(tmp_path / "one", format="huggingface")
    for file in ("vocab.txt", "tokenizer.json"):
        (tmp_path / "one" / file).write_text("odd\n")
    loaded = keras_bert.BertForSequenceClassification.from_pretrained(tmp_path / "one")
    assert "tokenizer" not in loaded.get_config()
    loaded.save_pretrained(tmp_path / "two")
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == [
        "config.json",
        "model.weights.h5",
    ]
    with pytest.raises(InputError, match="tokenized first"):
        loaded(FIRST)


def test_resized_models_keep_a_tokenizer_that_fits():
    model = _model()
    assert model.resize_token_embeddings(50).tokenizer is model.tokenizer
    assert model.resize_token_embeddings(9).tokenizer is None


# === The encoder by its other name ===


def test_the_encoder_by_the_name_of_its_family(model, tmp_path):
    assert model.bert is model.encoder
    for name in ("roberta", "nothing"):
        with pytest.raises(AttributeError, match=name):
            getattr(model, name)
    one = _model()
    one.bert.trainable = False
    assert len(one.trainable_variables) == 2
    one.save(tmp_path / "model.keras")
    assert not keras.saving.load_model(tmp_path / "model.keras").bert.trainable
