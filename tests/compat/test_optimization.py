"""The optimizer and schedule of `keras_bert.transformers` against NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_bert.errors import ConfigError
from keras_bert.transformers import AdamWeightDecay, WarmUp, create_optimizer

RNG = np.random.default_rng(7)
NAMES = ("layer_0/kernel", "layer_0/bias", "attention_norm/gamma", "LayerNorm")


class Variables:
    """Variables of given paths."""

    def __init__(self, names=NAMES):
        self.starts = [RNG.normal(size=(5, 3)).astype("float32") for _ in names]
        self.all = []
        for name, start in zip(names, self.starts, strict=True):
            scope, _, last = name.rpartition("/")
            with keras.name_scope(scope or "model"):
                self.all.append(keras.Variable(start, name=last))

    def numbers(self):
        return [ops.convert_to_numpy(v) for v in self.all]


def gradients(steps, scale=1.0):
    return [
        [(scale * RNG.normal(size=(5, 3))).astype("float32") for _ in NAMES]
        for _ in range(steps)
    ]


def reference(weights, steps, rates, decayed, decay, epsilon, limits=()):
    """Adam of Keras 2 with the decay before it, as transformers 4.57 has them."""
    weights = [w.astype("float64") for w in weights]
    m, v = ([np.zeros_like(w) for w in weights] for _ in range(2))
    limits = dict(limits)
    for step, parts in enumerate(steps, 1):
        rate = rates(step - 1)
        whole = np.sqrt(sum((g.astype("float64") ** 2).sum() for g in parts))
        for i, gradient in enumerate(parts):
            gradient = gradient.astype("float64")
            if "global_clipnorm" in limits:
                gradient *= min(1.0, limits["global_clipnorm"] / whole)
            if "clipnorm" in limits:
                gradient *= min(1.0, limits["clipnorm"] / np.linalg.norm(gradient))
            if "clipvalue" in limits:
                gradient = np.clip(gradient, -limits["clipvalue"], limits["clipvalue"])
            if decayed[i]:
                weights[i] -= rate * decay * weights[i]
            m[i] += 0.1 * (gradient - m[i])
            v[i] += 0.001 * (gradient**2 - v[i])
            alpha = rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            weights[i] -= alpha * m[i] / (np.sqrt(v[i]) + epsilon)
    return weights


def rate_of(step, peak=0.1, total=12, warmup=4, ratio=0.1, power=2.0):
    if step < warmup:
        return peak * step / warmup
    left = 1 - min(step - warmup, total - warmup) / (total - warmup)
    return peak * ratio + (peak - peak * ratio) * left**power


def test_create_optimizer_steps_as_transformers():
    variables, steps = Variables(), gradients(14, scale=1e-4)
    # An epsilon as large as the gradients shows where it is added.
    optimizer, schedule = create_optimizer(
        0.1, 12, 4, 0.1, adam_epsilon=1e-4, weight_decay_rate=0.3, power=2.0
    )
    for parts in steps:
        optimizer.apply([ops.convert_to_tensor(g) for g in parts], variables.all)
    expected = reference(
        variables.starts, steps, rate_of, [True, False, False, False], 0.3, 1e-4
    )
    for found, right in zip(variables.numbers(), expected, strict=True):
        np.testing.assert_allclose(found, right, atol=2e-6)
    rates = [float(schedule(step)) for step in range(15)]
    np.testing.assert_allclose(rates, [rate_of(step) for step in range(15)], atol=1e-8)


@pytest.mark.parametrize(
    "limits", [{}, {"clipnorm": 0.5}, {"clipvalue": 0.3}, {"global_clipnorm": 0.7}]
)
def test_gradients_are_limited(limits):
    variables, steps = Variables(), gradients(4)
    optimizer = AdamWeightDecay(0.05, epsilon=1e-2, **limits)
    for parts in steps:
        optimizer.apply([ops.convert_to_tensor(g) for g in parts], variables.all)
    expected = reference(
        variables.starts, steps, lambda step: 0.05, [False] * 4, 0, 1e-2, limits.items()
    )
    for found, right in zip(variables.numbers(), expected, strict=True):
        np.testing.assert_allclose(found, right, atol=2e-6)


@pytest.mark.parametrize(
    ("include", "exclude", "decayed"),
    [
        (None, None, [True, True, True, True]),
        (None, ["LayerNorm", "bias"], [True, False, False, False]),
        (["norm"], ["LayerNorm", "bias"], [True, False, True, False]),
        (["layer_0"], ["bias", "LayerNorm"], [True, True, False, False]),
    ],
)
def test_names_choose_what_is_decayed(include, exclude, decayed):
    variables = Variables()
    optimizer = AdamWeightDecay(
        1.0,
        weight_decay_rate=0.5,
        include_in_weight_decay=include,
        exclude_from_weight_decay=exclude,
    )
    nothing = [ops.zeros((5, 3)) for _ in NAMES]
    optimizer.apply(nothing, variables.all)
    for found, start, halved in zip(
        variables.numbers(), variables.starts, decayed, strict=True
    ):
        np.testing.assert_allclose(found, start * 0.5 if halved else start, atol=1e-6)


def test_warm_up_has_a_power_and_goes_on_with_any_function():
    schedule = WarmUp(2.0, lambda step: 7.0 + step, warmup_steps=4, power=2.0)
    rates = [float(schedule(step)) for step in (0, 1, 2, 4, 6)]
    assert rates == [0.0, 0.125, 0.5, 7.0, 9.0]


def test_an_optimizer_is_the_same_after_serialization():
    made, _ = create_optimizer(
        1e-2, 9, 3, weight_decay_rate=0.1, adam_global_clipnorm=1.0, adam_clipnorm=0.5
    )
    again = keras.optimizers.deserialize(keras.optimizers.serialize(made))
    assert type(again) is AdamWeightDecay
    assert again.get_config() == made.get_config()
    first, second, steps = Variables(), Variables(), gradients(5)
    for variable, start in zip(second.all, first.starts, strict=True):
        variable.assign(start)
    for optimizer, variables in ((made, first), (again, second)):
        for parts in steps:
            optimizer.apply([ops.convert_to_tensor(g) for g in parts], variables.all)
    for one, other in zip(first.numbers(), second.numbers(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: AdamWeightDecay(amsgrad=True), "amsgrad"),
        (lambda: AdamWeightDecay(decay=0.1), "decay"),
        (lambda: create_optimizer(1e-3, 4, 4), "num_warmup_steps"),
    ],
)
def test_what_cannot_be_had_is_named(make, named):
    with pytest.raises(ConfigError, match=named):
        make()
