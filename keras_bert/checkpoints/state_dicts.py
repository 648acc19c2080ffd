"""State dicts of PyTorch: `.bin`, `.pt`, `.ckpt`; their pickles are never executed.

Since PyTorch 1.6 such a file is a zip archive, whose CRC-32s are compared: those of
the pickle when it is opened, those of the tensors when the first of them is read.
"""

import pickle
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_bert.checkpoints import files
from keras_bert.checkpoints.checkpoint import PIECE, Tensor
from keras_bert.errors import CheckpointError
from keras_bert.extras import require

# A training script's checkpoint has the state dict under one of these keys.
WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net")
REPEATED = 1 << 28  # bytes that tensors may have beyond those that are stored
DATA = re.compile(r"[^/]+/data/\d+")  # entries of an archive that are tensors

# === Reading ===


def read(path: Path) -> dict[str, Tensor]:
    """Opens a state dict.

    Args:
        path: a file that `torch.save` wrote.

    Returns:
        Tensors by name.

    Raises:
        CheckpointError: it is damaged, or is something else.
        MissingExtraError: PyTorch is not installed.

    Example:
        >>> read(Path("pytorch_model.bin"))  # doctest: +SKIP
    """
    torch = require("torch")
    with files.readable(path):
        archive = _Archive(path) if zipfile.is_zipfile(path) else None
        # The format before PyTorch 1.6 is not a zip archive and cannot be mapped.
        state = _load(torch, path, mmap=archive is not None)
        verify = archive.verify if archive else lambda: None
        tensors = _tensors(state, path, torch)
        found = {n: _tensor(n, t, path, verify) for n, t in tensors.items()}
        _limit_repetition(tensors, path)
    return found


def _load(torch: Any, path: Path, **options: Any) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, **options)
    except pickle.UnpicklingError as error:
        objects = re.findall(r"GLOBAL ([\w.]+)", str(error))
        if not objects:  # the message of PyTorch advises to execute it
            raise ValueError("no state dict of torch.save") from error
        raise CheckpointError(
            f"Expected a state dict in {path}. Received Python objects "
            f"({objects[0]}), as torch.save(model) and some trainers write; they are "
            "never executed. Load the file where their classes are installed, and save "
            "model.state_dict()."
        ) from error


def _tensors(state: Any, path: Path, torch: Any) -> dict[str, Any]:
    """Returns the tensors of a state dict; other values, such as counters, are none."""
    for wrapper in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    held = state if isinstance(state, dict) else {}
    tensors = {k: v for k, v in held.items() if isinstance(v, torch.Tensor)}
    odd = [repr(n) for n in tensors if not isinstance(n, str) or not n.isprintable()]
    if tensors and not odd:
        return tensors
    received = odd or [*map(repr, held)] or [type(state).__name__]
    raise CheckpointError(
        f"Expected a state dict of tensors by name in {path}. "
        f"Received: {', '.join(received[:5])[:200]}."
    )


class _Archive:
    """The checksums of a zip archive.

    Raises:
        ValueError: it is compressed, which PyTorch's never are: it may be huge.
    """

    def __init__(self, path: Path):
        self.path, self.verified = path, False
        with zipfile.ZipFile(path) as archive:
            self.entries = archive.infolist()
            unpacked = sum(entry.file_size for entry in self.entries)
            if unpacked > path.stat().st_size:
                size = path.stat().st_size
                raise ValueError(f"{unpacked} bytes in an archive of {size}")
        self.compare(tensors=False)

    def verify(self) -> None:
        """Compares the checksums of tensors, once."""
        if not self.verified:
            with files.readable(self.path):
                self.compare(tensors=True)
            self.verified = True

    def compare(self, tensors: bool) -> None:
        if not any(entry.CRC for entry in self.entries):
            return  # written with torch.serialization.set_crc32_options(False)
        with zipfile.ZipFile(self.path) as archive:
            for entry in self.entries:
                if (DATA.fullmatch(entry.filename) is not None) == tensors:
                    _read_through(archive, entry)


def _read_through(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    with archive.open(entry) as file:  # compares the checksum at the end
        while file.read(PIECE):
            pass


def _tensor(name: str, tensor: Any, path: Path, verify: Callable[[], None]) -> Tensor:
    array = _array(name, tensor.detach(), path)

    def part(*rows: int) -> np.ndarray:
        verify()
        return array[slice(*rows)] if rows else array

    return Tensor(array.shape, array.dtype, part, part if array.ndim else None)


def _limit_repetition(tensors: Mapping[str, Any], path: Path) -> None:
    """Raises if expanded tensors, which repeat what is stored, are far larger."""
    sizes = {n: (t.nbytes, t.untyped_storage().nbytes()) for n, t in tensors.items()}
    beyond = {n: claimed - stored for n, (claimed, stored) in sizes.items()}
    if sum(size for size in beyond.values() if size > 0) > REPEATED:
        name = max(beyond, key=beyond.__getitem__)
        claimed, stored = sizes[name]
        raise CheckpointError(
            f"Expected tensors that repeat at most {REPEATED:,} bytes in {path}. "
            f"Received: {name} with a shape of {claimed} bytes for {stored}. Save it "
            "with .contiguous()."
        )


def _array(name: str, tensor: Any, path: Path) -> np.ndarray:
    """Returns a tensor as an array that shares its memory."""
    import ml_dtypes
    import torch

    plain = tensor.layout == torch.strided and not tensor.is_quantized
    if not plain or tensor.is_meta:
        kind = tensor.layout if not plain else "tensor without values"
        raise CheckpointError(
            f"Expected {name} in {path} to be a plain tensor. Received: a {kind}. Save "
            "it with .to_dense() or .dequantize()."
        )
    if tensor.dtype == torch.bfloat16:  # unknown to NumPy: pass the bits
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    try:
        return tensor.numpy()
    except TypeError as error:  # of eight bits
        raise CheckpointError(
            f"Expected {name} in {path} in float32, float16 or bfloat16. Received: "
            f"{tensor.dtype}. Save the state dict in one of these."
        ) from error


# === Writing ===


def write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes a state dict; a tensor under two names is stored once.

    Args:
        path: the file to write.
        tensors: by name.

    Raises:
        MissingExtraError: PyTorch is not installed.
    """
    torch = require("torch")
    loaded = {id(t): _to_torch(t.load(), torch) for t in tensors.values()}
    with open(path, "wb") as file:  # so that an error of the disk is one of Python
        torch.save({name: loaded[id(t)] for name, t in tensors.items()}, file)


def _to_torch(array: np.ndarray, torch: Any) -> Any:
    array = np.require(array, requirements=["C", "W"])
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)
