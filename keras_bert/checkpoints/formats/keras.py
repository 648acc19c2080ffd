"""This package's own directories: `config.json` and `model.weights.h5`.

The weights file has the layout of Keras' `model.save_weights`, so Keras reads what is
written here and vice versa.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from keras_bert import families
from keras_bert.checkpoints import files, hdf5
from keras_bert.checkpoints.checkpoint import Checkpoint, Tensor
from keras_bert.config import Config

WEIGHTS, INDEX, SHARD = hdf5.WEIGHTS, hdf5.INDEX, hdf5.SHARD
ENDINGS = (".weights.h5", ".weights.json")
STATE = "optimizer.weights.h5"
OPTIONS = ("optimizer", "max_shard_size")  # of `write`
MAX_SHARD_SIZE = 2 * 10**9
PROJECTION = "embedding_projection"  # only if the config has an embedding_size
ENCODER = "encoder"  # the group of its layers
# Flat models (`models/flat_files.py`) had a group for each class of layers, counting
# repeats in the model's order.
FLAT = "layers/"
GROUPS = {
    "embeddings": "embeddings",
    "pooler": "pooler",
    "masked_lm": "masked_lm_transform",
    "masked_lm_bias": "output_bias",
    PROJECTION: "dense",
    "next_sentence": "dense",
    "sentence_order": "dense",
    "classifier": "dense",
    "qa_outputs": "dense",
}
DENSE = ("dense", "dense_1")
ENCODER_LAYERS = (
    *("embeddings", PROJECTION, "sinusoids", "position_bias"),
    *("distances", "convolution", "final_norm", "pooler"),
)
BLOCK, LAYER = "transformer_block", "layer_"
# A layer's variables are numbered in the order of their creation.
NUMBERS = {
    "embeddings": "0",
    "kernel": "0",
    "gamma": "0",
    "scores": "0",
    "table": "0",
    "query": "0",
    "query_bias": "0",
    "value_bias": "1",
    "bias": "1",
    "beta": "1",
}
KERAS_STATE = "optimizer/"  # of a compiled model, numbered and not named


def h5_name(path: str) -> str:
    """Returns the name of a variable in Keras' weights file.

    Args:
        path: the variable's path in the model.

    Example:
        >>> h5_name("layer_1/attention/query/bias")
        'encoder/layer_1/attention/query/vars/1'
    """
    layer, *inside, variable = path.split("/")
    of_encoder = layer in ENCODER_LAYERS or layer.startswith(LAYER)
    groups = [ENCODER, layer] if of_encoder else [layer]
    return "/".join([*groups, *inside, "vars", _number(layer, variable)])


def _number(layer: str, variable: str) -> str:
    return "0" if layer == "masked_lm_bias" else NUMBERS[variable]


def flat_name(path: str, projected: bool = False) -> str:
    """Returns the name of a variable in the weights file of a flat model.

    Args:
        path: the variable's path in the model.
        projected: whether the model has an embedding projection, which is then the
            first plain dense layer.

    Example:
        >>> flat_name("layer_1/attention/query/bias")
        'layers/transformer_block_1/attention/query/vars/1'
    """
    layer, *inside, variable = path.split("/")
    number = _number(layer, variable)
    return "/".join(["layers", _group(layer, projected), *inside, "vars", number])


def _group(layer: str, projected: bool) -> str:
    if layer.startswith(LAYER):
        i = layer.removeprefix(LAYER)
        return BLOCK if i == "0" else f"{BLOCK}_{i}"
    second = projected and layer != PROJECTION and GROUPS[layer] == "dense"
    return "dense_1" if second else GROUPS[layer]


# === Reading ===


def detect(path: Path) -> bool:
    """Whether a path is one of our directories or its weights file."""
    if path.is_dir():
        path = hdf5.main_file(path)
    # KerasHub's presets have the same file name, but another kind of config.
    return path.name.endswith(ENDINGS) and path.is_file() and _is_ours(path)


def _is_ours(path: Path) -> bool:
    config = path.parent / "config.json"
    return not config.is_file() or "registered_name" not in files.read_json(config)


def read(path: Path, *, config_file: str | Path | Config | None = None) -> Checkpoint:
    """Opens one of our directories.

    Args:
        path: the directory, its weights file, or the index of its shards.
        config_file: the `config.json`, if it is elsewhere, or a config.

    Raises:
        CheckpointError: it is damaged.
    """
    main = hdf5.main_file(path) if path.is_dir() else path
    config, head = files.read_config(("config.json",), [main.parent], config_file)
    shards = hdf5.shard_files(main)
    stored = hdf5.read(shards)
    ignored = {n: files.OPTIMIZER_STATE for n in stored if n.startswith(KERAS_STATE)}
    if any(name.startswith(FLAT) for name in stored):
        ours = _flat_names(shards, config, head)
    else:
        ours = {h5_name(path): path for path in _paths(config)}
    state = main.parent / STATE
    return Checkpoint(
        path=path,
        format="keras",
        config=config,
        tensors={ours.get(k, k): t for k, t in stored.items() if k not in ignored},
        head=head,
        ignored=ignored,
        optimizer=hdf5.read([state]) if state.is_file() else {},
        files=[*shards, *([state] if state.is_file() else [])],
        tokenizer_files=files.tokenizer_files(main.parent),
    )


def _paths(config: Config) -> list[str]:
    """Returns the paths of all variables of the family."""
    family = families.of(config)
    rows = family.rows_of(family.parts, config)
    return [row.placements["keras"].name for row in rows]


def _flat_names(shards: list[Path], config: Config, head: str | None) -> dict[str, str]:
    """Returns paths by names in a flat file, where all heads share a group."""
    projected = config.embedding_size is not None
    dense = _layers(shards).get(_group("classifier", projected)) or _dense(config, head)
    tied = config.replace(tie_word_embeddings=True)  # as they all were
    paths = {path: path.split("/")[0] for path in _paths(tied)}
    return {
        flat_name(path, projected): path
        for path, layer in paths.items()
        if GROUPS.get(layer) != "dense" or layer in (dense, PROJECTION)
    }


def _dense(config: Config, head: str | None) -> str | None:
    """Returns the name of the dense output layer of a model class."""
    family = families.of(config)
    rows = [r for part in family.parts_of(head) for r in family.parts[part]]
    layers = [row.placements["keras"].name.split("/")[0] for row in rows]
    return next((name for name in layers if GROUPS.get(name) == "dense"), None)


def _layers(shards: Iterable[Path]) -> dict[str, str]:
    """Returns the layers' names by groups of dense layers, if the files have them."""
    import h5py

    names: dict[str, str] = {}
    for shard in shards:
        with files.readable(shard), h5py.File(shard, "r") as file:
            groups = {group: file.get(f"layers/{group}/vars") for group in DENSE}
            found = {k: str(g.attrs.get("name")) for k, g in groups.items() if g}
            names |= {k: name for k, name in found.items() if name in GROUPS}
    return names


