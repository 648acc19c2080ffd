"""Models without padding: the numbers of the padded ones, whatever the batch."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_bert
from keras_bert.features import SERVED_INPUTS
from keras_bert.serving.graph import unpadded
from keras_bert.serving.graph.servable import named_outputs
from tests.bounds import assert_close, bound
from tests.serving.cases import CASES, CONFIG, at_tokens, make_model

UNPADDED = [case for case in CASES if case not in ("states", "classes_with_states")]


def batch(mask, seed=0):
    mask = np.asarray(mask, np.int32)
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, CONFIG.vocab_size, mask.shape)
    types = rng.integers(0, 2, mask.shape)
    values = [np.asarray(x, np.int32) for x in (ids, mask, types)]
    return dict(zip(SERVED_INPUTS, values, strict=True))


def traced(model):
    """Returns the padded and the unpadded model as functions on any batch."""
    rank = 3 if model.choices else 2
    specs = {n: tf.TensorSpec([None] * rank, tf.int32, name=n) for n in SERVED_INPUTS}

    def function(compute):
        called = tf.function(lambda **ids: named_outputs(compute(ids)), autograph=False)
        concrete = called.get_concrete_function(**specs)

        def run(inputs):
            outputs = concrete(**{k: tf.constant(v) for k, v in inputs.items()})
            return {name: value.numpy() for name, value in outputs.items()}

        return run

    padded = function(lambda ids: model(ids, training=False))
    return padded, function(lambda ids: unpadded.forward(model, ids))


@pytest.fixture(scope="module")
def functions():
    made = {}

    def get(case):
        if case not in made:
            made[case] = traced(make_model(case))
        return made[case]

    return get


def assert_same(functions, inputs, atol=None):
    padded, forward = functions
    expected, received = padded(inputs), forward(inputs)
    assert set(received) == set(expected)
    mask = inputs["attention_mask"]
    for name, value in received.items():
        assert value.shape == expected[name].shape
        assert np.isfinite(value).all()
        known = at_tokens(expected[name], mask)
        limit = bound(known) if atol is None else atol
        np.testing.assert_allclose(at_tokens(value, mask), known, 0, limit)


def lengths(*counts, seq=11):
    return np.arange(seq) < np.array(counts)[:, None]


MASKS = {
    "one row": lengths(11),
    "one token": lengths(1, seq=1),
    "unsorted": lengths(3, 11, 1, 7, 7, 2, 5),
    "more padding than the longest row": lengths(2, 4, seq=17),
    "holes": [[1, 0, 1, 1, 0], [1, 1, 0, 0, 1], [1, 1, 1, 1, 1]],
    "padding on the left": lengths(2, 5, 3, seq=6)[:, ::-1],
    "several pieces": [[1, 1, 2, 2, 2, 3, 0], [1, 0, 2, 1, 0, 0, 0]],
    "hidden first tokens": [[0, 1, 1, 0], [0, 0, 0, 1], [1, 1, 0, 0]],
}


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("case", ["encoder", "classes", "tokens", "causal_lm"])
def test_numbers_are_those_of_the_padded_model(case, name, functions):
    assert_same(functions(case), batch(MASKS[name]))


@pytest.mark.parametrize("case", UNPADDED)
def test_every_head_is_right_on_rows_of_any_length(case, functions):
    counts = np.array([[4, 9], [1, 2], [7, 7]])
    mask = np.arange(9) < counts[..., None]
    assert_same(functions(case), batch(mask if case == "choices" else mask[:, 0]))


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_mask_is_right(data, functions):
    rows = data.draw(st.integers(1, 9))
    seq = data.draw(st.integers(1, 13))
    row = st.lists(st.integers(0, 2), min_size=seq, max_size=seq).filter(any)
    mask = data.draw(st.lists(row, min_size=rows, max_size=rows))
    assert_same(functions("encoder"), batch(mask, seed=seq))


@pytest.mark.parametrize("case", ["encoder", "classes", "masked_lm"])
def test_rows_of_padding_are_finite_and_of_no_effect(case, functions):
    _, forward = functions(case)
    inputs = batch(lengths(0, 4, 0, 6, seq=6))
    alone = {name: value[[1, 3]] for name, value in inputs.items()}
    expected = forward(alone)
    for name, value in forward(inputs).items():
        assert np.isfinite(value).all()
        assert_close(value[[1, 3]], expected[name])
    again = {name: value[[0, 2]] for name, value in inputs.items()}
    for name, value in forward(again).items():
        assert_close(value, forward(inputs)[name][[0, 2]])


@pytest.mark.parametrize("case", UNPADDED)
def test_an_empty_batch_gives_empty_outputs(case, functions):
    shape = (0, 2, 5) if case == "choices" else (0, 5)
    for value in functions(case)[1](batch(np.zeros(shape))).values():
        assert value.shape[0] == 0


def test_padding_is_never_the_best_place_for_an_answer(functions):
    inputs = batch(lengths(3, 9, 6, seq=9))
    outputs = functions("answers")[1](inputs)
    counts = inputs["attention_mask"].sum(1)
    for name in ("start_logits", "end_logits"):
        assert (outputs[name].argmax(1) < counts).all()
        assert outputs[name][0, 3:].tolist() == [np.float32(-1e9)] * 6


@pytest.mark.parametrize(
    ("policy", "atol"), [("mixed_bfloat16", 0.1), ("mixed_float16", 0.01)]
)
@pytest.mark.parametrize("name", ["BertModel", "BertForTokenClassification"])
def test_narrow_policies_agree_as_far_as_their_digits_go(name, policy, atol):
    config = CONFIG.replace(initializer_range=0.2)
    model = getattr(keras_bert, name)(config, dtype=policy, seed=7)
    inputs = batch(lengths(3, 0, 11, 1, 7))
    padded, forward = traced(model)
    received = forward(inputs)
    assert all(np.isfinite(value).all() for value in received.values())
    some = {key: value[[0, 2, 3, 4]] for key, value in inputs.items()}
    assert_same((padded, forward), some, atol)


@pytest.mark.parametrize("act", ["gelu_new", "gelu_pytorch_tanh", "relu", "silu"])
def test_every_activation_is_the_layers_own(act):
    model = keras_bert.BertModel(CONFIG.replace(hidden_act=act), seed=7)
    assert_same(traced(model), batch(lengths(3, 11, 7)))


def test_embeddings_of_another_width_are_projected():
    model = keras_bert.BertModel(CONFIG.replace(embedding_size=8), seed=7)
    assert_same(traced(model), batch(lengths(3, 11, 7)))


def test_what_cannot_do_without_padding_is_known():
    supported = {case for case in CASES if unpadded.supports(make_model(case))}
    assert supported == set(UNPADDED)
