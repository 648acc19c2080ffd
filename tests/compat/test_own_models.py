"""Models that scripts make of `TFBertPreTrainedModel` and a `TFBertMainLayer`."""

import numpy as np
import pytest

pytest.importorskip("tensorflow")
import keras
import tensorflow as tf

from keras_bert import transformers
from keras_bert.errors import ConfigError
from tests.bounds import assert_close
from tests.families.test_models import SIZES

IDS = np.random.default_rng(0).integers(5, SIZES["vocab_size"], (3, 7))
BATCH = {"input_ids": IDS, "attention_mask": np.ones_like(IDS)}


class Config(transformers.BertConfig):
    def __init__(self, num_polarities=3, **values):
        super().__init__(**values)
        self.num_polarities = num_polarities


class Old(transformers.TFBertPreTrainedModel):
    def __init__(self, config, *inputs, **kwargs):
        super().__init__(config, *inputs, **kwargs)
        self.bert = transformers.TFBertMainLayer(config, name="bert")
        self.dense = keras.layers.Dense(config.num_labels)

    @tf.function
    def call(self, inputs, **kwargs):
        _, pooled, *states = self.bert(inputs, **kwargs).to_tuple()
        return (self.dense(pooled), *states)


class New(transformers.TFBertPreTrainedModel):
    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.bert = transformers.TFBertModel(config, add_pooling_layer=False)
        start = transformers.get_initializer(config.initializer_range)
        self.dense = keras.layers.Dense(config.num_polarities, kernel_initializer=start)

    @transformers.unpack_inputs
    def call(self, input_ids=None, attention_mask=None, labels=None, training=False):
        states = self.bert(input_ids, attention_mask=attention_mask, training=training)
        logits = self.dense(states[0][:, 0])
        return transformers.TFSequenceClassifierOutput(loss=labels, logits=logits)


class Without(transformers.TFBertPreTrainedModel):
    def call(self, inputs):
        return inputs


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    config = transformers.BertConfig(**SIZES, initializer_range=0.3)
    model = transformers.TFBertModel(config, seed=1)
    model.save_pretrained(tmp_path_factory.mktemp("bert"))
    return model


@pytest.fixture
def path(bert, tmp_path):
    bert.save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


@pytest.mark.parametrize(("cls", "config_class"), [(Old, None), (New, Config)])
def test_the_encoder_is_that_of_the_checkpoint(cls, config_class, bert, path, caplog):
    config = config_class and config_class.from_pretrained(path, num_polarities=5)
    model = cls.from_pretrained(path, config=config, output_hidden_states=False)
    encoder = model.bert if cls is Old else model.bert.bert
    assert_close(encoder(BATCH)[0], bert(BATCH)[0])
    assert "other weights are new" in caplog.text
    outputs = model(BATCH)
    assert outputs[0].shape == (3, 3 if cls is Old else 5)
    assert_close(model([IDS, BATCH["attention_mask"]])[0], outputs[0])
    model.save_pretrained(path.parent / "own")
    again = cls.from_pretrained(
        path.parent / "own",
        config=config_class and config_class.from_pretrained(path.parent / "own"),
    )
    assert_close(again(BATCH)[0], outputs[0])


def test_it_is_trained(path):
    model = New.from_pretrained(path, config=Config.from_pretrained(path))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(**BATCH, training=True).logits ** 2)
    assert all(g is not None for g in tape.gradient(loss, model.trainable_variables))


def test_outputs_are_what_is_not_none():
    outputs = transformers.TFBaseModelOutput(last_hidden_state=1, attentions=None)
    assert list(outputs) == ["last_hidden_state"] and outputs[0] == 1


def test_a_model_without_encoder_is_refused(path):
    with pytest.raises(ConfigError, match=r"Without\.bert .*TFBertMainLayer"):
        Without.from_pretrained(path)
