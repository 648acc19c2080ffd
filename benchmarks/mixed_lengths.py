"""Model sizes, and the batches that `serving.py` measures. NumPy only."""

import numpy as np

VOCAB_SIZE = 30522
LONGEST = 128
ROWS = 32
REPEATED = 10  # consecutive rows for latency, with warm caches as in a server
SIZES = {  # hidden, layers, heads, intermediate
    "tiny": (128, 2, 2, 512),
    "mini": (256, 4, 4, 1024),
    "base": (768, 12, 12, 3072),
}
Batch = tuple[np.ndarray, np.ndarray, np.ndarray]


def config_fields(size: str) -> dict[str, int]:
    """Returns the fields of a BERT config, under the names of all libraries."""
    hidden, layers, heads, intermediate = SIZES[size]
    return {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": intermediate,
    }


def lengths(count: int, seed: int = 0) -> np.ndarray:
    """Draws the lengths of rows like those of short texts: lognormal around 40 tokens.

    Args:
        count: the number of rows.
        seed: for the lengths.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.lognormal(np.log(40), 0.6, count)
    return np.clip(np.round(drawn), 4, LONGEST).astype(int)


def batch(counts: np.ndarray, width: int, seed: int = 0) -> Batch:
    """Returns ids, mask and types of rows of random tokens, int32.

    Args:
        counts: tokens of each row.
        width: length to pad to.
        seed: for the tokens.
    """
    mask = (np.arange(width) < np.asarray(counts)[:, None]).astype(np.int32)
    ids = np.random.default_rng(seed).integers(1000, VOCAB_SIZE, mask.shape)
    return (ids * mask).astype(np.int32), mask, np.zeros_like(mask)


def batches(counts: np.ndarray, bucketed: bool) -> list[Batch]:
    """Returns rows as batches.

    Args:
        counts: tokens of each row.
        bucketed: sort rows by length and pad batches to a multiple of 16; otherwise
            keep the order and pad to the longest of all rows.
    """
    counts = np.sort(counts) if bucketed else counts
    parts = [counts[i : i + ROWS] for i in range(0, len(counts), ROWS)]
    widths = [-(-part.max() // 16) * 16 if bucketed else LONGEST for part in parts]
    return [batch(part, width) for part, width in zip(parts, widths, strict=True)]


def cases(count: int) -> dict[str, list[Batch]]:
    """Returns the batches to measure, by name.

    Args:
        count: rows of mixed lengths.
    """
    counts = lengths(count)
    return {
        "unsorted": batches(counts, bucketed=False),
        "bucketed": batches(counts, bucketed=True),
        "one row": [batch([LONGEST], LONGEST)] * REPEATED,
    }
