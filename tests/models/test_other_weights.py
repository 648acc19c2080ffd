"""Weights that are not what a variable holds: adapters, few bits, files of others."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_bert.errors import CheckpointError, ConfigError, UnknownNameError
from keras_bert.models import MODELS, BertModel
from tests.bounds import assert_close
from tests.cases import CONFIG

TINY = CONFIG.replace(num_hidden_layers=1)
IDS = np.random.default_rng(0).integers(1, 99, (4, 6)).astype("int32")


def _model(head="SequenceClassification", **options):
    return MODELS[f"BertFor{head}"](TINY, seed=1, **options)


def _numpy(x):
    return ops.convert_to_numpy(x)


# === Adapters ===


@pytest.fixture(params=["float32", "mixed_bfloat16"])
def adapted(request):
    """A model whose kernels and tables have adapters, and those move its outputs."""
    model, rng = _model(dtype=request.param), np.random.default_rng(3)
    before = _numpy(model(IDS))
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Dense | keras.layers.Embedding):
            layer.enable_lora(2)
            table = isinstance(layer, keras.layers.Embedding)
            b = layer.lora_embeddings_b if table else layer.lora_kernel_b
            b.assign(rng.normal(0, 0.1, b.shape))
    assert np.abs(_numpy(model(IDS)) - before).max() > 0.01
    return model


def _near(model, actual, expected):
    # bfloat16 keeps 16 bits fewer, and rounds kernel and adapter apart: 2 bits more.
    ulps = {} if model.compute_dtype == "float32" else {"ulps": 2.0**18}
    assert_close(_numpy(actual), _numpy(expected), **ulps)


def test_checkpoints_hold_kernels_with_their_adapters(adapted, tmp_path):
    adapted.save_pretrained(tmp_path / "model", "huggingface")
    again = type(adapted).from_pretrained(
        tmp_path / "model", dtype=adapted.dtype_policy
    )
    _near(adapted, again(IDS), adapted(IDS))
    assert all("lora" not in path for path in adapted.merged_weights())
    assert {str(w.dtype).split("'")[-1] for w in again.weights} == {"float32"}


def test_keras_files_hold_trained_adapters_merged(tmp_path):
    model = _model()
    model.encoder.blocks[0].attention.query.enable_lora(2)
    model.compile()
    model.fit(IDS, np.array([0, 1, 0, 1]), verbose=0)
    model.save(tmp_path / "model.keras")
    with pytest.warns(UserWarning, match="Skipping variable loading for optimizer"):
        again = keras.saving.load_model(tmp_path / "model.keras")
    _near(model, again(IDS), model(IDS))
    again.fit(IDS, np.array([0, 1, 0, 1]), verbose=0)


def test_resized_models_keep_what_adapters_learned(adapted):
    _near(adapted, adapted.resize_token_embeddings(120)(IDS), adapted(IDS))


# === Few bits ===


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_what_needs_floats_refuses_few_bits(mode, tmp_path):
    model = _model()
    model.quantize(mode)
    for method in (
        lambda: model.resize_token_embeddings(40),
        lambda: model.save_pretrained(tmp_path / "model"),
        model.merged_weights,
    ):
        with pytest.raises(ConfigError, match=f"in {mode}. Do this before"):
            method()
    assert not list(tmp_path.iterdir())


def test_other_ways_to_quantize_are_refused_by_name():
    model = _model()
    for mode in ("gptq", "awq", "float8", "int9", None):
        with pytest.raises(UnknownNameError, match=r"expected one of int8, int4"):
            model.quantize(mode)
    with pytest.raises(TypeError, match=r"filters"):
        model.quantize("int8", filters="classifier")


def test_a_functional_model_around_an_encoder_is_quantized():
    inputs = keras.Input((6,), dtype="int32")
    pooled = BertModel(TINY, seed=1)(inputs)["pooler_output"]
    outer = keras.Model(inputs, keras.layers.Dense(2)(pooled))
    before = _numpy(outer(IDS))
    outer.quantize("int8")
    assert 0 < np.abs(_numpy(outer(IDS)) - before).max() < 0.1


# === Files of other models ===


@pytest.mark.parametrize(
    ("written", "read", "difference"),
    [
        (
            "PreTraining",
            "SequenceClassification",
            "with masked_lm, .*without classifier",
        ),
        ("SequenceClassification", "TokenClassification", "with pooler"),
        ("TokenClassification", "SequenceClassification", "without pooler"),
        ("NextSentencePrediction", "SequenceClassification", "with next_sentence"),
        ("PreTraining", "MaskedLM", "with next_sentence"),
    ],
)
def test_weights_of_another_head_are_refused(written, read, difference, tmp_path):
    file = tmp_path / "model.weights.h5"
    MODELS[f"BertFor{written}"](TINY, seed=2).save_weights(file)
    model = _model(read)
    before = model.get_weights()
    with pytest.raises(CheckpointError, match=difference):
        model.load_weights(file)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# === Frozen parts, however they are reached ===


@pytest.mark.parametrize(
    "frozen",
    [
        lambda model: [model.encoder],
        lambda model: [model.get_layer("encoder")],
        lambda model: model.layers[:1],
        lambda model: [x for x in model.layers if x.name == "encoder"],
        lambda model: [model.encoder.embeddings, *model.encoder.blocks],
    ],
)
def test_frozen_layers_stay_as_they_are(frozen, tmp_path):
    model = _model()
    for layer in frozen(model):
        layer.trainable = False
    model.compile(optimizer="sgd", run_eagerly=True)
    model.fit(IDS, np.arange(4), verbose=0)
    initial = {w.path: _numpy(w) for w in _model().weights}
    moved = {
        w.path for w in model.weights if np.any(_numpy(w) != initial.get(w.path, w))
    }
    kept = {w.path for layer in frozen(model) for w in layer.weights}
    assert moved and not moved & kept
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    same = type(model).from_config(model.get_config())
    paths = [w.path for w in model.trainable_weights]
    assert [w.path for w in again.trainable_weights] == paths
    assert [w.path for w in same.trainable_weights] == paths


@pytest.mark.parametrize("name", ["distilbert", "roberta", "classifer", "backbone"])
def test_parts_that_are_not_there_have_no_attributes(name):
    with pytest.raises(AttributeError, match=name):
        getattr(_model(), name).trainable = False


# === One precision ===


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_models_of_one_precision_train(dtype):
    model = _model(dtype=dtype)
    model.compile(run_eagerly=True)
    before = [np.array(_numpy(w), "float64") for w in model.trainable_weights]
    history = model.fit(IDS, np.arange(4), epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    after = [np.array(_numpy(w), "float64") for w in model.trainable_weights]
    kinds = {w.dtype for w in model.trainable_weights}
    assert kinds <= {dtype, "float32"}  # logits are float32 under every policy
    assert sum(np.any(a != b) for a, b in zip(before, after, strict=True)) > 5


@pytest.mark.parametrize("dtype", ["int8", "int8_from_float32", "float33", "auto", 7])
def test_models_compute_in_floats(dtype):
    with pytest.raises(ConfigError, match="dtype policy of floats"):
        _model(dtype=dtype)
