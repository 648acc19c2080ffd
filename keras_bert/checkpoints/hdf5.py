"""Weights in one or several HDF5 files, as Keras writes and reads them."""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_bert.checkpoints import files
from keras_bert.checkpoints.checkpoint import Tensor
from keras_bert.errors import CheckpointError

WEIGHTS = "model.weights.h5"
# Keras' names if the weights are in several files.
INDEX, SHARD = "model.weights.json", "model_{:05d}.weights.h5"
MAX_INFLATION = 1000  # of compressed weights; a file above that is malicious

# === Reading ===


def main_file(folder: Path) -> Path:
    """Returns the weights file of a directory, or the index of its shards."""
    return next(
        (folder / n for n in (WEIGHTS, INDEX) if (folder / n).is_file()), folder
    )


def shard_files(main: Path) -> list[Path]:
    """Returns the files that hold the weights; for an index, those that it names."""
    if main.suffix != ".json":
        return [main]
    values = [
        v if isinstance(v, list) else [v] for v in files.weight_map(main).values()
    ]
    return files.shard_paths(main, [name for names in values for name in names])


def read(shards: Iterable[Path]) -> dict[str, Tensor]:
    """Opens all datasets of some files, by name.

    Raises:
        CheckpointError: a file is damaged, or two have the same name.
    """
    return files.read_shards(shards, _read)


def _read(path: Path) -> dict[str, Tensor]:
    with files.readable(path):
        return {name: _tensor(item, path) for name, item in datasets(path).items()}


def datasets(path: Path) -> dict[str, Any]:
    """Returns a file's datasets by name, without links to other files.

    Raises:
        CheckpointError: the file is damaged.
    """
    import h5py

    found: dict[str, Any] = {}

    def collect(name: str | bytes, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            # Bytes, or halves of characters, where it is no text.
            raw = name.encode(errors="surrogateescape") if type(name) is str else name
            found[raw.decode(errors="replace")] = item

    with files.readable(path):
        h5py.File(path, "r").visititems(collect)
    return found


def _tensor(item: Any, path: Path) -> Tensor:
    # HDF5 has no bfloat16: Keras stores the bits, and the dtype as an attribute.
    _refuse_unreal(item, path)
    said = str(item.attrs.get("dtype", ""))
    is_bfloat16 = said == "bfloat16" and item.dtype.itemsize == 2
    dtype = files.dtype("bfloat16") if is_bfloat16 else item.dtype

    def part(*rows: int) -> np.ndarray:
        with files.readable(path):
            values = item[slice(*rows)] if rows else item[()]
            return np.asarray(values).view(dtype) if is_bfloat16 else np.asarray(values)

    return Tensor(tuple(item.shape), dtype, part, part if item.shape else None)


def _refuse_unreal(item: Any, path: Path) -> None:
    """Raises if a dataset claims a shape that the file does not hold, but fills up."""
    if item.shape is None:
        raise CheckpointError(
            f"Expected values in {item.name} of {path}. Received: an empty dataspace. "
            "The file is damaged."
        )
    claimed = math.prod(item.shape) * item.dtype.itemsize
    stored = item.id.get_storage_size()
    if item.external or item.is_virtual or claimed > MAX_INFLATION * stored:
        raise CheckpointError(
            f"Expected {item.name} of the shape {item.shape} to be stored in {path}. "
            f"Received: {stored} of its {claimed} bytes. The file is damaged."
        )


# === Writing ===


def write(
    path: Path, tensors: Mapping[str, Tensor], place: Callable[[str], str]
) -> None:
    """Writes a file of weights.

    Args:
        path: the file.
        tensors: by variable path.
        place: returns the name in the file for a variable path.
    """
    size = sum(tensor.nbytes for tensor in tensors.values())
    with new_file(path) as file:
        for name in files.progress(tensors, f"writing {path.name}", size):
            dataset = put(file, place(name), tensors[name])
            dataset.parent.attrs["name"] = name.split("/")[-2]  # as Keras does


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Any]:
    """Opens a new HDF5 file.

    HDF5 writes through a file of Python, which raises when the disk is full; HDF5's own
    ends the process.
    """
    import h5py

    with open(path, "w+b") as raw, h5py.File(raw, "w") as file:
        yield file


def put(file: Any, name: str, tensor: Tensor) -> Any:
    """Writes a tensor, piece by piece, and returns its dataset."""
    dataset = file.create_dataset(name, tensor.shape, tensor.dtype)
    at = 0
    for piece in tensor.pieces():
        if not tensor.shape:
            dataset[()] = piece
            break
        dataset[at : at + len(piece)] = piece
        at += len(piece)
    if tensor.dtype.name == "bfloat16":
        dataset.attrs["dtype"] = "bfloat16"
    return dataset
