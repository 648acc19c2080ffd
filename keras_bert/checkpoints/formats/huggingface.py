"""Hugging Face directories: `config.json` and `model.safetensors` or `.bin`.

Source: `modeling_bert.py` and `configuration_utils.py` of transformers.
"""

import re
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_bert import families
from keras_bert.checkpoints import files, matching, safetensors, state_dicts
from keras_bert.checkpoints.checkpoint import Checkpoint, Tensor
from keras_bert.config import ACTIVATIONS, Config
from keras_bert.errors import CheckpointError, choose
from keras_bert.families.family import BODY, Family

# In order of preference; a directory may have the same weights in several.
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
FILE_NAMES = {"safetensors": "model.safetensors", "bin": "pytorch_model.bin"}
OPTIONS = ("file_format", "max_shard_size")  # of `write`
MAX_SHARD_SIZE = 5 * 10**9
SINGLE_FILES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
# Files with such endings that a training program writes besides the weights.
NO_INDEX = "They are shards, and their index (….index.json) is missing."
NAME_ONE = "Name one of them instead of the directory."
BOOKKEEPING = re.compile(
    "training_args|optimizer|scheduler|scaler|rng_state|random_states|sampler"
)
FORMAT = "huggingface"
LEGACY = {".gamma": ".weight", ".beta": ".bias"}  # of LayerNorm, until 2019
BUFFERS = (".position_ids", ".token_type_ids")
FUSED, DENSE = ".dense_act", ".dense"  # NVIDIA's name of a layer with an activation
DTYPE_KEYS = ("dtype", "torch_dtype")  # the current name, and the one until 2025


# === Reading ===


def detect(path: Path) -> bool:
    """Whether a path is a Hugging Face directory or a file of PyTorch weights."""
    if path.is_dir():
        found = [path / name for name in WEIGHTS if (path / name).is_file()]
    else:
        found = [path] if path.is_file() and path.suffix in SINGLE_FILES else []
    return bool(found) and not of_tensorflow(found[0])


def other_files(path: Path) -> list[Path]:
    """Returns the files of weights in a directory that have no usual name."""
    inside = sorted(path.iterdir()) if path.is_dir() else []
    weights = (p for p in inside if p.suffix in SINGLE_FILES and p.is_file())
    return [p for p in weights if not BOOKKEEPING.match(p.name)]


def main_file(path: Path) -> Path:
    """Returns the file of weights of a path, or the index of its shards.

    Raises:
        CheckpointError: a directory has several files of weights, with unusual names.
    """
    if not path.is_dir():
        return path
    usual = (path / name for name in WEIGHTS)
    found = next((p for p in usual if p.is_file()), None)
    others = [] if found else other_files(path)
    if len(others) > 1:
        names = ", ".join(p.name for p in others)
        advice = NO_INDEX if "-of-" in names else NAME_ONE
        raise CheckpointError(
            f"Expected one file of weights in {path}. Received: {names}. {advice}"
        )
    return found or next(iter(others), path / WEIGHTS[0])


def of_tensorflow(main: Path) -> bool:
    """Whether a file of tensors, or an index, has the names of TensorFlow's models."""
    names: Iterable[str] = ()
    if main.suffix == ".safetensors":
        names = safetensors.names(main)
    elif main.suffix == ".json":
        names = files.weight_map(main)
    return any("/" in name for name in names)


def read(path: Path, *, config_file: str | Path | Config | None = None) -> Checkpoint:
    """Opens a state dict and its config.

    Args:
        path: a directory, or a `.safetensors`, `.bin`, `.pt` or `.ckpt` file.
        config_file: the `config.json`, if it is elsewhere, or a config.

    Raises:
        CheckpointError: it is damaged, or of another family than its config says.
        MissingExtraError: PyTorch, which a `.bin` file needs, is not installed.
    """
    main = main_file(path)
    config, head = files.read_config(
        ("config.json", "bert_config.json"), [main.parent], config_file
    )
    # The tensors have a dtype; a copy of the key could contradict them.
    extra = {k: v for k, v in config.extra.items() if k not in DTYPE_KEYS}
    config = config.replace(extra=extra)
    stored, shards = read_all(main)
    family = families.of(config)
    tensors = _current_names(stored, family, path)
    copies = _copies(tensors, config)
    config, ignored = _fold(tensors, config)
    for name in [name for name in tensors if name.endswith(BUFFERS)]:
        ignored[name] = "a buffer, not a weight"
        del tensors[name]
    return Checkpoint(
        path=path,
        format=FORMAT,
        config=config,
        tensors=tensors,
        head=head,
        ignored=ignored,
        copies=copies,
        files=shards,
        tokenizer_files=files.tokenizer_files(main.parent),
    )


