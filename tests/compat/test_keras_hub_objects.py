"""KerasHub's models in memory become models of this package, and the reverse."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_bert
from keras_bert.errors import CheckpointError, InputError, MissingExtraError
from tests.bounds import assert_close
from tests.vocabulary import SPECIAL

TOKENS = [*SPECIAL, "good", "bad", "film", "very", "##s"]
TEXTS = ["good film", "very very bad films", "Bad " * 30]
IDS = np.array([[2, 5, 6, 3], [2, 7, 3, 0]], "int32")
INPUTS = {"token_ids": IDS, "segment_ids": IDS * 0, "padding_mask": IDS > 0}


@pytest.fixture(scope="module")
def hub():
    return pytest.importorskip("keras_hub").models


def _backbone(hub, name="Bert", **options):
    keras.utils.set_random_seed(3)
    sizes = dict(vocabulary_size=10, num_layers=2, num_heads=2, hidden_dim=16)
    sizes |= dict(intermediate_dim=24, max_sequence_length=20, dropout=0.2)
    return getattr(hub, f"{name}Backbone")(**sizes, **options)


def _preprocessor(hub, task, length=12):
    tokenizer = hub.BertTokenizer(TOKENS, lowercase=True, strip_accents=True)
    kind = getattr(hub, f"Bert{task}Preprocessor")
    return kind(tokenizer, sequence_length=length)


def _numpy(x):
    return ops.convert_to_numpy(x)


def test_backbones_both_ways(hub):
    theirs = _backbone(hub)
    ours = keras_bert.BertModel.from_keras_hub(theirs)
    again = ours.to_keras_hub()
    assert type(again) is hub.BertBackbone
    assert ours.config.hidden_dropout_prob == 0.2
    for a, b in zip(theirs.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    expected, found = theirs(INPUTS), ours(INPUTS)
    assert_close(
        _numpy(found["last_hidden_state"]), _numpy(expected["sequence_output"])
    )
    assert_close(_numpy(found["pooler_output"]), _numpy(expected["pooled_output"]))
    assert ours.tokenizer is None


def test_text_classifiers_both_ways(hub):
    theirs = hub.BertTextClassifier(
        _backbone(hub), num_classes=3, preprocessor=_preprocessor(hub, "TextClassifier")
    )
    ours = keras_bert.BertForSequenceClassification.from_keras_hub(theirs)
    again = ours.to_keras_hub()
    assert type(again) is hub.BertTextClassifier
    expected = theirs.predict(TEXTS, verbose=0)  # of which one is cut off at 12 tokens
    assert_close(ours.predict(TEXTS, verbose=0), expected)
    np.testing.assert_array_equal(again.predict(TEXTS, verbose=0), expected)
    assert again.preprocessor.sequence_length == 12
    pairs = TEXTS[:2], ["bad", "good"]
    assert_close(ours.predict(pairs, verbose=0), theirs.predict(pairs, verbose=0))


def test_trained_presets_of_ours_predict_the_same_in_keras_hub(hub, tmp_path):
    tokenizer = keras_bert.BertTokenizer(TOKENS)
    config = keras_bert.BertConfig.preset("tiny", vocab_size=10, hidden_act="gelu_new")
    model = keras_bert.BertForSequenceClassification(config, seed=1)
    model.tokenizer = tokenizer
    model.compile(run_eagerly=True)
    model.fit(TEXTS, [0, 1, 0], verbose=0)
    model.save_pretrained(tmp_path / "preset", format="keras_hub")
    theirs = hub.BertTextClassifier.from_preset(str(tmp_path / "preset"))
    found = theirs.predict(TEXTS, verbose=0)
    assert_close(found, model.predict(TEXTS, verbose=0))


def test_masked_lms_and_embedders(hub):
    theirs = hub.BertMaskedLM(_backbone(hub), preprocessor=None)
    ours = keras_bert.BertForMaskedLM.from_keras_hub(theirs)
    positions = {"mask_positions": np.array([[1, 2], [1, 0]], "int32")}
    expected = theirs(INPUTS | positions)
    assert_close(_numpy(ours(INPUTS | positions)), _numpy(expected))
    assert type(ours.to_keras_hub()) is hub.BertMaskedLM
    preprocessor = _preprocessor(hub, "TextEmbedder")
    embedder = hub.BertTextEmbedder(_backbone(hub), preprocessor=preprocessor)
    ours = keras_bert.BertModel.from_keras_hub(embedder)
    assert ours.tokenizer.tokens == TOKENS
    assert ours(TEXTS)["last_hidden_state"].shape == (3, 12, 16)


def test_dtype_policies_are_taken_over(hub):
    theirs = _backbone(hub, dtype="mixed_bfloat16")
    ours = keras_bert.BertModel.from_keras_hub(theirs)
    assert ours.compute_dtype == "bfloat16"
    assert ours.to_keras_hub().compute_dtype == "bfloat16"
    plain = keras_bert.BertModel.from_keras_hub(theirs, dtype="float32")
    assert plain.compute_dtype == "float32"


def test_what_is_not_converted_says_so(hub, monkeypatch):
    read = keras_bert.BertForSequenceClassification.from_keras_hub
    with pytest.raises(InputError, match=r"keras_hub\.models.*Received: str"):
        read("folder")
    with pytest.raises(CheckpointError, match=r"BertBackbone.*Received: RobertaBackbo"):
        read(_backbone(hub, "Roberta"))
    softmax = hub.BertTextClassifier(
        _backbone(hub), num_classes=3, activation="softmax"
    )
    with pytest.raises(CheckpointError, match=r"returns logits.*activation='softmax'"):
        read(softmax)
    config = keras_bert.BertConfig.preset("tiny", vocab_size=9, hidden_act="gelu_new")
    with pytest.raises(CheckpointError, match="no place for classifier"):
        keras_bert.BertForTokenClassification(config).to_keras_hub()
    model = keras_bert.BertModel(config)
    monkeypatch.setitem(__import__("sys").modules, "keras_hub", None)
    with pytest.raises(MissingExtraError, match="pip install keras-hub"):
        model.to_keras_hub()
