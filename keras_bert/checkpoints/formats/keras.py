"""This package's own directories: `config.json` and `model.weights.h5`.

The weights file is laid out as `model.save_weights` of Keras lays it out, so that
Keras reads what is written here, and the other way round.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_bert import families
from keras_bert.checkpoints import files
from keras_bert.checkpoints.checkpoint import Checkpoint, Tensor
from keras_bert.checkpoints.table import expand
from keras_bert.config import BertConfig
from keras_bert.errors import CheckpointError

WEIGHTS = "model.weights.h5"
# Keras' own names where the weights are in several files.
INDEX, SHARD = "model.weights.json", "model_{:05d}.weights.h5"
ENDINGS = (".weights.h5", ".weights.json")
STATE = "optimizer.weights.h5"
OPTIONS = ("optimizer", "max_shard_size")  # of `write`
MAX_SHARD_SIZE = 2 * 10**9
MAX_INFLATION = 1000  # of compressed weights; beyond, a file means harm
PROJECTION = "embedding_projection"  # only where the config has an embedding_size
# Keras names a layer's group after its class, counting repeats in the model's order.
GROUPS = {
    "embeddings": "embeddings",
    "pooler": "pooler",
    "masked_lm": "masked_lm_transform",
    "masked_lm_bias": "output_bias",
    PROJECTION: "dense",
    "next_sentence": "dense",
    "classifier": "dense",
    "qa_outputs": "dense",
}
DENSE = ("dense", "dense_1")
BLOCK, LAYER = "transformer_block", "layer_"
# A layer's variables are numbered in the order it makes them.
NUMBERS = {
    "embeddings": "0",
    "kernel": "0",
    "gamma": "0",
    "bias": "1",
    "beta": "1",
}
KERAS_STATE = "optimizer/"  # of a compiled model, numbered and not named


def h5_name(path: str, projected: bool = False) -> str:
    """Returns where Keras' weights file keeps a variable.

    Args:
        path: the variable's path in the model.
        projected: whether the model has an embedding projection, which then is the
            first of the plain dense layers.

    Example:
        >>> h5_name("layer_1/attention/query/bias")
        'layers/transformer_block_1/attention/query/vars/1'
    """
    layer, *inside, variable = path.split("/")
    number = "0" if layer == "masked_lm_bias" else NUMBERS[variable]
    return "/".join(["layers", _group(layer, projected), *inside, "vars", number])


def _group(layer: str, projected: bool) -> str:
    if layer.startswith(LAYER):
        i = layer.removeprefix(LAYER)
        return BLOCK if i == "0" else f"{BLOCK}_{i}"
    second = projected and layer != PROJECTION and GROUPS[layer] == "dense"
    return "dense_1" if second else GROUPS[layer]


def _projected(config: BertConfig) -> bool:
    return config.embedding_size is not None


# === Reading ===


def detect(path: Path) -> bool:
    """Whether a path is a directory of ours, or its weights file."""
    if path.is_dir():
        path = _main(path)
    # KerasHub presets use the same file name with a config of another kind.
    return path.name.endswith(ENDINGS) and path.is_file() and _is_ours(path)


def _main(folder: Path) -> Path:
    """The weights file of a directory, or the index of its shards."""
    return next(
        (folder / n for n in (WEIGHTS, INDEX) if (folder / n).is_file()), folder
    )


def _is_ours(path: Path) -> bool:
    config = path.parent / "config.json"
    return not config.is_file() or "registered_name" not in files.read_json(config)


def read(path: Path, *, config_file: str | Path | None = None) -> Checkpoint:
    """Opens a directory of ours.

    Args:
        path: the directory, its weights file, or the index of its shards.
        config_file: the `config.json`, where it lies elsewhere.

    Raises:
        CheckpointError: damaged.
    """
    main = _main(path) if path.is_dir() else path
    config, head = files.read_config(("config.json",), [main.parent], config_file)
    shards = _shards(main)
    projected = _projected(config)
    stored, named = _stored(shards)
    dense = named.get(_group("classifier", projected)) or _dense(config, head)
    ignored = {n: files.OPTIMIZER_STATE for n in stored if n.startswith(KERAS_STATE)}
    ours = {h5_name(path, projected): path for path in _paths(config, dense)}
    state = main.parent / STATE
    return Checkpoint(
        path=path,
        format="keras",
        config=config,
        tensors={ours.get(k, k): t for k, t in stored.items() if k not in ignored},
        head=head,
        ignored=ignored,
        optimizer=_stored([state])[0] if state.is_file() else {},
        files=[*shards, *([state] if state.is_file() else [])],
        tokenizer_files=files.tokenizer_files(main.parent),
    )


def _shards(main: Path) -> list[Path]:
    """The files that hold the weights: of an index, those that it names."""
    if main.suffix != ".json":
        return [main]
    values = [
        v if isinstance(v, list) else [v] for v in files.weight_map(main).values()
    ]
    return files.shard_paths(main, [name for names in values for name in names])


def _paths(config: BertConfig, dense: str | None) -> Iterable[str]:
    """Paths of the variables there may be; all heads' layers share one group."""
    for part in families.of(config).PARTS.values():
        for row in expand(part, config.num_hidden_layers):
            path = row.slots["keras"].name
            layer = path.split("/")[0]
            if GROUPS.get(layer) != "dense" or layer in (dense, PROJECTION):
                yield path


