"""Attention to distances, the convolution, and the configs that ask for them."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_bert.checkpoints import formats
from keras_bert.distances import rows_of_distances
from keras_bert.errors import ConfigError
from keras_bert.families import read_config
from keras_bert.models import MODELS
from tests.bounds import assert_close
from tests.families.test_models import FIELDS, SIZES

V2 = FIELDS["deberta-v2"]


def _model(name: str, **fields):
    config = MODELS[name].family.config(**{**SIZES, "initializer_range": 0.4, **fields})
    return MODELS[name](config, seed=2)


@pytest.mark.parametrize("buckets, furthest", [(256, 512), (4, 41), (7, 19), (-1, 30)])
def test_rows_are_those_of_transformers(buckets, furthest):
    torch = pytest.importorskip("torch")
    modeling = pytest.importorskip("transformers.models.deberta_v2.modeling_deberta_v2")
    length, rows = 90, max(buckets, 0) or furthest
    columns = torch.zeros(1, length, 2)
    distances = modeling.build_relative_position(columns, columns, buckets, furthest)
    expected = (distances[0] + rows).clamp(0, 2 * rows - 1).numpy()
    found = rows_of_distances(length, furthest, max(buckets, 0))
    places = np.arange(length)[:, None] - np.arange(length) + length - 1
    np.testing.assert_array_equal(found[places], expected)


@pytest.mark.parametrize("name", ["DebertaModel", "DebertaV2Model"])
def test_packed_rows_compute_what_their_pieces_do(name):
    model = _model(name, **FIELDS[MODELS[name].family.model_type])
    ids = np.random.default_rng(1).integers(5, 97, (1, 12)).astype("int32")
    mask = np.array([[1] * 5 + [2] * 7], "int32")
    places = np.array([[*range(5), *range(7)]], "int32")
    packed = model({"input_ids": ids, "attention_mask": mask, "position_ids": places})
    apart = [model(ids[:, :5]), model(ids[:, 5:])]
    expected = np.concatenate(
        [ops.convert_to_numpy(x["last_hidden_state"]) for x in apart], 1
    )
    assert_close(ops.convert_to_numpy(packed["last_hidden_state"]), expected, ulps=64)


def test_gradients_reach_every_weight():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow's tape")
    import tensorflow as tf

    ids = np.random.default_rng(1).integers(5, 97, (2, 9)).astype("int32")
    for name in ("DebertaModel", "DebertaV2Model"):
        model = _model(name, **FIELDS[MODELS[name].family.model_type])
        model.encoder.activation_checkpointing = True
        with tf.GradientTape() as tape:
            output = model(ids, training=True)["last_hidden_state"]
            loss = tf.reduce_sum(output**3)
        variables = [v.value for v in model.trainable_variables]
        found = tape.gradient(loss, variables)
        for variable, gradient in zip(model.trainable_variables, found, strict=True):
            assert gradient is not None, variable.path
            # The softmax does not see what all keys gain alike.
            bias = variable.path.endswith(("attention/key/bias", "distance_key/bias"))
            assert bias or np.abs(tf.convert_to_tensor(gradient)).max() > 0


def test_position_embeddings_that_no_model_has_are_left_behind(tmp_path, caplog):
    fields = {**V2, "position_biased_input": False}
    model = _model("DebertaV2Model", **fields)
    table = _model("DebertaV2Model", **V2)
    table.save_pretrained(tmp_path / "it", "huggingface")
    path = tmp_path / "it" / "config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "position_biased_input": False}))
    read = type(model).from_pretrained(tmp_path / "it")
    assert "position_embeddings.weight" in caplog.text
    assert len(read.weights) == len(model.weights) == len(table.weights) - 1
    assert formats.read(tmp_path / "it").config.position_biased_input is False


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"legacy": False}, "legacy to be True"),
        ({"pos_att_type": "p2p|c2p"}, "pos_att_type to be a list of c2p, p2c"),
        ({"talking_head": True}, "talking_head=False"),
        ({"embedding_size": 12}, "embedding_size=768"),
        ({"pooler_dropout": 0.5}, "pooler_dropout to be 0"),
        ({"pooler_hidden_act": "tanh"}, "pooler_hidden_act to be 'gelu'"),
    ],
)
def test_what_is_not_built_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        read_config({"model_type": "deberta", **fields})
