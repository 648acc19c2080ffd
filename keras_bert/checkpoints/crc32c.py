"""CRC-32C in NumPy: the checksum of TensorFlow's checkpoint files.

The bits of a message are the coefficients of a polynomial, and its checksum is the
remainder by the Castagnoli polynomial P. If P divides x^a + x^b + x^c + 1, then a
coefficient of x^(n + a) can be moved to x^(n + b), x^(n + c) and x^n without changing
the remainder; and since squaring is linear over bits, the same holds for whole words,
for x^64. So a long message shrinks to `a` words by a few XORs of long slices, and
what is left is the XOR of one constant for every bit that is set.

Source: RFC 3720 appendix B.4 (the checksum); Koopman, "32-Bit Cyclic Redundancy Codes
for Internet Applications", DSN 2002 (multiples of P have four terms from degree 5275
on, six from 209 on).
"""

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np

POLYNOMIAL = 0x1EDC6F41  # without its leading term
ALL = 0xFFFFFFFF
# Exponents of multiples of P, found by search for a wide gap between the first two:
# that is how many words are moved at once.
COARSE = (6777, 484, 100, 0)
FINE = (290, 136, 113, 107, 32, 0)
SEGMENT = 1 << 16  # words of scratch space


def crc32c(data: Any) -> int:
    """Returns the CRC-32C of bytes.

    Args:
        data: bytes, or anything with a contiguous buffer.

    Example:
        >>> hex(crc32c(b"123456789"))
        '0xe3069283'
    """
    return crc32c_of([data])


def crc32c_of(pieces: Iterable[Any]) -> int:
    """Returns the CRC-32C of bytes that come in pieces.

    Args:
        pieces: each bytes, or anything with a contiguous buffer.

    Example:
        >>> crc32c_of([b"1234", b"", b"56789"]) == crc32c(b"123456789")
        True
    """
    checksum = 0
    for piece in pieces:
        checksum = _extend(checksum, _bytes(piece))
    return checksum


def masked(checksum: int) -> int:
    """Returns a checksum as TensorFlow stores it.

    Source: tensorflow/core/lib/hash/crc32c.h; a stored checksum is turned and shifted,
    so that the checksum of data that holds one is no special case.

    Example:
        >>> hex(masked(0xE3069283))
        '0xc78ab0e5'
    """
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & ALL


def _bytes(data: Any) -> np.ndarray:
    if isinstance(data, np.ndarray):
        return np.ascontiguousarray(data).reshape(-1).view("u1")
    return np.frombuffer(data, "u1")


def _extend(checksum: int, data: np.ndarray) -> int:
    """The checksum of a message whose beginning has the one given."""
    if data.size < 4:
        return _bytewise(checksum, data)
    # The state enters as if it were XORed into the next four bytes.
    register = np.frombuffer((checksum ^ ALL).to_bytes(4, "little"), "u1")
    return _remainder(_folded(data, register)) ^ ALL


def _bytewise(checksum: int, data: np.ndarray) -> int:
    state = checksum ^ ALL
    for byte in data.tolist():
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ _REVERSED * (state & 1)
    return state ^ ALL


_REVERSED = int(f"{POLYNOMIAL:032b}"[::-1], 2)


# === Folding ===


def _folded(data: np.ndarray, register: np.ndarray) -> np.ndarray:
    """Words with the same remainder as the data, as few as `FINE` leaves."""
    keep = COARSE[0]
    words = min(SEGMENT, -(-data.size // 8))
    work = np.zeros(keep + words, "<u8")
    # Zeros in front of a message count for nothing: the odd piece is the first.
    stop = (data.size - 4) % (8 * words) + 4
    head = work.view("u1")[-stop:]
    head[:] = data[:stop]
    head[:4] ^= register
    _fold(work, COARSE)
    for start in range(stop, data.size, 8 * words):
        work[:keep] = work[-keep:]
        work[keep:].view("u1")[:] = data[start : start + 8 * words]
        _fold(work, COARSE)
    rest = work[-keep:].copy()
    _fold(rest, FINE)
    return rest[-FINE[0] :]


def _fold(work: np.ndarray, exponents: tuple[int, ...]) -> None:
    """Moves all words into the last ones, as many as the degree."""
    degree, *lower = exponents
    gap = degree - lower[0]
    for start in range(0, work.size - degree, gap):
        stop = min(start + gap, work.size - degree)
        for exponent in lower:
            step = degree - exponent
            work[start + step : stop + step] ^= work[start:stop]


def _remainder(words: np.ndarray) -> int:
    bits = np.unpackbits(words.view("u1"), bitorder="little").view("?")
    return int(np.bitwise_xor.reduce(_constants()[bits]))


@functools.cache
def _constants() -> np.ndarray:
    """The remainder of every single bit of what folding leaves, the last one last."""
    values = [_REVERSED]
    for _ in range(64 * FINE[0] - 1):
        values.append(values[-1] >> 1 ^ _REVERSED * (values[-1] & 1))
    return np.array(values[::-1], "u4")
