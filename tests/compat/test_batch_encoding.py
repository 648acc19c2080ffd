"""What a tokenizer of `keras_bert.transformers` returns."""

import copy
import pickle

import numpy as np
import pytest

from keras_bert.errors import InputError, KerasBertError, UnknownNameError
from keras_bert.transformers import (
    BatchEncoding,
    BertTokenizerFast,
    CharSpan,
    TokenSpan,
)
from tests.compat.tokenizer_calls import LONG, SHORT, TEXTS, VOCAB


@pytest.fixture(scope="module")
def tokenizer() -> BertTokenizerFast:
    return BertTokenizerFast(VOCAB, model_max_length=32)


@pytest.fixture
def encoded(tokenizer) -> BatchEncoding:
    return tokenizer(["the running cat", SHORT], ["Café dog", "mat"])


def test_it_is_a_mapping_with_attributes(encoded):
    names = ["input_ids", "token_type_ids", "attention_mask"]
    assert list(encoded) == list(encoded.keys()) == list(dict(encoded)) == names
    assert encoded.input_ids == encoded["input_ids"] == encoded.data["input_ids"]
    assert type(dict(encoded)) is type(encoded.data) is dict
    assert {**encoded} == dict(encoded) == (lambda **values: values)(**encoded)
    assert "input_ids" in encoded and len(encoded) == 3
    encoded["labels"] = [1, 0]
    assert encoded.pop("labels") == [1, 0]
    assert repr(encoded) == repr(encoded.data)
    assert encoded.n_sequences == 2 and encoded.is_fast


def test_places_are_found_in_both_directions(encoded):
    tokens = encoded.tokens()
    assert tokens[:5] == ["[CLS]", "the", "run", "##ning", "cat"]
    assert encoded.word_ids(0)[:5] == [None, 0, 1, 1, 2]
    assert encoded.sequence_ids(0) == [None, 0, 0, 0, 0, None, 1, 1, None]
    assert encoded.token_to_chars(3) == CharSpan(7, 11) == encoded.token_to_chars(0, 3)
    assert encoded.word_to_tokens(1) == TokenSpan(start=2, end=4)
    assert encoded.word_to_tokens(0, 1, sequence_index=1) == TokenSpan(7, 8)
    assert encoded.word_to_chars(1) == CharSpan(4, 11)
    assert encoded.char_to_token(8) == 3
    assert encoded.char_to_token(0, 5, 1) == 7
    assert encoded.char_to_word(8) == 1
    assert encoded.token_to_word(3) == 1
    assert encoded.token_to_sequence(0, 7) == 1
    assert encoded.char_to_token(0, 3) is None  # a space
    assert encoded.token_to_chars(0) is None  # [CLS]
    assert encoded.word_to_chars(0, 99) is encoded.word_to_tokens(99) is None
    assert encoded[1].tokens == encoded.tokens(1)
    assert encoded[0].offsets[3] == (7, 11)
    assert [e.ids for e in encoded[0:2]] == encoded.input_ids


@pytest.mark.parametrize("name", TEXTS)
def test_tokens_lie_where_they_are_said_to(tokenizer, name):
    text = TEXTS[name]
    found = tokenizer(text, return_offsets_mapping=True)
    for index, (begin, end) in enumerate(found.offset_mapping):
        if end > begin:
            assert found.token_to_chars(index) == (begin, end)
            # A character may become two tokens.
            assert found.char_to_token(begin) <= index
            word = found.word_to_chars(found.token_to_word(index))
            assert word.start <= begin and end <= word.end <= len(text)


def test_places_of_what_was_padded_are_unknown(tokenizer, encoded):
    padded = tokenizer.pad(encoded)
    assert not padded.is_fast
    with pytest.raises(InputError, match="places in the text"):
        padded.tokens()
    with pytest.raises(UnknownNameError, match="a number"):
        padded[0]
    assert padded[0:1]["input_ids"] == [padded["input_ids"][0]]
    with pytest.raises(AttributeError, match="nothing"):
        _ = encoded.nothing
    with pytest.raises(KeyError):
        encoded["nothing"]


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda e: e.copy()])
def test_copies_are_equal(encoded, clone):
    for other in (clone(encoded), pickle.loads(pickle.dumps(encoded))):
        assert type(other) is BatchEncoding
        assert dict(other) == dict(encoded)
        assert other.tokens(1) == encoded.tokens(1)


# === Tensors ===

TYPES = {
    "np": ("numpy", "int64"),
    "tf": ("tensorflow", "int32"),
    "pt": ("torch", "int64"),
}


