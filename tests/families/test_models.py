"""What holds for every model of every family: its table, its files, its numbers."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_bert.checkpoints import formats
from keras_bert.errors import CheckpointError, ConfigError
from keras_bert.families import FAMILIES, read_config
from keras_bert.models import MODELS
from tests.bounds import assert_close, bound
from tests.extras import needs

BATCH, SEQ, CHOICES = 3, 11, 2
LENGTHS = (11, 4, 7)
SIZES = dict(
    vocab_size=97,
    hidden_size=20,
    num_hidden_layers=2,
    num_attention_heads=5,
    intermediate_size=33,
    max_position_embeddings=17,
    pad_token_id=1,
    num_labels=3,
)
# What a family has beyond what its config asks for by itself.
_RELATIVE = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
FIELDS = {
    "deberta": _RELATIVE,
    "deberta-v2": {
        **_RELATIVE,
        **{"position_buckets": 4, "norm_rel_ebd": "layer_norm"},
        **{"conv_kernel_size": 3, "type_vocab_size": 2},
    },
}
FAMILY_NAMES = sorted(FAMILIES)
NAMES = sorted(MODELS)
# All heads of BERT, and of every family one that pools and one for every token: the
# layers below the heads differ by family, those of the heads hardly do.
_KINDS = ("sequence_classification", "token_classification")
CHOSEN = [
    name
    if model.kind in _KINDS or model.family.model_type == "bert"
    # The others take a minute.
    else pytest.param(name, marks=pytest.mark.slow)
    for name, model in sorted(MODELS.items())
]
of_chosen_models = pytest.mark.parametrize(
    "model", CHOSEN, indirect=True, scope="module"
)
tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="a TensorFlow feature"
)


def _config(name: str, **changes):
    family = MODELS[name].family
    own = FIELDS.get(family.model_type, {})
    return family.config(**{**SIZES, **own, **changes})


def features_of(name: str, config) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    ids = rng.integers(5, config.vocab_size, (BATCH, SEQ)).astype("int32")
    for row, length in enumerate(LENGTHS):
        ids[row, length:] = config.pad_token_id
    if MODELS[name].choices:
        # Where padding attends to nothing, what it pools in front depends on the row.
        second = ids[::-1] if config.zeroes_padding else ids[:, ::-1]
        ids = np.stack([ids, second], 1)
    return {
        "input_ids": ids,
        "attention_mask": (ids != config.pad_token_id).astype("int32"),
        "token_type_ids": np.zeros_like(ids),
    }


def _outputs(model, features) -> dict[str, np.ndarray]:
    outputs = model(features)
    outputs = outputs if isinstance(outputs, dict) else {"logits": outputs}
    return {name: ops.convert_to_numpy(value) for name, value in outputs.items()}


@pytest.fixture(scope="module", params=NAMES)
def model(request):
    return MODELS[request.param](_config(request.param), seed=1)


@pytest.fixture()
def name(model) -> str:
    return type(model).__name__


def _assert_same(one, other) -> None:
    assert type(one) is type(other)
    theirs = {v.path: ops.convert_to_numpy(v) for v in other.weights}
    assert {v.path for v in one.weights} == theirs.keys()
    for variable in one.weights:
        np.testing.assert_array_equal(
            ops.convert_to_numpy(variable), theirs[variable.path], variable.path
        )


def test_the_table_has_every_variable(model):
    family, config = model.family, model.config
    parts = dict.fromkeys((*family.body(config), *model.parts_held))
    rows = family.rows_of(parts, config)
    assert {row.placements["keras"].name for row in rows} == {
        v.path for v in model.weights
    }
    assert all("huggingface" in row.placements for row in rows)


@pytest.mark.parametrize("format", ["keras", "huggingface"])
def test_directories_keep_every_bit(model, format, tmp_path):
    model.save_pretrained(tmp_path / "it", format)
    checkpoint = formats.read(tmp_path / "it")
    assert checkpoint.head == type(model).__name__
    again = type(model).from_pretrained(tmp_path / "it")
    labels = {"id2label": None, "num_labels": model.config.num_labels}
    assert again.config.replace(extra={}, **labels) == model.config
    _assert_same(model, again)


@of_chosen_models
def test_keras_files_keep_every_bit(model, name, tmp_path):
    model.save(tmp_path / "it.keras")
    again = keras.saving.load_model(tmp_path / "it.keras")
    _assert_same(model, again)
    features = features_of(name, model.config)
    for key, value in _outputs(model, features).items():
        np.testing.assert_array_equal(_outputs(again, features)[key], value)


def test_formats_without_a_place_for_a_model_say_so(model, tmp_path):
    held = {f for row in model.family.parts["encoder"] for f in row.placements}
    for format in sorted({*formats.FORMATS} - held):
        with pytest.raises(CheckpointError, match=f"format {format!r}"):
            model.save_pretrained(tmp_path / format, format)
        assert not (tmp_path / format).exists()


def test_padding_changes_nothing(model, name):
    features = features_of(name, model.config)
    pad = ((0, 0),) * (features["input_ids"].ndim - 1) + ((0, 4),)
    values = {"input_ids": model.config.pad_token_id}
    longer = {
        k: np.pad(x, pad, constant_values=values.get(k, 0)) for k, x in features.items()
    }
    expected, actual = _outputs(model, features), _outputs(model, longer)
    for key, value in expected.items():
        if value.shape[1:2] == (SEQ,):
            actual[key] = actual[key][:, :SEQ]
            if model.config.zeroes_padding:  # it attends to nothing: rows differ
                real = features["attention_mask"] > 0
                actual[key], expected[key] = actual[key][real], value[real]
    assert_close(actual, expected)


@tensorflow_only
def test_the_forward_pass_without_padding_gives_the_same(model, name):
    from keras_bert.serving.graph import unpadded

    features = features_of(name, model.config)
    padded = _outputs(model, features)
    tensors = {k: ops.convert_to_tensor(v) for k, v in features.items()}
    for key, value in unpadded.forward(model, tensors).items():
        value, expected = ops.convert_to_numpy(value), padded[key]
        if value.ndim > 1 and value.shape[1] == SEQ and not model.choices:
            real = features["attention_mask"] > 0
            value, expected = value[real], expected[real]
        assert_close(value, expected, name=key)


@tensorflow_only
@of_chosen_models
def test_onnx_gives_the_same(model, name, tmp_path):
    needs("onnx", "onnxruntime")
    from keras_bert.serving.runtimes import export, load
    from keras_bert.serving.runtimes.exporting import difference, own_outputs

    features = features_of(name, model.config)
    run, own = load(export(model, tmp_path, "onnx")), own_outputs(model, features)
    apart = difference(run(features), own, features["attention_mask"])
    assert apart <= bound(own)


def test_an_unknown_family_is_refused():
    with pytest.raises(ConfigError, match="Received: model_type='gpt2'"):
        read_config({"model_type": "gpt2"})


def test_a_checkpoint_of_another_family_is_refused(tmp_path):
    MODELS["RobertaModel"](_config("RobertaModel")).save_pretrained(tmp_path / "it")
    with pytest.raises(CheckpointError, match="RobertaModel"):
        MODELS["BertModel"].from_pretrained(tmp_path / "it")


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_configs_survive_json(family):
    config = FAMILIES[family].config(**SIZES, extra={"mine": 1})
    values = config.to_dict()
    assert values["model_type"] == family
    assert not {*config.absent} & {*values}
    assert read_config(values) == config


def test_names_of_fields_are_the_familys_own():
    config = read_config({"model_type": "distilbert", "dim": 24, "n_heads": 3})
    assert (config.hidden_size, config.dim, config.head_dim) == (24, 24, 8)
    assert config.to_dict()["dim"] == 24 and "hidden_size" not in config.to_dict()


def test_roberta_counts_tokens_from_behind_the_padding_id():
    model = MODELS["RobertaModel"](_config("RobertaModel"))
    ids = np.array([[0, 9, 8, 2, 1, 1]])
    positions = ops.convert_to_numpy(model.complete(ids)["position_ids"])
    np.testing.assert_array_equal(positions, [[2, 3, 4, 5, 1, 1]])
    assert model.config.max_length == 15
    with pytest.raises(ValueError, match="at most 15 tokens"):
        model(np.ones((1, 16), "int32"))
