"""Rotary positions, windows of attention, and the configs that tell them."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_bert.checkpoints import formats
from keras_bert.errors import CheckpointError, ConfigError
from keras_bert.families import read_config
from keras_bert.models import MODELS
from tests.bounds import assert_close
from tests.families.test_models import SIZES, tensorflow_only

MODERN = {"local_attention": 4, "global_attn_every_n_layers": 2}
ROTARY = {
    "RoFormerModel": {},
    "ModernBertModel": MODERN,
    "NomicBertModel": {},
    "ModernBertForSequenceClassification": {**MODERN, "classifier_pooling": "mean"},
}
IDS = np.random.default_rng(0).integers(2, 97, (1, 6)).astype("int32")
PLACES = np.arange(6, dtype="int32")[None]


def _model(name: str, **fields):
    config = MODELS[name].family.config(**{**SIZES, "initializer_range": 0.4, **fields})
    return MODELS[name](config, seed=2)


def _output(model, **features) -> np.ndarray:
    outputs = model(features)
    outputs = outputs["last_hidden_state"] if isinstance(outputs, dict) else outputs
    return ops.convert_to_numpy(outputs)


@pytest.mark.parametrize("name", ROTARY)
def test_rotary_positions_are_relative(name):
    model = _model(name, **ROTARY[name])
    start, later, twice = (
        _output(model, input_ids=IDS, position_ids=p)
        for p in (PLACES, PLACES + 7, PLACES * 2)
    )
    assert np.abs(start - twice).max() > 0.1
    assert_close(later, start, ulps=64)
    with pytest.raises(ValueError, match="position_ids from 0 to 16"):
        model({"input_ids": IDS, "position_ids": PLACES + 12})


def test_positions_of_values_are_not_relative():
    model = _model("RoFormerModel", rotary_value=True)
    start, later = (
        _output(model, input_ids=IDS, position_ids=p) for p in (PLACES, PLACES + 7)
    )
    assert np.abs(start - later).max() > 0.1


@pytest.mark.parametrize("name", ROTARY)
def test_positions_out_of_range_are_nan_in_graphs(name):
    model = _model(name, **ROTARY[name])
    call = keras.Function(inputs := keras.Input((6,), dtype="int32"), model(inputs))
    assert np.isfinite(ops.convert_to_numpy(next(iter(_leaves(call(IDS)))))).all()
    beyond = ops.convert_to_tensor(np.full_like(PLACES, 17))
    rotation = model.encoder._positions(beyond, model.config.reaches[0].theta)
    assert np.isnan(ops.convert_to_numpy(rotation)).all()


def _leaves(outputs):
    return outputs.values() if isinstance(outputs, dict) else [outputs]


def _with_holes() -> dict[str, np.ndarray]:
    """Rows where padding stands between tokens, and one piece each."""
    rng = np.random.default_rng(5)
    mask = np.ones((3, 12), "int32")
    mask[0, 3:7], mask[1, 2], mask[2, 5:] = 0, 0, 0
    ids = rng.integers(2, 97, mask.shape).astype("int32")
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids * 0}


@tensorflow_only
@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("kind", ["TokenClassification", "SequenceClassification"])
def test_without_padding_windows_count_the_padding_between_tokens(kind, pooling):
    from keras_bert.serving.graph import unpadded

    name = f"ModernBertFor{kind}"
    model = _model(name, **MODERN, classifier_pooling=pooling)
    features = _with_holes()
    expected = _output(model, **features)
    tensors = {k: ops.convert_to_tensor(v) for k, v in features.items()}
    found = ops.convert_to_numpy(unpadded.forward(model, tensors)["logits"])
    if model.per_token:
        real = features["attention_mask"] > 0
        found, expected = found[real], expected[real]
    assert_close(found, expected, ulps=64)
    # The window is felt, and so is a token beyond it.
    wide = _model(name, **{**MODERN, "local_attention": 6}, classifier_pooling=pooling)
    other = _output(wide, **features)
    assert np.abs((other[real] if model.per_token else other) - expected).max() > 1e-3


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_packed_pieces_are_computed_as_rows_of_their_own(pooling):
    name = "ModernBertForSequenceClassification"
    model = _model(name, **MODERN, classifier_pooling=pooling)
    lengths = (6, 3)
    rng = np.random.default_rng(1)
    pieces = [rng.integers(2, 97, n).astype("int32") for n in lengths]
    packed = {
        "input_ids": np.concatenate([*pieces, np.ones(2, "int32")])[None],
        "attention_mask": np.array([[1] * 6 + [2] * 3 + [0] * 2], "int32"),
        "position_ids": np.array([[*range(6), *range(3), 0, 0]], "int32"),
        "cls_positions": np.array([[0, 6]], "int32"),
    }
    found = _output(model, **packed)[0]
    apart = [_output(model, input_ids=piece[None])[0] for piece in pieces]
    assert_close(found, np.stack(apart), ulps=64)


def test_windows_that_see_all_are_none():
    one = _model("ModernBertModel", global_attn_every_n_layers=1)
    thetas = {"local_rope_theta": one.config.global_rope_theta}
    other = _model("ModernBertModel", local_attention=24, **thetas)
    other.set_weights(one.get_weights())
    assert_close(_output(one, input_ids=IDS), _output(other, input_ids=IDS))


def test_a_head_begins_with_the_transform_of_the_masked_lm(tmp_path):
    masked = _model("ModernBertForMaskedLM", classifier_bias=True)
    masked.save_pretrained(tmp_path / "it", "huggingface")
    model = MODELS["ModernBertForTokenClassification"].from_pretrained(tmp_path / "it")
    for mine, theirs in zip(
        model.masked_lm.weights, masked.masked_lm.weights, strict=True
    ):
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (mine, theirs)))
    assert [*model.newly_initialized] == ["token_classifier"]


@pytest.mark.parametrize(
    "dtype", ["float32", "mixed_bfloat16", "bfloat16", "mixed_float16"]
)
def test_lower_precision_stays_near(dtype):
    name = "ModernBertForTokenClassification"
    plain = _model(name, **MODERN, initializer_range=0.1)
    model = MODELS[name](plain.config, dtype=dtype)
    model.set_weights(plain.get_weights())
    found, expected = (_output(m, **_with_holes()) for m in (model, plain))
    apart = np.abs(found.astype("float32") - expected).max()
    assert apart <= (0.05 if dtype != "float32" else 0) * np.abs(expected).max()


# === Configs ===


def _modern(**values):
    sizes = {**SIZES, "model_type": "modernbert", "num_hidden_layers": 3}
    return read_config({**sizes, **values})


FULL, SLIDING = "full_attention", "sliding_attention"


def _ropes(full: float, sliding: float) -> dict:
    pair = {FULL: full, SLIDING: sliding}
    return {
        kind: {"rope_type": "default", "rope_theta": theta}
        for kind, theta in pair.items()
    }


def test_both_spellings_of_reaches_are_one():
    old = _modern(
        global_attn_every_n_layers=2,
        local_attention=6,
        global_rope_theta=900.0,
        local_rope_theta=30.0,
    )
    new = _modern(
        layer_types=[FULL, SLIDING, FULL],
        local_attention=6,
        rope_parameters=_ropes(900.0, 30.0),
    )
    assert old.reaches == new.reaches
    assert [tuple(r) for r in old.reaches] == [(None, 900), (3, 30), (None, 900)]
    assert read_config(json.loads(old.to_json_string())) == old
    assert _modern(global_rope_theta=7.0, local_rope_theta=None).reaches[1].theta == 7


@pytest.mark.parametrize(
    "values, words",
    [
        ({"layer_types": [FULL]}, "num_hidden_layers=3 layers. Received: 1"),
        ({"layer_types": ["chunked"] * 3}, "a list of 'full_attention' and"),
        ({"rope_parameters": 3}, "as an object"),
        ({"rope_parameters": {FULL: 3}}, "rope_type 'default'"),
        ({"rope_parameters": {FULL: {"rope_type": "yarn"}}}, "rope_type 'default'"),
        ({"rope_parameters": {FULL: {"factor": 2.0}}}, "rope_type 'default'"),
        ({"rope_scaling": {"type": "linear"}}, "no rope_scaling"),
        (
            {"rope_parameters": _ropes(8.0, 9.0), "global_rope_theta": 7.0},
            r"global_rope_theta once. Received: 7.0, and 8.0",
        ),
        ({"is_decoder": True}, "there is no decoder"),
        ({"num_attention_heads": 4}, r"even width.*20 / 4 = 5"),
        ({"classifier_pooling": "max"}, "one of cls, mean"),
    ],
)
def test_what_is_not_built_is_refused(values, words):
    with pytest.raises(ConfigError, match=words):
        _modern(**values)


# As published, in the names of its authors' code.
NOMIC = {
    "activation_function": "swiglu",
    "architectures": ["NomicBertModel"],
    "attn_pdrop": 0.1,
    "auto_map": {"AutoModel": "org/code--modeling.NomicBertModel"},
    "causal": False,
    "embd_pdrop": 0.2,
    "fused_bias_fc": True,
    "layer_norm_epsilon": 1e-11,
    "max_trained_positions": 2048,
    "mlp_fc1_bias": False,
    "mlp_fc2_bias": False,
    "model_type": "nomic_bert",
    "n_embd": 36,
    "n_head": 3,
    "n_inner": 40,
    "n_layer": 4,
    "n_positions": 8192,
    "parallel_block": False,
    "prenorm": False,
    "qkv_proj_bias": False,
    "resid_pdrop": 0.2,
    "rotary_emb_base": 500,
    "rotary_emb_fraction": 1.0,
    "rotary_emb_interleaved": False,
    "rotary_emb_scale_base": None,
    "rotary_scaling_factor": None,
    "scale_attn_weights": True,
    "type_vocab_size": 2,
    "use_rms_norm": False,
    "vocab_size": 30528,
}


def test_the_published_names_of_nomics_config_are_those_of_transformers():
    config = read_config(NOMIC)
    same = read_config(
        {
            "model_type": "nomic_bert",
            "hidden_size": 36,
            "num_attention_heads": 3,
            "intermediate_size": 40,
            "num_hidden_layers": 4,
            "hidden_act": "silu",
            "hidden_dropout_prob": 0.2,
            "attention_probs_dropout_prob": 0.1,
            "layer_norm_eps": 1e-11,
            "max_position_embeddings": 8192,
            "head_dim": 12,
            "rope_parameters": {"rope_theta": 500, "rope_type": "default"},
        }
    )
    assert config.replace(extra={}) == same.replace(extra={})
    assert {tuple(reach) for reach in config.reaches} == {(None, 500)}
    written = json.loads(config.to_json_string())
    assert read_config(written) == config
    assert not {"n_embd", "rotary_emb_base", "auto_map", "rope_theta"} & {*written}
    both = read_config({**NOMIC, "max_position_embeddings": 2048, "hidden_act": "silu"})
    assert both.max_length == 2048


@pytest.mark.parametrize(
    "values, words",
    [
        ({"rotary_emb_fraction": 0.5}, "rotary_emb_fraction=1, the only kind"),
        ({"rotary_scaling_factor": 2}, "rotary_scaling_factor=None, the only kind"),
        ({"qkv_proj_bias": True}, "qkv_proj_bias=False, the only kind"),
        ({"moe_every_n_layers": 2}, "moe_every_n_layers=0, the only kind"),
        ({"activation_function": "gelu"}, "one of swiglu, geglu. Received: 'gelu'"),
        ({"resid_pdrop": 0.3}, "hidden_dropout_prob once. Received: 0.2, and 0.3"),
        ({"hidden_size": 48}, r"hidden_size once. Received: 36, and 48|48, and 36"),
        ({"head_dim": 8}, "= 12. Received: head_dim=8"),
        ({"rope_parameters": {"rope_theta": 3}}, "rope_theta once"),
        ({"rope_parameters": {"rope_type": "dynamic"}}, "rope_type 'default'"),
        ({"n_head": 4}, r"even width.*36 / 4 = 9"),
    ],
)
def test_a_nomic_model_that_is_not_built_is_refused(values, words):
    with pytest.raises(ConfigError, match=words):
        read_config({**NOMIC, **values})


def test_weights_of_another_family_are_refused(tmp_path):
    _model("BertModel").save_pretrained(tmp_path / "it", "huggingface")
    config = json.loads((tmp_path / "it" / "config.json").read_text())
    config = {**_modern().to_dict(), "hidden_size": config["hidden_size"]}
    (tmp_path / "it" / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="state dict of a modernbert model"):
        formats.read(tmp_path / "it")


def test_wrappers_called_as_a_familys_prefix_are_none(tmp_path):
    """Some trainers put "model." before the names of any model."""
    from safetensors.numpy import load_file, save_file

    model = _model("BertForMaskedLM")
    model.save_pretrained(tmp_path / "it", "huggingface")
    file = tmp_path / "it" / "model.safetensors"
    save_file({f"model.{n}": x for n, x in load_file(file).items()}, file)
    again = MODELS["BertForMaskedLM"].from_pretrained(tmp_path / "it")
    assert_close(_output(again, input_ids=IDS), _output(model, input_ids=IDS))
