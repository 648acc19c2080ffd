"""Gradients written by hand against those that TensorFlow derives in float64."""

import keras
import numpy as np
import pytest

from keras_bert.layers import fused
from tests.bounds import bound

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
DEFINITIONS = {
    "gelu": lambda x: 0.5 * x * (1.0 + tf.math.erf(x * 0.5**0.5)),
    "gelu_new": lambda x: (
        0.5 * x * (1.0 + tf.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x * x * x)))
    ),
    "project": lambda hidden, table: tf.matmul(hidden, table, transpose_b=True),
    "crossentropy": lambda logits, labels: (
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    ),
}


def _tensors(arrays, dtype: str = "float32") -> list:
    arrays = [x if x.dtype.kind == "i" else x.astype("float32") for x in arrays]
    kinds = [x.dtype if x.dtype.kind == "i" else dtype for x in arrays]
    return [tf.cast(x, kind) for x, kind in zip(arrays, kinds, strict=True)]


def _value_and_gradients(function, tensors):
    with tf.GradientTape() as tape:
        tape.watch([x for x in tensors if x.dtype.is_floating])
        value = function(*tensors)
    upstream = np.random.default_rng(1).normal(size=value.shape).astype("float32")
    return value, tape.gradient(value, tensors, tf.cast(upstream, value.dtype))


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize("name", sorted(CASES))
def test_value_and_gradient_are_those_of_the_definition(name, in_graph):
    run = tf.function(_value_and_gradients) if in_graph else _value_and_gradients
    value, found = run(getattr(fused, name), _tensors(CASES[name]))
    wide = _tensors(CASES[name], "float64")
    exact, expected = _value_and_gradients(DEFINITIONS[name], wide)
    np.testing.assert_allclose(value, exact, rtol=1e-6, atol=bound())
    for actual, derived in zip(found, expected, strict=True):
        assert (actual is None) == (derived is None)
        if derived is not None:
            np.testing.assert_allclose(actual, derived, 1e-5, bound(derived))
    assert np.isfinite(value).all()


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
