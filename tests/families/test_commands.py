"""The commands on directories of other families: text where there is a tokenizer."""

import json

import keras
import numpy as np
import pytest

from keras_bert import BertTokenizer
from keras_bert.errors import InputError
from keras_bert.models import MODELS
from tests.bounds import assert_close
from tests.cli.calling import call
from tests.serving.cases import TEXTS, VOCAB

if keras.backend.backend() != "tensorflow":
    pytest.skip("a TensorFlow feature", allow_module_level=True)

import tensorflow as tf

SIZES = dict(
    vocab_size=37,
    hidden_size=12,
    num_hidden_layers=1,
    num_attention_heads=3,
    intermediate_size=14,
    max_position_embeddings=23,
    pad_token_id=1,
    num_labels=3,
    initializer_range=0.5,
)
IDS = ("input_ids", "attention_mask", "token_type_ids")
WITHOUT_TEXT = {"Roberta": "byte_level_bpe", "RoFormer": "jieba_wordpiece"}
WITHOUT_TEXT |= {"XLMRoberta": "sentencepiece"}


def _model(name: str):
    return MODELS[name](MODELS[name].family.config(**SIZES), seed=5)


@pytest.fixture(scope="module")
def distilbert(tmp_path_factory):
    """A classifier, its tokenizer and its directory of Hugging Face's."""
    model, tokenizer = (
        _model("DistilBertForSequenceClassification"),
        BertTokenizer(VOCAB),
    )
    path = tmp_path_factory.mktemp("distilbert") / "hf"
    model.save_pretrained(path, "huggingface", tokenizer=tokenizer)
    return model, tokenizer, path


def _lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_distilbert_is_served_on_text(distilbert, tmp_path):
    model, tokenizer, path = distilbert
    done = call("export", "--model", path, "--output", tmp_path / "served")
    assert done.status == 0, done.err
    assert "serving_default  text -> label, logits, probabilities" in done.out
    loaded = tf.saved_model.load(str(tmp_path / "served" / "1"))
    answers = loaded.signatures["serving_default"](text=tf.constant(TEXTS))
    assert_close(answers["logits"], model(tokenizer(TEXTS)))


def test_distilbert_predicts_and_gives_features(distilbert):
    model, tokenizer, path = distilbert
    expected = keras.ops.convert_to_numpy(model(tokenizer(TEXTS)))
    done = call("predict", "--model", path, *TEXTS)
    assert done.status == 0, done.err
    assert_close([line["logits"] for line in _lines(done.out)], expected)
    pooled = call("predict", "--model", path, "--embeddings", "mean", TEXTS[0])
    assert pooled.status == 0, pooled.err
    (line,) = _lines(pooled.out)
    hidden = model.encoder(tokenizer(TEXTS[:1]))["last_hidden_state"]
    assert_close(line["embeddings"], keras.ops.convert_to_numpy(hidden)[0].mean(0))
    features = call("features", "--model", path, "--layers=-1", TEXTS[0])
    assert features.status == 0, features.err


def test_distilbert_is_tuned_and_evaluated(distilbert, tmp_path):
    _, _, path = distilbert
    data = tmp_path / "train.tsv"
    rows = [f"{text}\t{'yes' if i % 2 else 'no'}" for i, text in enumerate(TEXTS)]
    data.write_text("\n".join(["text\tlabel", *rows]) + "\n")
    run = tmp_path / "run"
    options = ("--epochs", 1, "--batch-size", 2, "--ignore-mismatched-sizes")
    files = ("--train", data, "--output", run)
    tuned = call("finetune", "--model", path, *files, *options)
    assert tuned.status == 0, tuned.err
    config = json.loads((run / "model" / "config.json").read_text())
    assert config["architectures"] == ["DistilBertForSequenceClassification"]
    assert config["id2label"] == {"0": "no", "1": "yes"}
    scored = call("evaluate", "--model", run, "--data", data)
    assert scored.status == 0, scored.err
    assert json.loads(scored.out)["examples"] == len(TEXTS)


@pytest.mark.parametrize("prefix", WITHOUT_TEXT)
def test_without_their_tokenizer_others_are_served_on_ids(prefix, tmp_path):
    kind, model = WITHOUT_TEXT[prefix], _model(f"{prefix}ForSequenceClassification")
    model.save_pretrained(tmp_path / "it")
    arguments = ("--model", tmp_path / "it")
    done = call("export", *arguments, "--output", tmp_path / "served")
    assert done.status == 0, done.err
    note, *_ = done.out.splitlines()
    assert model.family.model_type in note and kind in note and "ids only" in note
    loaded = tf.saved_model.load(str(tmp_path / "served" / "1"))
    assert {*loaded.signatures} == {"serving_default", "serve_ids"}
    ids = np.array([[0, 9, 8, 7, 2], [0, 9, 2, 1, 1]], "int32")
    features = dict(zip(IDS, (ids, (ids != 1).astype("int32"), ids * 0), strict=True))
    served = loaded.signatures["serving_default"](
        **{name: tf.constant(value) for name, value in features.items()}
    )
    assert_close(served["logits"], model(features))

    for command in ("predict", "features"):
        refused = call(command, *arguments, "a text")
        assert refused.status == 2 and kind in refused.err, refused.err
    given = call("export", *arguments, "--output", tmp_path / "no", "--vocab", "x.txt")
    assert given.status == 2 and kind in given.err
    assert not (tmp_path / "no").exists()


def test_a_tokenizer_that_divides_words_by_a_dictionary_is_refused(tmp_path):
    model = _model("RoFormerForSequenceClassification")
    model.save_pretrained(tmp_path / "it", "huggingface")
    (tmp_path / "it" / "vocab.txt").write_text("\n".join(VOCAB), "utf-8")
    with pytest.raises(InputError, match="'RoFormerTokenizer', another algorithm"):
        BertTokenizer.from_pretrained(tmp_path / "it")
    settings = tmp_path / "it" / "tokenizer_config.json"
    settings.write_text('{"tokenizer_class": "BertTokenizer"}')
    assert BertTokenizer.from_pretrained(tmp_path / "it").vocab_size == len(VOCAB)
