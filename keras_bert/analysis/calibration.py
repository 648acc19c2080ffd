"""Whether probabilities are what they say: as often right as they claim."""

from typing import NamedTuple

import numpy as np

from keras_bert.errors import InputError

BINS = 10


class Calibration(NamedTuple):
    """Claimed and true shares, by bins of equal width.

    Attributes:
        edges: of the bins, `(bins + 1,)`.
        counts: of the answers in each bin, `(bins,)`.
        claimed: mean probability in each bin, NaN in an empty one, `(bins,)`.
        right: share of right answers in each bin, NaN in an empty one, `(bins,)`.
        error: expected calibration error: the mean over the answers of the distance
            between both shares of their bins.
    """

    edges: np.ndarray
    counts: np.ndarray
    claimed: np.ndarray
    right: np.ndarray
    error: float


def calibration(
    probabilities: np.ndarray, right: np.ndarray, bins: int = BINS
) -> Calibration:
    """Compares probabilities with how often the answers that have them are right.

    Args:
        probabilities: of the answers, `(answers,)`, from 0 to 1.
        right: whether each answer is right, `(answers,)`.
        bins: number of bins. A probability on an edge belongs to the bin below.

    Raises:
        InputError: the shapes differ, or a probability is not from 0 to 1.

    Example:
        >>> calibration(np.array([0.9, 0.9]), np.array([True, False])).error
        0.4

    Source: Guo et al. 2017 (arXiv:1706.04599), section 2.
    """
    probabilities = np.asarray(probabilities, "float64")
    right = np.asarray(right, "float64")
    inside = (probabilities >= 0) & (probabilities <= 1)
    if probabilities.shape != right.shape or right.ndim != 1 or not inside.all():
        raise InputError(
            "Expected probabilities from 0 to 1, one for each answer. Received: shapes "
            f"{probabilities.shape} and {right.shape}, {np.sum(~inside)} out of range."
        )
    edges = np.linspace(0, 1, bins + 1)
    places = np.clip(np.searchsorted(edges, probabilities, "left") - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    sums = [np.bincount(places, x, bins) for x in (probabilities, right)]
    error = np.abs(sums[0] - sums[1]).sum() / max(1, len(right))
    claimed, shares = (
        np.where(counts, s / np.maximum(counts, 1), np.nan) for s in sums
    )
    return Calibration(edges, counts, claimed, shares, float(error))
