"""Training in 16 bits: what is summed is float32, and an overflow skips its step.

On the backend of the process; other tests run this file on JAX.
"""

from functools import cache

import keras
import numpy as np
import pytest

from keras_bert.losses import Crossentropy
from keras_bert.models import BertForPreTraining
from keras_bert.optimizers import AdamW
from keras_bert.training.distribution import distribution
from keras_bert.training.step import BatchLoss
from tests.cases import CONFIG

ROWS, OVERFLOWS = 8, 2.0**40
STILL = CONFIG.replace(
    num_hidden_layers=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
)
MIXED = ("mixed_bfloat16", "mixed_float16")


def _batch() -> tuple[dict, dict, dict]:
    rng = np.random.default_rng(6)
    features = {
        "input_ids": rng.integers(1, 99, (ROWS, 13)),
        "attention_mask": np.arange(13) < rng.integers(7, 14, (ROWS, 1)),
        "token_type_ids": rng.integers(0, 2, (ROWS, 13)),
        "masked_lm_positions": rng.integers(0, 7, (ROWS, 4)),
    }
    labels = {
        "prediction_logits": rng.integers(0, 99, (ROWS, 4)),
        "seq_relationship_logits": rng.integers(0, 2, ROWS),
    }
    weights = {
        "prediction_logits": np.arange(4) < rng.integers(1, 5, (ROWS, 1)),
        "seq_relationship_logits": np.ones(ROWS),
    }
    kinds = ((features, "int32"), (labels, "int32"), (weights, "float32"))
    return tuple({k: v.astype(kind) for k, v in part.items()} for part, kind in kinds)


@cache
def _made(policy: str, parts: int = 1):
    """Steps, compiled once, and their first state."""
    model = BertForPreTraining(STILL, dtype=policy, seed=1)
    scale = 2.0**10 if policy == "mixed_float16" else None
    optimizer = AdamW(1e-3, initial_scale=scale)
    steps = distribution("one").steps(BatchLoss(model), optimizer, parts)
    return steps, steps.state()


def _steps(policy: str, parts: int = 1):
    """Steps from the beginning."""
    steps, start = _made(policy, parts)
    steps.load(start)
    return steps


def _kinds(values) -> set[str]:
    leaves = keras.tree.flatten(values)
    return {keras.backend.standardize_dtype(x.dtype) for x in leaves}


def _losses(steps, count: int) -> list[float]:
    return [float(steps.train(_batch())["loss"][0]) for _ in range(count)]


parts = pytest.mark.parametrize(
    "parts", [1, pytest.param(2, marks=pytest.mark.slow)], ids=["whole", "parts"]
)


@parts
@pytest.mark.parametrize("policy", MIXED)
def test_losses_norms_and_sums_are_float32(policy, parts):
    steps = _steps(policy, parts)
    assert steps.model.dtype_policy.compute_dtype == policy.removeprefix("mixed_")
    sums = steps.train(_batch())
    names = {"loss", "grad_norm", "mlm_loss", "nsp_loss", "mlm_accuracy", "tokens"}
    assert names < sums.keys()
    assert _kinds(sums) == {"float32"}
    assert _kinds(steps.evaluate(_batch())) == {"float32"}
    floats = [v for v in steps.optimizer.variables if "iteration" not in v.name]
    assert _kinds([*steps.model.trainable_variables, *floats]) == {"float32"}


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_the_loss_of_narrow_logits_is_float32(kind):
    logits = keras.ops.cast(np.full((3, 5), 0.1), kind)
    loss = Crossentropy()(np.array([0, 1, 2]), logits)
    assert _kinds(loss) == {"float32"}
    assert float(loss) == pytest.approx(np.log(5), rel=1e-6)


@pytest.mark.parametrize("policy", MIXED)
def test_losses_are_those_of_float32_to_the_digits_there_are(policy):
    exact, found = _losses(_steps("float32"), 8), _losses(_steps(policy), 8)
    np.testing.assert_allclose(found, exact, rtol=5e-3)
    assert exact[-1] < 0.97 * exact[0] and found != exact


@parts
def test_a_step_that_overflows_is_skipped(parts):
    steps = _steps("mixed_float16", parts)
    scale = steps.optimizer.loss_scale
    steps.set_value(scale, OVERFLOWS)
    before, sums, after = steps.state(), steps.train(_batch()), steps.state()
    changed = {name for name in before if (before[name] != after[name]).any()}
    assert {name.rsplit("/", 1)[-1] for name in changed} <= {
        *("loss_scale", "iteration", "seed_generator_state")
    }
    assert steps.value(scale) == OVERFLOWS / 2
    assert np.isfinite(float(sums["loss"][0]))  # only the gradient is not
    for _ in range(40):  # until the scale is found
        steps.train(_batch())
    assert 2.0**8 < steps.value(scale) < 2.0**36
    now = steps.state()
    weights = ("kernel", "embeddings", "bias", "gamma", "beta")
    moved = [(now[k] != before[k]).any() for k in now if k.endswith(weights)]
    assert len(moved) > 20 and all(moved)
