"""Relative positions: scores by distance, files, the graph without padding."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_bert import families
from keras_bert.errors import CheckpointError, ConfigError
from keras_bert.layers.relative_positions import RelativePositions
from keras_bert.models import MODELS
from tests.bounds import assert_close

SIZES = dict(
    vocab_size=37,
    hidden_size=15,
    num_attention_heads=3,
    num_hidden_layers=2,
    intermediate_size=22,
    max_position_embeddings=13,
    initializer_range=0.5,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)
KINDS = ["relative_key", "relative_key_query"]
FAMILIES = [n for n, f in families.FAMILIES.items() if f.has_relative_positions]
RNG = np.random.default_rng(0)
IDS = RNG.integers(3, 37, (4, 9)).astype("int32")
MASK = np.arange(9) < np.array([[9], [4], [7], [1]])


def _model(name="bert", kind=KINDS[1], head="sequence_classification"):
    family = families.FAMILIES[name]
    config = family.config(**SIZES, position_embedding_type=kind)
    return MODELS[family.class_name(head)](config, seed=1)


def _batch():
    return {"input_ids": IDS * MASK, "attention_mask": MASK.astype("int32")}


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_products_with_vectors_of_distances(kind):
    config = families.of("bert").config(**SIZES, position_embedding_type=kind)
    layer = RelativePositions(config, seed=1)
    layer.build()
    query, key = RNG.normal(size=(2, 2, 3, 4, 5)).astype("float32")
    columns = np.array([[0, 1, 2, 3], [0, 4, 6, 8]], "int32")
    found = layer(query, key, columns, span=9)
    table = np.array(layer.table)
    vectors = table[columns[:, :, None] - columns[:, None, :] + 12]
    expected = np.einsum("bhld,blrd->bhlr", query, vectors)
    if kind == "relative_key_query":
        expected += np.einsum("bhrd,blrd->bhlr", key * 5**-0.5, vectors)
    assert_close(found, expected)


def test_distances_beyond_the_table_are_nan():
    config = families.of("bert").config(**SIZES, position_embedding_type=KINDS[0])
    layer = RelativePositions(config, seed=1)
    layer.build()
    query = RNG.normal(size=(1, 3, 2, 5)).astype("float32")
    found = np.array(layer(query, query, np.array([[0, 13]], "int32"), span=14))
    assert np.isnan(found[..., 0, 1]).all() and np.isnan(found[..., 1, 0]).all()
    assert np.isfinite(found[..., 0, 0]).all()


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_files_keep_every_bit(name, kind, tmp_path):
    model = _model(name, kind)
    for format in ("keras", "huggingface"):
        model.save_pretrained(tmp_path / format, format=format)
        again = type(model).from_pretrained(tmp_path / format)
        assert again.config.position_embedding_type == kind
        for one, other in zip(model.weights, again.weights, strict=True):
            np.testing.assert_array_equal(one, other, one.path)
    model.save(tmp_path / "it.keras")
    again = keras.saving.load_model(tmp_path / "it.keras")
    np.testing.assert_array_equal(again(_batch()), model(_batch()))


@pytest.mark.parametrize("name", FAMILIES)
def test_no_padding_is_computed_in_the_graph(name):
    tf = pytest.importorskip("tensorflow")
    from keras_bert.serving.graph import unpadded

    for model in (_model(name), _model(name, head="token_classification")):
        inputs = {k: tf.constant(x, tf.int32) for k, x in _batch().items()}
        found = unpadded.forward(model, inputs)["logits"]
        expected = model(_batch())
        real = MASK if model.per_token else slice(None)
        assert_close(np.array(found)[real], np.array(expected)[real])


def test_what_transformers_leaves_out_is_said(tmp_path, caplog):
    _model().save_pretrained(tmp_path / "it", format="huggingface")
    assert "transformers 5" in caplog.text


def test_training_reaches_the_vectors():
    model = _model()
    model.compile(optimizer=keras.optimizers.SGD(0.5))
    before = [np.array(w) for w in model.weights if "relative" in w.path]
    model.fit(_batch(), np.array([0, 1, 0, 1]), verbose=0)
    after = [np.array(w) for w in model.weights if "relative" in w.path]
    assert len(before) == 2
    for one, other in zip(before, after, strict=True):
        moved = (one != other).any(-1)
        # Distances of up to 8 of 12 tokens were met.
        assert moved[4:21].any() and not moved[:4].any() and not moved[21:].any()
    unused = model.encoder.embeddings.position_embeddings.weights[0]
    assert ops.shape(unused) == (13, 15)


def test_what_has_no_place_for_them_refuses(tmp_path):
    with pytest.raises(CheckpointError, match="relative"):
        _model().save_pretrained(tmp_path / "g", format="google")
    with pytest.raises(ConfigError, match="position_embedding_type"):
        family = families.of("distilbert")
        config = family.config(**SIZES, position_embedding_type=KINDS[0])
        MODELS[family.class_name("encoder")](config)
    assert not (tmp_path / "g").exists()
