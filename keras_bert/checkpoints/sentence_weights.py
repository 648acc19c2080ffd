"""The weights of dense modules of sentence-transformers, and folders for new models.

Source: `modules/dense.py`, `modules/pooling.py` and `base/model.py` of
sentence-transformers.
"""

import dataclasses
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_bert.checkpoints import files, safetensors, state_dicts
from keras_bert.checkpoints.checkpoint import Tensor
from keras_bert.checkpoints.sentence_modules import (
    ACTIVATIONS,
    MODULES,
    POOLINGS,
    SETTINGS,
    TRANSFORMER,
    SentenceModules,
)
from keras_bert.errors import CheckpointError
from keras_bert.sentence_recipe import DENSE, SentenceRecipe

Arrays = Mapping[str, np.ndarray]  # `kernel` (inputs, units), and `bias` (units,)
# Where sentence-transformers looks for weights, in this order.
READERS: dict[str, Callable[[Path], dict[str, Tensor]]] = {
    "model.safetensors": safetensors.read,
    "pytorch_model.bin": state_dicts.read,
}
NAMES = {"linear.weight": "kernel", "linear.bias": "bias"}
PACKAGE = "sentence_transformers.models."  # which all its versions know


# === Reading ===


def read(modules: SentenceModules) -> list[Arrays]:
    """Returns the weights of dense modules, float32, in order.

    Args:
        modules: of a folder.

    Raises:
        CheckpointError: weights are missing, unexpected or damaged.
    """
    return [_read(modules, folder) for folder in modules.dense]


def _read(modules: SentenceModules, folder: str) -> Arrays:
    name = next((n for n in READERS if f"{folder}/{n}" in modules.files), None)
    if name is None:
        raise CheckpointError(
            f"Expected {' or '.join(READERS)} in {modules.source / folder}. Received: "
            "neither. Copy the folder again."
        )
    contents, path = modules.files[f"{folder}/{name}"], modules.source / folder / name
    with tempfile.TemporaryDirectory() as place:
        if not path.is_file() or path.read_bytes() != contents:
            path = Path(place) / name
            path.write_bytes(contents)
        found = {n: tensor.load() for n, tensor in READERS[name](path).items()}
    if "linear.weight" not in found or found.keys() - NAMES.keys():
        raise CheckpointError(
            f"Expected {' and '.join(NAMES)} in {modules.source / folder / name}. "
            f"Received: {', '.join(found) or 'nothing'}."
        )
    arrays = {NAMES[n]: array.astype(np.float32) for n, array in found.items()}
    return {**arrays, "kernel": arrays["kernel"].T}


# === Writing ===


def with_weights(modules: SentenceModules, dense: Sequence[Arrays]) -> SentenceModules:
    """Returns modules with other weights; files of unchanged ones stay as they are.

    Args:
        modules: of a folder.
        dense: of its dense modules, in order.
    """
    kept = dict(modules.files)
    for folder, old, new in zip(modules.dense, read(modules), dense, strict=True):
        if old.keys() == new.keys() and all(_same(old[n], new[n]) for n in old):
            continue
        for name in READERS:
            kept.pop(f"{folder}/{name}", None)
        kept[f"{folder}/model.safetensors"] = _written(new)
    return dataclasses.replace(modules, files=kept)


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return files.equal(Tensor.of(one), Tensor.of(np.ascontiguousarray(other)))


def _written(arrays: Arrays) -> bytes:
    """Returns the contents of a file of weights."""
    turned = {**arrays, "kernel": np.ascontiguousarray(arrays["kernel"].T)}
    tensors = {n: Tensor.of(turned[k]) for n, k in NAMES.items() if k in turned}
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "model.safetensors"
        safetensors.write(path, tensors)
        return path.read_bytes()


def new_modules(
    recipe: SentenceRecipe, hidden: int, dense: Iterable[Arrays] = ()
) -> SentenceModules:
    """Returns the modules of a model that was made here.

    Args:
        recipe: how its vectors are made.
        hidden: width of the encoder's states.
        dense: weights of the dense layers, in order.

    Raises:
        CheckpointError: sentence-transformers has no such module.
    """
    if "pooler" in recipe.pooling:
        raise CheckpointError(
            "Expected a pooling that sentence-transformers has: "
            f"{', '.join(POOLINGS.values())}. Received: pooler, BERT's own. Pool 'cls' "
            "and add a Dense with tanh, which is the same."
        )
    found: dict[str, bytes] = {}
    listed = [{"idx": 0, "name": "0", "path": "", "type": f"{PACKAGE}Transformer"}]
    weights = iter(dense)
    for number, (kind, values) in enumerate(_configs(recipe, hidden), 1):
        path, place = f"{number}_{kind}", {"idx": number, "name": str(number)}
        listed.append({**place, "path": path, "type": PACKAGE + kind})
        found[f"{path}/config.json"] = _json(values)
        if kind == DENSE:
            found[f"{path}/model.safetensors"] = _written(next(weights))
    if recipe.max_length is not None:
        limit = {"max_seq_length": recipe.max_length, "do_lower_case": False}
        found[TRANSFORMER[0]] = _json(limit)
    settings = {
        "model_type": "SentenceTransformer",
        "prompts": dict(recipe.prompts),
        "default_prompt_name": recipe.default_prompt_name,
        "similarity_fn_name": recipe.similarity,
    }
    found |= {MODULES: _json(listed), SETTINGS: _json(settings)}
    return SentenceModules(Path(), found)


def _configs(
    recipe: SentenceRecipe, hidden: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the modules after the first, and what their files say."""
    yield "Pooling", _pooling(recipe, hidden)
    names, width = {v: k for k, v in ACTIVATIONS.items()}, len(recipe.pooling) * hidden
    for step in recipe.steps:
        values: dict[str, Any] = {}
        if step.kind == DENSE:
            values = {"in_features": width, "out_features": step.units}
            values |= {"bias": step.bias, "activation_function": names[step.activation]}
            width = step.units
        yield step.kind, values


def _pooling(recipe: SentenceRecipe, hidden: int) -> dict[str, Any]:
    # Switches, which all versions read, have an order of their own.
    switches = {key: name in recipe.pooling for key, name in POOLINGS.items()}
    in_order = tuple(name for name in POOLINGS.values() if name in recipe.pooling)
    named: dict[str, Any] = {"word_embedding_dimension": hidden, **switches}
    if in_order != recipe.pooling:
        named = {"embedding_dimension": hidden, "pooling_mode": list(recipe.pooling)}
    return {**named, "include_prompt": recipe.include_prompt}


def _json(values: Any) -> bytes:
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()
