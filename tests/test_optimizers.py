"""AdamW and its schedule against NumPy; two devices against one."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import CONFIG

from keras_bert.errors import ConfigError
from keras_bert.models import BertForPreTraining, BertForSequenceClassification
from keras_bert.training.loop import Plan, Run
from keras_bert.training.optimizers import AdamW
from keras_bert.training.schedules import LinearWarmupDecay

RNG = np.random.default_rng(11)
STILL = CONFIG.replace(
    num_hidden_layers=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
)


def _variables(names):
    return [
        keras.Variable(RNG.normal(size=(7, 3)).astype("float32"), name=name)
        for name in names
    ]


def _reference(weights, gradients, decayed, options):
    """AdamW as the paper writes it, in float64, all steps."""
    weights = [w.astype("float64") for w in weights]
    m, v = ([np.zeros_like(w) for w in weights] for _ in range(2))
    for step, parts in enumerate(gradients, 1):
        norm = np.sqrt(sum((g.astype("float64") ** 2).sum() for g in parts))
        limit = options.get("clip_norm")
        scale = min(1.0, limit / norm) if limit else 1.0
        for i, gradient in enumerate(parts):
            m[i] = 0.9 * m[i] + 0.1 * scale * gradient
            v[i] = 0.999 * v[i] + 0.001 * (scale * gradient) ** 2
            fix = options["bias_correction"]
            mean = m[i] / (1 - 0.9**step) if fix else m[i]
            square = v[i] / (1 - 0.999**step) if fix else v[i]
            change = mean / (np.sqrt(square) + 1e-6)
            change += 0.1 * weights[i] * decayed[i]
            weights[i] -= 0.01 * change
    return weights


# === One step after another ===


@pytest.mark.parametrize("clip_norm", [None, 3.0, 1e6])
@pytest.mark.parametrize("bias_correction", [True, False])
def test_five_steps_are_the_papers(bias_correction, clip_norm):
    options = dict(bias_correction=bias_correction, clip_norm=clip_norm)
    variables = _variables(["kernel", "bias", "gamma"])
    start = [v.numpy() for v in variables]
    gradients = [[RNG.normal(size=(7, 3)) for _ in variables] for _ in range(5)]
    optimizer = AdamW(0.01, weight_decay=0.1, **options)
    for parts in gradients:
        optimizer.apply([tf.constant(g, "float32") for g in parts], variables)
    expected = _reference(start, gradients, [1, 0, 0], options)
    for actual, wanted in zip(variables, expected, strict=True):
        np.testing.assert_allclose(actual.numpy(), wanted, 0, 2e-6)


def test_clipping_leaves_nan_for_a_loss_scale_to_notice():
    (variable,) = _variables(["kernel"])
    AdamW(0.01).apply([tf.fill((7, 3), np.nan)], [variable])
    assert np.isnan(variable.numpy()).all()


def test_decay_is_by_kind():
    model = BertForPreTraining(CONFIG, seed=1)
    start = {v.path: v.numpy() for v in model.trainable_variables}
    optimizer = AdamW(0.5, weight_decay=0.5)
    zeros = [tf.zeros(v.shape) for v in model.trainable_variables]
    optimizer.apply(zeros, model.trainable_variables)
    for variable in model.trainable_variables:
        kind = variable.path.rsplit("/", 1)[-1]
        share = {"kernel": 0.75, "embeddings": 0.75}.get(kind, 1.0)
        np.testing.assert_allclose(variable.numpy(), share * start[variable.path])
    kinds = {path.rsplit("/", 1)[-1] for path in start}
    assert kinds == {"kernel", "embeddings", "bias", "gamma", "beta"}


def test_config_round_trip():
    rate = LinearWarmupDecay(1e-3, total_steps=7, warmup_steps=2)
    options = dict(
        weight_decay=0.3,
        beta_1=0.8,
        beta_2=0.9,
        epsilon=1e-3,
        bias_correction=False,
        clip_norm=None,
    )
    optimizer = AdamW(rate, **options)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is AdamW
    config = again.get_config()
    assert {key: config[key] for key in options} == options
    assert again._learning_rate.get_config() == rate.get_config()


@pytest.mark.parametrize("name", ["clipnorm", "clipvalue", "global_clipnorm"])
def test_clipping_of_another_kind_is_refused(name):
    with pytest.raises(ConfigError, match=f"clip_norm.*{name}=1.0"):
        AdamW(**{name: 1.0})


# === Schedule ===


@pytest.mark.parametrize("warmup", [0, 1, 4, 10])
def test_schedule_at_every_step(warmup):
    rate = LinearWarmupDecay(3e-4, total_steps=10, warmup_steps=warmup)
    for step in range(13):
        left = max(0.0, 1 - step / 10)
        expected = 3e-4 * (step / warmup if step < warmup else left)
        assert float(rate(step)) == pytest.approx(expected, rel=1e-6, abs=1e-10)
    again = LinearWarmupDecay.from_config(rate.get_config())
    assert float(again(3)) == float(rate(3))


# === Fit ===


def test_fit_learns():
    model = BertForSequenceClassification(STILL.replace(num_labels=2), seed=1)
    ids = RNG.integers(2, 99, (24, 13))
    labels = RNG.integers(0, 2, 24)
    ids[:, 5] = 1 + labels * 7
    model.compile(optimizer=AdamW(3e-3))
    history = model.fit(ids, labels, batch_size=12, epochs=15, verbose=0).history
    assert history["loss"][-1] < 0.2 < history["loss"][0]
    assert history["accuracy"][-1] > 0.9


# === Two devices ===

STEPS, ROWS = 5, 6


def _batches():
    """Rows with repeated ids; the second half has far fewer masked positions."""
    rng = np.random.default_rng(2)
    shape = (STEPS * ROWS, 13)
    weights = np.ones((STEPS * ROWS, 4), "float32")
    weights.reshape(STEPS, ROWS, 4)[:, ROWS // 2 :, 1:] = 0
    weights.reshape(STEPS, ROWS, 4)[:, -1] = 0
    features = {
        "input_ids": rng.integers(1, 9, shape),
        "attention_mask": np.ones(shape, int),
        "token_type_ids": rng.integers(0, 2, shape),
        "masked_lm_positions": rng.integers(0, 13, weights.shape),
    }
    labels = {
        "prediction_logits": rng.integers(0, 99, weights.shape),
        "seq_relationship_logits": rng.integers(0, 2, STEPS * ROWS),
    }
    weights = {
        "prediction_logits": weights,
        "seq_relationship_logits": np.ones(STEPS * ROWS, "float32"),
    }
    features = {key: value.astype("int32") for key, value in features.items()}
    data = tf.data.Dataset.from_tensor_slices((features, labels, weights))
    return data.batch(ROWS, drop_remainder=True)


def _by_fit(model, folder):
    each = _Each()
    rate = LinearWarmupDecay(1e-3, STEPS)
    model.compile(optimizer=AdamW(rate, clip_norm=0.1))
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


def _by_run(model, folder):
    plan = Plan(steps=STEPS, learning_rate=1e-3, clip_norm=0.1, log_every=1)
    run = Run(model, plan, folder, _batches().repeat(), show_progress=False)
    return [line["loss"] for line in run()]


# One for the process: TensorFlow numbers the collectives of every strategy alike.
@pytest.fixture(scope="module")
def two_devices():
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def _trained(train, folder, strategy):
    with strategy.scope():
        model = BertForPreTraining(STILL, seed=1)
        losses = train(model, folder)
    return losses, {v.path: v.numpy() for v in model.trainable_variables}


@pytest.mark.parametrize("train", [_by_fit, _by_run])
def test_two_devices_take_the_steps_of_one(train, two_devices, tmp_path):
    assert two_devices.num_replicas_in_sync == 2
    one_device = tf.distribute.get_strategy()
    losses, weights = _trained(train, tmp_path / "one", one_device)
    two_losses, two_weights = _trained(train, tmp_path / "two", two_devices)
    np.testing.assert_allclose(two_losses, losses, rtol=1e-5)
    start = {v.path: v.numpy() for v in BertForPreTraining(STILL, seed=1).weights}
    for path, expected in weights.items():
        # The true gradient of a key bias is zero: Adam makes steps of noise.
        bound = 5e-3 if path.endswith("key/bias") else 1e-5 * np.abs(expected).max()
        difference = np.abs(two_weights[path] - expected).max()
        assert difference <= bound, f"{path}: {difference:.1e} > {bound:.1e}"
        if not path.endswith("key/bias"):
            assert np.abs(expected - start[path]).max() > 100 * bound, path