# === Writing ===


def write(
    folder: Path,
    config: Config,
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
        max_shard_size: maximum bytes of a file; None takes 2 GB. Several files have
            the index that Keras reads, `model.weights.json`.

    Returns:
        Warnings.
    """
    values = {**config.to_dict(), "architectures": [head]}
    files.write_json(folder / "config.json", values)
    groups = _groups(tensors)
    sizes = {g: sum(tensors[n].nbytes for n in groups[g]) for g in groups}
    shards = files.shards(sizes, max_shard_size or MAX_SHARD_SIZE)
    many = len(shards) > 1
    names = [SHARD.format(i) if many else WEIGHTS for i in range(len(shards))]
    for name, shard in zip(names, shards, strict=True):
        held = {n: tensors[n] for group in shard for n in groups[group]}
        hdf5.write(folder / name, held, h5_name)
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


def _groups(tensors: Iterable[str]) -> dict[str, list[str]]:
    """Returns variables by Keras' groups, each of which stays in one file."""
    groups: dict[str, list[str]] = {}
    for name in tensors:
        groups.setdefault(h5_name(name).rpartition("/")[0], []).append(name)
    return groups


def _write_state(path: Path, optimizer: Mapping[str, Tensor]) -> None:
    size = sum(tensor.nbytes for tensor in optimizer.values())
    with hdf5.new_file(path) as file:
        for name in files.progress(optimizer, f"writing {path.name}", size):
            hdf5.put(file, name, optimizer[name])
