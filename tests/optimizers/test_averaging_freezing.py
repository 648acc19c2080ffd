"""Averaged weights and frozen weights: what they hold, and what they leave alone."""

from contextlib import nullcontext

import keras
import numpy as np
import pytest
from keras import ops

from keras_bert.errors import ConfigError
from keras_bert.models import MODELS, BertForSequenceClassification
from keras_bert.optimizers import LAMB, AdamW
from keras_bert.optimizers.parameter_groups import depths, layer_rates
from keras_bert.training.averaging import EvaluateAveraged, averaged_weights
from keras_bert.training.freezing import GradualUnfreezing, freeze, layers_frozen
from tests.bounds import assert_close
from tests.cases import CONFIG

STILL = CONFIG.replace(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
TF = keras.backend.backend() == "tensorflow"
only_tensorflow = pytest.mark.skipif(not TF, reason="tf.distribute")
LAYERS = STILL.num_hidden_layers


def _data(rows=6):
    rng = np.random.default_rng(3)
    return rng.integers(2, 99, (rows, 13)), rng.integers(0, 5, rows)


def _compiled(optimizer=None, eagerly=False, **options):
    model = BertForSequenceClassification(STILL, seed=1)
    model.compile(optimizer=optimizer or AdamW(1e-2, **options), run_eagerly=eagerly)
    return model


def _fit(model, epochs=1, **options):
    ids, labels = _data()
    options = dict(batch_size=3, shuffle=False, verbose=0) | options
    return model.fit(ids, labels, epochs=epochs, **options)


def _weights(model):
    return {v.path: v.numpy() for v in model.trainable_variables}


def _assert_equal(actual, expected):
    assert actual.keys() == expected.keys()
    for path, value in expected.items():
        np.testing.assert_array_equal(actual[path], value, path)


def _moved(before, after):
    """Parts of the model of which every, and of which no, weight moved."""
    parts = {path.split("/")[0] for path in before}
    changed = {path: bool((before[path] != after[path]).any()) for path in before}
    by_part = {
        part: {c for path, c in changed.items() if path.split("/")[0] == part}
        for part in parts
    }
    assert all(len(found) == 1 for found in by_part.values()), by_part
    return {p for p, found in by_part.items() if True in found}


# === Averages ===


def _steps(model, momentum, steps):
    """Weights and averages after steps taken one by one, without `fit`."""
    rng, variables = np.random.default_rng(5), model.trainable_variables
    expected = None
    for _ in range(steps):
        gradients = [
            ops.convert_to_tensor(rng.normal(size=v.shape), "float32")
            for v in variables
        ]
        model.optimizer.apply(gradients, variables)
        now = _weights(model)
        last = expected or now
        expected = {p: momentum * last[p] + (1 - momentum) * now[p] for p in now}
    return now, expected


def test_averages_are_numpys_and_the_weights_come_back_bit_by_bit():
    model = _compiled(use_ema=True, ema_momentum=0.7)
    own, expected = _steps(model, 0.7, 5)
    with averaged_weights(model.optimizer):
        for path, value in _weights(model).items():
            assert_close(value, expected[path])
    _assert_equal(_weights(model), own)


def test_the_weights_come_back_after_an_error():
    model = _compiled(use_ema=True, ema_momentum=0.7)
    own, _ = _steps(model, 0.7, 2)
    with pytest.raises(KeyError), averaged_weights(model.optimizer):
        raise KeyError
    _assert_equal(_weights(model), own)


def test_averages_of_keras_own_optimizers():
    model = _compiled(keras.optimizers.Adam(1e-2, use_ema=True, ema_momentum=0.7))
    own, expected = _steps(model, 0.7, 3)
    with averaged_weights(model.optimizer):
        for path, value in _weights(model).items():
            assert_close(value, expected[path])
    _assert_equal(_weights(model), own)


def test_no_averages_to_take_is_an_error():
    model = _compiled()
    with pytest.raises(ConfigError, match="use_ema=False"):
        averaged_weights(model.optimizer).__enter__()


class _Keep(keras.callbacks.Callback):
    """The weights that are in the model at the end of every epoch."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(_weights(self.model))


def _evaluated(*callbacks):
    model, keep = _compiled(eagerly=True, use_ema=True, ema_momentum=0.9), _Keep()
    history = _fit(
        model, 2, validation_data=_data(), callbacks=[*callbacks, keep]
    ).history
    return model, keep.seen, history


@pytest.fixture(scope="module")
def without():
    return _evaluated()


def test_evaluation_of_averages_changes_nothing_of_the_run(without):
    plain, seen, history = without
    averaged, others, their_history = _evaluated(EvaluateAveraged())
    for one, other in zip(seen, others, strict=True):
        _assert_equal(other, one)
    assert their_history["loss"] == history["loss"]
    assert their_history["val_loss"] != history["val_loss"]
    # `fit` leaves the averages in the model, with the callback and without.
    _assert_equal(_weights(averaged), _weights(plain))
    ids, labels = _data()
    loss, _ = averaged.evaluate(ids, labels, verbose=0)
    assert loss == pytest.approx(their_history["val_loss"][-1], rel=1e-5)


def test_averages_stay_for_what_is_saved_at_the_end_of_an_epoch(without):
    plain, seen, history = without
    model, others, their_history = _evaluated(EvaluateAveraged(until_next_epoch=True))
    assert their_history["loss"] == history["loss"]
    assert their_history["val_loss"] != history["val_loss"]
    assert (others[0]["pooler/dense/kernel"] != seen[0]["pooler/dense/kernel"]).any()
    _assert_equal(others[-1], _weights(plain))
    _assert_equal(_weights(model), _weights(plain))


def test_averages_are_saved_with_the_model(tmp_path):
    model = _compiled(use_ema=True, ema_momentum=0.7)
    _steps(model, 0.7, 3)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    _assert_equal(_weights(again), _weights(model))
    with averaged_weights(model.optimizer), averaged_weights(again.optimizer):
        _assert_equal(_weights(again), _weights(model))


@pytest.mark.slow
@only_tensorflow
def test_averages_on_two_devices(two_devices):
    found = []
    for scope in (nullcontext(), two_devices.scope()):
        with scope:
            model = _compiled(use_ema=True, ema_momentum=0.7, epsilon=1e-2)
        keep = _Keep()
        _fit(model, batch_size=2, callbacks=[keep])
        for variable in model.trainable_variables:
            variable.assign(keep.seen[0][variable.path])
        own = _weights(model)
        with averaged_weights(model.optimizer):
            averages = _weights(model)
        _assert_equal(_weights(model), own)
        assert any((averages[p] != keep.seen[0][p]).any() for p in averages)
        found.append(averages)
    for path, value in found[0].items():
        assert_close(found[1][path], value)


# === Frozen weights ===


def test_depths_and_rates_name_every_part_of_an_encoder():
    parts = {v.path.split("/")[0] for v in _compiled().trainable_variables}
    above = parts - depths(STILL).keys()
    assert above == {"pooler", "classifier"}
    rates = layer_rates(STILL, 0.9)
    assert rates.keys() == depths(STILL).keys()
    assert rates["layer_1"] == 0.9
    assert rates["layer_0"] == pytest.approx(0.81)
    assert rates["embeddings"] == pytest.approx(0.729)


ENCODER = ["embeddings", "layer_0", "layer_1"]
ABOVE = {"pooler", "classifier"}


@pytest.mark.parametrize("layers, moving", [(None, 3), (0, 2), (1, 1), (2, 0)])
@pytest.mark.parametrize("make", [AdamW, LAMB])
def test_frozen_weights_neither_move_nor_decay(make, layers, moving):
    model = _compiled(make(1e-2, weight_decay=0.5, clip_norm=0.1))
    variables, optimizer = model.trainable_variables, model.optimizer
    optimizer.build(variables)
    freeze(optimizer, STILL, layers)
    before = _weights(model)
    gradients = [ops.full(v.shape, 2.0) for v in variables]
    optimizer.apply(gradients, variables)
    free = {*ENCODER[len(ENCODER) - moving :], *ABOVE}
    assert _moved(before, _weights(model)) == free
    count = sum(value.size for p, value in before.items() if p.split("/")[0] in free)
    norm = float(optimizer.gradient_norm.numpy())
    assert norm == pytest.approx(2 * np.sqrt(count), rel=1e-5)
    for index, variable in enumerate(variables):
        slots = optimizer._momentums[index], optimizer._velocities[index]
        still = variable.path.split("/")[0] not in free
        assert all((slot.numpy() == 0).all() == still for slot in slots)
        if not still:  # clipped as if the frozen ones were not there
            expected = 0.1 * 2 * 0.1 / norm
            np.testing.assert_allclose(slots[0].numpy(), expected, rtol=1e-4)


def test_a_thawed_weight_starts_with_its_own_first_update():
    model = _compiled(AdamW(1e-2, weight_decay=0.0, clip_norm=None))
    variables, optimizer = model.trainable_variables, model.optimizer
    optimizer.build(variables)
    ones = [ops.ones(v.shape) for v in variables]
    freeze(optimizer, STILL, LAYERS)
    for _ in range(7):
        optimizer.apply(ones, variables)
    before = _weights(model)
    freeze(optimizer, STILL, None)
    optimizer.apply(ones, variables)
    for path, value in _weights(model).items():
        np.testing.assert_allclose(before[path] - value, 1e-2, rtol=1e-2)


def test_gradual_unfreezing_in_a_compiled_model():
    model, keep = _compiled(), _Keep()
    before = _weights(model)
    _fit(model, 5, callbacks=[GradualUnfreezing(), keep])
    moved = [
        _moved(one, other)
        for one, other in zip([before, *keep.seen], keep.seen, strict=False)
    ]
    expected = [{*ENCODER[3 - n :], *ABOVE} for n in (0, 1, 2, 3, 3)]
    assert moved == expected


def test_gradual_unfreezing_goes_on_where_it_was():
    whole = _compiled()
    _fit(whole, 3, callbacks=[GradualUnfreezing(1)])
    parts = _compiled()
    _fit(parts, 1, callbacks=[GradualUnfreezing(1)])
    _fit(parts, 3, initial_epoch=1, callbacks=[GradualUnfreezing(1)])
    _assert_equal(_weights(parts), _weights(whole))


def test_layers_frozen_by_epoch():
    assert [layers_frozen(epoch, 0) for epoch in range(3)] == [0, None, None]
    assert [layers_frozen(epoch, 12) for epoch in (0, 1, 12, 13)] == [12, 11, 0, None]


def test_weights_left_out_by_keras_have_no_slots():
    model = BertForSequenceClassification(STILL, seed=1)
    model.encoder.embeddings.trainable = False
    model.compile(optimizer=AdamW(1e-2, weight_decay=0.5))
    before = {v.path: v.numpy() for v in model.variables if "seed" not in v.path}
    _fit(model)
    after = {v.path: v.numpy() for v in model.variables if v.path in before}
    assert _moved(before, after) == {*ENCODER[1:], *ABOVE}
    names = [v.path for v in model.optimizer.variables]
    assert not [name for name in names if "embeddings" in name]


@pytest.mark.parametrize("name", [name for name in MODELS if name.startswith("Bert")])
def test_every_head_is_frozen_by_layer_and_by_name(name):
    model, optimizer = MODELS[name](STILL), AdamW(1e-2)
    optimizer.build(model.trainable_variables)
    freeze(optimizer, STILL, 1, ["layer_1/.*(query|value)/", "bias$"])
    lowest, mask = ("embeddings/", "layer_0/"), optimizer.update_mask.numpy()
    for path, moves in zip(optimizer.paths, mask, strict=True):
        adapted = "layer_1/attention/query" in path or "layer_1/attention/value" in path
        frozen = path.startswith(lowest) or adapted or path.endswith("/bias")
        assert moves == (not frozen), path
    freeze(optimizer, STILL)
    assert optimizer.update_mask.numpy().all()


@pytest.mark.parametrize("layers", [-1, LAYERS + 1])
def test_more_layers_than_there_are(layers):
    model = _compiled()
    model.optimizer.build(model.trainable_variables)
    with pytest.raises(ConfigError, match=f"0 to {LAYERS} layers.*{layers}"):
        freeze(model.optimizer, STILL, layers)


def test_keras_own_optimizers_cannot_freeze():
    optimizer = keras.optimizers.Adam()
    with pytest.raises(ConfigError, match=r"Received: keras\..*\.Adam, not built"):
        freeze(optimizer, STILL, 1)
