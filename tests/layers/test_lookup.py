"""Numbers out of range in tensors: NaN on every backend, never another row."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_bert import BertForTokenClassification, DistilBertConfig, layers
from tests.cases import CONFIG

SEED = np.array([3, 5], "uint32")
OUT = {
    "input_ids": (-1, 99, 2**31 - 1),
    "token_type_ids": (-1, 3),
    "position_ids": (-2, 19),
}


def _embedded(layer, **changes):
    numbers = {name: np.ones((2, 4), "int32") for name in OUT} | changes
    tensors = [ops.convert_to_tensor(numbers[name]) for name in OUT]
    return ops.convert_to_numpy(layer(*tensors, ops.convert_to_tensor(SEED)))


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_embeddings_of_numbers_out_of_range_are_nan(policy):
    layer = layers.Embeddings(CONFIG, seed=1, dtype=policy)
    expected = _embedded(layer)
    assert np.isfinite(expected).all()
    for name, values in OUT.items():
        for value in values:
            numbers = np.ones((2, 4), "int32")
            numbers[1, 2] = value
            found = _embedded(layer, **{name: numbers})
            assert np.isnan(found[1, 2]).all(), (name, value)
            found[1, 2] = expected[1, 2]
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("value", [-1, 4, 5])
def test_positions_outside_of_their_row_are_nan(value):
    hidden = np.arange(2 * 4 * 3, dtype="float32").reshape(2, 4, 3)
    positions = np.array([[3, value], [0, 2]], "int32")
    found = ops.convert_to_numpy(
        layers.gather_positions(*map(ops.convert_to_tensor, (hidden, positions)))
    )
    assert np.isnan(found[0, 1]).all()
    np.testing.assert_array_equal(found[0, 0], hidden[0, 3])
    np.testing.assert_array_equal(found[1], hidden[1, [0, 2]])


def test_tables_that_are_not_there_are_left_out():
    sizes = ("vocab_size", "hidden_size", "num_attention_heads")
    config = DistilBertConfig(**{name: getattr(CONFIG, name) for name in sizes})
    types = np.full((2, 4), 7, "int32")
    found = _embedded(layers.Embeddings(config, seed=1), token_type_ids=types)
    assert np.isfinite(found).all()


def _only_on_tensorflow():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("other backends have no sparse gradients")


def test_the_gradient_of_a_row_met_twice_is_its_sum():
    # Keras' optimizers on TensorFlow square what a gradient holds row by row.
    _only_on_tensorflow()
    import tensorflow as tf

    layer = layers.Embeddings(CONFIG, seed=1)
    ids = tf.constant([[7, 7, 7, 8]])
    zeros = tf.zeros_like(ids)
    layer(ids, zeros, zeros, tf.constant(SEED))
    tables = [v for v in layer.trainable_variables if v.path.endswith("embeddings")]
    assert len(tables) == 3
    with tf.GradientTape() as tape:
        first, *_, last = tf.unstack(layer(ids, zeros, zeros, tf.constant(SEED))[0])
        loss = tf.reduce_sum(first * tf.range(28.0)) + tf.reduce_sum(last**3)
    gradients = tape.gradient(loss, [t.value for t in tables])
    assert all(isinstance(gradient, tf.Tensor) for gradient in gradients)
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)


def test_adam_of_keras_learns_tables_as_it_should():
    _only_on_tensorflow()
    config = CONFIG.replace(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    model = BertForTokenClassification(config, seed=1)
    ids, labels = np.array([[7, 7, 7, 8]], "int32"), np.array([[0, 1, 2, 3]])
    before = {v.path: np.array(v) for v in model.trainable_variables}
    model.compile(keras.optimizers.Adam(1e-3))
    model.fit(ids, labels, verbose=0)
    for variable in model.trainable_variables:  # Adam's first step is the rate
        moved = np.abs(np.array(variable) - before[variable.path]).max()
        assert moved < 1.01e-3, variable.path
