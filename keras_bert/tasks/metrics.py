"""Metrics of predictions, under the names that benchmarks use."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from keras_bert.errors import InputError, choose
from keras_bert.extras import require

# What is predicted -> its usual metrics, and others that are defined for it.
KINDS = {
    "numbers": (("pearson", "spearman", "mean_squared_error"), ()),
    "two classes": (("accuracy", "f1", "matthews_correlation"), ("f1_macro",)),
    "several classes": (("accuracy", "f1_macro", "matthews_correlation"), ()),
    "lists of labels": (("accuracy", "f1_micro", "f1_macro"), ()),
}


def score(
    labels: np.ndarray, logits: np.ndarray, metrics: Sequence[str] | None = None
) -> dict[str, float]:
    """Scores predictions.

    Args:
        labels: `(examples,)`: class ids, or numbers for regression;
            `(examples, classes)` zeros and ones for lists of labels.
        logits: `(examples, classes)`; `(examples, 1)` or `(examples,)` for
            regression. The class with the largest logit is the prediction; of lists
            of labels every class with a logit above 0, and accuracy is the share of
            rows with exactly the right ones.
        metrics: names from `METRICS`; None takes the usual ones for numbers, two
            classes, several classes, or lists of labels.

    Returns:
        The scores by name, in the given order. A correlation with a constant is
        undefined, and NaN.

    Raises:
        InputError: the numbers of labels and logits differ, or are zero; or a metric
            is not defined for what is predicted.
        UnknownNameError: there is no such metric.
        MissingExtraError: scikit-learn is not installed.

    Example:
        >>> score(np.array([0, 1, 1]), np.array([[2., 0.], [0., 1.], [3., 1.]]))
        {'accuracy': 0.6666666666666666, 'f1': 0.6666666666666666, \
'matthews_correlation': 0.5}

    Source: GLUE (arXiv:1804.07461), table 1.
    """
    labels, logits = np.asarray(labels), np.asarray(logits)
    if len(labels) != len(logits) or not len(labels):
        raise InputError(
            "Expected as many logits as labels, and at least one. "
            f"Received: {len(logits)} logits and {len(labels)} labels."
        )
    logits = logits.reshape(len(labels), -1)
    if labels.ndim == 2 and labels.shape != logits.shape:
        raise InputError(
            "Expected lists of labels as wide as the logits. Received: labels of shape "
            f"{labels.shape} and logits of shape {logits.shape}."
        )
    kind = _kind(labels, logits)
    usual, others = KINDS[kind]
    chosen = [choose("metric", name, METRICS) for name in metrics or usual]
    if undefined := {*chosen} - {*usual, *others}:
        raise InputError(
            f"Expected metrics of {kind}: {', '.join(usual + others)}. "
            f"Received: {', '.join(sorted(undefined))}."
        )
    predictions = _predictions(kind, logits)
    return {name: float(METRICS[name](labels, predictions)) for name in chosen}


def _kind(labels: np.ndarray, logits: np.ndarray) -> str:
    if labels.ndim == 2:
        return "lists of labels"
    classes = logits.shape[1]
    return {1: "numbers", 2: "two classes"}.get(classes, "several classes")


def _predictions(kind: str, logits: np.ndarray) -> np.ndarray:
    if kind == "lists of labels":
        return (logits > 0).astype("int32")
    return logits[:, 0] if kind == "numbers" else logits.argmax(-1)


def _sklearn():
    return require("sklearn.metrics")


def _f1(average: str) -> Callable[[np.ndarray, np.ndarray], float]:
    def f1(labels: np.ndarray, predictions: np.ndarray) -> float:
        options = {"average": average, "zero_division": 0}
        return _sklearn().f1_score(labels, predictions, **options)

    return f1


def _is_constant(values: np.ndarray) -> bool:
    """Whether numbers differ by no more than the rounding of float32."""
    return bool(np.ptp(values) <= 1e-6 * np.abs(values).max())


def _correlation(name: str) -> Callable[[np.ndarray, np.ndarray], float]:
    def correlate(labels: np.ndarray, predictions: np.ndarray) -> float:
        if _is_constant(labels) or _is_constant(predictions):
            return math.nan
        _sklearn()  # requires SciPy too; names the extra if it is missing
        import scipy.stats

        return getattr(scipy.stats, name)(labels, predictions).statistic

    return correlate


METRICS: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": lambda y, p: _sklearn().accuracy_score(y, p),
    "f1": _f1("binary"),
    "f1_macro": _f1("macro"),
    "f1_micro": _f1("micro"),
    "matthews_correlation": lambda y, p: _sklearn().matthews_corrcoef(y, p),
    "mean_squared_error": lambda y, p: _sklearn().mean_squared_error(y, p),
    "pearson": _correlation("pearsonr"),
    "spearman": _correlation("spearmanr"),
}
