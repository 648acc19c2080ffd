"""Ranking texts again by models of pairs."""

import numpy as np
import pytest

from keras_bert.errors import InputError, UnknownNameError
from keras_bert.tasks import TextClassification, TextRegression
from tests.serving.cases import VOCAB, make_model

assert VOCAB  # of the fixture `tokenizer`

QUERY, TEXTS = "a film", ["so bad", "good", "not seen", "a good film", "really"]


@pytest.fixture(scope="module")
def scorer(tokenizer):
    return TextRegression(make_model("score"), tokenizer)


def logits(task) -> np.ndarray:
    """Returns what the model itself computes of the query with each text."""
    queries = [QUERY] * len(TEXTS)
    return np.asarray(task.model(task.tokenizer.encode_batch(queries, TEXTS)))


def test_the_order_is_that_of_the_scores_of_pairs(scorer):
    scores = logits(scorer)[:, 0]
    found = scorer.rerank(QUERY, TEXTS)
    assert [hit["row"] for hit in found] == (np.argsort(scores)[::-1] + 1).tolist()
    assert [hit["text"] for hit in found] == [TEXTS[hit["row"] - 1] for hit in found]
    assert [h["score"] for h in found] == pytest.approx(
        sorted(scores, reverse=True), abs=1e-5
    )
    best = scorer.rerank(QUERY, TEXTS, k=2)
    assert [hit["text"] for hit in best] == [hit["text"] for hit in found[:2]]


def test_a_class_is_ranked_by_its_probability(tokenizer):
    task = TextClassification(make_model("classes"), tokenizer)
    exponents = np.exp(logits(task))
    expected = sorted(exponents[:, 2] / exponents.sum(-1), reverse=True)
    found = task.rerank(QUERY, TEXTS, label="good")
    assert [hit["score"] for hit in found] == pytest.approx(expected, abs=1e-5)
    with pytest.raises(InputError, match="classifies: bad, fair, good"):
        task.rerank(QUERY, TEXTS)
    with pytest.raises(UnknownNameError, match="Did you mean 'good'"):
        task.rerank(QUERY, TEXTS, label="god")


def test_rankings_are_scored(scorer):
    first, second = (scorer.rerank(q, TEXTS) for q in (QUERY, "not"))
    samples = [
        (QUERY, TEXTS, {first[1]["row"] - 1}),
        ("not", TEXTS[:], {second[0]["row"] - 1: 3.0}),
    ]
    assert scorer.evaluate_ranking(samples)["mrr@10"] == pytest.approx(0.75)
    with pytest.raises(InputError, match="texts to rank"):
        scorer.rerank(QUERY, [])
