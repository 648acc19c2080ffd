"""CRC-32C, the checksum of TensorFlow's checkpoints and records."""

import struct
from collections.abc import Iterable
from typing import Any

import google_crc32c
import numpy as np


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
    """Returns the CRC-32C of consecutive pieces of bytes.

    Args:
        pieces: each bytes, or anything with a contiguous buffer.

    Example:
        >>> crc32c_of([b"1234", b"", b"56789"]) == crc32c(b"123456789")
        True
    """
    checksum = 0
    for piece in pieces:
        checksum = google_crc32c.extend(checksum, _read_only(piece))
    return checksum


def masked(checksum: int) -> int:
    """Returns a checksum as TensorFlow stores it: rotated, plus a constant.

    The CRC of data that includes its own CRC would be degenerate otherwise.

    Source: tensorflow/core/lib/hash/crc32c.h.

    Example:
        >>> hex(masked(0xE3069283))
        '0xc78ab0e5'
    """
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def masked_crc32c(data: Any) -> bytes:
    """Returns the masked CRC-32C of bytes as the four bytes that are stored.

    Args:
        data: bytes, or anything with a contiguous buffer.

    Example:
        >>> masked_crc32c(b"123456789").hex()
        'e5b08ac7'
    """
    return struct.pack("<I", masked(crc32c(data)))


def _read_only(data: Any) -> bytes | np.ndarray:
    if isinstance(data, bytes):
        return data
    view = np.frombuffer(data, "u1") if len(data) else np.empty(0, "u1")
    view.flags.writeable = False
    return view
