"""How alike vectors are, every one of some with every one of others."""

from collections.abc import Callable, Mapping

import numpy as np

from keras_bert.errors import InputError, choose

PIECE = 1 << 22  # differences of vectors held at once, in numbers


def unit(vectors: np.ndarray) -> np.ndarray:
    """Returns vectors of length 1; zeros stay zeros."""
    return vectors / _lengths(vectors)[..., None]


def _lengths(vectors: np.ndarray) -> np.ndarray:
    squares = np.einsum("...i,...i->...", vectors, vectors)
    return np.maximum(np.sqrt(squares), 1e-12)


def _distances(order: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        rows = max(1, PIECE // max(b.size, 1))
        parts = [a[i : i + rows, None] - b for i in range(0, len(a), rows)]
        found = [-np.linalg.norm(part, ord=order, axis=-1) for part in parts]
        return np.concatenate(found) if found else np.zeros((0, len(b)), a.dtype)

    return distances


# Of `(n, dim)` and `(m, dim)`; the larger, the more alike.
SIMILARITIES: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "cosine": lambda a, b: unit(a) @ b.T / _lengths(b),  # b may be large
    "dot": lambda a, b: a @ b.T,
    "euclidean": _distances(2),
    "manhattan": _distances(1),
}


def similarities(a: np.ndarray, b: np.ndarray, name: str = "cosine") -> np.ndarray:
    """Compares vectors with vectors.

    Args:
        a: vectors `(n, dim)`, or one `(dim,)`.
        b: vectors `(m, dim)`, or one `(dim,)`.
        name: "cosine", "dot", or a negative distance, "euclidean" or "manhattan".

    Returns:
        `(n, m)`; the larger, the more alike.

    Raises:
        InputError: the vectors do not have the same width.
        UnknownNameError: there is no such similarity.

    Example:
        >>> similarities(np.eye(2), np.array([[3.0, 4.0]])).round(1).tolist()
        [[0.6], [0.8]]
    """
    choose("similarity", name, SIMILARITIES)
    first, second = np.atleast_2d(a), np.atleast_2d(b)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise InputError(
            "Expected vectors of one width, (n, dim) and (m, dim). Received: shapes "
            f"{first.shape} and {second.shape}."
        )
    return SIMILARITIES[name](first, second)
