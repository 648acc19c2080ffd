"""Describes a checkpoint, and how two of them differ."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_bert import families
from keras_bert.checkpoints import files, formats
from keras_bert.checkpoints.checkpoint import Checkpoint, Tensor
from keras_bert.checkpoints.conversion import summarize_optimizer
from keras_bert.checkpoints.matching import (
    check_match,
    choose_head,
    listing,
    match_weights,
    parameters,
    resolve_ties,
)
from keras_bert.checkpoints.translation import translate
from keras_bert.config import Config
from keras_bert.families.family import CLASSIFIERS

SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
    "hidden_act",
)
# Also compared: what the same weights compute depends on them.
NUMBERS = (
    *("layer_norm_eps", "pad_token_id", "is_decoder", "problem_type"),
    "tie_word_embeddings",
)


@dataclass
class Description:
    """What a checkpoint holds.

    Args:
        path, format, family: where and what it is.
        head: the model class, or None if no class has these parts.
        parts: parts of which it has any weight.
        incomplete: names of missing or misshapen weights, by part.
        unexpected: tensors that belong to no part.
        config: the sizes and the activation.
        weights, parameters: number of tensors, and of values in them.
        dtypes: number of tensors by dtype.
        optimizer: number of tensors of optimizer state by slot or counter.
        size: bytes of the files of weights.
        ignored: number of tensors that are not weights, by reason.
    """

    path: str
    format: str
    family: str
    head: str | None
    parts: list[str]
    incomplete: dict[str, list[str]]
    unexpected: list[str]
    config: dict[str, int | str]
    weights: int
    parameters: int
    dtypes: dict[str, int]
    optimizer: dict[str, int]
    size: int
    ignored: dict[str, int]

    def summary(self) -> str:
        """Returns the description as a table."""
        rows = {
            "format": self.format,
            "family": self.family,
            "head": self.head or "of no known class",
            "parts": ", ".join(self.parts),
            **self.config,
            "weights": f"{self.weights}, {self.parameters:,} parameters",
            "dtypes": ", ".join(f"{n} {name}" for name, n in self.dtypes.items()),
            "optimizer state": _counts(self.optimizer) or "none",
            "files": f"{self.size:,} bytes",
            "not weights": _counts(self.ignored),
            "incomplete": "; ".join(
                f"{part} lacks {listing(names)}"
                for part, names in self.incomplete.items()
            ),
            "unexpected": listing(self.unexpected),
        }
        lines = [f"{key:<24} {value}" for key, value in rows.items() if value != ""]
        return "\n".join([self.path, *lines])


def inspect(path: str | Path, **reading: Any) -> Description:
    """Describes a checkpoint of any format, complete or not.

    Args:
        path: a directory, a weights file, or a TensorFlow prefix; or `hf://org/name`.
        **reading: options of `formats.read`: `config_file`, `drop`, `strict`, `head`,
            `gelu`.

    Returns:
        The description.

    Raises:
        KerasBertError: it does not exist, is damaged, or has no known format; or, with
            `strict`, a tensor belongs to no part.

    Example:
        >>> print(inspect("ckpt/").summary())  # doctest: +SKIP
    """
    checkpoint = formats.read(path, **reading)
    resolve_ties(checkpoint)
    config = checkpoint.config
    head = choose_head(checkpoint, config)
    found = match_weights(checkpoint, config, families.of(config).parts_of(head))
    if checkpoint.strict:
        check_match(checkpoint, config, (), found.unexpected, head)
    problems = {
        name: [*found.parts[name].missing, *found.parts[name].misshapen]
        for name in dict.fromkeys((*families.of(config).body(config), *found.present))
    }
    dtypes = [tensor.dtype.name for tensor in checkpoint.tensors.values()]
    return Description(
        path=str(path),
        format=checkpoint.format,
        family=config.model_type,
        head=head,
        parts=found.present,
        incomplete={name: names for name, names in problems.items() if names},
        unexpected=found.unexpected,
        config=_sizes(config) | _labels(config, found.present),
        weights=len(checkpoint.tensors),
        parameters=parameters(checkpoint.tensors, checkpoint.tensors),
        dtypes=_count(dtypes),
        optimizer=_optimizer(checkpoint),
        size=files.total_size(f for f in checkpoint.files if f.is_file()),
        ignored=_count(checkpoint.ignored.values()),
    )


def _optimizer(checkpoint: Checkpoint) -> dict[str, int]:
    """Counts state by slot; what Keras numbers but does not name is one kind."""
    numbered = list(checkpoint.ignored.values()).count(files.OPTIMIZER_STATE)
    unnamed = {"unnamed": numbered} if numbered else {}
    return summarize_optimizer(checkpoint.optimizer) | unnamed


def compare(one: str | Path, other: str | Path, **reading: Any) -> list[str]:
    """Lists how two checkpoints differ, whatever their formats.

    Args:
        one: a checkpoint of any format.
        other: another.
        **reading: options of `formats.read`, for both.

    Returns:
        One line a difference; none if configs and weights are equal.

    Raises:
        KerasBertError: one of them cannot be read.
    """
    a, b = (formats.read(path, **reading) for path in (one, other))
    for checkpoint in (a, b):
        resolve_ties(checkpoint)
    left, right = _facts(a), _facts(b)
    lines = [f"{k}: {left[k]} and {right[k]}" for k in left if left[k] != right[k]]
    ours, theirs = _as_keras(a), _as_keras(b)
    lines += _only(one, ours, theirs) + _only(other, theirs, ours)
    shared = [name for name in ours if name in theirs]
    differing = {name: _difference(ours[name], theirs[name]) for name in shared}
    return lines + [f"{name}: {text}" for name, text in differing.items() if text]


def _facts(checkpoint: Checkpoint) -> dict[str, Any]:
    """Returns what two checkpoints are compared by, besides their weights."""
    config = checkpoint.config
    return {
        "head": choose_head(checkpoint, config) or "of no known class",
        **{name: getattr(config, name) for name in (*SIZES, *NUMBERS)},
        "labels": config.labels if _classifies(checkpoint) else None,
        "optimizer state": _counts(_optimizer(checkpoint)) or "none",
    }


def _classifies(checkpoint: Checkpoint) -> bool:
    family = families.of(checkpoint.config)
    parts = family.parts_of(choose_head(checkpoint, checkpoint.config))
    return bool({*parts} & {*CLASSIFIERS})


def _as_keras(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Returns the complete parts under our own names, in our own layout."""
    config = checkpoint.config
    head = choose_head(checkpoint, config)
    found = match_weights(checkpoint, config, families.of(config).parts_of(head))
    whole = [p for p in found.parts.values() if not p.missing and not p.misshapen]
    rows = [row for part in whole for row in part.rows]
    return translate(checkpoint.tensors, rows, checkpoint.format, "keras", config)


