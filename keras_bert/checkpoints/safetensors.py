"""Safetensors files: read by the library, written tensor by tensor.

The library takes all tensors at once when it writes; our writer holds one piece of one
tensor in memory.

Source: huggingface/safetensors, README.md, "Format".
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_bert.checkpoints import files
from keras_bert.checkpoints.checkpoint import Tensor
from keras_bert.config import MAX_JSON
from keras_bert.errors import CheckpointError
from keras_bert.strings import each_key_once

DTYPES = {
    "BOOL": "bool",
    "BF16": "bfloat16",
    **{f"F{8 * size}": f"float{8 * size}" for size in (2, 4, 8)},
    **{f"I{8 * size}": f"int{8 * size}" for size in (1, 2, 4, 8)},
    **{f"U{8 * size}": f"uint{8 * size}" for size in (1, 2, 4, 8)},
}
NAMES = {name: code for code, name in DTYPES.items()}
METADATA = "__metadata__"

# === Reading ===


def read(path: Path) -> dict[str, Tensor]:
    """Opens a file; the library checks its header, tensors are not read yet.

    Args:
        path: a `.safetensors` file.

    Returns:
        Tensors by name.

    Raises:
        CheckpointError: the header is corrupt or does not describe the file.

    Example:
        >>> read(Path("model.safetensors"))  # doctest: +SKIP
    """
    with files.readable(path), _open(path) as file:
        _check_names(path)
        return {name: _tensor(path, name, file.get_slice(name)) for name in file.keys()}


def names(path: Path) -> list[str]:
    """Returns the names of a file's tensors; none if it is damaged."""
    try:
        with _open(path) as file:
            return [*file.keys()]
    except Exception:  # whatever the damage is: reading the tensors will report it
        return []


def _open(path: Path) -> Any:
    from safetensors import safe_open

    return safe_open(path, framework="numpy")


def _check_names(path: Path) -> None:
    """Raises if the header repeats a name, of which the library takes the last."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > MAX_JSON:
            raise ValueError(f"a header of {length} bytes")
        json.loads(file.read(length), object_pairs_hook=each_key_once)


def _tensor(path: Path, name: str, header: Any) -> Tensor:
    """Returns a tensor that maps the file again for each read.

    Pages of a mapping that stays open would count as memory in use until the end.
    """

    def load() -> np.ndarray:
        with files.readable(path), _open(path) as file:
            return file.get_tensor(name)

    def part(start: int, stop: int) -> np.ndarray:
        with files.readable(path), _open(path) as file:
            return file.get_slice(name)[start:stop]

    shape = tuple(header.get_shape())
    return Tensor(shape, _dtype(header.get_dtype()), load, part if shape else None)


def _dtype(code: str) -> np.dtype:
    if code not in DTYPES:
        raise CheckpointError(
            f"Expected one of the dtypes {', '.join(DTYPES)}. Received: {code}. Save "
            "the weights in one of the first."
        )
    return files.dtype(DTYPES[code])


# === Writing ===


def write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes a file, the header first, then one tensor after another.

    Args:
        path: the file to write.
        tensors: by name.

    Raises:
        CheckpointError: safetensors files do not have a dtype.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "model.safetensors"
        >>> write(path, {"bias": Tensor.of(np.ones(2))})
        >>> read(path)["bias"].load()
        array([1., 1.])
    """
    # As in the library: large dtypes first, so that all are aligned; then by name.
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
