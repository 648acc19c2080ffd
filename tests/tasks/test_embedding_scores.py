"""Scores of embeddings against sentence-transformers and trec_eval."""

import json

import numpy as np
import pytest

from keras_bert.errors import InputError, UnknownNameError
from keras_bert.tasks import embedding_scores as scores
from tests.tasks.make_golden_embeddings import FILE

GOLDEN = json.loads(FILE.read_text(encoding="utf-8"))


def test_similarity_and_pairs():
    golden = GOLDEN["similarity"]
    first, second = golden["first"], golden["second"]
    found = scores.similarity_scores(first, second, golden["labels"])
    assert found == pytest.approx(golden["sts"], abs=1e-6)
    cosines = scores.SIMILARITIES["cosine"](np.array(first), np.array(second))
    found = scores.pair_scores(cosines, golden["binary"])
    found["ap"] = found.pop("average_precision")
    expected = {k.removeprefix("cosine_"): v for k, v in golden["pairs"].items()}
    del expected["mcc"]
    assert found == pytest.approx(expected, abs=1e-6)


def test_thresholds_part_no_equal_values():
    found = scores.pair_scores([0.5, 0.5, 0.5, 0.1], [1, 0, 0, 0])
    assert (found["accuracy"], found["f1"]) == (0.75, 0.5)
    assert found["accuracy_threshold"] > 0.5 > found["f1_threshold"]


def test_retrieval():
    golden = GOLDEN["retrieval"]
    found = scores.rankings(golden["queries"], golden["texts"])
    assert found.shape == (9, 40)
    expected = golden["scores"]
    ours = scores.retrieval_scores(found, golden["relevant"], list(expected))
    assert ours == pytest.approx(expected, abs=1e-9)
    graded = [{text: grade for text, grade in pairs} for pairs in golden["grades"]]
    ours = scores.retrieval_scores(found, graded, list(golden["graded"]))
    assert ours == pytest.approx(golden["graded"], abs=1e-9)


def test_queries_without_relevant_texts_are_left_out(caplog):
    found = scores.retrieval_scores([[0, 1], [1, 0]], [[1], []], ["mrr@2"])
    assert found == {"mrr@2": 0.5}
    assert "Left out 1 queries" in caplog.text


def test_classification():
    rng = np.random.default_rng(0)
    labels = np.array(["a", "b", "c"] * 20)
    vectors = rng.normal(size=(60, 4)) + 3 * np.eye(4)[[0, 1, 2] * 20]
    found = scores.classification_scores(
        vectors[:30], labels[:30], vectors[30:], labels[30:], seed=1
    )
    assert 0.8 < found["f1_macro"] <= 1 and found["accuracy"] > 0.8


_RANKED = ([[0, 1]], [[0]])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: scores.pair_scores([1.0], [2]), r"labels 0 and 1.*\[2\]"),
        (lambda: scores.pair_scores([1.0], [0]), "a pair of label 1"),
        (lambda: scores.pair_scores([1.0, np.nan], [0, 1]), "row 1"),
        (lambda: scores.similarity_scores([[1.0]], [], []), "1 first, 0 second"),
        (lambda: scores.similarity_scores([1.0], [1.0], [1]), r"shape \(1,\)"),
        (lambda: scores.retrieval_scores([[1, 1]], [[0]]), "text 1 2 times"),
        (lambda: scores.retrieval_scores([[0]], [[]]), "relevant text of some query"),
        (lambda: scores.retrieval_scores([[0]], [{0: 0}]), "relevance above 0"),
        (lambda: scores.retrieval_scores(*_RANKED, ["ndcg"]), "such as ndcg@10"),
        (
            lambda: scores.classification_scores([[1.0]], "a", [[1.0]], "a", seed=0),
            "two classes or more. Received: 'a' alone",
        ),
    ],
)
def test_refuses(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_names_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'ndcg'"):
        scores.retrieval_scores(*_RANKED, ["ndgc@10"])
    with pytest.raises(UnknownNameError, match="cosine, dot"):
        scores.rankings([[1.0]], [[1.0]], similarity="jaccard")