def read_all(main: Path) -> tuple[dict[str, Tensor], list[Path]]:
    """Returns the tensors of a file, or of the shards of an index, and these files.

    Raises:
        CheckpointError: a file is damaged, or missing, or an index and its shards do
            not have the same tensors.
    """
    # The file of each tensor; empty for a single file.
    weight_map = files.weight_map(main) if main.suffix == ".json" else {}
    shards = files.shard_paths(main, weight_map.values()) or [main]
    stored = files.read_shards(shards, _read_file)
    _compare(weight_map or stored, stored, main)
    return stored, shards


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
            f"Received: {'; '.join(alone)} only. Copy the files again."
        )


def _read_file(path: Path) -> dict[str, Tensor]:
    is_safe = path.suffix == ".safetensors"
    return safetensors.read(path) if is_safe else state_dicts.read(path)


# === Names ===


def _current_names(
    tensors: Mapping[str, Tensor], family: Family, path: Path
) -> dict[str, Tensor]:
    """Renames weights as transformers now names them in a model with a head."""
    words = family.word_embeddings
    found = files.prefix_of(tensors, words, family.prefix, path)
    if found is None:
        adapter = any("lora_" in name for name in tensors)
        advice = f" {matching.ADAPTER.rstrip()}" if adapter else ""
        raise CheckpointError(
            f"Expected the state dict of a {family.model_type} model in {path}, with "
            f"{family.prefix}{words} or {words}. "
            f"Received: {matching.listing([*tensors]) or 'nothing'}.{advice}"
        )
    wrapper, body = found, _body(family)
    if f".{found}".endswith(f".{family.prefix}"):
        wrapper, body = found.removesuffix(family.prefix), ()
    _refuse_other_family(wrapper, tensors, family, path)
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        mine = body if name.startswith(wrapper) else ()
        current = _current_name(name.removeprefix(wrapper), family.prefix, mine)
        if current in renamed:
            raise CheckpointError(
                f"Expected each weight once in {path}. Received: {current} under two "
                "names. Remove one of them."
            )
        renamed[current] = tensor
    return renamed


def _refuse_other_family(
    wrapper: str, names: Container[str], family: Family, path: Path
) -> None:
    """Raises if what is before the names is the prefix of another family."""
    known = [f for f in families.FAMILIES.values() if f.prefix != family.prefix]
    known = [f for f in known if f"{wrapper}{f.word_embeddings}" in names]
    others = [f for f in known if f".{wrapper}".endswith(f".{f.prefix}")]
    if others:
        types = " or ".join(repr(f.model_type) for f in others)
        raise CheckpointError(
            f"Expected the weights of a {family.model_type} model in {path}, as its "
            f"config says. Received names with {others[0].prefix}, of a family that "
            "computes other outputs. If the model is of that family, use a config with "
            f"the model_type {types}: {files.CONFIG_OPTION}."
        )


def _body(family: Family) -> tuple[str, ...]:
    """Returns how names of the base model's weights begin, without its prefix."""
    rows = [row for part in BODY for row in family.parts.get(part, [])]
    places = [row.placements[FORMAT] for row in rows if FORMAT in row.placements]
    names = [place.name.removeprefix(family.prefix) for place in places]
    return tuple({f"{name.split('.')[0]}." for name in names})


def _current_name(name: str, prefix: str, body: tuple[str, ...]) -> str:
    stem, dot, last = name.rpartition(".")
    if stem.endswith("LayerNorm"):
        name = stem + LEGACY.get(dot + last, dot + last)
    if stem.endswith(FUSED):
        name = stem.removesuffix(FUSED) + DENSE + dot + last
    return prefix + name if name.startswith(body) else name


