"""Adapters of low rank: what they train, compute and leave alone; files of PEFT."""

import json

import numpy as np
import pytest
from keras import ops
from safetensors.numpy import load_file, save_file

from keras_bert.errors import CheckpointError, ConfigError, ExistingOutputError
from keras_bert.models import MODELS
from tests.bounds import assert_close

RNG = np.random.default_rng(0)
IDS = RNG.integers(1, 99, (4, 6)).astype("int32")
BERT = "BertForSequenceClassification"
FAMILIES = {
    BERT: ("bert.encoder.layer.1.attention.self.query", ["query", "value"]),
    "AlbertForSequenceClassification": (
        "albert.encoder.albert_layer_groups.0.albert_layers.0.attention.query",
        ["query", "value"],
    ),
    "DebertaForSequenceClassification": (
        "deberta.encoder.layer.1.attention.self.in_proj",
        ["in_proj"],
    ),
    "DebertaV2ForSequenceClassification": (
        "deberta.encoder.layer.1.attention.self.query_proj",
        ["query_proj", "value_proj"],
    ),
    "DistilBertForTokenClassification": (
        "distilbert.transformer.layer.1.attention.q_lin",
        ["q_lin", "v_lin"],
    ),
    "ElectraForSequenceClassification": (
        "electra.encoder.layer.1.attention.self.query",
        ["query", "value"],
    ),
    "ModernBertForSequenceClassification": ("model.layers.1.attn.Wqkv", ["Wqkv"]),
    "NomicBertForTokenClassification": (
        "nomic_bert.encoder.layers.1.attn.Wqkv",
        ["Wqkv"],
    ),
    "RoFormerForSequenceClassification": (
        "roformer.encoder.layer.1.attention.self.query",
        ["query", "value"],
    ),
    "RobertaModel": ("encoder.layer.1.attention.self.query", ["query", "value"]),
}


SIZES = dict(hidden_size=28, num_hidden_layers=2, num_attention_heads=2, num_labels=5)
SIZES |= dict(vocab_size=99, intermediate_size=37, max_position_embeddings=19)
SIZES |= dict(pad_token_id=1)
STILL = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def _model(name=BERT, dtype=None):
    config = MODELS[name].family.config(**SIZES, **STILL)
    return MODELS[name](config, seed=1, dtype=dtype)


def _outputs(model, **options):
    found = model(IDS, **options)
    found = found if isinstance(found, dict) else {"logits": found}
    return {name: ops.convert_to_numpy(value) for name, value in found.items()}


def _values(variables):
    return {v.path: ops.convert_to_numpy(v) for v in variables}


def _moved(model, scale=0.1):
    """Moves what is trained, as training would."""
    rng = np.random.default_rng(3)
    for variable in model.trainable_variables:
        old = ops.convert_to_numpy(variable)
        variable.assign(old + rng.normal(0, scale, variable.shape))


@pytest.mark.parametrize("name", FAMILIES)
def test_adapters_are_added_trained_kept_and_merged(name, tmp_path):
    model, base = _model(name), _model(name)
    before = _outputs(model)
    model.add_lora(3, alpha=7)
    assert_close(_outputs(model), before)
    encoder = [v.path for v in model.encoder.trainable_variables]
    layers = ["qkv"] if model.config.fused else ["query", "value"]
    ends = [f"{x}/lora_kernel_{end}" for x in layers for end in "ab"]
    blocks = range(len(model.encoder.blocks))
    assert encoder == [f"layer_{i}/attention/{end}" for i in blocks for end in ends]
    _moved(model)
    after, frozen = _outputs(model), _values(base.encoder.weights)
    for path, value in _values(model.encoder.weights).items():
        if path in frozen:
            np.testing.assert_array_equal(value, frozen[path], path)

    module, targets = FAMILIES[name]
    folder = model.save_adapter(tmp_path / "adapter", base="the/base")
    settings = json.loads((folder / "adapter_config.json").read_text())
    assert settings["target_modules"] == targets
    assert (settings["r"], settings["lora_alpha"]) == (3, 7)
    tensors = load_file(folder / "adapter_model.safetensors")
    a, b = (tensors[f"base_model.model.{module}.lora_{x}.weight"] for x in "AB")
    query = getattr(model.encoder.blocks[-1].attention, layers[0])
    np.testing.assert_array_equal(a, ops.convert_to_numpy(query.lora_kernel_a).T)
    kernel = f"layer_{blocks[-1]}/attention/{layers[0]}/kernel"
    expected = frozen[kernel] + 7 / 3 * (b @ a).T

    base.load_adapter(folder)
    assert_close(_outputs(base), after)
    model.merge_lora()
    assert_close(_outputs(model), after)
    assert_close(_values(model.weights)[kernel], expected)
    assert len(model.trainable_variables) == len(_model(name).trainable_variables)
    assert not [v.path for v in model.weights if "lora" in v.path]


def test_a_fit_trains_adapters_and_head_alone():
    model = _model()
    model.add_lora(2, targets=["."], dropout=0.3)
    before = _values(model.weights)
    model.compile(run_eagerly=True)
    model.fit(IDS, np.arange(4), epochs=2, verbose=0)
    after = _values(model.weights)
    moved = {path for path in before if (before[path] != after[path]).any()}
    assert moved == {v.path for v in model.trainable_variables}
    assert len(moved) == 2 * 6 * 2 + 2
    assert all("lora" in path or "classifier" in path for path in moved)


