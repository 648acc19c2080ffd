"""Blocks computed twice: the same gradient, dropout included, on every backend."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_bert import BertForPreTraining
from keras_bert.optimizers import AdamW
from keras_bert.training.step import BatchLoss
from tests.backends import passed
from tests.bounds import assert_close
from tests.cases import CASES, CONFIG

BACKEND = keras.backend.backend()
CASE = CASES["BertForPreTraining"]


def _model(dtype: str = "float32", checkpointing: bool = False, layers: int = 2):
    config = CONFIG.replace(num_hidden_layers=layers)
    model = BertForPreTraining(config, dtype=dtype, seed=1)
    model.encoder.activation_checkpointing = checkpointing
    return model


def _tensorflow(variables, loss, graph: bool):
    import tensorflow as tf

    def found():
        with tf.GradientTape() as tape:
            value = loss()
        grads = tape.gradient(value, [v.value for v in variables])
        return value, [tf.convert_to_tensor(g) for g in grads]

    return (tf.function(found) if graph else found)()


def _jax(variables, loss, graph: bool):
    import jax

    def at(values):
        # What is drawn stays inside the scope.
        with keras.StatelessScope(zip(variables, values, strict=True)):
            return loss()

    function = jax.value_and_grad(at)
    return (jax.jit(function) if graph else function)([v.value for v in variables])


def _torch(variables, loss, graph: bool):
    import torch

    value = loss()
    return value, list(torch.autograd.grad(value, [v.value for v in variables]))


BY_VARIABLES = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[BACKEND]


def gradients(model, graph: bool) -> tuple[float, list[np.ndarray]]:
    """Returns the loss with dropout, and its gradient by every weight."""
    objective, batch = BatchLoss(model), (CASE.features(), CASE.labels)
    found = BY_VARIABLES(
        model.trainable_variables, lambda: objective(batch, training=True)[0], graph
    )
    value, grads = keras.tree.map_structure(
        lambda x: ops.convert_to_numpy(ops.cast(x, "float32")), found
    )
    return float(value), grads


@pytest.mark.parametrize("graph", [False, True])
def test_gradients_are_the_same_with_dropout(graph):
    loss, expected = gradients(_model(), graph)
    again, actual = gradients(_model(checkpointing=True), graph)
    assert loss == pytest.approx(again, rel=1e-6)
    for a, b in zip(actual, expected, strict=True):
        assert_close(a, b)


def test_dropout_is_on_in_what_is_compared():
    model, batch = _model(), (CASE.features(), CASE.labels)
    without, _ = BatchLoss(model)(batch, training=False)
    without = float(ops.convert_to_numpy(without))
    assert abs(gradients(model, graph=False)[0] - without) > 1e-4


def test_it_is_off_unless_asked_for_and_no_part_of_the_config():
    model = _model(checkpointing=True)
    assert model.encoder.activation_checkpointing
    assert not model.like(CONFIG).encoder.activation_checkpointing
    assert "activation_checkpointing" not in str(model.get_config())


@pytest.mark.parametrize(
    "dtype",
    [
        "float32",
        pytest.param("mixed_bfloat16", marks=pytest.mark.slow),
        pytest.param("mixed_float16", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_it_learns_under_every_policy(dtype, checkpointing):
    model = _model(dtype, checkpointing, layers=1)
    model.compile(AdamW(3e-3))
    features = CASE.features()
    losses = model.fit(features, CASE.labels, epochs=9, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0]
    outputs = model(features)
    kinds = {keras.backend.standardize_dtype(x.dtype) for x in outputs.values()}
    assert kinds == {"float32"}


def _tied_gradient(model, hidden: np.ndarray, ids: np.ndarray, weights: np.ndarray):
    """The gradient by the word table of sum(weights * logits) + sum(lookup)."""
    table = model.encoder.embeddings.word_embeddings

    def loss():
        logits = table(ops.convert_to_tensor(hidden), reverse=True)
        weighted = logits * ops.convert_to_tensor(weights)
        return ops.sum(weighted) + ops.sum(table(ops.convert_to_tensor(ids)))

    (gradient,) = BY_VARIABLES([table.embeddings], loss, graph=False)[1]
    return ops.convert_to_numpy(gradient)


def test_tied_table_gets_both_gradients():
    rng, width, words = np.random.default_rng(0), CONFIG.hidden_size, CONFIG.vocab_size
    hidden = rng.normal(size=(3, 5, width)).astype("float32")
    weights = rng.normal(size=(3, 5, words)).astype("float32")
    ids = np.array([[1, 7, 7, 2, 7], [0, 1, 9, 9, 3]], "int32")
    expected = np.einsum("bpv,bph->vh", weights, hidden, dtype="float64")
    expected += np.bincount(ids.ravel(), minlength=words)[:, None]
    actual = _tied_gradient(_model(), hidden, ids, weights)
    assert_close(actual, expected)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_on_other_backends(backend):
    file = "models/test_activation_checkpointing.py"
    assert passed(backend, file, "-m", "not slow") > 5
