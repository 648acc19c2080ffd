"""R-Drop and adversarial training: the loss and the gradient of a step."""

from itertools import pairwise

import numpy as np
import pytest
from keras import ops

from keras_bert.models import MODELS
from keras_bert.training.accumulation import gradients
from keras_bert.training.step import BatchLoss
from tests.cases import CASES, CONFIG

ALPHA, EPSILON = 0.7, 0.5
TINY = CONFIG.replace(num_hidden_layers=1)
STILL = TINY.replace(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
RNG = np.random.default_rng(2)


def _batch(name):
    labels = CASES[name].labels
    return CASES[name].features(), labels, RNG.uniform(0, 2, np.shape(labels))


def _log_softmax(x):
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


class _TwoPasses:
    """A model whose passes are given."""

    def __init__(self, model, passes):
        self._model, self._passes = model, [*passes]

    def __getattr__(self, name):
        return getattr(self._model, name)

    def __call__(self, features, training):
        return ops.convert_to_tensor(self._passes.pop(0))


@pytest.mark.parametrize("several", [False, True])
def test_r_drop_is_the_mean_loss_and_the_mean_divergence(several):
    model = MODELS["BertForSequenceClassification"](TINY)
    features, labels, _ = _batch("BertForSequenceClassification")
    one, other = RNG.normal(size=(2, len(labels), 5))
    weights = RNG.uniform(0.5, 2, len(labels))
    if several:
        labels = RNG.integers(0, 2, one.shape)
        p, q = (1 / (1 + np.exp(-x)) for x in (one, other))
        pairs = [(p, q), (1 - p, 1 - q)]
        losses = [-np.where(labels, np.log(x), np.log(1 - x)) for x in (p, q)]
        apart = sum((a * np.log(a / b) + b * np.log(b / a)) / 2 for a, b in pairs)
        counts = np.repeat(weights[:, None], 5, 1)
    else:
        p, q = (_log_softmax(x) for x in (one, other))
        losses = [-np.take_along_axis(x, labels[:, None], 1)[:, 0] for x in (p, q)]
        apart = (np.exp(p) * (p - q) + np.exp(q) * (q - p)).sum(-1) / 2
        counts = weights
    expected = np.average(sum(losses) / 2 + ALPHA * apart, weights=counts)
    passes = one.astype("float32"), other.astype("float32")
    loss = BatchLoss(_TwoPasses(model, passes), r_drop=ALPHA)
    found, sums = loss((features, labels, weights.astype("float32")), training=True)
    assert float(found) == pytest.approx(expected, 1e-5)
    assert float(sums["loss"][0] / sums["loss"][1]) == pytest.approx(expected, 1e-5)


def test_r_drop_without_dropout_is_the_loss_itself():
    batch = _batch("BertForTokenClassification")
    model = MODELS["BertForTokenClassification"](STILL, seed=1)
    plain, _ = BatchLoss(model)(batch, training=True)
    twice, _ = BatchLoss(model, r_drop=ALPHA)(batch, training=True)
    assert float(twice) == pytest.approx(float(plain), 1e-6)
    model = MODELS["BertForTokenClassification"](TINY, seed=1)
    dropped, _ = BatchLoss(model, r_drop=100.0)(batch, training=True)
    assert float(dropped) > float(plain) + 1e-3
    held_out, _ = BatchLoss(model, r_drop=100.0)(batch, training=False)
    assert float(held_out) == pytest.approx(float(plain), 1e-6)


def test_the_second_gradient_is_that_of_moved_word_embeddings():
    name = "BertForSequenceClassification"
    model, batch = MODELS[name](STILL, seed=1), _batch(name)
    variables = model.trainable_variables
    first, _, _ = gradients(BatchLoss(model), batch, variables)
    both, loss, _ = gradients(BatchLoss(model, fgm=EPSILON), batch, variables)
    table = model.encoder.embeddings.word_embeddings.embeddings
    index = next(i for i, v in enumerate(variables) if v is table)
    before = ops.convert_to_numpy(table)
    direction = ops.convert_to_numpy(first[index])
    table.assign(before + EPSILON * direction / np.linalg.norm(direction))
    there, worse, _ = gradients(BatchLoss(model), batch, variables)
    assert float(worse) > float(loss)
    for variable, a, b, c in zip(variables, first, there, both, strict=True):
        np.testing.assert_allclose(
            c, a + b, rtol=1e-4, atol=1e-6, err_msg=variable.path
        )


def test_every_pass_draws_its_own_dropout():
    """The next step does not repeat what the second gradient dropped."""
    name = "BertForSequenceClassification"
    model, batch = MODELS[name](TINY, seed=1), _batch(name)
    state = model.encoder.dropout_seed.seed_generator.state
    seen = [ops.convert_to_numpy(state).tolist()]
    for options in ({"fgm": EPSILON}, {"r_drop": ALPHA}, {}):
        gradients(BatchLoss(model, **options), batch, model.trainable_variables)
        seen.append(ops.convert_to_numpy(state).tolist())
    assert [b[1] - a[1] for a, b in pairwise(seen)] == [2, 2, 1]
