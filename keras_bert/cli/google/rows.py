"""Rows of one or two texts, as Google's scripts make them."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def encode_rows(
    tokenizer: Any, texts: Sequence[tuple[Any, Any]], max_length: int
) -> dict[str, np.ndarray]:
    """Returns the inputs of a model, int32 `(rows, max_length)`.

    Args:
        tokenizer: a `BertTokenizer` with `google_rules`.
        texts: pairs; the second is None, or has no tokens, where there is only one.
        max_length: tokens per row, padding included.
    """
    paired = np.array([bool(b and tokenizer.text_to_ids(b)) for _, b in texts], bool)
    found: dict[str, np.ndarray] = {}
    for chosen in (np.flatnonzero(~paired), np.flatnonzero(paired)):
        if not len(chosen):
            continue
        first, second = zip(*(texts[i] for i in chosen), strict=True)
        pairs = list(second) if paired[chosen[0]] else None
        made = tokenizer(list(first), pairs, max_length, padding="max_length")
        for name, values in made.items():
            rows = found.setdefault(name, np.zeros((len(texts), max_length), "int32"))
            rows[chosen] = values
    return found
