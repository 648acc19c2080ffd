"""Adapters (LoRA) in the two files that PEFT keeps them in.

Source: `tuners/lora` and `utils/save_and_load.py` of huggingface/peft.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_bert import families
from keras_bert.checkpoints import files, safetensors
from keras_bert.checkpoints.checkpoint import Tensor
from keras_bert.checkpoints.matching import listing
from keras_bert.checkpoints.translation import translate
from keras_bert.config import Config
from keras_bert.errors import CheckpointError
from keras_bert.families.rows import Row

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."  # PEFT's wrappers around a model
A, B = ".lora_A.weight", ".lora_B.weight"
TASKS = {
    "sequence_classification": "SEQ_CLS",
    "token_classification": "TOKEN_CLS",
    "question_answering": "QUESTION_ANS",
    "encoder": "FEATURE_EXTRACTION",
}
# Settings of PEFT under which an adapter computes something else.
_OTHER_KINDS = ("use_dora", "rank_pattern", "alpha_pattern", "layer_replication")


class Adapters(NamedTuple):
    """The adapters of a model, and the head that was trained with them.

    Attributes:
        rank: of all of them.
        alpha: they are scaled by `alpha / rank`.
        dropout: of their inputs, in training.
        pairs: by the path of the kernel: A `(inputs, rank)` and B `(rank, outputs)`.
        head: other trained weights by path.
    """

    rank: int
    alpha: float
    dropout: float
    pairs: dict[str, tuple[np.ndarray, np.ndarray]]
    head: dict[str, np.ndarray]


def write(
    path: str | Path,
    adapters: Adapters,
    config: Config,
    architecture: str,
    *,
    base: str = "",
    overwrite: bool = False,
) -> Path:
    """Writes a directory that PEFT's `from_pretrained` reads.

    Args:
        path: the directory; it appears whole or not at all.
        adapters: of a model.
        config: of the model.
        architecture: its class.
        base: path or name of the checkpoint that the adapters are for.
        overwrite: replace a directory of adapters.

    Raises:
        CheckpointError: PEFT has no place for a weight.
    """
    rows = _rows(config, architecture)
    names = _names(rows, config, architecture)
    head = {path: Tensor.of(value) for path, value in adapters.head.items()}
    places = [rows[path] for path in head if path in rows]
    if lost := sorted(head.keys() - names.keys()):
        raise CheckpointError(
            f"Expected weights that PEFT has a place for. Received: {listing(lost)}."
        )
    given = translate(head, places, "keras", "huggingface", config)
    tensors = {
        f"{PREFIX}{_short(n, config, architecture)}": t for n, t in given.items()
    }
    modules = {path: names[path].removesuffix(".weight") for path in adapters.pairs}
    for kernel, module in modules.items():
        for end, array in zip((A, B), adapters.pairs[kernel], strict=True):
            turned = np.ascontiguousarray(array.T)
            tensors[f"{PREFIX}{module}{end}"] = Tensor.of(turned)
    every = [name.removesuffix(".weight") for name in names.values()]
    family = families.of(config)
    saved = {names[n].removeprefix(family.prefix).split(".")[0] for n in head}
    kind = family.models[architecture]
    settings = {
        "peft_type": "LORA",
        "task_type": TASKS.get(kind),
        "base_model_name_or_path": base,
        "r": adapters.rank,
        "lora_alpha": adapters.alpha,
        "lora_dropout": adapters.dropout,
        "target_modules": _targets(list(modules.values()), every),
        "modules_to_save": sorted(saved) or None,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    with files.new_directory(path, overwrite) as folder:
        safetensors.write(folder / WEIGHTS, tensors)
        files.write_json(folder / CONFIG, settings)
    return Path(path)


def read(path: str | Path, config: Config, architecture: str) -> Adapters:
    """Reads a directory of PEFT.

    Args:
        path: the directory.
        config: of the model that the adapters are for.
        architecture: its class.

    Raises:
        CheckpointError: a file is missing or damaged, or it holds adapters of another
            kind, or for other layers.
    """
    folder = Path(path)
    if missing := [n for n in (CONFIG, WEIGHTS) if not (folder / n).is_file()]:
        raise CheckpointError(
            f"Expected {' and '.join(missing)} in {folder}, as PEFT writes them. "
            "Received: none."
        )
    settings = files.read_json(folder / CONFIG)
    rank, alpha, dropout = _numbers(settings, folder)
    stored = safetensors.read(folder / WEIGHTS)
    rows = _rows(config, architecture)
    names = _names(rows, config, architecture)
    tensors = {name.removeprefix(PREFIX): tensor for name, tensor in stored.items()}
    by_end = {end: {n for n in tensors if n.endswith(end)} for end in (A, B)}
    kernels = {f"{n.removesuffix(A)}.weight" for n in by_end[A]}
    others = tensors.keys() - by_end[A] - by_end[B]
    pairs = {p: n.removesuffix(".weight") for p, n in names.items() if n in kernels}
    head = {p: n for p, n in names.items() if n in others}
    unknown = (kernels | others) - {*names.values()}
    halves = {n.removesuffix(A) for n in by_end[A]} ^ {
        n.removesuffix(B) for n in by_end[B]
    }
    if unknown or halves or not pairs:
        raise CheckpointError(
            f"Expected pairs of lora_A and lora_B for layers of {architecture} in "
            f"{folder}. Received: {listing(sorted(unknown | halves)) or 'none'}."
        )
    found = {
        kernel: tuple(tensors[f"{module}{end}"].load().T for end in (A, B))
        for kernel, module in pairs.items()
    }
    _check_shapes(found, rows, rank, config)
    given = {
        rows[p].placements["huggingface"].name: tensors[n] for p, n in head.items()
    }
    weights = translate(given, [rows[p] for p in head], "huggingface", "keras", config)
    return Adapters(
        rank, alpha, dropout, found, {p: t.load() for p, t in weights.items()}
    )


def _numbers(settings: Mapping[str, Any], folder: Path) -> tuple[int, float, float]:
    """Returns rank, alpha and dropout.

    Raises:
        CheckpointError: the adapters are of a kind that is not computed here.
    """
    other = [name for name in _OTHER_KINDS if settings.get(name)]
    other += [f"bias={b}" for b in [settings.get("bias", "none")] if b != "none"]
    if settings.get("peft_type") != "LORA" or other:
        raise CheckpointError(
            f"Expected adapters of peft_type LORA in {folder}, all of one rank. "
            f"Received: {settings.get('peft_type')} {', '.join(other)}. Merge them "
            "with merge_and_unload() of PEFT, and read the checkpoint that it saves."
        )
    rank, alpha = settings.get("r"), settings.get("lora_alpha")
    dropout = settings.get("lora_dropout", 0.0)
    numbers = (rank, alpha, dropout)
    if not all(isinstance(x, int | float) and x >= 0 for x in numbers) or not rank:
        raise CheckpointError(
            f"Expected r, lora_alpha and lora_dropout in {folder / CONFIG}. Received: "
            f"{rank!r}, {alpha!r}, {dropout!r}."
        )
    # Scaled by alpha / sqrt(rank).
    return rank, alpha * rank**0.5 if settings.get("use_rslora") else alpha, dropout


def _check_shapes(
    pairs: Mapping[str, Any], rows: Mapping[str, Row], rank: int, config: Config
) -> None:
    from keras_bert import axes

    sizes = families.of(config).sizes(config)
    for kernel, (a, b) in pairs.items():
        inputs, outputs = axes.shape(rows[kernel].placements["keras"].axes, sizes)
        if a.shape != (inputs, rank) or b.shape != (rank, outputs):
            raise CheckpointError(
                f"Expected an adapter of rank {rank} for {kernel} of shape "
                f"{(inputs, outputs)}. Received: {a.shape} and {b.shape}."
            )


# === Names ===


def _rows(config: Config, architecture: str) -> dict[str, Row]:
    """Returns the weights of a model that PEFT has a place for, by path."""
    family = families.of(config)
    parts = dict.fromkeys((*family.body(config), *family.parts_of(architecture)))
    rows = family.rows_of(parts, config)
    both = {"keras", "huggingface"}
    return {r.placements["keras"].name: r for r in rows if both <= r.placements.keys()}


def _names(rows: Mapping[str, Row], config: Config, head: str) -> dict[str, str]:
    """Returns the names of weights in Hugging Face's class, by path."""
    return {
        path: _short(row.placements["huggingface"].name, config, head)
        for path, row in rows.items()
    }


def _short(name: str, config: Config, architecture: str) -> str:
    """Returns a name without the prefix that a model without a head does not have."""
    family = families.of(config)
    encoder = family.models[architecture] == "encoder"
    return name.removeprefix(family.prefix) if encoder else name


def _targets(modules: list[str], every: Iterable[str]) -> list[str]:
    """Returns the last parts of modules where these mean the same, or all of them."""
    ends = {module.rpartition(".")[2] for module in modules}
    meant = {name for name in every if name.rpartition(".")[2] in ends}
    weights = {name for name in meant if not name.endswith(".bias")}
    return sorted(ends) if weights == {*modules} else modules
