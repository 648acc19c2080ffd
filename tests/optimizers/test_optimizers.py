"""Optimizers against NumPy: one step after another, by kind, scaled, on replicas."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_bert.errors import ConfigError
from keras_bert.models import BertForPreTraining, BertForSequenceClassification
from keras_bert.optimizers import (
    LAMB,
    OPTIMIZERS,
    AdamW,
    LinearWarmupDecay,
    layer_rates,
    scale_float16,
)
from tests.bounds import assert_close
from tests.cases import CONFIG

RNG = np.random.default_rng(11)
STILL = CONFIG.replace(
    num_hidden_layers=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
)
TF = keras.backend.backend() == "tensorflow"
only_tensorflow = pytest.mark.skipif(not TF, reason="tf.distribute, IndexedSlices")


def _variables(names, shape=(7, 3)):
    return [
        keras.Variable(RNG.normal(size=shape).astype("float32"), name=name)
        for name in names
    ]


def _numbers(variables):
    return [ops.convert_to_numpy(v) for v in variables]


def _number(variable):
    return float(variable.numpy())  # `float()` cannot read a mirrored one


def _tensors(arrays):
    return [ops.convert_to_tensor(a, "float32") for a in arrays]


def _reference(weights, gradients, kinds, *, lamb=False, fix=True, limit=None):
    """AdamW and LAMB as the papers write them, in float64, all steps.

    Returns weights and both means. Rate 0.01, decay 0.1 for kernels; LAMB's ratio for
    kernels alone.
    """
    weights = [w.astype("float64") for w in weights]
    m, v = ([np.zeros_like(w) for w in weights] for _ in range(2))
    for step, parts in enumerate(gradients, 1):
        norm = np.sqrt(sum((g.astype("float64") ** 2).sum() for g in parts))
        scale = min(1.0, limit / norm) if limit else 1.0
        for i, gradient in enumerate(parts):
            m[i] = 0.9 * m[i] + 0.1 * scale * gradient
            v[i] = 0.999 * v[i] + 0.001 * (scale * gradient) ** 2
            mean = m[i] / (1 - 0.9**step) if fix else m[i]
            square = v[i] / (1 - 0.999**step) if fix else v[i]
            change = mean / (np.sqrt(square) + 1e-6)
            if kinds[i] == "kernel":
                change += 0.1 * weights[i]
                length, other = np.linalg.norm(weights[i]), np.linalg.norm(change)
                change *= length / other if lamb and length and other else 1.0
            weights[i] -= 0.01 * change
    return weights, m, v


# === One step after another ===


@pytest.mark.parametrize("limit", [None, 3.0, 1e6])
@pytest.mark.parametrize("fix", [True, False])
@pytest.mark.parametrize("make, lamb", [(AdamW, False), (LAMB, True)])
def test_five_steps_are_the_papers(make, lamb, fix, limit):
    kinds = ["kernel", "bias", "gamma"]
    variables = _variables(kinds)
    start = _numbers(variables)
    gradients = [[RNG.normal(size=(7, 3)) for _ in variables] for _ in range(5)]
    optimizer = make(0.01, weight_decay=0.1, bias_correction=fix, clip_norm=limit)
    for parts in gradients:
        optimizer.apply(_tensors(parts), variables)
    expected, _, _ = _reference(
        start, gradients, kinds, lamb=lamb, fix=fix, limit=limit
    )
    for actual, wanted in zip(_numbers(variables), expected, strict=True):
        assert_close(actual, wanted)
    last = np.sqrt(sum((g**2).sum() for g in gradients[-1]))
    assert _number(optimizer.gradient_norm) == pytest.approx(last, 1e-5)


@pytest.mark.parametrize("fix", [True, False])
@pytest.mark.parametrize("make, lamb", [(AdamW, False), (LAMB, True)])
@pytest.mark.parametrize("steps", [1, 50])
def test_means_and_weights_are_exact_to_rounding(make, lamb, fix, steps):
    """1 - 0.999 computed in float32 is 1.3e-5 off; here nothing is."""
    kinds = ["kernel", "bias"]
    variables = _variables(kinds)
    start = _numbers(variables)
    # Of one sign, so that no mean is a difference of larger numbers.
    gradients = [
        [RNG.uniform(0.1, 1, size=(7, 3)) for _ in variables] for _ in range(steps)
    ]
    optimizer = make(0.01, weight_decay=0.1, bias_correction=fix, clip_norm=None)
    for parts in gradients:
        optimizer.apply(_tensors(parts), variables)
    weights, m, v = _reference(start, gradients, kinds, lamb=lamb, fix=fix)
    for slots, expected in ((optimizer._momentums, m), (optimizer._velocities, v)):
        for actual, wanted in zip(_numbers(slots), expected, strict=True):
            np.testing.assert_allclose(actual, wanted, rtol=1e-6)
    for actual, wanted, first in zip(_numbers(variables), weights, start, strict=True):
        way, bound = np.abs(wanted - first).max(), 1e-7 * steps
        np.testing.assert_allclose(actual, wanted, 0, 2e-6 * way + bound)


def test_lamb_makes_a_change_as_long_as_the_weight():
    table, bias = _variables(["embeddings", "bias"])
    start = _numbers([table, bias])
    LAMB(0.25, weight_decay=0.0, clip_norm=None).apply(
        _tensors([np.full((7, 3), 1e-3), np.full((7, 3), 1e-3)]), [table, bias]
    )
    moved = [
        np.linalg.norm(a - b)
        for a, b in zip(_numbers([table, bias]), start, strict=True)
    ]
    lengths = 0.25 * np.linalg.norm(start[0]), 0.25 * np.sqrt(21)
    np.testing.assert_allclose(moved, lengths, rtol=2e-3)


def test_lamb_takes_a_weight_of_zeros_as_it_is():
    weight = keras.Variable(np.zeros((7, 3), "float32"), name="kernel")
    LAMB(0.25).apply(_tensors([np.ones((7, 3))]), [weight])
    np.testing.assert_allclose(_numbers([weight])[0], -0.25, rtol=1e-4)


def test_lamb_excludes_the_kinds_it_is_told():
    kernel, bias = _variables(["kernel", "bias"])
    start = _numbers([kernel, bias])
    zeros = _tensors([np.zeros((7, 3))] * 2)
    optimizer = LAMB(
        0.5,
        weight_decay=0.5,
        exclude_from_weight_decay=["kernel"],
        exclude_from_layer_adaptation=[],
    )
    optimizer.apply(zeros, [kernel, bias])
    np.testing.assert_array_equal(_numbers([kernel])[0], start[0])
    # The only change is the decay's; LAMB makes it as long as the weight itself.
    np.testing.assert_allclose(_numbers([bias])[0], 0.5 * start[1], rtol=1e-5)


def test_adam_is_without_decay():
    (variable,) = _variables(["kernel"])
    start = _numbers([variable])[0]
    OPTIMIZERS["adam"](0.5).apply(_tensors([np.zeros((7, 3))]), [variable])
    np.testing.assert_array_equal(_numbers([variable])[0], start)


def test_clipping_leaves_nan_for_the_loop_to_notice():
    (variable,) = _variables(["kernel"])
    optimizer = AdamW(0.01)
    optimizer.apply(_tensors([np.full((7, 3), np.nan)]), [variable])
    assert np.isnan(_numbers([variable])[0]).all()
    assert np.isnan(_number(optimizer.gradient_norm))


@only_tensorflow
def test_ids_met_twice_are_one_row_of_a_dense_adam():
    import tensorflow as tf

    table = keras.Variable(RNG.normal(size=(7, 3)).astype("float32"), name="kernel")
    start, optimizer = table.numpy(), AdamW(0.01, weight_decay=0.1, clip_norm=None)
    gradients = []
    for _ in range(5):
        ids, rows = RNG.integers(0, 4, 13), RNG.normal(size=(13, 3))
        slices = tf.IndexedSlices(
            tf.constant(rows, "float32"), tf.constant(ids), tf.constant([7, 3])
        )
        optimizer.apply([slices], [table])
        whole = np.zeros((7, 3))
        np.add.at(whole, ids, rows)
        gradients.append([whole])
    ((expected,), _, _) = _reference([start], gradients, ["kernel"])
    assert_close(table.numpy(), expected)


# === By kind and by depth ===


def test_decay_is_by_kind():
    model = BertForPreTraining(CONFIG, seed=1)
    variables = model.trainable_variables
    start = {v.path: ops.convert_to_numpy(v) for v in variables}
    optimizer = AdamW(0.5, weight_decay=0.5)
    optimizer.apply([ops.zeros(v.shape) for v in variables], variables)
    for variable in variables:
        kind = variable.path.rsplit("/", 1)[-1]
        share = {"kernel": 0.75, "embeddings": 0.75}.get(kind, 1.0)
        expected = share * start[variable.path]
        np.testing.assert_allclose(ops.convert_to_numpy(variable), expected)
    kinds = {path.rsplit("/", 1)[-1] for path in start}
    assert kinds == {"kernel", "embeddings", "bias", "gamma", "beta"}


def test_keras_list_of_weights_not_to_decay_is_heard():
    first, second = _variables(["kernel", "kernel"])
    start = _numbers([first, second])
    optimizer = AdamW(0.5, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_list=[second])
    optimizer.apply(_tensors([np.zeros((7, 3))] * 2), [first, second])
    np.testing.assert_allclose(_numbers([first])[0], 0.75 * start[0])
    np.testing.assert_array_equal(_numbers([second])[0], start[1])


@pytest.mark.parametrize("make", [AdamW, LAMB])
def test_lower_layers_learn_more_slowly(make):
    model = BertForPreTraining(CONFIG, seed=1)
    shares = layer_rates(CONFIG, 0.5)
    variables = model.trainable_variables
    start = _numbers(variables)
    optimizer = (
        make(
            0.5,
            weight_decay=0.0,
            learning_rate_shares=shares,
            exclude_from_layer_adaptation=[
                "kernel",
                "embeddings",
                "bias",
                "gamma",
                "beta",
            ],
        )
        if make is LAMB
        else make(0.5, weight_decay=0.0, learning_rate_shares=shares)
    )
    optimizer.apply([ops.ones(v.shape) for v in variables], variables)
    by_part = {
        "embeddings": 0.125,
        "layer_0": 0.25,
        "layer_1": 0.5,
        "pooler": 1.0,
        "masked_lm": 1.0,
        "masked_lm_bias": 1.0,
        "next_sentence": 1.0,
    }
    assert {v.path.split("/")[0] for v in variables} == set(by_part)
    for variable, before, after in zip(
        variables, start, _numbers(variables), strict=True
    ):
        expected = 0.5 * by_part[variable.path.split("/")[0]]
        np.testing.assert_allclose(before - after, expected, rtol=1e-3)


# === Loss scaling ===


def _scaled(**options):
    optimizer = AdamW(0.1, initial_scale=8.0, **options)
    variables = _variables(["kernel", "bias"])
    optimizer.build(variables)
    return optimizer, variables


def test_scaling_changes_nothing_but_the_gradients_given():
    scaled, variables = _scaled(clip_norm=0.5)
    plain, others = AdamW(0.1, clip_norm=0.5), _variables(["kernel", "bias"])
    for other, variable in zip(others, variables, strict=True):
        other.assign(variable.value)
    assert float(scaled.scale_loss(ops.convert_to_tensor(3.0))) == 24.0
    for _ in range(3):
        gradients = [RNG.normal(size=(7, 3)) for _ in variables]
        scaled.apply(_tensors([8 * g for g in gradients]), variables)
        plain.apply(_tensors(gradients), others)
    for one, other in zip(_numbers(variables), _numbers(others), strict=True):
        np.testing.assert_allclose(one, other, 1e-6)
    assert _number(scaled.gradient_norm) == pytest.approx(_number(plain.gradient_norm))


def test_scale_halves_at_an_overflow_and_doubles_after_steps_without():
    optimizer, variables = _scaled(dynamic_growth_steps=3)
    good = [np.ones((7, 3))] * 2
    bad = [np.ones((7, 3)), np.full((7, 3), np.inf)]
    scales = []
    for gradients in (good, good, bad, good, good, good, good, bad):
        optimizer.apply(_tensors(gradients), variables)
        scales.append(_number(optimizer.loss_scale))
    assert scales == [8, 8, 4, 4, 4, 8, 8, 4]
    assert int(optimizer.iterations) == 8


def test_scale_has_limits():
    optimizer, variables = _scaled(dynamic_growth_steps=1)
    for value, limit in ((0.0, 2.0**64), (np.nan, 1.0)):
        optimizer.loss_scale.assign(2.0**63 if limit > 1 else 2.0)
        for _ in range(3):
            optimizer.apply(_tensors([np.full((7, 3), value)] * 2), variables)
        assert _number(optimizer.loss_scale) == limit


def test_a_skipped_step_is_no_update_for_bias_correction():
    optimizer, variables = _scaled(weight_decay=0.0)
    start = _numbers(variables)
    for value in (np.inf, np.inf, 8.0):
        optimizer.apply(_tensors([np.full((7, 3), value)] * 2), variables)
    for before, after in zip(start, _numbers(variables), strict=True):
        np.testing.assert_allclose(before - after, 0.1, rtol=1e-3)


@only_tensorflow
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan, 1e30])
def test_an_overflow_on_one_replica_is_skipped_on_both(two_devices, bad):
    import tensorflow as tf

    with two_devices.scope():
        optimizer, variables = _scaled(use_ema=True)

    @tf.function
    def step(second):
        def on_replica():
            context = tf.distribute.get_replica_context()
            is_second = context.replica_id_in_sync_group == 1
            value = tf.where(is_second, second, 0.5)
            optimizer.apply([tf.fill((7, 3), value)] * 2, variables)

        two_devices.run(on_replica)

    def state():
        slots = optimizer._momentums + optimizer._velocities
        return [
            local.numpy()
            for v in [*variables, *slots]
            for local in two_devices.experimental_local_results(v.value)
        ]

    step(tf.constant(0.25))
    before = state()
    assert len(before) == 12
    step(tf.constant(bad, "float32"))
    for one, other in zip(before, state(), strict=True):
        np.testing.assert_array_equal(one, other)
    local = two_devices.experimental_local_results(optimizer.loss_scale.value)
    assert [float(scale) for scale in local] == [4.0, 4.0]
    assert _number(optimizer.gradient_norm) == pytest.approx(
        0.75 * np.sqrt(42) / 8, 1e-5
    )
    step(tf.constant(0.25))
    assert all((a != b).any() for a, b in zip(before, state(), strict=True))


def _halves(strategy=None):
    model = BertForSequenceClassification(STILL, dtype="mixed_float16", seed=1)
    model.compile(optimizer=AdamW(1e-3, initial_scale=2.0**30))
    return model


def _fit(model, epochs=1):
    rng = np.random.default_rng(3)
    ids, labels = rng.integers(2, 99, (24, 13)), rng.integers(0, 5, 24)
    return model.fit(ids, labels, batch_size=2, epochs=epochs, verbose=0).history


def test_float16_finds_its_scale_in_fit():
    model = _halves()
    start = _numbers(model.trainable_variables)
    history = _fit(model, epochs=2)
    assert np.isfinite(history["loss"]).all()
    assert 2.0**10 < _number(model.optimizer.loss_scale) < 2.0**30
    now = _numbers(model.trainable_variables)
    assert all(np.isfinite(w).all() for w in now)
    assert all((a != b).any() for a, b in zip(start, now, strict=True))


@only_tensorflow
def test_float16_finds_its_scale_on_two_replicas(two_devices):
    with two_devices.scope():
        model = _halves()
    _fit(model)
    assert 2.0**10 < _number(model.optimizer.loss_scale) < 2.0**30
    assert all(np.isfinite(v.numpy()).all() for v in model.trainable_variables)


@pytest.mark.parametrize("given", [None, "adam"])
def test_compile_scales_where_the_model_is_float16(given):
    half = BertForSequenceClassification(STILL, dtype="mixed_float16", seed=1)
    half.compile(optimizer=given)
    wrapped = isinstance(half.optimizer, keras.optimizers.LossScaleOptimizer)
    assert wrapped if given else half.optimizer.initial_scale == 2.0**15
    whole = BertForSequenceClassification(STILL, seed=1)
    whole.compile(optimizer=given)
    assert getattr(whole.optimizer, "initial_scale", None) is None


def test_an_optimizer_built_without_a_scale_is_refused_for_float16():
    optimizer = AdamW(0.1)
    optimizer.build(_variables(["kernel"]))
    with pytest.raises(ConfigError, match="initial_scale"):
        scale_float16(optimizer, keras.DTypePolicy("mixed_float16"))


# === Use ===


@pytest.mark.parametrize("make", [AdamW, LAMB])
def test_config_round_trip(make):
    rate = LinearWarmupDecay(1e-3, total_steps=7, warmup_steps=2)
    options = dict(
        weight_decay=0.3,
        beta_1=0.8,
        beta_2=0.9,
        epsilon=1e-3,
        bias_correction=False,
        clip_norm=None,
        exclude_from_weight_decay=["bias"],
        learning_rate_shares={"layer_0": 0.5},
        initial_scale=4.0,
        dynamic_growth_steps=5,
        use_ema=True,
        ema_momentum=0.9,
    )
    if make is LAMB:
        options["exclude_from_layer_adaptation"] = ["gamma", "beta"]
    optimizer = make(rate, **options)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is make
    config = again.get_config()
    assert {key: config[key] for key in options} == options
    assert again._learning_rate.get_config() == rate.get_config()


@pytest.mark.parametrize("name", ["clipnorm", "clipvalue", "global_clipnorm"])
def test_clipping_of_another_kind_is_refused(name):
    with pytest.raises(ConfigError, match=f"clip_norm.*{name}=1.0"):
        AdamW(**{name: 1.0})


@pytest.mark.parametrize(
    "make",
    [
        lambda: AdamW(3e-3),
        lambda: LAMB(5e-2),
        lambda: keras.optimizers.AdamW(3e-3),
        lambda: keras.optimizers.Lamb(3e-2, global_clipnorm=1.0),
    ],
    ids=["ours-adamw", "ours-lamb", "keras-adamw", "keras-lamb"],
)
def test_fit_learns(make):
    rng = np.random.default_rng(5)
    model = BertForSequenceClassification(STILL.replace(num_labels=2), seed=1)
    ids, labels = rng.integers(2, 99, (24, 13)), rng.integers(0, 2, 24)
    ids[:, 5] = 1 + labels * 7
    model.compile(optimizer=make())
    history = model.fit(ids, labels, batch_size=12, epochs=20, verbose=0).history
    assert history["loss"][-1] < 0.2 < history["loss"][0]
    assert history["accuracy"][-1] > 0.9


def test_a_saved_model_goes_on_where_it_was(tmp_path):
    model = _halves()
    _fit(model)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for one, other in zip(
        model.optimizer.variables, again.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(*_numbers([one, other]))
