"""Hugging Face directories: `config.json` and `model.safetensors` or `.bin`.

Source: `modeling_bert.py` and `configuration_utils.py` of transformers.
"""

import os
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_bert import families
from keras_bert.checkpoints import files
from keras_bert.checkpoints.checkpoint import Checkpoint, Tensor
from keras_bert.config import ACTIVATIONS, BertConfig
from keras_bert.errors import CheckpointError, MissingExtraError, choose

# The likeliest first; a directory may hold the same weights in several.
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
SINGLE_FILES = (".safetensors", ".bin", ".pt", ".pth")
WORD_EMBEDDINGS = "embeddings.word_embeddings.weight"
# What may stand before the names: nothing, the base model's name, a wrapper's name.
PREFIXES = ("bert.", "", "module.bert.", "module.")
BODY = ("embeddings.", "encoder.", "pooler.")  # the base model's own names
POOLER = "bert.pooler.dense.weight"
LEGACY = {".gamma": ".weight", ".beta": ".bias"}  # of LayerNorm, until 2019
BUFFERS = ("bert.embeddings.position_ids", "bert.embeddings.token_type_ids")
TIED = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
DTYPE_KEYS = ("dtype", "torch_dtype")  # today's name, and the one until 2025
# A training script's checkpoint wraps the state dict.
WRAPPERS = ("state_dict", "model_state_dict", "model")


# === Reading ===


def detect(path: Path) -> bool:
    """Whether a path is a Hugging Face directory or a file of PyTorch weights."""
    if path.is_dir():
        return any((path / name).is_file() for name in WEIGHTS)
    return path.is_file() and path.suffix in SINGLE_FILES


def read(path: Path, *, config_file: str | Path | None = None) -> Checkpoint:
    """Opens a state dict and its config.

    Args:
        path: a directory, or a `.safetensors`, `.bin` or `.pt` file.
        config_file: the `config.json`, where it lies elsewhere.

    Raises:
        CheckpointError: damaged, or tied weights that differ.
        MissingExtraError: a `.bin` file without PyTorch.
    """
    main = path
    if path.is_dir():
        main = next(path / name for name in WEIGHTS if (path / name).is_file())
    config, head = files.read_config(
        ("config.json", "bert_config.json"), [main.parent], config_file
    )
    # The tensors say what they are; a copy of the key would outlive them.
    extra = {k: v for k, v in config.extra.items() if k not in DTYPE_KEYS}
    config = config.replace(extra=extra)
    weight_map = _weight_map(main)
    shards = [main.parent / name for name in sorted(set(weight_map.values()))]
    stored = _read_shards(shards or [main])
    _compare(weight_map or stored, stored, main)
    tensors = _current_names(stored, path)
    ignored = {name: "buffer, not a weight" for name in BUFFERS if name in tensors}
    ignored |= _untie(tensors, path)
    return Checkpoint(
        path=path,
        format="huggingface",
        config=config,
        tensors={k: t for k, t in tensors.items() if k not in ignored},
        head=head,
        ignored=ignored,
        files=shards or [main],
        tokenizer_files=files.tokenizer_files(main.parent),
    )


def _weight_map(main: Path) -> dict[str, str]:
    """An index' names of tensors and their files; empty for a single file."""
    if main.suffix != ".json":
        return {}
    weight_map = files.read_json(main).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"Expected a weight_map in {main}; none is there.")
    names = sorted({str(name) for name in weight_map.values()})
    outside = [name for name in names if Path(name).name != name or name == ".."]
    if outside:
        raise CheckpointError(
            f"Expected plain file names in {main}. Received: {', '.join(outside)}."
        )
    absent = [name for name in names if not (main.parent / name).is_file()]
    if absent:
        raise CheckpointError(
            f"Expected the shards that {main} names. Missing: {', '.join(absent)}."
        )
    return weight_map


def _compare(named: Iterable[str], stored: Iterable[str], main: Path) -> None:
    """Raises if an index and its shards do not name the same tensors."""
    sides = {
        "the index": sorted(set(named) - set(stored)),
        "the shards": sorted(set(stored) - set(named)),
    }
    alone = [f"{', '.join(n[:5])} in {where}" for where, n in sides.items() if n]
    if alone:
        raise CheckpointError(
            f"Expected {main} and its shards to name the same tensors. "
            f"Received alone: {'; '.join(alone)}."
        )


