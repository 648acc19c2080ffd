"""Safetensors files, read and written tensor by tensor.

A file is the length of a header in eight bytes, the header as JSON, and the tensors'
bytes, one after the other. The `safetensors` library maps a file it reads, and takes
all tensors at once when it writes; here memory grows with the largest tensor alone.

Source: huggingface/safetensors, README.md, "Format".
"""

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_bert.checkpoints import files
from keras_bert.checkpoints.checkpoint import Tensor
from keras_bert.errors import CheckpointError

DTYPES = {
    "BOOL": "bool",
    "BF16": "bfloat16",
    **{f"F{8 * size}": f"float{8 * size}" for size in (2, 4, 8)},
    **{f"I{8 * size}": f"int{8 * size}" for size in (1, 2, 4, 8)},
    **{f"U{8 * size}": f"uint{8 * size}" for size in (1, 2, 4, 8)},
}
NAMES = {name: code for code, name in DTYPES.items()}
METADATA = "__metadata__"
HEADER_LIMIT = 100_000_000  # bytes, as in the library


# === Reading ===


def read(path: Path) -> dict[str, Tensor]:
    """Opens a file; its header is compared with its size, tensors are not read yet.

    Args:
        path: a `.safetensors` file.

    Returns:
        Tensors by name.

    Raises:
        CheckpointError: the header is damaged, or does not describe the file: every
            byte must belong to one tensor.

    Example:
        >>> read(Path("model.safetensors"))  # doctest: +SKIP
    """
    with files.readable(path):
        header, start = _header(path)
        tensors = {name: _tensor(path, e, start) for name, e in header.items()}
        _check({name: _offsets(e) for name, e in header.items()}, path, start)
    return tensors


def _header(path: Path) -> tuple[dict[str, Any], int]:
    size = path.stat().st_size
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > min(HEADER_LIMIT, size - 8):
            raise ValueError(f"a header of {length} bytes in {size}")
        header = json.loads(file.read(length), object_pairs_hook=_no_duplicates)
    if not isinstance(header, dict):
        raise ValueError("a header that is no JSON object")
    header.pop(METADATA, None)
    return header, 8 + length


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a name twice in the header")
    return values


def _tensor(path: Path, entry: Mapping[str, Any], start: int) -> Tensor:
    dtype, shape = _dtype(entry["dtype"]), tuple(entry["shape"])
    first, last = _offsets(entry)
    whole = all(isinstance(n, int) and n >= 0 for n in (*shape, first, last))
    if not whole or math.prod(shape) * dtype.itemsize != last - first:
        raise ValueError(f"a shape {shape} of {dtype} in bytes {first} to {last}")
    row = (last - first) // shape[0] if shape and shape[0] else 0

    def part(begin: int, end: int) -> np.ndarray:
        count, at = (end - begin) * row, start + first + begin * row
        return _read(path, count, at).view(dtype).reshape(end - begin, *shape[1:])

    def load() -> np.ndarray:
        return _read(path, last - first, start + first).view(dtype).reshape(shape)

    return Tensor(shape, dtype, load, part if shape else None)


def _offsets(entry: Mapping[str, Any]) -> tuple[int, int]:
    first, last = entry["data_offsets"]
    return first, last


def _dtype(code: str) -> np.dtype:
    if code not in DTYPES:
        raise ValueError(f"the dtype {code!r}, not one of {', '.join(DTYPES)}")
    return files.dtype(DTYPES[code])


def _check(places: Mapping[str, tuple[int, int]], path: Path, start: int) -> None:
    """Raises unless the tensors lie one after the other, from first byte to last."""
    at = 0
    for name, (first, last) in sorted(places.items(), key=lambda item: item[1]):
        if first != at:
            raise ValueError(f"{name} at byte {first}, not after the last, {at}")
        at = last
    available = path.stat().st_size - start
    if at != available:
        raise ValueError(f"tensors of {at} bytes in {available}")


def _read(path: Path, count: int, at: int) -> np.ndarray:
    with files.readable(path):
        raw = np.fromfile(path, "u1", count, offset=at)
        if raw.size < count:
            raise ValueError(f"no {count} bytes at {at}")
        return raw


# === Writing ===


def write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes a file, the header first, then one tensor after the other.

    Args:
        path: the file to make.
        tensors: by name.

    Raises:
        CheckpointError: a dtype that safetensors files cannot hold.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "model.safetensors"
        >>> write(path, {"bias": Tensor.of(np.ones(2))})
        >>> read(path)["bias"].load()
        array([1., 1.])
    """
    # As the library does: large dtypes first, so that all are aligned; then by name.
    order = sorted(tensors, key=lambda n: (-tensors[n].dtype.itemsize, n))
    header: dict[str, Any] = {METADATA: {"format": "pt"}}
    at = 0
    for name in order:
        tensor = tensors[name]
        header[name] = {
            "dtype": _code(name, tensor.dtype),
            "shape": list(tensor.shape),
            "data_offsets": [at, at := at + tensor.nbytes],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of eight
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in files.progress(order, f"writing {path.name}", at):
            for piece in tensors[name].pieces():
                file.write(files.raw(piece))


def _code(name: str, dtype: np.dtype) -> str:
    if dtype.name not in NAMES:
        raise CheckpointError(
            f"Expected one of the dtypes {', '.join(NAMES)} for {name}. "
            f"Received: {dtype.name}."
        )
    return NAMES[dtype.name]
