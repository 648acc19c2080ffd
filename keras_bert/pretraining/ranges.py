"""Index arithmetic on rows of different lengths that are stored one after another."""

import numpy as np


def within(sizes: np.ndarray) -> np.ndarray:
    """Counts from 0 within each of several groups.

    Args:
        sizes: integers `(groups,)`: the members of each group.

    Returns:
        int64 `(members,)`, the members of all groups in order.

    Example:
        >>> within(np.array([2, 0, 3])).tolist()
        [0, 1, 0, 1, 2]
    """
    return np.arange(sizes.sum()) - np.repeat(sizes.cumsum() - sizes, sizes)


def indices(starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Lists the indices that several ranges cover.

    Args:
        starts: int `(ranges,)`: where each begins.
        sizes: int `(ranges,)`: how many indices each covers.

    Example:
        >>> indices(np.array([7, 3]), np.array([1, 2])).tolist()
        [7, 3, 4]
    """
    return np.repeat(starts, sizes) + within(sizes)
