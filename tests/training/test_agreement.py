"""One device, two, and a batch in four parts: the same twenty steps."""

from dataclasses import dataclass

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_bert.errors import ConfigError, InputError
from keras_bert.models import BertForPreTraining, BertForSequenceClassification
from keras_bert.optimizers import LAMB, AdamW, LinearWarmupDecay
from keras_bert.training.accumulation import gradients, split
from keras_bert.training.loop import Plan, Run
from keras_bert.training.step import BatchLoss
from tests.bounds import assert_close
from tests.cases import CONFIG

STEPS, ROWS, PEAK = 20, 8, 1e-3
STILL = CONFIG.replace(
    num_hidden_layers=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
)
MAKERS = {"adamw": AdamW, "lamb": LAMB}


def _arrays(rows=STEPS * ROWS):
    """Rows with repeated ids, and far fewer masked positions in later rows."""
    rng = np.random.default_rng(2)
    shape, masked = (rows, 13), np.ones((rows, 4), "float32")
    by_batch = masked.reshape(-1, ROWS, 4)
    by_batch[:, 2:4, 1:] = 0
    by_batch[:, ROWS // 2 :, 2:] = 0
    by_batch[:, -3:] = 0
    features = {
        "input_ids": rng.integers(1, 9, shape),
        "attention_mask": np.ones(shape, int),
        "token_type_ids": rng.integers(0, 2, shape),
        "masked_lm_positions": rng.integers(0, 13, masked.shape),
    }
    labels = {
        "prediction_logits": rng.integers(0, 99, masked.shape),
        "seq_relationship_logits": rng.integers(0, 2, rows),
    }
    weights = {
        "prediction_logits": masked,
        "seq_relationship_logits": np.linspace(0.1, 2, rows, dtype="float32"),
    }
    features = {key: value.astype("int32") for key, value in features.items()}
    return features, labels, weights


def _batches():
    data = tf.data.Dataset.from_tensor_slices(_arrays())
    return data.batch(ROWS, drop_remainder=True)


# === Twenty steps ===


@dataclass
class Trained:
    losses: list[float]
    outputs: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]


def _by_run(model, folder, kind, parts=1):
    plan = Plan(
        steps=STEPS,
        learning_rate=PEAK,
        clip_norm=0.5,
        log_every=1,
        gradient_accumulation_steps=parts,
        optimizer=kind,
    )
    run = Run(model, plan, folder, _batches().repeat(), show_progress=False)
    return [line["loss"] for line in run()]


def _by_fit(model, folder, kind):
    each = _Each()
    rate = LinearWarmupDecay(PEAK, STEPS)
    model.compile(optimizer=MAKERS[kind](rate, clip_norm=0.5))
    model.fit(_batches(), verbose=0, callbacks=[each])
    return each.losses


class _Each(keras.callbacks.Callback):
    """Keeps the loss of every batch, from the running mean that Keras reports."""

    def __init__(self):
        super().__init__()
        self.losses, self._sum = [], 0.0

    def on_train_batch_end(self, batch, logs=None):
        total = logs["loss"] * (batch + 1)
        self.losses.append(total - self._sum)
        self._sum = total


def _trained(train, folder, kind, strategy=None, **options) -> Trained:
    with (strategy or tf.distribute.get_strategy()).scope():
        model = BertForPreTraining(STILL, seed=1)
        losses = train(model, folder, kind, **options)
    features, _, _ = _arrays(ROWS)
    weights = {v.path: v.numpy() for v in model.trainable_variables}
    alone = BertForPreTraining(STILL, seed=1)
    for variable in alone.trainable_variables:
        variable.assign(weights[variable.path])
    outputs = {k: v.numpy() for k, v in alone(features).items()}
    return Trained(losses, outputs, weights)


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    return {
        kind: _trained(_by_run, tmp_path_factory.mktemp(kind) / "run", kind)
        for kind in MAKERS
    }


def _assert_agree(actual: Trained, expected: Trained) -> None:
    np.testing.assert_allclose(actual.losses, expected.losses, rtol=1e-5)
    for name, output in expected.outputs.items():
        bound = 1e-5 * np.abs(output).max()
        np.testing.assert_allclose(actual.outputs[name], output, 0, bound)
    summed_rate = PEAK * sum(1 - step / STEPS for step in range(STEPS))
    start = {v.path: v.numpy() for v in BertForPreTraining(STILL, seed=1).weights}
    for path, weight in expected.weights.items():
        # The true gradient of a key bias is zero: Adam makes steps of noise.
        noise = path.endswith("key/bias")
        bound = 1e-4 * summed_rate if noise else 1e-5 * np.abs(weight).max()
        difference = np.abs(actual.weights[path] - weight).max()
        assert difference <= bound, f"{path}: {difference:.1e} > {bound:.1e}"
        assert noise or np.abs(weight - start[path]).max() > 100 * bound, path


@pytest.mark.parametrize(
    "train, kind",
    [
        (_by_run, "adamw"),
        pytest.param(_by_run, "lamb", marks=pytest.mark.slow),
        (_by_fit, "adamw"),
    ],
)
def test_two_devices_take_the_steps_of_one(
    train, kind, two_devices, one_device, tmp_path
):
    actual = _trained(train, tmp_path / "two", kind, two_devices)
    _assert_agree(actual, one_device[kind])


@pytest.mark.parametrize(
    "kind", ["adamw", pytest.param("lamb", marks=pytest.mark.slow)]
)
def test_four_parts_take_the_steps_of_the_whole(kind, one_device, tmp_path):
    actual = _trained(_by_run, tmp_path / "four", kind, parts=4)
    _assert_agree(actual, one_device[kind])


