"""What holds for every public layer and every model, on the backend in use."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_bert.errors import ConfigError, InputError
from keras_bert.models import MODELS, BertForSequenceClassification, BertModel
from keras_bert.training.step import by_output
from tests.bounds import assert_close
from tests.cases import CASES, CHOICES, CONFIG, LAYERS, SEQ

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
tensorflow_only = pytest.mark.skipif(not ON_TENSORFLOW, reason="a TensorFlow feature")
POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")


def _numpy(x) -> np.ndarray:
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def _many(x) -> list:
    return list(x) if isinstance(x, tuple | list) else [x]


def _outputs(model, features, **options) -> dict[str, np.ndarray]:
    outputs = by_output(model(features, **options))
    return {name: _numpy(value) for name, value in outputs.items()}


# === Layers ===


@pytest.fixture(params=sorted(LAYERS))
def layer_case(request):
    return LAYERS[request.param]


def test_layer_gives_the_shapes_it_announces(layer_case):
    layer = layer_case.make()
    symbolic = [
        keras.Input(batch_shape=a.shape, dtype=a.dtype.name)
        for a in layer_case.arguments
    ]
    announced = [tuple(x.shape) for x in _many(layer(*symbolic))]
    actual = [tuple(x.shape) for x in _many(layer(*layer_case.arguments))]
    assert actual == list(layer_case.shapes)
    for shape, expected in zip(announced, actual, strict=True):
        known = [n is None or n == m for n, m in zip(shape, expected, strict=True)]
        assert all(known), (shape, expected)


def test_layer_is_rebuilt_from_its_config(layer_case):
    layer = layer_case.make()
    layer(*layer_case.arguments)
    clone = type(layer).from_config(layer.get_config())
    clone(*layer_case.arguments)
    assert clone.get_config() == layer.get_config()
    assert [w.path for w in clone.weights] == [w.path for w in layer.weights]
    clone.set_weights(layer.get_weights())
    for a, b in zip(
        _many(layer(*layer_case.arguments)),
        _many(clone(*layer_case.arguments)),
        strict=True,
    ):
        np.testing.assert_array_equal(_numpy(a), _numpy(b))


@pytest.mark.parametrize("policy", POLICIES)
def test_layer_announces_its_dtypes(layer_case, policy):
    if keras.backend.backend() == "torch" and policy != "float32":
        pytest.skip("Keras announces float32 on PyTorch for 16-bit results")
    layer = layer_case.make(dtype=policy)
    symbolic = [
        keras.Input(batch_shape=a.shape, dtype=a.dtype.name)
        for a in layer_case.arguments
    ]
    announced = [x.dtype for x in _many(layer(*symbolic))]
    outputs = _many(layer(*layer_case.arguments))
    assert [keras.backend.standardize_dtype(x.dtype) for x in outputs] == announced
    assert all(np.isfinite(_numpy(x)).all() for x in outputs)
    assert {w.dtype for w in layer.weights} <= {"float32"}


# === Models ===


@pytest.fixture(scope="module", params=sorted(CASES))
def name(request) -> str:
    return request.param


# For what takes seconds a model: heads of two outputs, of every token, of several rows.
FEW = {"BertForPreTraining", "BertForTokenClassification", "BertForMultipleChoice"}
OTHERS = {*CASES} - FEW


@pytest.fixture(
    scope="module",
    params=[
        *sorted(FEW),
        *(pytest.param(name, marks=pytest.mark.slow) for name in sorted(OTHERS)),
    ],
)
def one_of_few(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def model(name):
    return MODELS[name](CONFIG, seed=1)


@pytest.fixture()
def features(name):
    return CASES[name].features()


def test_outputs_have_their_names_and_shapes(name, model, features):
    outputs = by_output(model(features))
    assert {k: tuple(v.shape) for k, v in outputs.items()} == CASES[name].outputs


def test_same_seed_gives_the_same_model(name, model):
    again, other = MODELS[name](CONFIG, seed=1), MODELS[name](CONFIG, seed=2)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    kernels = [
        (a, b)
        for a, b in zip(model.get_weights(), other.get_weights(), strict=True)
        if a.ndim == 2
    ]
    assert all(np.abs(a - b).max() > 0 for a, b in kernels)


def test_no_two_weights_start_alike(model):
    kernels = [w for w in model.get_weights() if w.ndim == 2]
    corners = [tuple(w[:2, :2].ravel()) for w in kernels]
    assert len(set(corners)) == len(corners)


def test_padding_changes_nothing(name, model, features):
    longer = {
        key: np.concatenate([x, np.zeros((*x.shape[:-1], 6), "int32")], axis=-1)
        if key != "masked_lm_positions"
        else x
        for key, x in features.items()
    }
    expected, actual = _outputs(model, features), _outputs(model, longer)
    for key, value in expected.items():
        if value.shape[1:2] == (SEQ,):  # one value a token
            actual[key] = actual[key][:, :SEQ]
    assert_close(actual, expected)


def test_inputs_left_out_are_derived(name, model, features):
    features["token_type_ids"] = np.zeros_like(features["token_type_ids"])
    expected = _outputs(model, features)
    few = {
        k: features[k] for k in ("input_ids", "masked_lm_positions") if k in features
    }
    assert_close(_outputs(model, few), expected, 0)
    assert_close(_outputs(model, {**few, "position_ids": None}), expected, 0)
    if "masked_lm_positions" not in features:
        assert_close(_outputs(model, features["input_ids"]), expected, 0)


def test_row_of_padding_alone_gives_numbers(model, features):
    features["input_ids"][0] = 0
    features["attention_mask"][0] = 0
    for policy in POLICIES:
        clone = type(model)(CONFIG, dtype=policy, seed=1)
        for key, value in _outputs(clone, features).items():
            assert np.isfinite(value).all(), (policy, key)


@pytest.mark.parametrize("policy", POLICIES[1:])
def test_mixed_precision_keeps_logits_and_weights_float32(model, features, policy):
    mixed = type(model)(CONFIG, dtype=policy, seed=1)
    assert {w.dtype for w in mixed.weights} == {"float32"}
    outputs, exact = by_output(mixed(features)), by_output(model(features))
    for key, value in outputs.items():
        if key.endswith("logits"):
            assert keras.backend.standardize_dtype(value.dtype) == "float32"
        # Eight bits of mantissa, hidden states of unit scale.
        np.testing.assert_allclose(_numpy(value), _numpy(exact[key]), 0, 0.05)


def test_dropout_drops_in_training_only(model, features):
    assert_close(_outputs(model, features), _outputs(model, features), 0)
    one, two = (_outputs(model, features, training=True) for _ in range(2))
    assert any(np.abs(one[key] - two[key]).max() > 1e-4 for key in one)


def test_states_and_attentions_are_returned_when_asked(name, model, features):
    config = CONFIG.replace(output_hidden_states=True, output_attentions=True)
    asked = MODELS[name](config, seed=1)
    outputs = by_output(asked(features))
    rows = len(features["input_ids"].reshape(-1, SEQ))
    assert [tuple(x.shape) for x in outputs["hidden_states"]] == [(rows, SEQ, 28)] * 3
    assert [tuple(x.shape) for x in outputs["attentions"]] == [(rows, 4, SEQ, SEQ)] * 2
    for probabilities in outputs["attentions"]:
        assert_close(_numpy(probabilities).sum(-1), 1.0)


@pytest.fixture(scope="module")
def fitted(one_of_few):
    """A model of one layer after one step, and the history of that."""
    if CASES[one_of_few].labels is None:
        pytest.skip("an encoder alone has nothing to learn")
    model = MODELS[one_of_few](CONFIG.replace(num_hidden_layers=1), seed=1)
    model.compile()
    history = model.fit(
        CASES[one_of_few].features(), CASES[one_of_few].labels, epochs=1, verbose=0
    )
    return model, history.history


def _adds_the_same_to_all_scores(name: str, path: str) -> bool:
    per_choice = name == "BertForMultipleChoice" and path == "classifier/bias"
    return per_choice or path.endswith("key/bias")


def test_fit_after_compile_without_arguments(one_of_few, fitted):
    trained, history = fitted
    assert np.isfinite(history["loss"]).all()
    assert any("accuracy" in key for key in history)
    untrained = MODELS[one_of_few](trained.config, seed=1)
    before = {w.path: ops.convert_to_numpy(w) for w in untrained.weights}
    for weight in trained.trainable_weights:
        if _adds_the_same_to_all_scores(one_of_few, weight.path):
            continue  # softmax cancels it: only rounding moves it, or does not
        moved = np.abs(ops.convert_to_numpy(weight) - before[weight.path]).max()
        assert moved > 0, f"{weight.path} got no gradient"


@pytest.mark.parametrize(
    "name", ["BertForSequenceClassification", "BertForQuestionAnswering"]
)
def test_fit_is_the_same_when_hidden_states_are_returned_too(name, features):
    labels = CASES[name].labels
    variants = [(False, labels), (True, labels), (True, by_output(labels))]
    losses = []
    for states, given in variants:
        model = MODELS[name](CONFIG.replace(output_hidden_states=states), seed=1)
        model.compile(run_eagerly=True)
        options = dict(epochs=1, shuffle=False, verbose=0)
        history = model.fit(features, given, **options).history
        losses.append({key: history[key][0] for key in sorted(history)})
    assert any("accuracy" in key for key in losses[0])
    for other in losses[1:]:
        assert other == pytest.approx(losses[0], rel=1e-6)


def test_reloaded_file_is_compiled_as_it_was_saved(one_of_few, fitted, tmp_path):
    model, _ = fitted
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    features = CASES[one_of_few].features()
    assert_close(_outputs(again, features), _outputs(model, features), 0)
    assert type(again.optimizer) is type(model.optimizer)
    for a, b in zip(model.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(_numpy(a.value), _numpy(b.value))


def test_weights_file_round_trip(name, model, features, tmp_path):
    model.save_weights(tmp_path / "model.weights.h5")
    other = MODELS[name](CONFIG, seed=2)
    other.load_weights(tmp_path / "model.weights.h5")
    assert_close(_outputs(other, features), _outputs(model, features), 0)


def test_saved_and_read_again(name, model, features, tmp_path):
    model.save_pretrained(tmp_path / "model")
    again = MODELS[name].from_pretrained(tmp_path / "model")
    assert again.config == model.config.replace(extra=again.config.extra)
    assert_close(_outputs(again, features), _outputs(model, features), 0)


@tensorflow_only
def test_compiled_equals_eager(one_of_few):
    import tensorflow as tf

    model = MODELS[one_of_few](CONFIG, seed=1)
    features = CASES[one_of_few].features()
    expected = _outputs(model, features)
    for jit_compile in (False, True):
        compiled = tf.function(model, jit_compile=jit_compile)
        outputs = by_output(compiled({k: tf.constant(v) for k, v in features.items()}))
        assert_close({k: _numpy(v) for k, v in outputs.items()}, expected)


def test_used_inside_another_model(name, model, features):
    inputs = {
        key: keras.Input(x.shape[1:], dtype="int32", name=key)
        for key, x in features.items()
    }
    outer = keras.Model(inputs, model(inputs))
    assert_close(_outputs(outer, features), _outputs(model, features))


# === Inputs that cannot be used ===


@pytest.fixture(scope="module")
def classifier():
    return BertForSequenceClassification(CONFIG, seed=1)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"input_ids": np.array([[1, 99]])}, "input_ids from 0 to 98"),
        ({"input_ids": np.array([[-1, 5]])}, "input_ids from 0 to 98"),
        ({"input_ids": [[1, 2]], "token_type_ids": [[0, 3]]}, "token_type_ids"),
        ({"input_ids": np.ones((1, 20), "int32")}, "at most 19 tokens"),
        ({"attention_mask": np.ones((1, 2))}, "input_ids"),
    ],
)
def test_unusable_inputs_are_named(classifier, inputs, message):
    with pytest.raises(InputError, match=message):
        classifier(inputs)


def test_arrays_given_to_fit_and_predict_are_looked_at(classifier):
    classifier.compile()
    wrong = np.full((2, 3), 99)
    with pytest.raises(InputError, match="input_ids from 0 to 98"):
        classifier.predict(wrong, verbose=0)
    with pytest.raises(InputError, match="input_ids from 0 to 98"):
        classifier.fit({"input_ids": wrong}, np.zeros(2), verbose=0)


def test_what_would_be_computed_wrongly_is_refused():
    with pytest.raises(ConfigError, match="add_cross_attention"):
        BertModel(CONFIG.replace(add_cross_attention=True))


# === Packed rows ===


def _pieces():
    rng = np.random.default_rng(5)
    return [rng.integers(1, 99, size) for size in (4, 6, 3)]


def _packed():
    pieces = _pieces()
    return {
        "input_ids": np.concatenate(pieces)[None],
        "attention_mask": np.repeat([1, 2, 3], [4, 6, 3])[None],
        "position_ids": np.concatenate([np.arange(len(p)) for p in pieces])[None],
        "cls_positions": np.array([[0, 4, 10]]),
    }


@pytest.mark.parametrize(
    "name", ["BertModel", "BertForPreTraining", "BertForSequenceClassification"]
)
def test_packed_rows_give_the_numbers_of_single_ones(name):
    model = MODELS[name](CONFIG, seed=1)
    packed = _outputs(model, _packed())
    alone = [_outputs(model, {"input_ids": piece[None]}) for piece in _pieces()]
    for key, value in packed.items():
        per_token = value.shape[1] == 13
        axis = 1 if per_token else 0
        expected = np.concatenate([single[key] for single in alone], axis=axis)
        expected = expected if per_token else expected[None]
        assert_close(value, expected, name=key)


def test_encoder_without_pooler_takes_packed_rows():
    model = BertModel(CONFIG, add_pooling_layer=False)
    assert _outputs(model, _packed())["last_hidden_state"].shape == (1, 13, 28)
    assert not [w for w in model.weights if "pooler" in w.path]


def test_decoder_sees_only_what_came_before():
    model = MODELS["BertLMHeadModel"](CONFIG.replace(is_decoder=True), seed=1)
    ids = np.arange(1, 12)[None]
    changed = ids.copy()
    changed[0, 7] = 50
    a, b = _outputs(model, ids)["logits"], _outputs(model, changed)["logits"]
    np.testing.assert_array_equal(a[:, :7], b[:, :7])
    assert (np.abs(a[:, 7:] - b[:, 7:]).max(-1) > 1e-6).all()


def test_choices_are_scored_one_by_one():
    model = MODELS["BertForMultipleChoice"](CONFIG, seed=1)
    features = CASES["BertForMultipleChoice"].features()
    swapped = {k: x[:, ::-1] for k, x in features.items()}
    a, b = _outputs(model, features)["logits"], _outputs(model, swapped)["logits"]
    assert a.shape == (3, CHOICES)
    assert_close(a, b[:, ::-1])
