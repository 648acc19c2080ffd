"""This package's own directories: `config.json` and `model.weights.h5`.

The weights file is laid out as `model.save_weights` of Keras lays it out, so that
Keras reads what is written here, and the other way round.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from keras_bert import families
from keras_bert.checkpoints import files
from keras_bert.checkpoints.checkpoint import Checkpoint, Tensor
from keras_bert.checkpoints.table import expand
from keras_bert.config import BertConfig

WEIGHTS = "model.weights.h5"
# Keras names a layer's group after its class, counting repeats in the model's order.
GROUPS = {
    "embeddings": "embeddings",
    "pooler": "pooler",
    "masked_lm": "masked_lm_transform",
    "masked_lm_bias": "output_bias",
    "next_sentence": "dense",
    "classifier": "dense",
    "qa_outputs": "dense",
}
BLOCK, LAYER = "transformer_block", "layer_"
# A layer's variables are numbered in the order it makes them.
NUMBERS = {
    "embeddings": "0",
    "kernel": "0",
    "gamma": "0",
    "bias": "1",
    "beta": "1",
}
OPTIMIZER = "optimizer/"  # of a compiled model


def h5_name(path: str) -> str:
    """Returns where Keras' weights file keeps a variable.

    Args:
        path: the variable's path in the model.

    Example:
        >>> h5_name("layer_1/attention/query/bias")
        'layers/transformer_block_1/attention/query/vars/1'
    """
    layer, *inside, variable = path.split("/")
    number = "0" if layer == "masked_lm_bias" else NUMBERS[variable]
    return "/".join(["layers", _group(layer), *inside, "vars", number])


def _group(layer: str) -> str:
    if not layer.startswith(LAYER):
        return GROUPS[layer]
    i = layer.removeprefix(LAYER)
    return BLOCK if i == "0" else f"{BLOCK}_{i}"


# === Reading ===


def detect(path: Path) -> bool:
    """Whether a path is a directory of ours, or its weights file."""
    if path.is_dir():
        path = path / WEIGHTS
    # KerasHub presets use the same file name with a config of another kind.
    return path.name.endswith(".weights.h5") and path.is_file() and _is_ours(path)


def _is_ours(path: Path) -> bool:
    config = path.parent / "config.json"
    return not config.is_file() or "registered_name" not in files.read_json(config)


def read(path: Path, *, config_file: str | Path | None = None) -> Checkpoint:
    """Opens a directory of ours.

    Args:
        path: the directory, or its weights file.
        config_file: the `config.json`, where it lies elsewhere.

    Raises:
        CheckpointError: damaged.
    """
    weights = path / WEIGHTS if path.is_dir() else path
    config, head = files.read_config(("config.json",), [weights.parent], config_file)
    stored = _tensors(weights)
    ignored = {n: "optimizer state" for n in stored if n.startswith(OPTIMIZER)}
    dense = _dense(weights, config, head)
    ours = {h5_name(path): path for path in _paths(config, dense)}
    return Checkpoint(
        path=path,
        format="keras",
        config=config,
        tensors={ours.get(k, k): t for k, t in stored.items() if k not in ignored},
        head=head,
        ignored=ignored,
        files=[weights],
        tokenizer_files=files.tokenizer_files(weights.parent),
    )


def _paths(config: BertConfig, dense: str | None) -> Iterable[str]:
    """Paths of the variables there may be; all heads' layers share one group."""
    for part in families.of(config).PARTS.values():
        for row in expand(part, config.num_hidden_layers):
            path = row.slots["keras"].name
            layer = path.split("/")[0]
            if GROUPS.get(layer) != "dense" or layer == dense:
                yield path


def _dense(path: Path, config: BertConfig, head: str | None) -> str | None:
    """The name of the head's layer: as stored, else as the model class has it."""
    import h5py

    with files.readable(path), h5py.File(path, "r") as file:
        group = file.get("layers/dense/vars")
        stored = group.attrs.get("name") if group is not None else None
    if stored in GROUPS:
        return stored
    family = families.of(config)
    rows = [r for part in family.HEADS.get(head, ()) for r in family.PARTS[part]]
    layers = [row.slots["keras"].name.split("/")[0] for row in rows]
    return next((name for name in layers if GROUPS.get(name) == "dense"), None)


def _tensors(path: Path) -> dict[str, Tensor]:
    import h5py

    with files.readable(path):
        file = h5py.File(path, "r")
        found: list[h5py.Dataset] = []

        def collect(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset):
                found.append(item)

        file.visititems(collect)
        return {item.name.lstrip("/"): _tensor(item, path) for item in found}


def _tensor(item, path: Path) -> Tensor:
    import ml_dtypes

    # HDF5 has no bfloat16: Keras stores the bits and says so.
    is_bfloat16 = item.attrs.get("dtype") == "bfloat16"
    dtype = np.dtype(ml_dtypes.bfloat16) if is_bfloat16 else item.dtype

    def load() -> np.ndarray:
        with files.readable(path):
            return np.array(item, dtype=dtype)

    return Tensor(tuple(item.shape), dtype, load)


# === Writing ===


def write(
    folder: Path, config: BertConfig, head: str, tensors: Mapping[str, Tensor]
) -> list[str]:
    """Writes `config.json` and `model.weights.h5`.

    Args:
        folder: an existing directory.
        config: the model's config.
        head: its class.
        tensors: by the models' variable paths.

    Returns:
        Warnings, in sentences.
    """
    import h5py

    files.write_json(
        folder / "config.json", {**config.to_dict(), "architectures": [head]}
    )
    with h5py.File(folder / WEIGHTS, "w") as file:
        for name, tensor in tensors.items():
            _put(file, name, tensor)
    return []


def _put(file, path: str, tensor: Tensor) -> None:
    array = tensor.load()
    dataset = file.create_dataset(h5_name(path), data=array)
    dataset.parent.attrs["name"] = path.split("/")[-2]  # as Keras does
    if array.dtype.name == "bfloat16":
        dataset.attrs["dtype"] = "bfloat16"