def test_a_pooler_that_no_checkpoint_had_is_trained_and_kept(tmp_path):
    path = _model("BertForTokenClassification").save_pretrained(tmp_path / "tags")
    model = MODELS[BERT].from_pretrained(path, seed=1)
    model.add_lora(2)
    kinds = {v.path.split("/")[0] for v in model.trainable_variables}
    assert kinds == {"layer_0", "layer_1", "pooler", "classifier"}
    folder = model.save_adapter(tmp_path / "adapter")
    settings = json.loads((folder / "adapter_config.json").read_text())
    assert settings["modules_to_save"] == ["classifier", "pooler"]


def test_a_head_of_a_language_model_is_frozen():
    model = _model("BertForMaskedLM")
    model.add_lora(2)
    assert all("lora" in v.path for v in model.trainable_variables)


def test_small_changes_are_not_lost_in_16_bits():
    """A sum of kernel and adapter in bfloat16 would round most of it away."""
    changes = []
    for dtype in ("float32", "mixed_bfloat16"):
        model = _model(dtype=dtype)
        model.add_lora(4, targets=["query", "intermediate_dense"])
        layer = model.encoder.layer_0.feed_forward.intermediate_dense
        x = ops.cast(np.random.default_rng(1).normal(size=(5, 28)), layer.compute_dtype)
        plain = layer(x)
        layer.lora_kernel_b.assign(np.full(layer.lora_kernel_b.shape, 1e-4))
        with_bias = layer(x) - plain
        low = ops.matmul(ops.cast(x, "float32"), layer.lora_kernel_a)
        exact = ops.matmul(low, layer.lora_kernel_b) * 2
        found = ops.cast(with_bias, "float32")
        changes.append([ops.convert_to_numpy(x) for x in (found, exact)])
        assert layer.lora_kernel_a.dtype == "float32"
    (found, exact), (rounded, _) = changes
    np.testing.assert_allclose(found, exact, atol=1e-7)
    # A digit of the output is all that is lost.
    assert (
        np.abs(rounded - exact).max()
        < 2.0**-8 * np.abs(ops.convert_to_numpy(plain)).max()
    )


def test_dropout_is_of_the_adapter_alone():
    model = _model()
    model.add_lora(2, dropout=0.5)
    assert_close(_outputs(model, training=True), _outputs(model))  # B is zero
    _moved(model)
    one, other = (_outputs(model, training=True)["logits"] for _ in range(2))
    assert np.abs(one - other).max() > 1e-4
    assert_close(_outputs(model), _outputs(model))


@pytest.mark.parametrize(
    "options, words",
    [
        ({"rank": 0}, "rank of 1 or more.*rank=0"),
        ({"rank": 29}, "at most 28"),
        ({"alpha": 0.0}, "alpha above 0"),
        ({"dropout": 1.0}, r"dropout in \[0, 1\)"),
        ({"targets": ["query", "q_proj"]}, "among attention/key, .*'q_proj'"),
        ({"targets": ["[query"]}, r"Received: '\[query'"),
    ],
)
def test_adapters_that_cannot_be_are_refused(options, words):
    model = _model()
    before = len(model.trainable_variables)
    with pytest.raises(ConfigError, match=words):
        model.add_lora(**options)
    assert len(model.trainable_variables) == before


def test_adapters_are_added_once_and_kept_once(tmp_path):
    model = _model()
    with pytest.raises(ConfigError, match="0 adapters"):
        model.save_adapter(tmp_path / "adapter")
    model.add_lora(2)
    with pytest.raises(ConfigError, match=r"without adapters.* 4 adapters"):
        model.add_lora(2)
    model.save_adapter(tmp_path / "adapter")
    with pytest.raises(ExistingOutputError):
        model.save_adapter(tmp_path / "adapter")
    model.save_adapter(tmp_path / "adapter", overwrite=True)


def _changed(folder, settings=(), tensors=(), without=()):
    file, weights = folder / "adapter_config.json", folder / "adapter_model.safetensors"
    file.write_text(json.dumps(json.loads(file.read_text()) | dict(settings)))
    stored = load_file(weights) | dict(tensors)
    save_file({k: v for k, v in stored.items() if k not in without}, weights)


A = "base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.weight"


@pytest.mark.parametrize(
    "change, words",
    [
        ({"settings": {"use_dora": True}}, "use_dora.*merge_and_unload"),
        ({"settings": {"peft_type": "IA3"}}, "Received: IA3"),
        ({"settings": {"r": None}}, "Expected r, lora_alpha"),
        ({"settings": {"r": 5}}, r"rank 5 .* Received: \(28, 2\)"),
        ({"tensors": {"base_model.model.x.lora_A.weight": np.ones((2, 3), "f")}}, "x"),
        ({"without": [A]}, "layer.0.attention.self.query"),
    ],
)
def test_adapters_of_other_models_and_kinds_are_refused(change, words, tmp_path):
    model = _model()
    model.add_lora(2)
    _changed(model.save_adapter(tmp_path / "adapter"), **change)
    other = _model()
    with pytest.raises(CheckpointError, match=words):
        other.load_adapter(tmp_path / "adapter")
    assert len(other.weights) == len(_model().weights)


def test_adapters_scaled_by_the_root_of_the_rank(tmp_path):
    model = _model()
    model.add_lora(4, alpha=8)
    _moved(model)
    folder = model.save_adapter(tmp_path / "adapter")
    _changed(folder, settings={"use_rslora": True, "lora_alpha": 4})  # 4 / √4 = 8 / 4
    other = _model()
    other.load_adapter(folder)
    assert_close(_outputs(other), _outputs(model))
