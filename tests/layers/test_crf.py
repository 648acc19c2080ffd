"""Conditional random fields: equal to the sum over all sequences of labels."""

import itertools

import numpy as np
import pytest
from keras import ops

from keras_bert.layers.crf import best_paths, path_losses
from tests.bounds import assert_close


def sequences(seed, count=4, seq=5, classes=3):
    """Returns paths, which positions have labels, and labels."""
    rng = np.random.default_rng(seed)
    paths = rng.normal(0, 2, (count, seq, classes + 1, classes)).astype("float32")
    known = rng.random((count, seq)) < 0.7
    known[0], known[1] = True, False
    return paths, known, rng.integers(0, classes, (count, seq))


def score(path, known, labels):
    """Adds up the scores of the labels at known positions, one after the other."""
    total, before = 0.0, path.shape[-1]
    for place in np.flatnonzero(known):
        total += float(path[place, before, labels[place]])
        before = labels[place]
    return total


def every(path, known):
    """Returns all sequences and their scores."""
    found = []
    for chosen in itertools.product(range(path.shape[-1]), repeat=int(known.sum())):
        labels = np.zeros(len(known), int)
        labels[known] = chosen
        found.append((score(path, known, labels), labels))
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_losses_and_best_paths_are_those_of_all_sequences(seed):
    paths, known, labels = sequences(seed)
    losses = ops.convert_to_numpy(path_losses(paths, labels, known))
    best = ops.convert_to_numpy(best_paths(paths, known))
    assert (losses[~known] == 0).all()
    for row in range(len(paths)):
        found = every(paths[row], known[row])
        total = np.logaddexp.reduce([value for value, _ in found])
        expected = total - score(paths[row], known[row], labels[row])
        assert_close(losses[row].sum(), expected)
        wanted = max(found, key=lambda pair: pair[0])[1]
        assert (best[row][known[row]] == wanted[known[row]]).all()


def test_losses_are_those_of_pytorch_crf():
    """Values of pytorch-crf 0.7.2, for these scores without start and end scores."""
    paths, known, labels = sequences(3, count=3, seq=4)
    known[:] = np.arange(4) < np.array([[4], [2], [3]])
    emissions, transitions = paths[..., -1, :], paths[0, 0, :-1]
    table = np.concatenate([transitions, np.zeros((1, 3), "float32")])
    losses = path_losses(emissions[..., None, :] + table, labels, known)
    assert_close(ops.convert_to_numpy(losses).sum(1), PYTORCH_CRF)
    best = ops.convert_to_numpy(best_paths(emissions[..., None, :] + table, known))
    assert [best[i][known[i]].tolist() for i in range(3)] == BEST


PYTORCH_CRF = [15.655774116516113, 0.8898627758026123, 19.40514373779297]
BEST = [[0, 0, 0, 0], [2, 1], [0, 0, 0]]
