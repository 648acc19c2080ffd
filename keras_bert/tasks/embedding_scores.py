"""Scores of sentence embeddings: similarity, pairs, retrieval, classification.

Values are those of sentence-transformers' evaluators.

Source: `sentence_transformer/evaluation/` of sentence-transformers.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from keras_bert.errors import InputError, choose
from keras_bert.extras import require
from keras_bert.tasks.metrics import METRICS
from keras_bert.tasks.similarity import unit as _unit

log = logging.getLogger(__name__)

RETRIEVAL = (
    *("accuracy@1", "accuracy@3", "accuracy@5", "accuracy@10"),
    *("precision@1", "precision@10", "recall@1", "recall@10"),
    *("ndcg@10", "mrr@10", "map@100"),
)
Relevant = Collection[int] | Mapping[int, float]


# === Pairs ===


# Of pairs of vectors, `(pairs, dim)` both; the larger, the more alike.
SIMILARITIES: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "cosine": lambda a, b: np.sum(_unit(a) * _unit(b), -1),
    "dot": lambda a, b: np.sum(a * b, -1),
    "euclidean": lambda a, b: -np.linalg.norm(a - b, axis=-1),
    "manhattan": lambda a, b: -np.sum(np.abs(a - b), -1),
}


def similarity_scores(
    first: np.ndarray,
    second: np.ndarray,
    labels: Sequence[float],
    similarities: Sequence[str] = tuple(SIMILARITIES),
) -> dict[str, float]:
    """Correlates the similarity of pairs with their labels, as STS is scored.

    Args:
        first, second: vectors `(pairs, dim)`.
        labels: `(pairs,)`, how similar they are on any scale.
        similarities: names from `SIMILARITIES`.

    Returns:
        `pearson_cosine`, `spearman_cosine` and so on, from -1 to 1; NaN where all
        labels, or all similarities, are the same.

    Raises:
        InputError: the numbers of vectors and labels differ, or a value is not finite.
        UnknownNameError: there is no such similarity.
        MissingExtraError: scikit-learn is not installed.

    Example:
        >>> a, b = np.eye(3), np.array([[1.0, 0, 0], [1, 1, 0], [1, 1, 0]])
        >>> similarity_scores(a, b, [5, 3, 0], ["cosine"])["spearman_cosine"]
        1.0
    """
    _same_length(first=first, second=second, labels=labels)
    first, second = _vectors(first), _vectors(second)
    scores = {}
    for name in similarities:
        choose("similarity", name, SIMILARITIES)
        found = SIMILARITIES[name](first, second)
        for kind in ("pearson", "spearman"):
            value = METRICS[kind](np.asarray(labels, "float64"), found)
            scores[f"{kind}_{name}"] = float(value)
    return scores


def pair_scores(
    similarities: Sequence[float], labels: Sequence[int]
) -> dict[str, float]:
    """Scores how well a similarity tells pairs that belong together from others.

    Args:
        similarities: `(pairs,)`, the larger, the more alike.
        labels: `(pairs,)`, 1 for pairs that belong together and 0 for others.

    Returns:
        `accuracy` and `f1`, each with the best threshold, `accuracy_threshold` and
        `f1_threshold`; `precision` and `recall` at the latter; `average_precision`.

    Raises:
        InputError: a value is not finite, a label neither 0 nor 1, or none is 1.
        MissingExtraError: scikit-learn is not installed.

    Example:
        >>> pair_scores([0.9, 0.8, 0.3, 0.1], [1, 0, 1, 0])["accuracy"]
        0.75
    """
    _same_length(similarities=similarities, labels=labels)
    found, labels = _finite(similarities, "similarities"), np.asarray(labels)
    if not np.isin(labels, (0, 1)).all() or not labels.any():
        raise InputError(
            "Expected labels 0 and 1, and a pair of label 1. Received: labels "
            f"{np.unique(labels)[:5].tolist()}."
        )
    order = np.argsort(-found, kind="stable")
    values, positive = found[order], labels[order].astype("int64")
    taken, right = np.arange(1, len(values) + 1), np.cumsum(positive)
    # A threshold cannot part pairs that are alike to the same degree.
    ends = np.flatnonzero(np.append(values[1:] != values[:-1], True))
    negatives = len(values) - right[-1]
    accuracies = (2 * right + negatives - taken)[ends] / len(values)
    f1 = (2 * right / (taken + right[-1]))[ends]
    best, middle = ends[f1.argmax()], ends[accuracies.argmax()]
    none_taken = negatives / len(values)
    accuracy, threshold = float(accuracies.max()), _threshold(values, middle)
    if none_taken >= accuracy:
        accuracy, threshold = float(none_taken), float(np.nextafter(values[0], np.inf))
    precision = require("sklearn.metrics").average_precision_score
    return {
        "accuracy": accuracy,
        "accuracy_threshold": threshold,
        "f1": float(f1.max()),
        "f1_threshold": _threshold(values, best),
        "precision": float(right[best] / taken[best]),
        "recall": float(right[best] / right[-1]),
        "average_precision": float(precision(labels, found)),
    }


def _threshold(values: np.ndarray, last: int) -> float:
    """Returns the middle between the last value taken and the first that is not."""
    taken, left = values[last], values[min(last + 1, len(values) - 1)]
    middle = (taken + left) / 2
    return float(taken if middle == left else middle)


# === Retrieval ===


def retrieval_scores(
    rankings: Sequence[Sequence[int]],
    relevant: Sequence[Relevant],
    metrics: Sequence[str] = RETRIEVAL,
) -> dict[str, float]:
    """Scores rankings of texts, one for each query.

    Args:
        rankings: numbers of texts, the best first, for each query; see `rankings`.
        relevant: for each query the numbers of the texts that answer it, or a mapping
            from these to how well, above 0. Queries without any are left out, and a
            warning is logged.
        metrics: a name and a cutoff each: `accuracy` (is a relevant text among the
            first k), `precision`, `recall`, `mrr` (one over the rank of the first
            relevant text), `ndcg` and `map`, such as "ndcg@10".

    Returns:
        The means over queries, by name of the metric.

    Raises:
        InputError: the numbers of queries differ, a text is ranked twice, or no query
            has a relevant text.
        UnknownNameError: there is no such metric.

    Example:
        >>> retrieval_scores([[2, 0, 1]], [{0}], ["mrr@10", "recall@1"])
        {'mrr@10': 0.5, 'recall@1': 0.0}
    """
    _same_length(queries=rankings, relevant=relevant)
    parts = [(name, *_metric(name)) for name in metrics]
    judged = [
        (_unique(number, ranking), _gains(texts))
        for number, (ranking, texts) in enumerate(zip(rankings, relevant, strict=True))
        if len(texts)
    ]
    if not judged:
        raise InputError("Expected a relevant text of some query. Received: none.")
    if missing := len(rankings) - len(judged):
        log.warning("Left out %d queries without relevant texts.", missing)
    rows = [
        (np.array([gains.get(text, 0.0) for text in ranking]), sorted(gains.values()))
        for ranking, gains in judged
    ]
    return {
        name: float(np.mean([measure(found, ideal[::-1], k) for found, ideal in rows]))
        for name, measure, k in parts
    }


def rankings(
    queries: np.ndarray, texts: np.ndarray, k: int = 100, similarity: str = "cosine"
) -> np.ndarray:
    """Returns the numbers of the most similar texts of each query, the best first.

    Args:
        queries: vectors `(queries, dim)`.
        texts: vectors `(texts, dim)`.
        k: texts for each query, at most; of equally similar ones the first.
        similarity: "cosine" or "dot".

    Raises:
        InputError: a vector is not finite.
        UnknownNameError: there is no such similarity.

    Example:
        >>> rankings(np.array([[1.0, 0.1]]), np.eye(2)).tolist()
        [[0, 1]]
    """
    choose("similarity", similarity, ("cosine", "dot"))
    queries, texts = _vectors(queries), _vectors(texts)
    if similarity == "cosine":
        queries, texts = _unit(queries), _unit(texts)
    found = [
        np.argsort(-(texts @ query), kind="stable")[:k] for query in queries
    ]  # one by one, so that memory does not grow with queries times texts
    return np.array(found)


def _unique(number: int, ranking: Sequence[int]) -> list[int]:
    texts = [int(text) for text in ranking]
    if len({*texts}) != len(texts):
        twice = next(text for text in texts if texts.count(text) > 1)
        raise InputError(
            f"Expected each text once in the ranking of query {number}. Received: text "
            f"{twice} {texts.count(twice)} times."
        )
    return texts


def _gains(relevant: Relevant) -> dict[int, float]:
    graded = isinstance(relevant, Mapping)
    gains = {int(t): float(relevant[t]) if graded else 1.0 for t in relevant}
    if wrong := [text for text, gain in gains.items() if not 0 < gain < np.inf]:
        raise InputError(
            f"Expected relevance above 0. Received: {gains[wrong[0]]} for text "
            f"{wrong[0]}. Leave out texts that are not relevant."
        )
    return gains


def cutoff(name: str) -> int:
    """Returns how many texts of a ranking a metric looks at.

    Raises:
        InputError: the name has no cutoff.

    Example:
        >>> cutoff("ndcg@10")
        10
    """
    number = name.partition("@")[2]
    if not (number.isascii() and number.isdecimal() and int(number)):
        raise InputError(
            f"Expected a metric and a cutoff, such as ndcg@10. Received: {name!r}."
        )
    return int(number)


def _metric(name: str) -> tuple[Callable[..., float], int]:
    measure = choose("metric", name.partition("@")[0], MEASURES)
    return MEASURES[measure], cutoff(name)


# Each of the gains in the order of the ranking, those of all relevant texts, the
# largest first, and the cutoff.
Measure = Callable[[np.ndarray, Sequence[float], int], float]


def _reciprocal_rank(found: np.ndarray, ideal: Sequence[float], k: int) -> float:
    ranks = np.flatnonzero(found[:k])
    return 1.0 / (ranks[0] + 1) if len(ranks) else 0.0


def _discounted(gains: Sequence[float] | np.ndarray, k: int) -> float:
    cut = np.asarray(gains[:k], "float64")
    return float(np.sum(cut / np.log2(np.arange(2, len(cut) + 2))))


def _average_precision(found: np.ndarray, ideal: Sequence[float], k: int) -> float:
    hits = found[:k] > 0
    precisions = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(np.sum(precisions[hits]) / min(k, len(ideal)))


MEASURES: Mapping[str, Measure] = {
    "accuracy": lambda found, ideal, k: float(np.any(found[:k] > 0)),
    "precision": lambda found, ideal, k: float(np.sum(found[:k] > 0)) / k,
    "recall": lambda found, ideal, k: float(np.sum(found[:k] > 0)) / len(ideal),
    "mrr": _reciprocal_rank,
    "ndcg": lambda found, ideal, k: _discounted(found, k) / _discounted(ideal, k),
    "map": _average_precision,
}


# === Classification ===


def classification_scores(
    train: np.ndarray,
    train_labels: Sequence,
    test: np.ndarray,
    test_labels: Sequence,
    *,
    seed: int,
) -> dict[str, float]:
    """Scores a logistic regression on vectors that stay as they are.

    Args:
        train, test: vectors `(texts, dim)`.
        train_labels, test_labels: a class for each.
        seed: of the regression.

    Returns:
        `accuracy` and `f1_macro` on the test vectors.

    Raises:
        InputError: the numbers of vectors and labels differ, or a value is not finite.
        MissingExtraError: scikit-learn is not installed.

    Example:
        >>> vectors = np.array([[1.0, 0], [0.9, 0], [0, 1], [0, 0.8]])
        >>> classification_scores(vectors, "aabb", vectors, "aabb", seed=0)["accuracy"]
        1.0
    """
    train_labels, test_labels = list(train_labels), list(test_labels)
    _same_length(training_vectors=train, labels=train_labels)
    _same_length(test_vectors=test, labels=test_labels)
    train, test = _vectors(train), _vectors(test)
    if len({*train_labels}) < 2:
        raise InputError(
            "Expected training labels of two classes or more. Received: "
            f"{train_labels[0]!r} alone."
        )
    linear, metrics = require("sklearn.linear_model"), require("sklearn.metrics")
    regression = linear.LogisticRegression(max_iter=1000, random_state=seed)
    found = regression.fit(train, train_labels).predict(test)
    options = {"average": "macro", "zero_division": 0}
    return {
        "accuracy": float(metrics.accuracy_score(test_labels, found)),
        "f1_macro": float(metrics.f1_score(test_labels, found, **options)),
    }


# === Checks ===


def _vectors(values: np.ndarray) -> np.ndarray:
    vectors = _finite(values, "vectors")
    if vectors.ndim != 2:
        raise InputError(
            f"Expected vectors `(texts, dim)`. Received: shape {vectors.shape}."
        )
    return vectors


def _finite(values: Sequence | np.ndarray, name: str) -> np.ndarray:
    array = np.asarray(values, "float64")
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        raise InputError(
            f"Expected finite {name}. Received: NaN or infinity in row {wrong[0][0]}."
        )
    return array


def _same_length(**values: Sequence | np.ndarray) -> None:
    lengths = {name.replace("_", " "): len(value) for name, value in values.items()}
    if len({*lengths.values()}) != 1 or not min(lengths.values()):
        found = ", ".join(f"{length} {name}" for name, length in lengths.items())
        raise InputError(
            f"Expected as many of each, and at least one. Received: {found}."
        )
