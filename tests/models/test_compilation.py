"""What `compile()` makes of losses, metrics and XLA, and how often it traces."""

import logging

import keras
import numpy as np
import pytest

from keras_bert import losses
from keras_bert.errors import ConfigError, UnknownNameError
from keras_bert.models import MODELS, BertForSequenceClassification, compilation
from tests.bounds import assert_close
from tests.cases import CASES, CONFIG

LOGGER = compilation.logger.name


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's case")
@pytest.mark.parametrize(("gpu", "expected"), [(False, False), (True, "auto")])
def test_the_choice_and_its_reason_are_logged(monkeypatch, caplog, gpu, expected):
    monkeypatch.setattr(compilation, "_has_gpu", lambda: gpu)
    with caplog.at_level(logging.INFO, LOGGER):
        assert compilation.jit_compile_by_default() == expected
    (line,) = caplog.messages
    assert line.startswith(f"jit_compile={expected!r} on tensorflow: ")


@pytest.mark.parametrize("chosen", [True, False])
def test_what_the_user_says_counts(chosen):
    model = BertForSequenceClassification(CONFIG, seed=1)
    model.compile(jit_compile=chosen)
    assert model.jit_compile is chosen


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="it traces")
@pytest.mark.parametrize("name", ["BertForPreTraining", "BertForMaskedLM"])
def test_a_training_step_is_traced_once(name, monkeypatch):
    traced, train_step = [], keras.Model.train_step

    def counted(self, data):
        traced.append(self)
        return train_step(self, data)

    monkeypatch.setattr(keras.Model, "train_step", counted)
    model = MODELS[name](CONFIG.replace(num_hidden_layers=1), seed=1)
    model.compile()
    model.fit(CASES[name].features(), CASES[name].labels, verbose=0)
    assert len(traced) == 1


# === Losses and metrics ===

IDS = np.random.default_rng(0).integers(1, 99, (4, 6)).astype("int32")
TINY = CONFIG.replace(num_hidden_layers=1)
REGRESSION = TINY.replace(problem_type="regression", num_labels=1)
SIDES = TINY.replace(problem_type="multi_label_classification")
CLASSIFIER, TAGGER = "SequenceClassification", "TokenClassification"


def _model(head=CLASSIFIER, config=TINY, **options):
    model = MODELS[f"BertFor{head}"](config, seed=1)
    model.compile(run_eagerly=True, **options)
    return model


@pytest.mark.parametrize(
    ("head", "config", "name", "kind"),
    [
        (CLASSIFIER, TINY, "sparse_categorical_crossentropy", "Crossentropy"),
        (CLASSIFIER, TINY, "SparseCategoricalCrossentropy", "Crossentropy"),
        (CLASSIFIER, TINY, "binary_crossentropy", "BinaryCrossentropy"),
        (CLASSIFIER, TINY, "crossentropy", "ClassificationLoss"),
        (CLASSIFIER, SIDES, "binary_crossentropy", "BinaryCrossentropy"),
        (CLASSIFIER, REGRESSION, "mse", "SquaredError"),
        (CLASSIFIER, REGRESSION, "MeanSquaredError", "SquaredError"),
        (TAGGER, TINY, "sparse_categorical_crossentropy", "Crossentropy"),
        ("MultipleChoice", TINY, "ce", "Crossentropy"),
    ],
)
def test_names_of_losses_are_those_of_the_head(head, config, name, kind):
    assert type(_model(head, config, loss=name).loss).__name__ == kind
    assert _model(head, config, loss=name).loss.name == name


def test_a_loss_for_all_outputs_and_one_for_each():
    outputs = ["start_logits", "end_logits"]
    for loss in ("ce", ["ce", "ce"], dict.fromkeys(outputs, "ce")):
        found = _model("QuestionAnswering", loss=loss).loss
        assert list(found) == outputs
        assert {type(x) for x in found.values()} == {losses.Crossentropy}


KL = keras.losses.KLDivergence()
REFUSED = [
    ({"loss": "hinge"}, UnknownNameError, "Unknown loss of this head 'hinge'"),
    ({"loss": "mse"}, UnknownNameError, "sparse_categorical_crossentropy"),
    ({"loss": "categorical_crossentropy"}, UnknownNameError, "binary_crossentropy"),
    ({"metrics": ["AUC"]}, UnknownNameError, "Unknown metric of this head"),
    ({"metrics": ["mse"]}, UnknownNameError, "expected one of accuracy"),
    ({"weighted_metrics": ["f1_score"]}, UnknownNameError, "accuracy"),
    ({"loss": keras.losses.SparseCategoricalCrossentropy()}, ConfigError, "logits"),
    ({"loss": keras.losses.sparse_categorical_crossentropy}, ConfigError, "logits"),
    ({"loss": keras.losses.BinaryFocalCrossentropy()}, ConfigError, "logits"),
    ({"loss": KL}, ConfigError, "of probabilities. Pass from_logits=True"),
    ({"metrics": [keras.metrics.Precision()]}, ConfigError, "precision"),
    ({"metrics": [keras.metrics.AUC()]}, ConfigError, "auc"),
    ({"metrics": [keras.metrics.BinaryAccuracy()]}, ConfigError, "binary_accuracy"),
    ({"metrics": [keras.metrics.Accuracy()]}, ConfigError, "accuracy"),
]