@pytest.mark.slow
def test_two_parts_on_each_of_two_devices(two_devices, one_device, tmp_path):
    actual = _trained(_by_run, tmp_path / "both", "adamw", two_devices, parts=2)
    _assert_agree(actual, one_device["adamw"])


def test_fit_on_one_device_takes_the_same_steps(one_device, tmp_path):
    actual = _trained(_by_fit, tmp_path / "fit", "adamw")
    _assert_agree(actual, one_device["adamw"])


# === Float16 ===


@pytest.mark.slow
def test_float16_skips_steps_on_two_devices_in_parts(two_devices, tmp_path):
    with two_devices.scope():
        model = BertForPreTraining(STILL, dtype="mixed_float16", seed=1)
        plan = Plan(
            steps=12,
            log_every=1,
            gradient_accumulation_steps=2,
            optimizer_options={"initial_scale": 2.0**24},
        )
        run = Run(
            model, plan, tmp_path / "run", _batches().repeat(), show_progress=False
        )
        lines = run()
    scale = run.optimizer.loss_scale.numpy()
    assert 2.0**12 <= scale < 2.0**24
    assert np.isfinite([[line["loss"], line["grad_norm"]] for line in lines]).all()
    # Nothing is learned before the scale is found, and something after.
    assert lines[0]["grad_norm"] == 0 < lines[-1]["grad_norm"]
    assert all(np.isfinite(v.numpy()).all() for v in model.trainable_variables)
    assert int(run.optimizer.iterations.numpy()) == 12


# === Parts ===


def _whole_batch():
    return next(iter(_batches()))


def test_parts_are_rows_in_order():
    features, _, weights = split(_whole_batch(), 4)
    assert features["input_ids"].shape == (4, 2, 13)
    assert weights["prediction_logits"].shape == (4, 2, 4)
    whole, _, _ = _whole_batch()
    np.testing.assert_array_equal(features["input_ids"][2], whole["input_ids"][4:6])


def test_rows_that_cannot_be_divided_are_refused():
    with pytest.raises(InputError, match=r"multiple of 3 rows.*Received: 8 rows"):
        split(_whole_batch(), 3)
    with pytest.raises(ConfigError, match="gradient_accumulation_steps of 1"):
        Plan(steps=1, gradient_accumulation_steps=0)


def _compute(model, batch, parts, scale_loss=lambda loss: loss):
    objective = BatchLoss(model)

    @tf.function(autograph=False)
    def compute():
        return gradients(objective, batch, model.trainable_variables, parts, scale_loss)

    return compute()


def test_sums_over_parts_are_those_of_the_batch():
    model, batch = BertForPreTraining(STILL, seed=1), _whole_batch()
    whole, loss, sums = _compute(model, batch, 1)
    added, other, others = _compute(model, batch, 4)
    assert float(loss) == pytest.approx(float(other), rel=1e-6)
    for one, two in zip(whole, added, strict=True):
        assert_close(one, two)
    others["tokens"] = (others["tokens"][0], 1.0)  # the divisor counts batches
    assert set(sums) == set(others)
    for name in sums:
        np.testing.assert_allclose(sums[name], others[name], rtol=1e-6)
    # The mean of the parts' means is something else.
    parts = tf.data.Dataset.from_tensor_slices(split(batch, 4))
    means = [float(BatchLoss(model)(part, training=False)[0]) for part in parts]
    assert np.mean(means) != pytest.approx(float(loss), rel=1e-2)


def test_every_part_drops_other_units():
    model = BertForPreTraining(STILL.replace(hidden_dropout_prob=0.5), seed=1)
    same = tf.nest.map_structure(lambda x: tf.concat([x[:2]] * 4, 0), _whole_batch())
    seen: list[float] = []

    def noted(loss):
        tf.py_function(lambda x: seen.append(float(x)), [loss], [])
        return loss

    _compute(model, same, 4, noted)
    assert len(seen) == len(set(seen)) == 4


# === Keras' own accumulation, in `fit` ===


def _fit_in_parts(weights, parts):
    model = BertForSequenceClassification(STILL, seed=1)
    rng = np.random.default_rng(3)
    ids, labels = rng.integers(2, 99, (ROWS, 13)), rng.integers(0, 5, ROWS)
    # A step that is nearly proportional to the gradient.
    optimizer = AdamW(
        PEAK,
        clip_norm=None,
        bias_correction=False,
        epsilon=1e-2,
        gradient_accumulation_steps=parts if parts > 1 else None,
    )
    model.compile(optimizer=optimizer, run_eagerly=True)
    model.fit(
        ids,
        labels,
        sample_weight=weights,
        batch_size=ROWS // parts,
        shuffle=False,
        verbose=0,
    )
    return {v.path: v.numpy() for v in model.trainable_variables}


def test_keras_accumulation_is_right_where_all_parts_weigh_the_same():
    even, uneven = np.ones(ROWS), np.array([1, 1, 1, 1, 0, 0, 0, 1.0])
    for weights, same in ((even, True), (uneven, False)):
        whole = _fit_in_parts(weights, 1)
        parts = _fit_in_parts(weights, 2)
        difference = max(np.abs(whole[path] - parts[path]).max() for path in whole)
        assert (difference < 1e-7) == same, difference


def test_keras_accumulation_on_two_devices_is_refused(two_devices):
    with two_devices.scope():
        model = BertForSequenceClassification(STILL, seed=1)
        optimizer = AdamW(PEAK, gradient_accumulation_steps=2)
        with pytest.raises(ConfigError, match="on 2 replicas"):
            optimizer.build(model.trainable_variables)
