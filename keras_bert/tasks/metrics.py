"""Metrics of predictions, under the names that benchmarks use."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from keras_bert.errors import InputError, choose
from keras_bert.extras import require

BINARY = ("accuracy", "f1", "matthews_correlation")
MULTICLASS = ("accuracy", "f1_macro", "matthews_correlation")
REGRESSION = ("pearson", "spearman", "mean_squared_error")


def score(
    labels: np.ndarray, logits: np.ndarray, metrics: Sequence[str] | None = None
) -> dict[str, float]:
    """Scores predictions.

    Args:
        labels: `(examples,)`: class ids, or numbers for regression.
        logits: `(examples, classes)`; `(examples, 1)` or `(examples,)` for
            regression. The class with the largest logit is the prediction.
        metrics: names from `METRICS`; None takes the usual ones for two classes,
            several classes, or regression.

    Returns:
        The scores by name, in the given order. A correlation with a constant is
        undefined, and NaN.

    Raises:
        InputError: the numbers of labels and logits differ, or are zero.
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
    usual = {1: REGRESSION, 2: BINARY}.get(logits.shape[1], MULTICLASS)
    chosen = [choose("metric", name, METRICS) for name in metrics or usual]
    predictions = logits[:, 0] if logits.shape[1] == 1 else logits.argmax(-1)
    return {name: float(METRICS[name](labels, predictions)) for name in chosen}


def _sklearn():
    return require("sklearn.metrics")


def _f1_macro(labels: np.ndarray, predictions: np.ndarray) -> float:
    return _sklearn().f1_score(labels, predictions, average="macro", zero_division=0)


def _correlation(name: str) -> Callable[[np.ndarray, np.ndarray], float]:
    def correlate(labels: np.ndarray, predictions: np.ndarray) -> float:
        if np.ptp(labels) == 0 or np.ptp(predictions) == 0:
            return math.nan
        _sklearn()  # requires SciPy too; names the extra if it is missing
        import scipy.stats

        return getattr(scipy.stats, name)(labels, predictions).statistic

    return correlate


METRICS: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": lambda y, p: _sklearn().accuracy_score(y, p),
    "f1": lambda y, p: _sklearn().f1_score(y, p, zero_division=0),
    "f1_macro": _f1_macro,
    "matthews_correlation": lambda y, p: _sklearn().matthews_corrcoef(y, p),
    "mean_squared_error": lambda y, p: _sklearn().mean_squared_error(y, p),
    "pearson": _correlation("pearsonr"),
    "spearman": _correlation("spearmanr"),
}
