"""Vectors in two dimensions, to look at."""

from typing import NamedTuple

import numpy as np

from keras_bert.errors import InputError


class Projection(NamedTuple):
    """Points in a plane.

    Attributes:
        points: `(rows, 2)`.
        shares: of the variance of the vectors, along each of the two axes.
    """

    points: np.ndarray
    shares: tuple[float, float]


def principal_components(vectors: np.ndarray) -> Projection:
    """Projects vectors on the two directions in which they vary most.

    Args:
        vectors: `(rows, dimensions)`, at least two of each. The sign of an axis is
            chosen so that the largest weight in its direction is positive.

    Raises:
        InputError: there are too few, or some are not finite.

    Example:
        >>> plane = principal_components(np.array([[0, 0, 0], [2, 0, 0], [1, 0, 1]]))
        >>> plane.shares
        (0.75, 0.25)
    """
    vectors = np.asarray(vectors, "float64")
    if vectors.ndim != 2 or min(vectors.shape) < 2 or not np.isfinite(vectors).all():
        raise InputError(
            "Expected finite vectors, at least two rows of two numbers. Received: "
            f"shape {vectors.shape}."
        )
    centered = vectors - vectors.mean(0)
    # Of the smaller of the two products, so that many rows cost little.
    _, sizes, directions = np.linalg.svd(_summary(centered), full_matrices=False)
    directions = directions[:2]
    signs = np.sign(directions[[0, 1], np.abs(directions).argmax(1)])
    total = max(float((sizes**2).sum()), 1e-300)
    shares = (sizes[:2] ** 2 / total).round(12).tolist()
    return Projection(centered @ (directions * signs[:, None]).T, tuple(shares))


def _summary(centered: np.ndarray) -> np.ndarray:
    """Returns at most as many rows as columns, with the same products of columns."""
    rows, columns = centered.shape
    return np.linalg.qr(centered, "r") if rows > columns else centered