def _dense(config: BertConfig, head: str | None) -> str | None:
    """The name of the head's layer, as the model class has it."""
    family = families.of(config)
    rows = [r for part in family.HEADS.get(head, ()) for r in family.PARTS[part]]
    layers = [row.slots["keras"].name.split("/")[0] for row in rows]
    return next((name for name in layers if GROUPS.get(name) == "dense"), None)


def _stored(shards: Iterable[Path]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All datasets by name, and which layers the groups of dense ones are."""
    tensors: dict[str, Tensor] = {}
    named: dict[str, str] = {}
    for shard in shards:
        more, layers = _open(shard)
        twice = sorted(tensors.keys() & more.keys())
        if twice:
            raise CheckpointError(f"Found {', '.join(twice)} again in {shard}.")
        tensors |= more
        named |= layers
    return tensors, named


def _open(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    import h5py

    with files.readable(path):
        file = h5py.File(path, "r")
        found: list[h5py.Dataset] = []

        def collect(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset):
                found.append(item)

        file.visititems(collect)
        groups = {group: file.get(f"layers/{group}/vars") for group in DENSE}
        names = {k: g.attrs.get("name") for k, g in groups.items() if g is not None}
        tensors = {item.name.lstrip("/"): _tensor(item, path) for item in found}
    return tensors, {k: name for k, name in names.items() if name in GROUPS}


def _tensor(item: Any, path: Path) -> Tensor:
    # HDF5 has no bfloat16: Keras stores the bits and says so.
    is_bfloat16 = item.attrs.get("dtype") == "bfloat16"
    dtype = files.dtype("bfloat16") if is_bfloat16 else item.dtype
    _refuse_unreal(item, path)

    def part(*rows: int) -> np.ndarray:
        with files.readable(path):
            values = item[slice(*rows)] if rows else item[()]
            return np.asarray(values).view(dtype) if is_bfloat16 else np.asarray(values)

    return Tensor(tuple(item.shape), dtype, part, part if item.shape else None)


def _refuse_unreal(item: Any, path: Path) -> None:
    """A dataset may claim any shape, and fill what the file lacks with zeros."""
    claimed = math.prod(item.shape) * item.dtype.itemsize
    stored = item.id.get_storage_size()
    if item.external or item.is_virtual or claimed > MAX_INFLATION * stored:
        raise CheckpointError(
            f"Expected {item.name} of the shape {item.shape} to be stored in {path}. "
            f"Received: {stored} of its {claimed} bytes. The file is damaged."
        )


# === Writing ===


def write(
    folder: Path,
    config: BertConfig,
    head: str,
    tensors: Mapping[str, Tensor],
    *,
    optimizer: Mapping[str, Tensor] | None = None,
    max_shard_size: int | None = None,
) -> list[str]:
    """Writes `config.json` and `model.weights.h5`.

    Args:
        folder: an existing directory.
        config: the model's config.
        head: its class.
        tensors: by the models' variable paths.
        optimizer: slots as `<variable path>/<slot>` and counters, for
            `optimizer.weights.h5`.
        max_shard_size: bytes of a file, at most; None takes 2 GB. Beyond, there are
            several, with the index that Keras reads, `model.weights.json`.

    Returns:
        Warnings, in sentences.
    """
    values = {**config.to_dict(), "architectures": [head]}
    files.write_json(folder / "config.json", values)
    projected = _projected(config)
    groups = _groups(tensors, projected)
    sizes = {g: sum(tensors[n].nbytes for n in groups[g]) for g in groups}
    shards = files.shards(sizes, max_shard_size or MAX_SHARD_SIZE)
    many = len(shards) > 1
    names = [SHARD.format(i) if many else WEIGHTS for i in range(len(shards))]
    for name, shard in zip(names, shards, strict=True):
        held = {n: tensors[n] for group in shard for n in groups[group]}
        _write_weights(folder / name, held, projected)
    if many:
        _write_index(folder, sizes, dict(zip(names, shards, strict=True)))
    if optimizer:
        _write_state(folder / STATE, optimizer)
    return []


def _write_index(
    folder: Path, sizes: Mapping[str, int], shards: Mapping[str, list[str]]
) -> None:
    places = {f"/{group}": name for name, shard in shards.items() for group in shard}
    metadata = {"total_size": sum(sizes.values())}
    files.write_json(folder / INDEX, {"metadata": metadata, "weight_map": places})


def _groups(tensors: Iterable[str], projected: bool) -> dict[str, list[str]]:
    """Variables by Keras' group, which stays in one file."""
    groups: dict[str, list[str]] = {}
    for name in tensors:
        groups.setdefault(h5_name(name, projected).rpartition("/")[0], []).append(name)
    return groups


def _write_weights(path: Path, tensors: Mapping[str, Tensor], projected: bool) -> None:
    import h5py

    size = sum(tensor.nbytes for tensor in tensors.values())
    with h5py.File(path, "w") as file:
        for name in files.progress(tensors, f"writing {path.name}", size):
            dataset = _put(file, h5_name(name, projected), tensors[name])
            dataset.parent.attrs["name"] = name.split("/")[-2]  # as Keras does


def _write_state(path: Path, optimizer: Mapping[str, Tensor]) -> None:
    import h5py

    size = sum(tensor.nbytes for tensor in optimizer.values())
    with h5py.File(path, "w") as file:
        for name in files.progress(optimizer, f"writing {path.name}", size):
            _put(file, name, optimizer[name])


def _put(file: Any, name: str, tensor: Tensor) -> Any:
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