@pytest.mark.parametrize("kind", TYPES)
def test_tensors_have_the_types_of_transformers_4(tokenizer, kind):
    module, dtype = TYPES[kind]
    pytest.importorskip(module)
    options = {"padding": True, "return_tensors": kind, "return_offsets_mapping": True}
    batch = tokenizer([SHORT, LONG], **options)
    plain = tokenizer([SHORT, LONG], padding=True, return_offsets_mapping=True)
    for name, tensor in batch.items():
        assert type(tensor).__module__.startswith(module)
        assert np.asarray(tensor).dtype == dtype
        assert np.asarray(tensor).tolist() == np.array(plain[name]).tolist()
    assert np.asarray(tokenizer("cat", return_tensors=kind).input_ids).shape == (1, 3)
    assert np.asarray(tokenizer.encode("cat", return_tensors=kind)).shape == (1, 3)
    assert tokenizer.decode(batch["input_ids"][0]) == tokenizer.decode(
        plain.input_ids[0]
    )
    assert tokenizer.batch_decode(batch["input_ids"]) == tokenizer.decode(
        batch.input_ids
    )
    empty = tokenizer("", add_special_tokens=False, return_tensors=kind)
    assert np.asarray(empty.input_ids).dtype == dtype
    again = tokenizer.pad(batch)
    assert type(again.input_ids) is type(batch.input_ids)


@pytest.mark.parametrize("kind", ["tf", "pt"])
def test_rows_of_several_lengths_say_how_to_make_a_tensor(tokenizer, kind):
    pytest.importorskip(TYPES[kind][0])
    with pytest.raises(InputError, match=r"'input_ids'.*padding=True"):
        tokenizer([SHORT, LONG], return_tensors=kind)
    with pytest.raises(InputError, match=r"'pt', 'tf', 'np'.*'jax'"):
        tokenizer(SHORT, return_tensors="jax")


def test_a_row_becomes_a_batch(tokenizer):
    row = tokenizer("the cat")
    assert row.convert_to_tensors("np")["input_ids"].shape == (4,)
    batch = tokenizer("the cat").convert_to_tensors("np", prepend_batch_axis=True)
    assert batch["input_ids"].shape == (1, 4)
    made = BatchEncoding({"x": [1, 2]}, tensor_type="np", prepend_batch_axis=True)
    assert made.x.tolist() == [[1, 2]]


def test_pytorch_moves_its_tensors(tokenizer):
    torch = pytest.importorskip("torch")
    batch = tokenizer([SHORT], return_tensors="pt")
    assert batch.to("cpu") is batch.to(torch.device("cpu")) is batch
    assert batch.input_ids.device.type == "cpu"


def test_tensorflow_takes_it_for_a_dict(tokenizer):
    tf = pytest.importorskip("tensorflow")
    batch = tokenizer([SHORT, LONG], padding=True, return_tensors="np")
    for given in (batch, dict(batch)):
        rows = tf.data.Dataset.from_tensor_slices((given, [0, 1])).batch(2)
        (features, labels), *_ = rows
        assert set(features) == set(batch)
        assert (features["input_ids"].numpy() == batch.input_ids).all()
        assert labels.numpy().tolist() == [0, 1]
    doubled = tf.nest.map_structure(lambda x: 2 * x, batch)
    assert (doubled["input_ids"] == 2 * batch.input_ids).all()
    graph = tf.function(lambda values: values["input_ids"] + 1)
    tensors = tokenizer([SHORT], return_tensors="tf")
    assert (graph(tensors).numpy() == tensors.input_ids.numpy() + 1).all()


def test_keras_takes_it_for_a_dict(tokenizer):
    keras = pytest.importorskip("keras")
    from keras_bert import BertConfig, BertForSequenceClassification

    sizes = dict(hidden_size=8, num_attention_heads=2, intermediate_size=16)
    config = BertConfig(vocab_size=len(VOCAB), num_hidden_layers=1, **sizes)
    model = BertForSequenceClassification(config)
    batch = tokenizer([SHORT, LONG], padding=True, return_tensors="np")
    expected = keras.ops.convert_to_numpy(model(dict(batch)))
    for found in (model(batch), model(batch.data), model(**batch)):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(found), expected)
    np.testing.assert_allclose(model.predict(batch, verbose=0), expected, atol=1e-6)
    assert keras.tree.map_structure(lambda x: x, batch) == dict(batch)


def test_errors_are_of_one_family(encoded, tokenizer):
    for call in (
        lambda: tokenizer.pad(encoded).word_ids(),
        lambda: tokenizer.pad(encoded)[1],
        lambda: encoded.convert_to_tensors("xx"),
    ):
        with pytest.raises(KerasBertError):
            call()
