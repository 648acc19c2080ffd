"""Decompression of Snappy's raw format, in which LevelDB's blocks may be.

A varint of the size, then elements: bytes as they are, or a copy of earlier output.

Source: google/snappy, format_description.txt.
"""

from keras_bert.protobuf import read_varint

EXPANSION = 64 / 3  # an element of three bytes yields at most 64
LONG = 60  # from here on, a literal's length is in the bytes after its tag


def decompress(data: bytes) -> bytes:
    """Returns what was compressed.

    Args:
        data: in Snappy's raw format.

    Raises:
        ValueError: it is damaged.

    Example:
        >>> decompress(b"\\x06\\x04ab\\x0e\\x02\\x00")
        b'ababab'
    """
    size, at = read_varint(data, 0)
    if size > EXPANSION * len(data):
        raise ValueError(f"{size} bytes compressed to {len(data)}")
    found = bytearray()
    while at < len(data):
        read = _copy if data[at] & 3 else _literal
        piece, at = read(data, at, found)
        found += piece
        if len(found) > size:
            break
    if len(found) != size:
        raise ValueError("compressed data of another size than it says")
    return bytes(found)


def _literal(data: bytes, at: int, found: bytearray) -> tuple[bytes, int]:
    length, at = (data[at] >> 2) + 1, at + 1
    if length > LONG:
        width = length - LONG
        length, at = int.from_bytes(data[at : at + width], "little") + 1, at + width
    if at + length > len(data):
        raise ValueError("compressed data that ends early")
    return data[at : at + length], at + length


def _copy(data: bytes, at: int, found: bytearray) -> tuple[bytes, int]:
    kind, rest, at = data[at] & 3, data[at] >> 2, at + 1
    width = {1: 1, 2: 2, 3: 4}[kind]
    back = int.from_bytes(data[at : at + width], "little")
    length = rest + 1
    if kind == 1:
        length, back = (rest & 7) + 4, back | rest >> 3 << 8
    if not 0 < back <= len(found):
        raise ValueError("compressed data that refers to before its begin")
    start = len(found) - back
    pattern = bytes(found[start : start + length])
    # What is copied may be what the copy itself appends.
    return (pattern * (length // len(pattern) + 1))[:length], at + width
