"""Losses and accuracy against NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_bert.errors import ConfigError, InputError
from keras_bert.losses import (
    Accuracy,
    BinaryCrossentropy,
    ClassificationLoss,
    Crossentropy,
    NextTokenAccuracy,
    NextTokenCrossentropy,
    SquaredError,
)
from keras_bert.models import MODELS
from keras_bert.training.step import BatchLoss, averages, by_output
from tests.backends import gradient_of
from tests.cases import CASES, CONFIG

RNG = np.random.default_rng(7)
LOGITS = RNG.normal(size=(3, 13, 7)).astype("float32")
LABELS = RNG.integers(0, 7, (3, 13))
LABELS[0, 4:] = -100
LABELS[2, 0] = -100
WEIGHTS = RNG.uniform(0, 2, (3, 13)).astype("float32")
WEIGHTS[1] = 0


def _log_softmax(logits):
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def _crossentropy(labels, logits, weights):
    """Mean of -log p[label] over labels that count, one at a time."""
    log_p, top, bottom = _log_softmax(logits.astype("float64")), 0.0, 0.0
    for where in np.ndindex(labels.shape):
        if labels[where] != -100:
            top -= weights[where] * log_p[(*where, labels[where])]
            bottom += weights[where]
    return top / bottom


def _accuracy(labels, logits, weights):
    weights = weights * (labels != -100)
    return (weights * (logits.argmax(-1) == labels)).sum() / weights.sum()


def _value(loss, *arguments):
    return float(loss(*arguments))


def _result(metric, *arguments):
    metric.update_state(*arguments)
    return float(metric.result())


# === Cross-entropy ===


def test_ignored_labels_have_no_part():
    expected = _crossentropy(LABELS, LOGITS, np.ones((3, 13)))
    assert _value(Crossentropy(), LABELS, LOGITS) == pytest.approx(expected, 1e-6)
    changed = LOGITS.copy()
    changed[LABELS == -100] = 50.0
    assert _value(Crossentropy(), LABELS, changed) == pytest.approx(expected, 1e-6)


def test_weights_weigh_and_divide():
    expected = _crossentropy(LABELS, LOGITS, WEIGHTS)
    for scale in (1, 3):
        actual = _value(Crossentropy(), LABELS, LOGITS, scale * WEIGHTS)
        assert actual == pytest.approx(expected, 1e-6)


def test_one_weight_an_example_is_that_of_all_its_labels():
    weights = np.array([0.5, 2, 1], "float32")
    expected = _crossentropy(LABELS, LOGITS, np.repeat(weights[:, None], 13, 1))
    for given in (weights, weights[:, None]):
        actual = _value(Crossentropy(), LABELS, LOGITS, given)
        assert actual == pytest.approx(expected, 1e-6)


@pytest.mark.parametrize(
    "labels, weights",
    [(LABELS, np.zeros((3, 13))), (np.full((3, 13), -100), np.ones((3, 13)))],
)
def test_nothing_to_learn_from_is_zero(labels, weights):
    assert _value(Crossentropy(), labels, LOGITS, weights) == 0.0


def test_labels_may_have_an_axis_of_one():
    logits, labels = LOGITS[:, 0], np.array([[3], [0], [6]])
    expected = _crossentropy(labels[:, 0], logits, np.ones(3))
    assert _value(Crossentropy(), labels, logits) == pytest.approx(expected, 1e-6)


def test_logits_of_sixteen_bits_are_summed_in_float32():
    exact = ops.cast(ops.cast(LOGITS, "bfloat16"), "float32")
    expected = _value(Crossentropy(), LABELS, exact)
    assert _value(Crossentropy(), LABELS, ops.cast(LOGITS, "bfloat16")) == expected


def test_next_token_is_predicted_by_the_position_before():
    expected = _crossentropy(LABELS[:, 1:], LOGITS[:, :-1], WEIGHTS[:, 1:])
    actual = _value(NextTokenCrossentropy(), LABELS, LOGITS, WEIGHTS)
    assert actual == pytest.approx(expected, 1e-6)
    by_example = _value(NextTokenCrossentropy(), LABELS, LOGITS, WEIGHTS[:, 2])
    weights = np.repeat(WEIGHTS[:, 2:3], 12, 1)
    expected = _crossentropy(LABELS[:, 1:], LOGITS[:, :-1], weights)
    assert by_example == pytest.approx(expected, 1e-6)


# === Options ===

# Values and gradients of PyTorch: `CrossEntropyLoss(weight, label_smoothing)`,
# `BCEWithLogitsLoss(weight)` times 3 / sum(weight), `sigmoid_focal_loss(gamma=2,
# alpha=-1)` of torchvision, and (1 - p)² of the right class times its cross-entropy.
FEW = np.array(
    [
        [0.07, 2.72, 2.45],
        [-1.02, -0.6, -1.05],
        [1.14, -0.11, 1.49],
        [-3.69, 3.13, -0.19],
    ],
    "float32",
)
ONE, ON = (
    np.array([2, 0, -100, 1]),
    np.array([[0, 1, 1], [1, 0, 0], [0, 0, 1], [1, 1, 0]]),
)
BY_CLASS = [0.5, 2.0, 1.25]
OF_TORCH = {
    "weights": (
        Crossentropy(class_weight=BY_CLASS),
        0.478420287,
        [
            [0.012841, 0.181749, -0.19459],
            [-0.095155, 0.058106, 0.03705],
            [0.0, 0.0, 0.0],
            [0.000561, -0.019151, 0.018589],
        ],
    ),
    "smoothing": (
        Crossentropy(label_smoothing=0.2),
        0.98478055,
        [
            [-0.009381, 0.159527, -0.150145],
            [-0.193444, 0.123042, 0.070402],
            [0.0, 0.0, 0.0],
            [-0.021871, 0.032475, -0.010604],
        ],
    ),
    "weights and smoothing": (
        Crossentropy(class_weight=BY_CLASS, label_smoothing=0.2),
        0.658670187,
        [
            [0.003952, 0.146194, -0.150145],
            [-0.065924, 0.039982, 0.025942],
            [0.0, 0.0, 0.0],
            [-0.00837, 0.013397, -0.005027],
        ],
    ),
    "focal": (
        Crossentropy(focal_gamma=2.0),
        0.311899841,
        [
            [0.009846, 0.139355, -0.1492],
            [-0.242748, 0.148231, 0.094516],
            [0.0, 0.0, 0.0],
            [0.000001, -0.000046, 0.000044],
        ],
    ),
    "focal of each label": (
        BinaryCrossentropy(focal_gamma=2.0),
        0.467601031,
        [
            [0.027243, -0.000058, -0.000122],
            [-0.06477, 0.009619, 0.003941],
            [0.069112, 0.021348, -0.001454],
            [-0.091747, -0.000018, 0.018992],
        ],
    ),
    "weights of each label": (
        BinaryCrossentropy(class_weight=BY_CLASS),
        0.496519595,
        [
            [0.01725, -0.00824, -0.00662],
            [-0.024499, 0.047246, 0.021602],
            [0.025256, 0.063004, -0.015327],
            [-0.032521, -0.005585, 0.03772],
        ],
    ),
}


@pytest.mark.parametrize("name", OF_TORCH)
def test_options_have_the_values_and_gradients_of_torch(name):
    loss, value, gradient = OF_TORCH[name]
    labels = ON if isinstance(loss, BinaryCrossentropy) else ONE
    assert _value(loss, labels, FEW) == pytest.approx(value, 1e-5)
    found = gradient_of(lambda logits: loss(labels, logits), FEW)
    np.testing.assert_allclose(found, gradient, atol=2e-6)
    # A classifier that learns by labels has the same options.
    options = {key: getattr(loss, key) for key in loss.options}
    again = keras.losses.deserialize(
        keras.losses.serialize(ClassificationLoss(**options))
    )
    assert _value(again, labels, FEW) == _value(loss, labels, FEW)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 5.0])
def test_focal_gradients_are_finite_where_the_model_is_certain(gamma):
    certain = np.array([[900.0, 0, 0], [0.0, 900, 0]], "float32")
    for loss, labels in (
        (Crossentropy(focal_gamma=gamma), np.array([0, 0])),
        (BinaryCrossentropy(focal_gamma=gamma), np.array([[1, 0, 0], [1, 0, 0]])),
    ):
        found = gradient_of(lambda x, f=loss, y=labels: f(y, x), certain)
        assert np.isfinite(found).all() and np.abs(found[1]).max() > 0.1


@pytest.mark.parametrize(
    "options, words",
    [
        ({"label_smoothing": 1.0}, r"label_smoothing in \[0, 1\)"),
        ({"focal_gamma": -1}, "focal_gamma of 0 or more"),
        ({"class_weight": [1.0, 0.0]}, "class_weight above 0"),
    ],
)
def test_options_out_of_range_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        Crossentropy(**options)


def test_each_class_has_a_weight():
    with pytest.raises(InputError, match=r"each of 3 classes. Received: 2 weights"):
        Crossentropy(class_weight=[1.0, 2.0])(ONE, FEW)


@pytest.mark.parametrize("head", ["SequenceClassification", "TokenClassification"])
def test_weights_by_class_divide_by_their_sum_on_any_number_of_parts(head):
    """The shares of parts, with the totals of the whole, are that of the whole."""
    name = f"BertFor{head}"
    model, (features, labels, weights) = MODELS[name](STILL, seed=1), _batch(name)
    options = dict(class_weight=[1.0, 5, 0.3, 2, 7], label_smoothing=0.1)
    loss = BatchLoss(model, **options)
    whole = features, labels, weights
    parts = [
        ({k: v[at] for k, v in features.items()}, labels[at], weights[at])
        for at in (slice(0, 1), slice(1, None))
    ]
    totals = loss.totals(whole)
    shares = [float(loss(part, training=False, totals=totals)[0]) for part in parts]
    model.compile(loss=Crossentropy(**options), run_eagerly=True)
    expected = model.evaluate(features, labels, sample_weight=weights, verbose=0)
    assert sum(shares) == pytest.approx(float(loss(whole, training=False)[0]), 1e-5)
    assert sum(shares) == pytest.approx(expected, 1e-5)


@pytest.mark.parametrize(
    "head, changes, options, words",
    [
        ("SequenceClassification", {"num_labels": 1}, {"focal_gamma": 2}, "no option"),
        ("MultipleChoice", {}, {"class_weight": [1, 2]}, "Received: class_weight"),
        ("QuestionAnswering", {}, {"class_weight": [1, 2]}, "batch seq"),
    ],
)
def test_options_that_a_head_does_not_have_are_refused(head, changes, options, words):
    model = MODELS[f"BertFor{head}"](STILL.replace(num_hidden_layers=1, **changes))
    with pytest.raises(ConfigError, match=words):
        BatchLoss(model, **options)


# === Other problems ===


def test_squared_error():
    outputs = LOGITS[:, 0, :1]
    labels, weights = np.array([0.5, -2, 1.0]), np.array([1, 0, 3.0])
    squares = (labels - outputs[:, 0]) ** 2
    for given in (labels, labels[:, None]):
        assert _value(SquaredError(), given, outputs) == pytest.approx(squares.mean())
        weighted = _value(SquaredError(), given, outputs, weights)
        assert weighted == pytest.approx((weights * squares).sum() / 4)


def test_squared_error_of_several_numbers():
    outputs, labels = LOGITS[:, 0], LOGITS[:, 1]
    expected = ((outputs - labels) ** 2).mean()
    assert _value(SquaredError(), labels, outputs) == pytest.approx(expected, 1e-6)


@pytest.mark.parametrize("dtype", ["int32", "float32", "bool"])
def test_binary_crossentropy_of_each_label(dtype):
    logits, labels = 3 * LOGITS[:, 0], (LABELS[:, :7] % 2).astype(dtype)
    p = 1 / (1 + np.exp(-logits.astype("float64")))
    values = -np.where(labels, np.log(p), np.log1p(-p))
    weights = np.array([2, 0, 0.5])
    expected = (values.mean(-1) * weights).sum() / weights.sum()
    actual = _value(BinaryCrossentropy(), labels, logits, weights)
    assert actual == pytest.approx(expected, 1e-5)


def test_binary_crossentropy_of_huge_logits_is_finite():
    logits = np.array([[1e4, -1e4]], "float32")
    assert _value(BinaryCrossentropy(), np.array([[0, 1]]), logits) == 1e4


def test_labels_decide_the_loss_of_a_classifier():
    logits = LOGITS[:, 0]
    numbers, wide = np.array([3, 0, 6]), (LABELS[:, :7] > 2).astype("int32")
    loss = ClassificationLoss()
    assert _value(loss, numbers, logits) == _value(Crossentropy(), numbers, logits)
    assert _value(loss, numbers[:, None], logits) == _value(loss, numbers, logits)
    assert _value(loss, wide, logits) == _value(BinaryCrossentropy(), wide, logits)


@pytest.mark.parametrize(
    "changes, loss",
    [
        ({"num_labels": 1}, "SquaredError"),
        ({"num_labels": 7}, "ClassificationLoss"),
        ({"problem_type": "single_label_classification"}, "Crossentropy"),
        ({"problem_type": "multi_label_classification"}, "BinaryCrossentropy"),
        ({"problem_type": "regression", "num_labels": 7}, "SquaredError"),
    ],
)
def test_config_decides_the_loss_of_a_classifier(changes, loss):
    model = MODELS["BertForSequenceClassification"]
    assert model.objectives(CONFIG.replace(**changes))["logits"].loss.__name__ == loss


# === Accuracy ===


def test_accuracy_ignores_and_weighs():
    ones = np.ones((3, 13))
    expected = _accuracy(LABELS, LOGITS, ones)
    assert _result(Accuracy(), LABELS, LOGITS) == pytest.approx(expected)
    expected = _accuracy(LABELS, LOGITS, WEIGHTS)
    assert _result(Accuracy(), LABELS, LOGITS, WEIGHTS) == pytest.approx(expected)


def test_accuracy_adds_up_over_batches():
    metric = Accuracy()
    for row in range(3):
        part = slice(row, row + 1)
        metric.update_state(LABELS[part], LOGITS[part], WEIGHTS[part])
    expected = _accuracy(LABELS, LOGITS, WEIGHTS)
    assert float(metric.result()) == pytest.approx(expected)


def test_accuracy_of_the_next_token():
    expected = _accuracy(LABELS[:, 1:], LOGITS[:, :-1], WEIGHTS[:, 1:])
    actual = _result(NextTokenAccuracy(), LABELS, LOGITS, WEIGHTS)
    assert actual == pytest.approx(expected)


def test_accuracy_of_labels_on_or_off():
    logits, labels = LOGITS[:, 0], (LABELS[:, :7] > 2).astype("int32")
    expected = ((logits > 0) == labels).mean()
    assert _result(Accuracy(), labels, logits) == pytest.approx(expected)


# === In a model ===

STILL = CONFIG.replace(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
TRAINED = sorted(name for name, case in CASES.items() if case.labels is not None)


def _weights_like(labels):
    return RNG.uniform(0, 2, np.shape(labels)).astype("float32")


def _batch(name):
    labels = CASES[name].labels
    if isinstance(labels, dict):
        weights = {key: _weights_like(value) for key, value in labels.items()}
    else:
        weights = _weights_like(labels)
    return CASES[name].features(), labels, weights


@pytest.mark.parametrize("name", TRAINED)
def test_compile_and_the_training_loop_have_one_loss(name):
    model, batch = MODELS[name](STILL, seed=1), _batch(name)
    total, sums = BatchLoss(model)(batch, training=False)
    line = {"loss": float(total)} | averages(sums)
    model.compile(run_eagerly=True)  # quicker than tracing
    features, labels, weights = batch
    options = dict(sample_weight=weights, verbose=0)
    evaluated = model.evaluate(features, labels, return_dict=True, **options)
    fitted = model.fit(features, labels, **options).history
    for actual in (evaluated, {key: value[0] for key, value in fitted.items()}):
        assert actual["loss"] == pytest.approx(float(total), 1e-5)
        for key in actual.keys() - {"loss"}:
            output = key.removesuffix("_accuracy").removesuffix("_loss")
            names = {"prediction_logits": "mlm", "seq_relationship_logits": "nsp"}
            short = names.get(output, output.removesuffix("_logits"))
            ours = key.replace(output, short, 1) if output in key else key
            assert actual[key] == pytest.approx(line[ours], 1e-5), key


def test_positions_without_weight_do_not_dilute_the_masked_lm_loss():
    model = MODELS["BertForMaskedLM"](STILL, seed=1)
    features, labels, weights = _batch("BertForMaskedLM")
    weights[:, 2:] = 0
    few = {**features, "masked_lm_positions": features["masked_lm_positions"][:, :2]}
    model.compile(run_eagerly=True)  # quicker than tracing
    padded = model.evaluate(features, labels, sample_weight=weights, verbose=0)
    alone = model.evaluate(few, labels[:, :2], sample_weight=weights[:, :2], verbose=0)
    np.testing.assert_allclose(padded, alone, rtol=1e-5)


def test_question_answering_takes_the_mean_of_start_and_end():
    model = MODELS["BertForQuestionAnswering"](STILL, seed=1)
    features, labels, weights = _batch("BertForQuestionAnswering")
    logits = {k: ops.convert_to_numpy(v) for k, v in by_output(model(features)).items()}
    losses = [_crossentropy(labels[k], logits[k], weights[k]) for k in labels]
    total, _ = BatchLoss(model)((features, labels, weights), training=False)
    assert float(total) == pytest.approx(np.mean(losses), 1e-5)


def test_losses_are_rebuilt_from_their_config():
    for loss in (Crossentropy(name="x"), ClassificationLoss(), SquaredError()):
        again = keras.losses.deserialize(keras.losses.serialize(loss))
        assert type(again) is type(loss) and again.name == loss.name
