"""One vocabulary of axis names, used by comments, weight tables and sharding.

An axes string names every axis of an array in order; parentheses join axes
that share one dimension: `"hidden (heads head_dim)"` is a matrix whose second
dimension holds the heads one after the other. It is einops' own notation.
"""

import math
import re
from collections.abc import Mapping

AXES = {
    "batch": "examples",
    "seq": "tokens of a row",
    "choices": "alternatives of a multiple-choice question",
    "pieces": "sentence pairs packed into a row",
    "predictions": "masked positions of a row",
    "hidden": "width of the residual stream",
    "embedding": "width of the embedding tables",
    "heads": "attention heads",
    "head_dim": "width of one head",
    "mlp": "width of the feed-forward layer",
    "gate": "what is activated, and what it is multiplied with",
    "qkv": "query, key and value",
    "vocab": "tokens of the vocabulary",
    "position": "rows of the position table",
    "segment": "rows of the token-type table",
    "classes": "labels",
    "previous": "labels before another one, or none",
}


def groups(axes: str) -> list[list[str]]:
    """Splits an axes string into one list of names per dimension.

    Example:
        >>> groups("hidden (heads head_dim)")
        [['hidden'], ['heads', 'head_dim']]
    """
    found = re.findall(r"\(([^)]*)\)|(\S+)", axes)
    return [(joined or single).split() for joined, single in found]


def names(axes: str) -> list[str]:
    """Returns the axis names of an axes string, without grouping."""
    return [name for group in groups(axes) for name in group]


def shape(axes: str, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """Returns the shape an axes string has for the given axis sizes.

    Args:
        axes: for instance `"hidden (heads head_dim)"`.
        sizes: size of every axis named in `axes`.

    Example:
        >>> shape("hidden (heads head_dim)", {"hidden": 6, "heads": 2, "head_dim": 3})
        (6, 6)
    """
    return tuple(math.prod(sizes[n] for n in group) for group in groups(axes))
