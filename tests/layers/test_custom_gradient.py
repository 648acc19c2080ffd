"""Custom gradients: used wherever TensorFlow differentiates, freed with the graph."""

import gc
import weakref

import keras
import numpy as np
import pytest

from keras_bert.layers.custom_gradient import custom_gradient, recompute

if keras.backend.backend() != "tensorflow":
    pytest.skip("custom gradients are TensorFlow's alone", allow_module_level=True)

import tensorflow as tf
from tensorflow.python.framework.ops import gradient_registry


@custom_gradient
def marked(x, y):
    """`x² y`, whose gradients are marked as not derived."""
    return x * x * y, lambda upstream: (upstream * 7.0 * x * y, upstream * 5.0 * x)


X, Y = np.float32([[1.0, -2.0], [3.0, 0.5]]), np.float32([[2.0, 4.0], [-1.0, 8.0]])
VALUE, BY_X, BY_Y = X * X * Y, 7.0 * X * Y, 5.0 * X


# === Ways to differentiate `function(x, y)`; each returns the value and gradients ===


def tape(function, x, y):
    with tf.GradientTape() as watching:
        watching.watch([x, y])
        value = function(x, y)
    return value, *watching.gradient(value, [x, y])


def symbolic(function, x, y):
    value = function(x, y)
    return value, *tf.gradients(value, [x, y])


def through_a_function(function, x, y):
    return tape(tf.function(function, autograph=False), x, y)


def through_a_loop(function, x, y):
    def looped(x, y):
        add = lambda i, total: (i + 1, total + function(x, y))  # noqa: E731
        return tf.while_loop(lambda i, _: i < 2, add, (0, tf.zeros_like(x)))[1] / 2.0

    return tape(looped, x, y)


def through_a_branch(function, x, y):
    def branched(x, y):
        return tf.cond(tf.reduce_sum(x) > 0, lambda: function(x, y), lambda: x)

    return tape(branched, x, y)


def through_tensorflows_recomputation(function, x, y):
    return tape(tf.recompute_grad(function), x, y)


def through_our_recomputation(function, x, y):
    return tape(recompute(function), x, y)


def on_a_replica(function, x, y):
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    return strategy.run(tape, (function, x, y))


def compiled(way, **options):
    def run(function, x, y):
        traced = tf.function(
            lambda x, y: way(function, x, y), autograph=False, **options
        )
        traced(x[:1], y[:1])  # the second trace is the one that counts
        return traced(x, y)

    return run


WAYS = {
    "eager tape": tape,
    "eager tape around a function": through_a_function,
    "eager tape around a loop in a function": lambda function, x, y: through_a_function(
        lambda x, y: through_a_loop(function, x, y)[0], x, y
    ),
    "eager recomputation": through_our_recomputation,
    "tape": compiled(tape),
    "tf.gradients": compiled(symbolic),
    "tape around a function": compiled(through_a_function),
    "tape around a loop": compiled(through_a_loop),
    "tape around a branch": compiled(through_a_branch),
    "TensorFlow's recomputation": compiled(through_tensorflows_recomputation),
    "our recomputation": compiled(through_our_recomputation),
    "our recomputation by tf.gradients": compiled(
        lambda function, x, y: symbolic(recompute(function), x, y)
    ),
    "eager tape around our recomputation in a function": lambda function, x, y: (
        through_a_function(recompute(function), x, y)
    ),
    "XLA": compiled(tape, jit_compile=True),
    "our recomputation by XLA": compiled(through_our_recomputation, jit_compile=True),
    "a replica": compiled(on_a_replica),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_gradient_used_is_the_one_given(way):
    found = WAYS[way](marked, tf.constant(X), tf.constant(Y))
    for actual, expected in zip(found, (VALUE, BY_X, BY_Y), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_a_saved_model_is_differentiated_by_tensorflow(tmp_path):
    module, spec = tf.Module(), tf.TensorSpec([None, 2])
    module.call = tf.function(lambda x, y: marked(x, y), [spec, spec])
    tf.saved_model.save(module, str(tmp_path))
    loaded, registered = tf.saved_model.load(str(tmp_path)), _registered()
    value, by_x, by_y = tape(loaded.call, tf.constant(X), tf.constant(Y))
    np.testing.assert_allclose(value, VALUE)
    np.testing.assert_allclose(by_x, 2.0 * X * Y)
    np.testing.assert_allclose(by_y, X * X)
    assert _registered() == registered


# === Recomputation ===


WEIGHT = tf.Variable(3.0)


@pytest.mark.parametrize("in_graph", [False, True])
def test_recomputation_takes_several_outputs_variables_and_integers(in_graph):
    def run(function):
        x, y, steps = tf.constant(X), tf.constant(Y), tf.constant([2, 3])
        with tf.GradientTape() as watching:
            watching.watch([x, y])
            first, second = function(x, y, steps)
            loss = tf.reduce_sum(first) + 2.0 * tf.reduce_sum(second)
        return loss, *watching.gradient(loss, [x, y, WEIGHT])

    def function(x, y, steps):
        return x * x * y * WEIGHT, tf.sin(x) * tf.cast(tf.reduce_sum(steps), x.dtype)

    expected = run(function)
    call = tf.function(run, autograph=False) if in_graph else run
    for actual, wanted in zip(call(recompute(function)), expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_recomputation_calls_the_function_again_after_the_upstream_gradient(
    jit_compile,
):
    """Otherwise compilers would merge it with the first and keep what it computed."""
    calls = []

    def function(x, y):
        calls.append((x, y))
        return tf.exp(x) * y

    @tf.function(autograph=False, jit_compile=jit_compile)
    def run(x, y):
        return through_our_recomputation(function, x, y)

    text = run.get_concrete_function(
        tf.constant(X), tf.constant(Y)
    ).graph.as_graph_def()
    assert len(calls) == 2
    assert sum(node.op == "Exp" for node in text.node) == 2
    (first, _), (again, _) = calls
    assert again.op.type == "AddV2" and again.op.inputs[0] is first


# === Memory ===


def _registered() -> int:
    return len(gradient_registry.list())


KINDS = {
    "custom_gradient": marked,
    "recompute": recompute(lambda x, y: x * x * y * WEIGHT),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", [tape, symbolic, through_a_function])
def test_graphs_are_freed(kind, way):
    def trace():
        call = tf.function(lambda x, y: way(KINDS[kind], x, y), autograph=False)
        call(tf.constant(X), tf.constant(Y))
        return weakref.ref(call.get_concrete_function(tf.constant(X), tf.constant(Y)))

    registered, function = _registered(), trace()
    gc.collect()
    assert function() is None
    assert _registered() == registered
