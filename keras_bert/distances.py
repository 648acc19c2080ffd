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


def rows_of_distances(longest: int, furthest: int, buckets: int) -> np.ndarray:
    """Returns the row of the table of vectors for each distance.

    Distances up to half of the buckets have a row each; further ones share rows, in
    spans that grow as powers. Without buckets all up to `furthest` have one.

    Args:
        longest: tokens of the longest row of a batch.
        furthest: distances from it on are alike.
        buckets: of one direction, both ends included; 0 for none.

    Returns:
        int32 `(2 longest - 1,)`, the distances from `1 - longest` on.

    Example:
        >>> rows_of_distances(3, 2, 0).tolist()
        [0, 1, 2, 3, 3]

    Source: He et al. 2020 (arXiv:2006.03654) equation 3; `make_log_bucket_position` in
    Hugging Face's `modeling_deberta_v2.py`, which computes in float32.
    """
    distances, rows = np.arange(1 - longest, longest), buckets or furthest
    if buckets:
        middle = np.float32(buckets // 2)
        far = np.maximum(np.abs(distances), middle).astype("float32")
        share = np.log(far / middle) / np.log(np.float32((furthest - 1) / middle))
        spans = np.ceil(share * (middle - 1)) + middle
        spans = np.sign(distances) * spans
        distances = np.where(np.abs(distances) <= middle, distances, spans)
    return np.clip(distances + rows, 0, 2 * rows - 1).astype("int32")
