"""Gradients written by hand against those that TensorFlow derives."""

import keras
import numpy as np
import pytest

from keras_bert.layers import fused
from tests.bounds import assert_close

if keras.backend.backend() != "tensorflow":
    pytest.skip("written by hand on TensorFlow alone", allow_module_level=True)

import tensorflow as tf

RNG = np.random.default_rng(0)
WIDE = np.concatenate([RNG.normal(scale=3, size=200), [0.0, -40.0, 40.0, 1e-20]])
LOGITS = RNG.normal(scale=4, size=(7, 37))
LOGITS[1] *= 1e3  # far beyond what exp() can take
LOGITS[2] = 5.0
LABELS = RNG.integers(0, 37, 7).astype("int32")
CASES = {
    "gelu": (WIDE,),
    "gelu_new": (WIDE,),
    "project": (RNG.normal(size=(5, 13)), RNG.normal(size=(37, 13))),
    "crossentropy": (LOGITS, LABELS),
}


def _tensors(arrays, dtype: str = "float32") -> list:
    kinds = [x.dtype if x.dtype.kind == "i" else dtype for x in arrays]
    return [tf.cast(x, kind) for x, kind in zip(arrays, kinds, strict=True)]


def _value_and_gradients(function, tensors):
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(*tensors)
    upstream = tf.cast(np.random.default_rng(1).normal(size=value.shape), value.dtype)
    return value, tape.gradient(value, tensors, upstream)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", sorted(CASES))
def test_gradient_equals_the_derived_one(name, compiled):
    by_hand, tensors = getattr(fused, name), _tensors(CASES[name])

    def derived(*arguments):
        return by_hand.pair(*arguments)[0]

    run = tf.function(_value_and_gradients) if compiled else _value_and_gradients
    value, found = run(by_hand, tensors)
    same, expected = run(derived, tensors)
    assert_close(value, same)
    for actual, exact in zip(found, expected, strict=True):
        assert (actual is None) == (exact is None)
        if exact is not None:
            assert_close(actual, exact)


def test_the_gradient_used_is_the_one_by_hand():
    x = tf.constant(3.0)
    wrong = fused.by_hand(lambda x: (x * x, lambda upstream: upstream * 7.0))
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = wrong(x)
    assert float(tape.gradient(value, x)) == 7.0


def test_gelus_are_keras_own():
    (x,) = _tensors((WIDE,))
    for function, approximate in ((fused.gelu, False), (fused.gelu_new, True)):
        expected = keras.activations.gelu(x, approximate=approximate)
        assert_close(function(x), expected)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_gelus_keep_the_dtype_and_are_exact_in_it(dtype):
    (x,) = _tensors((WIDE,), dtype)
    for function in (fused.gelu, fused.gelu_new):
        value, (slope,) = _value_and_gradients(function, [x])
        assert value.dtype == slope.dtype == dtype
        wide, (steep,) = _value_and_gradients(function, [tf.cast(x, "float32")])
        np.testing.assert_allclose(
            tf.cast(value, "float32"), wide, rtol=8e-3, atol=1e-6
        )
        np.testing.assert_allclose(
            tf.cast(slope, "float32"), steep, rtol=2e-2, atol=2e-2
        )


def test_crossentropy_is_tensorflows():
    logits, labels = _tensors(CASES["crossentropy"])
    expected, (by_logits,) = _value_and_gradients(
        lambda x: tf.nn.sparse_softmax_cross_entropy_with_logits(labels, x), [logits]
    )
    value, (found, _) = _value_and_gradients(fused.crossentropy, [logits, labels])
    assert_close(value, expected)
    assert_close(found, by_logits)
    assert np.isfinite(value).all()
