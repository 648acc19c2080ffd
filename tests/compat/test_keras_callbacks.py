"""The callbacks of `keras_bert.transformers` in `fit`."""

import numpy as np
import pytest

from keras_bert import BertConfig, BertForSequenceClassification
from keras_bert.errors import InputError
from keras_bert.transformers import KerasMetricCallback, PushToHubCallback
from keras_bert.transformers.keras_callbacks import _joined

IDS = np.array([[2, 5, 3], [2, 6, 3], [2, 7, 3]])
LABELS = np.array([1, 0, 1])


@pytest.fixture(scope="module")
def model() -> BertForSequenceClassification:
    sizes = dict(hidden_size=8, num_attention_heads=2, intermediate_size=16)
    config = BertConfig(vocab_size=9, num_hidden_layers=1, **sizes)
    model = BertForSequenceClassification(config)
    model.compile(run_eagerly=True)
    return model


@pytest.mark.parametrize(
    ("dataset", "options"),
    [
        (({"input_ids": IDS}, LABELS), {"batch_size": 2}),
        ({"input_ids": IDS, "labels": LABELS}, {"batch_size": 2}),
        ({"input_ids": IDS, "y": LABELS}, {"batch_size": 2, "label_cols": ["y"]}),
        (
            [
                ({"input_ids": IDS[:2]}, LABELS[:2]),
                ({"input_ids": IDS[2:]}, LABELS[2:]),
            ],
            {},
        ),
    ],
)
def test_metrics_are_in_the_history(model, dataset, options):
    seen = []

    def metric(predictions_and_labels):
        seen.append(predictions_and_labels)
        return {"seen": len(seen)}

    callback = KerasMetricCallback(metric, dataset, **options)
    history = model.fit(
        {"input_ids": IDS}, LABELS, epochs=2, verbose=0, callbacks=[callback]
    )
    assert history.history["seen"] == [1, 2]
    logits, labels = seen[-1]
    expected = model.predict({"input_ids": IDS}, verbose=0)
    np.testing.assert_allclose(logits, expected, rtol=1e-4)
    assert labels.tolist() == LABELS.tolist()


def test_rows_of_several_lengths_are_padded():
    batches = [np.zeros((1, 2)), np.ones((2, 3))]
    assert _joined(batches).tolist() == [[0, 0, -100], [1, 1, 1], [1, 1, 1]]
    named = _joined([{"a": np.ones(1), "b": np.zeros(1)}] * 2)
    assert named["a"].tolist() == [1, 1]
    assert [a.tolist() for a in _joined([[np.ones(1), np.zeros(1)]])] == [[1], [0]]


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda f: KerasMetricCallback(f, (IDS, LABELS)), "batch_size"),
        (lambda f: KerasMetricCallback(f, [], predict_with_generate=True), "generate"),
        (lambda f: PushToHubCallback("there"), "hf upload"),
    ],
)
def test_what_cannot_be_had_is_named(call, named):
    with pytest.raises(InputError, match=named):
        call(dict)


def test_labels_and_metrics_are_asked_for(model):
    callback = KerasMetricCallback(dict, [{"input_ids": IDS}])
    callback.set_model(model)
    with pytest.raises(InputError, match=r"labels in eval_dataset.*input_ids"):
        callback.on_epoch_end(0, {})
    callback = KerasMetricCallback(lambda found: 0.5, [({"input_ids": IDS}, LABELS)])
    callback.set_model(model)
    with pytest.raises(InputError, match=r"0\.5"):
        callback.on_epoch_end(0, {})
