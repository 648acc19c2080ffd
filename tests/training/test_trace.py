"""Training against the steps Google's own optimizer took, dropout off."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_bert
from keras_bert.optimizers import AdamW, LinearWarmupDecay
from keras_bert.training.step import BatchLoss
from tests.paths import shared


def _load(model_class, case, stage, folder):
    """A checkpoint of the case, beside the config that lies above it."""
    target = folder / stage
    shutil.copytree(case / stage, target)
    shutil.copy(case / "bert_config.json", target)
    return model_class.from_pretrained(target)


def _train(model, optimizer, batches) -> list[float]:
    objective = BatchLoss(model)
    optimizer.build(model.trainable_variables)  # or it is traced twice

    @tf.function(autograph=False)
    def step(features, labels, weights):
        with tf.GradientTape() as tape:
            loss, _ = objective((features, labels, weights), training=True)
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
        return loss

    return [float(step(*batch)) for batch in batches]


def _weights(model) -> dict[str, np.ndarray]:
    return {w.path: keras.ops.convert_to_numpy(w) for w in model.weights}


def _assert_weights_equal(model, start, end, summed_rate):
    """Compares with the end weights.

    The true gradient of a key bias is zero, and Adam turns rounding noise into
    steps: the original's own moved by up to 3e-4 of the summed learning rate, so
    that two runs may lie twice that apart.
    """
    for path, actual in _weights(model).items():
        bound = 1e-5
        if path.endswith("key/bias"):
            noise = np.abs(end[path] - start[path]).max()
            bound = 2 * max(1e-4 * summed_rate, noise)
        difference = np.abs(actual - end[path]).max()
        assert difference <= bound, f"{path}: {difference:.1e} > {bound:.1e}"


def _features(data, step=...):
    names = ("input_ids", "attention_mask", "token_type_ids", "masked_lm_positions")
    return {name: data[name][step] for name in names if name in data}


def test_pretraining_takes_googles_steps(tmp_path):
    case = shared("goldens", "google_tf1_optimizer")
    facts = json.loads((case / "case.json").read_text())
    data, stored = dict(np.load(case / "inputs.npz")), np.load(case / "outputs.npz")
    steps = facts["num_train_steps"]
    rate = LinearWarmupDecay(facts["init_lr"], steps, facts["num_warmup_steps"])
    rates = [float(rate(step)) for step in range(steps)]
    np.testing.assert_allclose(rates, stored["learning_rate"], rtol=1e-5)

    model = _load(keras_bert.BertForPreTraining, case, "start", tmp_path)
    batches = [
        (
            _features(data, step),
            {
                "prediction_logits": data["masked_lm_ids"][step],
                "seq_relationship_logits": data["next_sentence_labels"][step][:, 0],
            },
            {"prediction_logits": data["masked_lm_weights"][step].astype("float32")},
        )
        for step in range(steps)
    ]
    start = _weights(model)
    losses = _train(model, AdamW(rate, bias_correction=False), batches)
    np.testing.assert_allclose(losses, stored["total_loss"], rtol=1e-5)
    end = _load(keras_bert.BertForPreTraining, case, "end", tmp_path)
    _assert_weights_equal(model, start, _weights(end), sum(rates))


def test_finetuning_takes_googles_steps(tmp_path):
    # `onehot`: Google's run with dense embedding gradients. With sparse ones its
    # clipping squares the rows of repeated ids one by one.
    case = shared("goldens", "google_tf1_classifier_trace")
    facts = json.loads((case / "case.json").read_text())
    data, stored = dict(np.load(case / "inputs.npz")), np.load(case / "outputs.npz")
    steps = facts["num_train_steps"]
    rate = LinearWarmupDecay(facts["init_lr"], steps)
    model = _load(keras_bert.BertForSequenceClassification, case, "start", tmp_path)
    batches = [(_features(data), data["labels"], None)] * steps
    start = _weights(model)
    losses = _train(model, AdamW(rate, bias_correction=False), batches)
    np.testing.assert_allclose(losses, stored["trace_onehot_loss"], rtol=1e-5)
    end = _load(keras_bert.BertForSequenceClassification, case, "end_onehot", tmp_path)
    summed = sum(float(rate(step)) for step in range(steps))
    _assert_weights_equal(model, start, _weights(end), summed)


def test_embeddings_met_twice_get_one_step():
    """Adam sees the sum of a row's gradients, not the sum of their squares."""
    table = keras.Variable(np.zeros((3, 1), "float32"), name="embeddings")
    sparse, whole = (AdamW(0.1, weight_decay=0.0, clip_norm=None) for _ in range(2))
    rows = tf.IndexedSlices(
        tf.constant([[1.0], [2.0]]), tf.constant([1, 1]), tf.constant([3, 1])
    )
    sparse.apply([rows], [table])
    other = keras.Variable(np.zeros((3, 1), "float32"), name="embeddings")
    whole.apply([tf.constant([[0.0], [3.0], [0.0]])], [other])
    np.testing.assert_allclose(table.numpy(), other.numpy())
    assert float(sparse._velocities[0].numpy()[1, 0]) == pytest.approx(0.009)
