"""Distances of tokens, in buckets: the further apart, the coarser."""

import math

import numpy as np

FURTHEST = 128  # tokens; all that are further apart are alike


def bucket_of_distance(buckets: int) -> np.ndarray:
    """Returns the bucket of each distance from 0 to `FURTHEST`, in one direction.

    Half of the buckets hold one distance each, the others spans that grow as powers.

    Args:
        buckets: of one direction.

    Example:
        >>> bucket_of_distance(16)[[0, 1, 7, 8, 12, 50, 128]].tolist()
        [0, 1, 7, 8, 9, 13, 15]

    Source: Raffel et al. 2019 (arXiv:1910.10683) section 2.1;
    `relative_position_bucket` in Hugging Face's `modeling_mpnet.py`, which computes in
    float32.
    """
    distances, exact = np.arange(FURTHEST + 1), buckets // 2
    powers = np.log(np.maximum(distances, 1).astype("float32") / np.float32(exact))
    share = powers / np.float32(math.log(FURTHEST / exact))
    spans = exact + (share * np.float32(buckets - exact)).astype(int)
    return np.where(distances < exact, distances, np.minimum(spans, buckets - 1))
