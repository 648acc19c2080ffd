"""Losses of embeddings against sentence-transformers, in value and gradient."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_bert.errors import ConfigError
from keras_bert.models import embedding_losses as losses
from tests.backends import passed
from tests.tasks.make_golden_embeddings import FILE

CASES = json.loads(FILE.read_text(encoding="utf-8"))["losses"]


def _loss(case: dict) -> losses.EmbeddingLoss:
    loss = losses.LOSSES[case["loss"]](**case.get("arguments", {}))
    if "matryoshka" in case:
        loss = losses.Matryoshka(loss, **case["matryoshka"])
    return loss


def _labels(case: dict, vectors: np.ndarray) -> np.ndarray:
    if case["labels"] is not None:
        return np.array(case["labels"], "float32")
    return np.arange(vectors.shape[0] * vectors.shape[1]).reshape(vectors.shape[:2])


def _gradient(loss, labels: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Returns the gradient on any backend."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            given = tf.constant(vectors)
            tape.watch(given)
            value = loss(labels, given)
        return tape.gradient(value, given).numpy()
    if backend == "jax":
        import jax

        return np.asarray(jax.grad(lambda given: loss(labels, given))(vectors))
    import torch

    given = torch.tensor(vectors, requires_grad=True)
    loss(labels, given).backward()
    return given.grad.numpy()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["loss"])
def test_values_and_gradients_are_those_of_sentence_transformers(case):
    vectors = np.array(case["vectors"], "float32")
    loss, labels = _loss(case), _labels(case, vectors)
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(loss)
    )
    assert float(again(labels, vectors)) == pytest.approx(case["value"], rel=2e-6)
    found = _gradient(loss, labels, vectors)
    np.testing.assert_allclose(found, case["gradient"], atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("symmetric", [False, True])
def test_right_answers_among_the_others_are_left_out(symmetric):
    """A batch with duplicates has the loss that each row has without them."""
    vectors = np.random.default_rng(0).normal(size=(4, 3, 6)).astype("float32")
    # Rows 0 and 1 ask the same; rows 0 and 2 have one answer; the hard negative of
    # row 3 is the answer of row 1, and that of row 2 the question of row 0.
    vectors[1, 0], vectors[2, 1] = vectors[0, 0], vectors[0, 1]
    vectors[3, 2], vectors[2, 2] = vectors[1, 1], vectors[0, 0]
    numbers = np.array([[0, 1, 2], [0, 4, 5], [6, 1, 0], [9, 10, 4]])
    loss = losses.MultipleNegativesRanking(scale=3.0, symmetric=symmetric)
    found = ops.convert_to_numpy(loss.each(numbers, ops.convert_to_tensor(vectors)))
    unit = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    places = [(row, column) for column in (1, 2) for row in range(4)]

    def total(anchor, candidates):
        return np.log(sum(np.exp(3 * anchor @ unit[place]) for place in candidates))

    kept = {0: {1: False}, 1: {0: False}}  # second texts, by row of the anchor
    for row in range(4):
        candidates = [
            place
            for place in places
            if place == (row, 1)
            or (
                numbers[place] not in numbers[row, :2]
                and (place[1] == 2 or kept.get(row, {}).get(place[0], True))
            )
        ]
        expected = total(unit[row, 0], candidates)
        if symmetric:
            others = {0: (0, 3), 1: (1, 2, 3), 2: (1, 2, 3), 3: (0, 1, 2, 3)}[row]
            back = total(unit[row, 1], [(other, 0) for other in others])
            expected = (expected + back) / 2
        expected -= 3 * unit[row, 0] @ unit[row, 1]
        assert found[row] == pytest.approx(expected, rel=1e-5)


def test_gradients_are_finite_where_texts_are_equal():
    """Equal vectors, and vectors of zeros, as dropout and padding may make them."""
    vectors = np.ones((3, 3, 4), "float32")
    vectors[1] = 0
    for name, kind in losses.LOSSES.items():
        labels = np.array([0.0, 1.0, 0.5]) if kind.scored else np.zeros((3, 3), int)
        given = vectors[:, :2] if kind.scored else vectors
        assert np.isfinite(_gradient(kind(), labels, given)).all(), name


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: losses.CoSENT(scale=0), "a scale above 0. Received: 0"),
        (lambda: losses.CoSENT(scale="20"), "a scale above 0. Received: '20'"),
        (lambda: losses.Triplet(margin=-1), "a margin above 0"),
        (lambda: losses.new_loss("cosent", 7.5), r"numbers of dimensions.*\[7.5\]"),
        (lambda: losses.new_loss("cosent", weights=[1]), r"dimensions.*\[\]"),
        (lambda: losses.new_loss("cosent", [4], ["x"]), "weight of 0 or more"),
        (lambda: losses.Matryoshka(losses.CoSENT(), []), "numbers of dimensions"),
        (lambda: losses.Matryoshka(losses.CoSENT(), [8, 8]), r"\[8, 8\]"),
        (lambda: losses.Matryoshka(losses.CoSENT(), [8, 4], [1]), "each of 2"),
        (lambda: losses.Matryoshka(losses.CoSENT(), [8]).check_width(7), "up to 7"),
    ],
)
def test_refuses_arguments(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_on_other_backends(backend):
    assert passed(backend, __file__, "-m", "not slow") > len(CASES)
