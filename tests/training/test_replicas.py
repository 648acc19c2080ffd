"""Each replica drops units of its own; the first one those of a single device."""

import numpy as np
import pytest
import tensorflow as tf

from keras_bert.layers.dropout import REPLICA_STRIDE
from keras_bert.models import BertForSequenceClassification
from keras_bert.optimizers import AdamW
from keras_bert.training.accumulation import gradients
from keras_bert.training.loop import Plan, Run
from keras_bert.training.step import BatchLoss
from tests.bounds import assert_close
from tests.cases import CONFIG

DROPS = CONFIG.replace(num_hidden_layers=1, hidden_dropout_prob=0.3)
ROWS, SEED = 4, 1
ONE = tf.distribute.get_strategy()


def _rows(copies: int = 1) -> tuple[dict, np.ndarray]:
    """The same rows once for each replica."""
    rng = np.random.default_rng(5)
    ids, labels = rng.integers(2, 99, (ROWS, 13)), rng.integers(0, 5, ROWS)
    return {"input_ids": np.tile(ids, (copies, 1))}, np.tile(labels, copies)


def _model(strategy, config=DROPS, checkpointing=False):
    with strategy.scope():
        model = BertForSequenceClassification(config, seed=SEED)
    model.encoder.activation_checkpointing = checkpointing
    return model


def _on_each(strategy, compute, steps: int = 1) -> list[list[np.ndarray]]:
    """Runs a function on every replica; its last results, by replica."""
    run = tf.function(lambda: strategy.run(compute), autograph=False)
    for _ in range(steps):
        found = run()
    local = [strategy.experimental_local_results(x) for x in tf.nest.flatten(found)]
    return [list(map(np.asarray, each)) for each in zip(*local, strict=True)]


def _outputs(strategy, steps: int = 1) -> list[np.ndarray]:
    model, (features, _) = _model(strategy), _rows()
    each = _on_each(strategy, lambda: model(features, training=True), steps)
    return [outputs for (outputs,) in each]


def _gradients(strategy, parts: int = 1, checkpointing: bool = False):
    model, batch = _model(strategy, checkpointing=checkpointing), _rows()
    objective, variables = BatchLoss(model), model.trainable_variables
    return _on_each(strategy, lambda: gradients(objective, batch, variables, parts)[:2])


# === What a replica computes ===


@pytest.mark.parametrize("steps", [1, 3])
def test_replicas_drop_other_units_of_the_same_rows(two_devices, steps):
    (alone,) = _outputs(ONE, steps)
    first, second = _outputs(two_devices, steps)
    np.testing.assert_array_equal(first, alone)
    assert (np.abs(first - second).max(1) > 1e-3).all()  # in every row


def test_their_gradients_differ_too_and_those_of_parts(two_devices):
    first, second = _gradients(two_devices, parts=2)
    shares = [
        np.abs(a - b).max() / np.abs(a).max()
        for a, b in zip(first, second, strict=True)
    ]
    assert np.median(shares) > 0.1


def test_a_block_computed_twice_drops_the_same_units_on_each(two_devices):
    kept = _gradients(two_devices)
    again = _gradients(two_devices, checkpointing=True)
    for one, other in zip(kept, again, strict=True):
        for a, b in zip(one, other, strict=True):
            assert_close(a, b)


def test_replicas_begin_far_apart_in_the_sequence_of_draws():
    offsets = np.arange(1024, dtype="uint64") * REPLICA_STRIDE % 2**32
    starts = np.sort(offsets).astype("int64")
    gaps = np.diff(starts, append=starts[0] + 2**32)
    assert gaps.min() > 1e6


# === In training ===


def _loss_in_fit(strategy, copies: int) -> float:
    model, (features, labels) = _model(strategy), _rows(copies)
    with strategy.scope():
        model.compile(AdamW(1e-3))
    size = copies * ROWS
    return model.fit(features, labels, batch_size=size, verbose=0).history["loss"][0]


def test_fit_drops_other_units_on_each(two_devices):
    """With one mask for both, the same rows twice would have the loss of once."""
    once, twice = _loss_in_fit(ONE, 1), _loss_in_fit(two_devices, 2)
    assert twice == pytest.approx(once, rel=0.2)  # a mean over the replicas
    assert abs(once - twice) > 1e-4


class Rows:
    """Batches by number; from the step `ends` on there is nothing to read."""

    batch_size = 2 * ROWS

    def __init__(self, ends: int | None = None):
        self.ends = ends

    def __call__(self, step: int, rows: slice = slice(None)) -> tuple:
        if step == self.ends:
            raise EOFError
        features, labels = _rows(copies=2)
        shifted = np.roll(features["input_ids"], step, axis=0)
        return {"input_ids": shifted[rows].astype("int32")}, labels[rows]


def _run(two_devices, folder, rows: Rows) -> Run:
    plan = Plan(steps=6, checkpoint_every=3, distribution="mirrored")
    return Run(_model(two_devices), plan, folder, rows, show_progress=False)


@pytest.mark.slow
def test_a_run_on_two_replicas_goes_on_to_the_same_bits(two_devices, tmp_path):
    whole = _run(two_devices, tmp_path / "whole", Rows())
    whole()
    with pytest.raises(EOFError):
        _run(two_devices, tmp_path / "again", Rows(ends=5))()
    again = _run(two_devices, tmp_path / "again", Rows())
    again()
    assert again._start == 3
    expected = whole._steps.state()
    for name, value in again._steps.state().items():  # the dropout's seed among them
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
