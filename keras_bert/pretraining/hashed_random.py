"""Draws as a function of what they are about, not of the order they are made in.

A generator gives its numbers in turn, so whatever comes first decides what comes
later. Here every draw is a hash of a key, and a key is mixed from the seed, the
pass, the document, the row. Instances are then the same whoever makes them, on one
process or on a cluster, in whatever order.

Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
generators" (SplitMix64).
"""

import hashlib
from functools import cache

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)
_DROPPED_BITS = np.uint64(11)  # a float64 holds 53 of 64


def mix(*parts: int | np.ndarray) -> np.ndarray:
    """Mixes integers into keys.

    Args:
        *parts: integers or arrays of them that broadcast against each other; their
            order matters.

    Returns:
        uint64 keys in the parts' common shape.

    Example:
        >>> mix(12345, np.arange(2))
        array([12287507627058864422,  2564759402445868918], dtype=uint64)
    """
    key = np.zeros((), np.uint64)
    for part in parts:
        key = _scramble(_GOLDEN ^ key ^ _scramble(_unsigned(part)))
    return key


def uniform(keys: np.ndarray, name: str, columns: int) -> np.ndarray:
    """Draws numbers from [0, 1).

    Args:
        keys: uint64 keys.
        name: what is drawn; draws of one key by different names are independent.
        columns: how many for each key.

    Returns:
        float64 `(*keys.shape, columns)`.

    Example:
        >>> uniform(mix(12345, np.arange(3)), "scores", 2).shape
        (3, 2)
    """
    steps = np.arange(1, columns + 1, dtype=np.uint64) * _GOLDEN
    bits = _scramble(mix(keys, name_key(name))[..., None] + steps, reuse=True)
    bits >>= _DROPPED_BITS
    return bits * 2.0**-53


def text_key(text: bytes) -> int:
    """Returns a 64-bit key of a text."""
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


@cache
def name_key(name: str) -> np.ndarray:
    """Returns the key of a name."""
    return np.uint64(text_key(name.encode()))


def _unsigned(part: int | np.ndarray) -> np.ndarray:
    if isinstance(part, int):
        return np.array(part & 0xFFFF_FFFF_FFFF_FFFF, np.uint64)
    return np.asarray(part).astype(np.uint64)


@np.errstate(over="ignore")  # wrapping around is meant
def _scramble(key: np.ndarray, reuse: bool = False) -> np.ndarray:
    """SplitMix64's finalizer: every bit of a key moves every bit of the result."""
    key = key if reuse else key.copy()
    for shift, factor in _MIX:
        key ^= key >> shift
        key *= factor
    key ^= key >> np.uint64(31)
    return key