def _only(path: str | Path, here: Mapping, there: Mapping) -> list[str]:
    names = [name for name in here if name not in there]
    return [f"only in {path}: {listing(names)}"] if names else []


def _difference(one: Tensor, other: Tensor) -> str:
    if one.shape != other.shape:
        return f"shapes {one.shape} and {other.shape}"
    kinds = f", {one.dtype} and {other.dtype}" if one.dtype != other.dtype else ""
    pairs = _side_by_side(one, other)
    apart = [_apart(a, b) for a, b in pairs if a.tobytes() != b.tobytes() or kinds]
    return f"up to {max(apart):.1e} apart{kinds}" if apart else ""


def _side_by_side(one: Tensor, other: Tensor) -> Iterator[tuple[np.ndarray, ...]]:
    if one.part is None or other.part is None or one.dtype != other.dtype:
        yield one.load(), other.load()
    else:
        yield from zip(one.pieces(), other.pieces(), strict=True)


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype("float64") - b.astype("float64")).max(initial=0.0))


def _sizes(config: Config) -> dict[str, int | str]:
    own = {"embedding_size": config.embedding_size} if config.embedding_size else {}
    return {name: getattr(config, name) for name in SIZES} | own


def _labels(config: Config, parts: list[str]) -> dict[str, int]:
    """Returns the number of labels, if there is a head that has labels."""
    has_labels = set(parts) & set(CLASSIFIERS)
    return {"num_labels": config.num_labels} if has_labels else {}


def _count(values) -> dict[str, int]:
    values = list(values)
    return {value: values.count(value) for value in dict.fromkeys(values)}


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.items())