def _copies(tensors: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """Takes out what may only repeat a weight; if the weight is absent, it is that."""
    family = families.of(config)
    own = {row.placements[FORMAT].name for row in family.untied_rows}
    kept = set() if config.tie_word_embeddings else own
    copies = {n: tensors.pop(n) for n in family.ties if n in tensors and n not in kept}
    absent = {n for n in copies if family.ties[n] not in tensors}
    tensors |= {family.ties[n]: copies.pop(n) for n in absent}
    return copies


def _fold(tensors: dict[str, Tensor], config: Config) -> tuple[Config, dict[str, str]]:
    """Adds row 0 of a family's further table to the rows of another.

    Returns:
        The config of a model without that table, and why it is ignored.
    """
    added = families.of(config).added_row
    if added is None or added.switch not in config.extra:
        return config, {}
    extra = {k: v for k, v in config.extra.items() if k not in added[:2]}
    table, target = tensors.pop(added.table, None), tensors.get(added.target)
    if not config.extra[added.switch]:
        unused = {added.table: f"{added.switch} is false"} if table else {}
        return config.replace(extra=extra), unused
    if table is None or target is None or table.shape[1:] != target.shape[1:]:
        raise CheckpointError(
            f"Expected {added.table}, of the width of {added.target}. Received: "
            f"{table and table.shape}. The config says {added.switch}."
        )

    def load() -> np.ndarray:
        return (target.load() + table.load()[:1]).astype(target.dtype)

    tensors[added.target] = Tensor(target.shape, target.dtype, load)
    reason = f"row 0 is added to {added.target}"
    return config.replace(extra=extra), {added.table: reason}


# === Writing ===


LEFT_OUT = (
    "transformers 5 reads a model with relative positions without them, silently; "
    "version 4 computes them."
)


def write(
    folder: Path,
    config: Config,
    head: str,
    tensors: Mapping[str, Tensor],
    *,
    file_format: str = "safetensors",
    max_shard_size: int | None = None,
) -> list[str]:
    """Writes `config.json` and the weights, in shards with an index if necessary.

    Args:
        folder: an existing directory.
        config: the model's config.
        head: its class.
        tensors: by the names of a model with a head.
        file_format: "safetensors", or "bin" for a pickled state dict.
        max_shard_size: maximum bytes of a file, unless a single tensor is larger;
            None takes 5 GB, as transformers does.

    Returns:
        Warnings.

    Raises:
        UnknownNameError: `file_format` is neither.
        MissingExtraError: PyTorch, which "bin" needs, is not installed.
    """
    family = families.of(config)
    ties = family.ties if "masked_lm" in family.parts_of(head) else {}
    ties = {copy: of for copy, of in ties.items() if copy not in tensors}
    writers = {"safetensors": safetensors.write, "bin": state_dicts.write}
    save = writers[choose("file format", file_format, writers)]
    dtype = next(iter(tensors.values())).dtype.name
    files.write_json(folder / "config.json", to_hf_config(config, head, dtype))
    # A model without a head has no prefix.
    prefix = family.prefix if family.models[head] == "encoder" else ""
    named = {name.removeprefix(prefix): t for name, t in tensors.items()}
    if not config.tie_word_embeddings:  # transformers then ties nothing
        named |= {copy: named[of] for copy, of in ties.items()}
    main = folder / FILE_NAMES[file_format]
    sizes = {name: tensor.nbytes for name, tensor in named.items()}
    shards = files.shards(sizes, max_shard_size or MAX_SHARD_SIZE)
    paths = _shard_paths(main, len(shards))
    for path, names in zip(paths, shards, strict=True):
        # A tensor under two names is stored once, but shards cannot share one.
        again = ties if len(shards) == 1 and file_format == "bin" else {}
        copies = {copy: named[of] for copy, of in again.items()}
        save(path, {name: named[name] for name in names} | copies)
    if len(shards) > 1:
        _write_index(main, sizes, dict(zip(paths, shards, strict=True)))
    left_out = [LEFT_OUT] if config.relative_positions else []
    return [*left_out, *_unused(head, config, tensors)]


def _shard_paths(main: Path, count: int) -> list[Path]:
    if count == 1:
        return [main]
    return [
        main.with_stem(f"{main.stem}-{i:05d}-of-{count:05d}")
        for i in range(1, count + 1)
    ]


def _write_index(
    main: Path, sizes: Mapping[str, int], shards: Mapping[Path, list[str]]
) -> None:
    weight_map = {name: path.name for path, names in shards.items() for name in names}
    index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": weight_map}
    files.write_json(main.with_name(f"{main.name}.index.json"), index)


def _unused(head: str, config: Config, names: Iterable[str]) -> list[str]:
    """Warns if the file has a pooler that the class of transformers does not have."""
    family = families.of(config)
    pooler = {row.placements[FORMAT].name for row in family.parts.get("pooler", [])}
    if "pooler" in family.parts_of(head) or not pooler & {*names}:
        return []
    return [
        f"The pooler is kept; {head} of transformers has none and will report it as "
        "unexpected. Drop it by name (drop=['pooler'], --drop pooler) if it is not "
        "needed."
    ]


def to_hf_config(config: Config, head: str, dtype: str) -> dict[str, Any]:
    """Returns a `config.json` as transformers writes it.

    Args:
        config: the model's config.
        head: its class.
        dtype: of the weights, for instance "float32".
    """
    has_labels = {"sequence_classifier", "token_classifier"} & set(
        families.of(config).parts_of(head)
    )
    if has_labels and config.id2label is None:
        config = config.replace(id2label=dict(enumerate(config.labels)))
    if "qa" in families.of(config).parts_of(head):
        config = config.replace(id2label=None)  # would size the span's two outputs
    values = config.replace(hidden_act=ACTIVATIONS[config.hidden_act]).to_dict()
    values.pop("num_labels", None)  # counted from id2label
    quiet = ("problem_type", "output_hidden_states", "output_attentions")
    values = {k: v for k, v in values.items() if v or k not in quiet}
    return {**values, "architectures": [head], "dtype": dtype}
