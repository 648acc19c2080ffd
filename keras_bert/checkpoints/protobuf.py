"""Protocol buffers, as far as checkpoints need them: fields by number.

Source: protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Mapping

FIXED = {1: 8, 5: 4}  # bytes of the wire types of fixed size
DELIMITED = 2

# === Reading ===


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Reads a number of variable length; returns it and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
    raise ValueError("a number of impossible form")


def fields(data: bytes) -> dict[int, list]:
    """Reads a message: numbers, or bytes, by field number.

    Raises:
        ValueError: it is no message, or a part of one.

    Example:
        >>> fields(message({1: 300, 2: b"name"}))
        {1: [300], 2: [b'name']}
    """
    found: dict[int, list] = {}
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        value, at = _value(data, at, tag & 7)
        found.setdefault(tag >> 3, []).append(value)
    return found


def _value(data: bytes, at: int, wire: int) -> tuple[int | bytes, int]:
    if wire == 0:
        return varint(data, at)
    if wire == DELIMITED:
        size, at = varint(data, at)
    elif wire in FIXED:
        size = FIXED[wire]
    else:
        raise ValueError("a message of impossible form")
    if at + size > len(data):
        raise ValueError("a message cut short")
    return data[at : at + size], at + size


def number(fields: Mapping[int, list], key: int) -> int:
    """Returns a field that is a number, 0 if it is absent."""
    value = fields.get(key, [0])[-1]
    # Negative numbers have ten bytes; none has a meaning in these files.
    if not isinstance(value, int) or value >= 1 << 63:
        raise ValueError("a number where none can be")
    return value


def raw(fields: Mapping[int, list], key: int) -> bytes:
    """Returns a field that is bytes or a message, empty if it is absent."""
    value = fields.get(key, [b""])[-1]
    if not isinstance(value, bytes):
        raise ValueError("a message where none can be")
    return value


def text(fields: Mapping[int, list], key: int) -> str:
    """Returns a field that is text, empty if it is absent."""
    return raw(fields, key).decode()


# === Writing ===


def message(values: Mapping[int, int | bytes]) -> bytes:
    """Writes fields; zeros are left out, as proto3 does."""
    return b"".join(field(key, value) for key, value in values.items() if value != 0)


def field(key: int, value: int | bytes) -> bytes:
    """Writes one field."""
    if isinstance(value, int):
        return as_varint(key << 3) + as_varint(value)
    return as_varint(key << 3 | DELIMITED) + as_varint(len(value)) + value


def as_varint(value: int) -> bytes:
    """Writes a number of variable length."""
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])
