"""Learning rates against closed forms, and against Google's formula as code."""

import math

import keras
import pytest

from keras_bert.errors import ConfigError
from keras_bert.optimizers import (
    SCHEDULES,
    ConstantWithWarmup,
    CosineWarmupDecay,
    LinearWarmupDecay,
    PolynomialWarmupDecay,
)

PEAK, TOTAL = 3e-4, 10
# What is left of the peak after a share of the steps, by the books.
CLOSED_FORMS = {
    "linear": lambda x: 1 - x,
    "polynomial": lambda x: 1 - x,
    "cosine": lambda x: math.cos(math.pi * x / 2) ** 2,
    "constant": lambda x: 1.0,
}


def _equal(actual, expected):
    assert float(actual) == pytest.approx(expected, rel=2e-6, abs=1e-10)


def test_every_schedule_is_in_the_table():
    assert set(SCHEDULES) == set(CLOSED_FORMS)


@pytest.mark.parametrize("warmup", [0, 1, 4, 10])
@pytest.mark.parametrize("name", SCHEDULES)
def test_every_step(name, warmup):
    rate = SCHEDULES[name](PEAK, TOTAL, warmup)
    for step in range(TOTAL + 3):
        left = CLOSED_FORMS[name](min(1, step / TOTAL))
        _equal(rate(step), PEAK * (step / warmup if step < warmup else left))


def _googles(step, peak, total, warmup, end, power):
    """`tf.train.polynomial_decay`, then the switch of `create_optimizer`."""
    step_reached = min(step, total)
    rate = (peak - end) * (1 - step_reached / total) ** power + end
    is_warmup = float(step < warmup)
    rising = peak * (step / warmup) if warmup else 0.0
    return (1 - is_warmup) * rate + is_warmup * rising


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("end", [0.0, 1e-5])
@pytest.mark.parametrize("warmup", [0, 3])
def test_polynomial_is_googles(warmup, end, power):
    rate = PolynomialWarmupDecay(PEAK, 13, warmup, end, power)
    for step in range(16):
        _equal(rate(step), _googles(step, PEAK, 13, warmup, end, power))


def test_linear_is_polynomial_of_power_one():
    linear = LinearWarmupDecay(PEAK, 13, 3)
    polynomial = PolynomialWarmupDecay(PEAK, 13, 3)
    assert [float(linear(s)) for s in range(15)] == [
        float(polynomial(s)) for s in range(15)
    ]


def test_cosine_ends_at_its_end():
    rate = CosineWarmupDecay(1.0, 8, end=0.25)
    for step, expected in ((0, 1.0), (4, 0.625), (8, 0.25), (20, 0.25)):
        _equal(rate(step), expected)


def test_where_warmup_ends_the_rate_steps_down():
    rate = LinearWarmupDecay(1.0, 10, 4)
    _equal(rate(3), 0.75)
    _equal(rate(4), 0.6)
    _equal(ConstantWithWarmup(1.0, 10, 4)(4), 1.0)


@pytest.mark.parametrize(
    "rate",
    [
        LinearWarmupDecay(PEAK, 13, 3),
        PolynomialWarmupDecay(PEAK, 13, 3, end=1e-5, power=0.5),
        CosineWarmupDecay(PEAK, 13, 3, end=1e-5),
        ConstantWithWarmup(PEAK, 13, 3),
    ],
    ids=lambda rate: type(rate).__name__,
)
def test_config_round_trip(rate):
    serialized = keras.optimizers.schedules.serialize(rate)
    again = keras.optimizers.schedules.deserialize(serialized)
    assert type(again) is type(rate)
    assert again.get_config() == rate.get_config()
    assert [float(again(s)) for s in range(15)] == [float(rate(s)) for s in range(15)]


@pytest.mark.parametrize("steps", [(0, 0), (10, -1)])
def test_numbers_of_steps_that_cannot_be(steps):
    with pytest.raises(ConfigError, match="total_steps of 1 or more"):
        ConstantWithWarmup(PEAK, *steps)
