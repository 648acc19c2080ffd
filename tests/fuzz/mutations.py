"""Seeded changes of files: of bytes, of lengths, of what JSON says."""

import json
import random
import struct
from collections.abc import Callable
from typing import Any

EXTREMES = (0, 1, -1, 127, 128, 255, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
DEEP = 3_000  # lists in one another
VALUES = (
    *(
        None,
        True,
        False,
        "",
        "x",
        [],
        {},
        [[]],
        {"a": 1},
        ["a"],
        "True",
        "\ud800",
        "\0",
    ),
    *(0, 1, -1, 7, 10**5, 2**31, 2**63, 10**30, 0.5, 1e308, float("inf"), float("nan")),
    *("../x", "/etc/passwd", "a" * 5_000, "é", [None] * 40),
)
_Random = random.Random


def mutated(data: bytes, rng: _Random) -> bytes:
    """Returns data with one to three changes."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        data = rng.choice(BYTES)(data, rng)
    return data


# === Of bytes ===


def _place(data: bytes, rng: _Random) -> int:
    """Returns a place, often near the beginning or the end, where headers are."""
    size = len(data)
    near = min(size, 64)
    return rng.choice(
        (rng.randrange(size), rng.randrange(near), size - 1 - rng.randrange(near))
    )


def _flipped(data: bytes, rng: _Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 2, 8)) if data else 0):
        changed[_place(data, rng)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(data: bytes, rng: _Random) -> bytes:
    return data[: rng.choice((0, rng.randrange(len(data) + 1), len(data) - 1))]


def _spliced(data: bytes, rng: _Random) -> bytes:
    """Copies a piece over another place, or inserts it there, or removes it."""
    if not data:
        return data
    start, at = _place(data, rng), _place(data, rng)
    piece = data[start : start + rng.choice((1, 4, 16, 200))]
    return rng.choice(
        (
            data[:at] + piece + data[at + len(piece) :],
            data[:at] + piece + data[at:],
            data[:start] + data[start + len(piece) :],
        )
    )


def _length(data: bytes, rng: _Random) -> bytes:
    """Writes an extreme number, little- or big-endian, of one to eight bytes."""
    if not data:
        return data
    size = rng.choice((1, 2, 4, 8))
    number = rng.choice((*EXTREMES, len(data), len(data) + 1)) & (1 << 8 * size) - 1
    at = _place(data, rng)
    order = rng.choice(("little", "big"))
    return (data[:at] + number.to_bytes(size, order) + data[at + size :])[: len(data)]


def _noise(data: bytes, rng: _Random) -> bytes:
    at, noise = rng.randrange(len(data) + 1), rng.randbytes(rng.choice((1, 8, 64)))
    return data[:at] + noise + data[at + rng.choice((0, len(noise))) :]


def _longer(data: bytes, rng: _Random) -> bytes:
    return data + rng.choice((b"\0" * 64, b"\n\n", rng.randbytes(32), data[:200]))


def _digits(data: bytes, rng: _Random) -> bytes:
    """Writes another number over one in a text."""
    places = [i for i, byte in enumerate(data) if 48 <= byte < 58]
    if not places:
        return _flipped(data, rng)
    at = rng.choice(places)
    number = rng.choice((b"-1", b"1e999", b"9" * 30, b"9" * 5_000, b"NaN", b"0"))
    return data[:at] + number + data[at + 1 :]


BYTES: tuple[Callable[[bytes, _Random], bytes], ...] = (
    *(_flipped, _flipped, _cut, _spliced, _length, _length, _noise, _longer, _digits),
)

# === Of JSON ===


def mutated_json(text: bytes, rng: _Random) -> bytes:
    """Returns JSON in which something is replaced, renamed, repeated or removed."""
    value = json.loads(text)
    for _ in range(rng.choice((1, 1, 2, 3))):
        value = _changed(value, rng)
    found = json.dumps(value).encode()
    if rng.random() < 0.05:
        found = b"[" * DEEP + found + b"]" * DEEP
    if rng.random() < 0.05:  # the first key again
        found = found.replace(b"{", b'{"model": 1, "model": {}, "vocab_size": 3, ', 1)
    return found


def _changed(value: Any, rng: _Random) -> Any:
    if not isinstance(value, dict | list) or not value or rng.random() < 0.1:
        return rng.choice(VALUES)
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key, changed = rng.choice(keys), value.copy()
    action = rng.randrange(6)
    if action < 4:
        deeper = isinstance(value[key], dict | list) and rng.random() < 0.7
        changed[key] = (
            _changed(value[key], rng)
            if deeper
            else rng.choice((*VALUES, value[rng.choice(keys)]))
        )
    elif action == 4:
        del changed[key]
    elif isinstance(value, dict):
        changed[rng.choice(("", "x", str(key) + "2"))] = changed.pop(key)
    else:
        changed.append(value[key])
    return changed


def with_json_header(data: bytes, rng: _Random) -> bytes:
    """Changes the header of a safetensors file, and its length to fit."""
    (size,) = struct.unpack("<Q", data[:8])
    header = mutated_json(data[8 : 8 + size], rng)
    return struct.pack("<Q", len(header)) + header + data[8 + size :]
