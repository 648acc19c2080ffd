"""Random numbers as hashes of keys, independent of the order they are drawn in.

The numbers of a generator depend on all that was drawn before. Here every number is a
hash of a key, and a key is mixed from the seed, the pass, the document and the row. So
instances are the same in any order, in one process or on a cluster.

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
        *parts: integers, or arrays of them that broadcast; their order matters.

    Returns:
        uint64 keys of the broadcast shape.

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
        name: of the quantity; different names give independent numbers.
        columns: numbers per key.

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


@np.errstate(over="ignore")  # wrap-around is intended
def _scramble(key: np.ndarray, reuse: bool = False) -> np.ndarray:
    """SplitMix64's finalizer: every bit of a key affects every bit of the result."""
    key = key if reuse else key.copy()
    for shift, factor in _MIX:
        key ^= key >> shift
        key *= factor
    key ^= key >> np.uint64(31)
    return key