def _read_shards(shards: list[Path]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for shard in shards:
        is_safe = shard.suffix == ".safetensors"
        more = _read_safetensors(shard) if is_safe else _read_torch(shard)
        twice = sorted(tensors.keys() & more.keys())
        if twice:
            raise CheckpointError(f"Found {', '.join(twice)} again in {shard}.")
        tensors |= more
    return tensors


# === Names ===


def _current_names(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Renames to what transformers writes today for a model with a head."""
    prefix = next((p for p in PREFIXES if f"{p}{WORD_EMBEDDINGS}" in tensors), None)
    if prefix is None:
        received = ", ".join(list(tensors)[:5]) or "nothing"
        raise CheckpointError(
            f"Expected a BERT state dict in {path}, with bert.{WORD_EMBEDDINGS} or "
            f"{WORD_EMBEDDINGS}. Received: {received}."
        )
    wrapper = "module." if prefix.startswith("module.") else ""
    bare = not prefix.endswith("bert.")
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        current = _current_name(name.removeprefix(wrapper), bare)
        if current in renamed:
            raise CheckpointError(f"Found {current} under two spellings in {path}.")
        renamed[current] = tensor
    return renamed


def _current_name(name: str, bare: bool) -> str:
    stem, dot, last = name.rpartition(".")
    if stem.endswith("LayerNorm"):
        name = stem + LEGACY.get(dot + last, dot + last)
    return f"bert.{name}" if bare and name.startswith(BODY) else name


def _untie(tensors: dict[str, Tensor], path: Path) -> dict[str, str]:
    """Checks that tied copies equal their originals; returns those to ignore."""
    ignored = {}
    for copy, original in TIED.items():
        if copy not in tensors:
            continue
        if original not in tensors:  # the other of the two was saved
            tensors[original] = tensors.pop(copy)
            continue
        if not _equal(tensors[copy], tensors[original]):
            raise CheckpointError(
                f"Expected {copy} to equal {original} in {path}; they differ. A model "
                "with an output matrix of its own cannot be converted."
            )
        ignored[copy] = f"tied to {original}"
    return ignored


def _equal(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    # Bytes, so that a NaN equals itself.
    return one.load().tobytes() == other.load().tobytes()


# === Files ===


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    """Maps a file; its header is checked before anything is allocated."""
    from safetensors import safe_open

    with files.readable(path):
        file = safe_open(path, framework="numpy")
        slices = {name: file.get_slice(name) for name in file.keys()}
        return {
            name: Tensor(
                tuple(part.get_shape()),
                _safetensors_dtype(part.get_dtype(), path),
                _loader(path, file.get_tensor, name),
            )
            for name, part in slices.items()
        }


def _loader(
    path: Path, get: Callable[[str], np.ndarray], name: str
) -> Callable[[], np.ndarray]:
    def load() -> np.ndarray:
        with files.readable(path):
            return get(name)

    return load


def _safetensors_dtype(name: str, path: Path) -> np.dtype:
    import ml_dtypes

    dtypes = {
        **{f"F{8 * size}": np.dtype(f"f{size}") for size in (2, 4, 8)},
        **{f"I{8 * size}": np.dtype(f"i{size}") for size in (1, 2, 4, 8)},
        "U8": np.dtype("u1"),
        "BOOL": np.dtype("?"),
        "BF16": np.dtype(ml_dtypes.bfloat16),
    }
    if name not in dtypes:
        raise CheckpointError(
            f"Expected one of the dtypes {', '.join(dtypes)} in {path}. "
            f"Received: {name}."
        )
    return dtypes[name]


def _read_torch(path: Path) -> dict[str, Tensor]:
    """Loads a pickled state dict without running what a pickle may hold."""
    torch = _torch(path)
    # The format from before PyTorch 1.6 is no zip archive and cannot be mapped.
    mapped = zipfile.is_zipfile(path)
    with files.readable(path):
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    for wrapper in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict):
        raise CheckpointError(
            f"Expected a state dict in {path}. Received: {type(state)}."
        )
    others = [str(k) for k, v in state.items() if not isinstance(v, torch.Tensor)]
    if others:
        raise CheckpointError(
            f"Expected only tensors in the state dict {path}. "
            f"Received others: {', '.join(others[:5])}."
        )
    return {name: _from_torch(tensor, path) for name, tensor in state.items()}


def _torch(path: Path) -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(
            f"PyTorch is needed for {path.name}. Install it with "
            "pip install 'bert-for-keras[torch]', or use safetensors."
        ) from error
    return torch


def _from_torch(tensor: Any, path: Path) -> Tensor:
    import ml_dtypes
    import torch

    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:  # unknown to NumPy: pass the bits
        dtype = np.dtype(ml_dtypes.bfloat16)
        bits = tensor.contiguous().view(torch.int16)
        return Tensor(tuple(tensor.shape), dtype, lambda: bits.numpy().view(dtype))
    with files.readable(path):
        array = tensor.numpy()
    return Tensor.of(array)


# === Writing ===


def write(
    folder: Path,
    config: BertConfig,
    head: str,
    tensors: Mapping[str, Tensor],
    *,
    file_format: str = "safetensors",
) -> list[str]:
    """Writes `config.json` and the weights.

    Args:
        folder: an existing directory.
        config: the model's config.
        head: its class.
        tensors: by the names of a model with a head.
        file_format: "safetensors", or "bin" for a pickled state dict.

    Returns:
        Warnings, in sentences.

    Raises:
        UnknownNameError: `file_format` is neither.
        MissingExtraError: "bin" without PyTorch.
    """
    writers = {"safetensors": _write_safetensors, "bin": _write_torch}
    save = writers[choose("file format", file_format, writers)]
    arrays = {name: tensor.load() for name, tensor in tensors.items()}
    dtype = next(iter(tensors.values())).dtype.name
    files.write_json(folder / "config.json", to_hf_config(config, head, dtype))
    # The base model alone has no prefix.
    prefix = "bert." if head == "BertModel" else ""
    save(folder, {name.removeprefix(prefix): a for name, a in arrays.items()})
    return _unused(head, config, tensors)


def _unused(head: str, config: BertConfig, names: Iterable[str]) -> list[str]:
    """Says so where the class of transformers has no pooler but the file does."""
    if "pooler" in families.of(config).HEADS[head] or POOLER not in names:
        return []
    return [
        f"The pooler is kept; {head} of transformers has none and will report it as "
        "unexpected. Drop it by name (drop=['pooler'], --drop pooler) if it is not "
        "needed."
    ]


def _write_safetensors(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    from safetensors.numpy import save_file

    path = folder / "model.safetensors"
    arrays = {
        name: np.ascontiguousarray(a).reshape(a.shape) for name, a in arrays.items()
    }
    save_file(arrays, path, metadata={"format": "pt"})
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)  # the library leaves it readable by the owner alone


def _write_torch(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    torch = _torch(folder / "pytorch_model.bin")
    state = {name: _to_torch(array, torch) for name, array in arrays.items()}
    # The same tensor twice is stored once.
    tied = {
        copy: state[of] for copy, of in TIED.items() if "cls.predictions.bias" in state
    }
    torch.save({**state, **tied}, folder / "pytorch_model.bin")


def _to_torch(array: np.ndarray, torch: Any) -> Any:
    array = np.require(array, requirements=["C", "W"])
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def to_hf_config(config: BertConfig, head: str, dtype: str) -> dict[str, Any]:
    """Returns a `config.json` as transformers writes it.

    Args:
        config: the model's config.
        head: its class.
        dtype: of the weights, for instance "float32".
    """
    has_labels = {"sequence_classifier", "token_classifier"} & set(
        families.of(config).HEADS[head]
    )
    if has_labels and config.id2label is None:
        config = config.replace(id2label=dict(enumerate(config.labels)))
    values = config.to_dict()
    values.pop("num_labels", None)  # counted from id2label
    quiet = ("problem_type", "output_hidden_states", "output_attentions")
    values = {k: v for k, v in values.items() if v or k not in quiet}
    return {
        **values,
        "hidden_act": ACTIVATIONS[config.hidden_act],
        "architectures": [head],
        "dtype": dtype,
    }