@pytest.mark.parametrize(("options", "error", "message"), REFUSED)
def test_what_would_misread_logits_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        _model(**options)


def test_names_are_refused_where_outputs_are_numbers():
    for options in ({"metrics": ["accuracy"]}, {"loss": "categorical_crossentropy"}):
        with pytest.raises(UnknownNameError, match="mean_squared_error"):
            _model(config=REGRESSION, **options)
    model = _model(config=REGRESSION, loss="mae", metrics=["mae", "mse"])
    found = model.evaluate(IDS, np.arange(4.0), verbose=0, return_dict=True)
    apart = np.abs(model.predict(IDS, verbose=0)[:, 0] - np.arange(4.0))
    assert found["loss"] == pytest.approx(apart.mean(), 1e-5)
    assert found["mae"] == pytest.approx(apart.mean(), 1e-5)
    assert found["mse"] == pytest.approx((apart**2).mean(), 1e-5)


def test_what_takes_logits_is_left_alone():
    own = lambda labels, logits: keras.ops.mean(logits)  # noqa: E731
    focal = keras.losses.CategoricalFocalCrossentropy(from_logits=True)
    for loss in (own, focal):
        assert _model(loss=loss).loss is loss
    kept = [
        keras.metrics.AUC(from_logits=True),
        keras.metrics.BinaryAccuracy(threshold=0),
    ]
    assert compilation.resolve_metrics(kept, _model().objectives(TINY)) == kept


@pytest.mark.parametrize(
    "metric", ["accuracy", "acc", keras.metrics.SparseCategoricalAccuracy("right")]
)
def test_accuracies_ignore_what_the_loss_ignores(metric):
    labels = IDS % 5
    labels[:, 3:] = -100
    model = _model(TAGGER, loss="sparse_categorical_crossentropy", metrics=[metric])
    found = model.evaluate(IDS, labels, verbose=0, return_dict=True)
    own = _model(TAGGER).evaluate(IDS, labels, verbose=0, return_dict=True)
    name = metric if isinstance(metric, str) else metric.name
    assert found == {name: own["accuracy"], "loss": own["loss"]}


def test_metrics_alone_leave_the_losses_as_they_are():
    labels = [np.arange(4), np.arange(4) + 1]
    options = dict(verbose=0, return_dict=True)
    expected = _model("QuestionAnswering").evaluate(IDS, labels, **options)
    model = _model("QuestionAnswering", metrics=["accuracy"])
    assert model.evaluate(IDS, labels, **options) == expected
    half = (expected["start_logits_loss"] + expected["end_logits_loss"]) / 2
    assert expected["loss"] == pytest.approx(half)
    one = {"end_logits": "accuracy"}
    found = _model("QuestionAnswering", metrics=one).evaluate(IDS, labels, **options)
    assert "end_logits_accuracy" in found and "start_logits_accuracy" not in found


@pytest.mark.parametrize("metric", ["accuracy", "acc"])
def test_callbacks_know_that_more_accuracy_is_better(metric):
    model = _model(metrics=[metric])
    stopping = keras.callbacks.EarlyStopping(monitor=f"val_{metric}", patience=9)
    held = IDS, np.arange(4)
    model.fit(*held, validation_data=held, callbacks=[stopping], verbose=0)
    assert stopping.monitor_op is keras.ops.greater


def test_resolved_losses_come_back_from_a_file(tmp_path):
    model = _model(loss="sparse_categorical_crossentropy", metrics=["acc"])
    expected = model.evaluate(IDS, np.arange(4), verbose=0, return_dict=True)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    found = again.evaluate(IDS, np.arange(4), verbose=0, return_dict=True)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    "loss",
    ["binary_crossentropy", keras.losses.BinaryCrossentropy(from_logits=True)],
)
@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_one_number_may_be_a_logit(loss, shape):
    model = BertForSequenceClassification(CONFIG.replace(num_labels=1), seed=1)
    model.compile(loss=loss, metrics=["accuracy"])
    ids, labels = np.arange(20).reshape(4, 5) + 5, np.array([0, 1, 1, 0.0])
    found = model.evaluate(ids, labels.reshape(shape), verbose=0, return_dict=True)
    logits = model.predict(ids, verbose=0)[:, 0]
    assert found["accuracy"] == np.mean((logits > 0) == labels)
    expected = np.mean(np.logaddexp(0, logits) - labels * logits)
    assert_close(found["loss"], expected)


def test_keras_exports_what_it_knows_the_inputs_of(tmp_path):
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("a SavedModel is TensorFlow's")
    model = BertForSequenceClassification(CONFIG, seed=1)
    model.export(tmp_path / "it", verbose=False)
    ids = np.arange(20).reshape(4, 5).astype("int32") + 5
    inputs = [tf.constant(x) for x in (ids, np.ones_like(ids), np.zeros_like(ids))]
    names = ("input_ids", "attention_mask", "token_type_ids")
    served = tf.saved_model.load(tmp_path / "it")
    answers = served.serve(dict(zip(names, inputs, strict=True)))
    assert_close(answers, model(ids))
