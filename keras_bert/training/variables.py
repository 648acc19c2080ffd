"""The variables of a run by name: its checkpoints, and Google's optimizer state."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_bert.errors import CheckpointError, MissingFileError


def numbered(model: Any, optimizer: Any) -> dict[str, keras.Variable]:
    """Names every variable of a run by its number and name.

    Numbers alone are not enough to notice another model, and names alone hold counters
    of the process.
    """
    parts = {"model": model.variables, "optimizer": optimizer.variables}
    return {
        f"{part}/{number}/{variable.name}": variable
        for part, variables in parts.items()
        for number, variable in enumerate(variables)
    }


def assign(
    variables: Mapping[str, keras.Variable], values: Mapping[str, np.ndarray]
) -> None:
    """Sets variables to the values of their names.

    Raises:
        CheckpointError: the names or shapes differ.
    """
    for name, value in fitting(variables, values).items():
        variables[name].assign(value)


def fitting(
    variables: Mapping[str, keras.Variable], values: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Returns values in the dtypes of their variables.

    Raises:
        CheckpointError: the names or shapes differ.
    """
    differing = variables.keys() ^ values.keys() or {
        name for name, v in variables.items() if tuple(v.shape) != values[name].shape
    }
    if differing:
        raise CheckpointError(
            "Expected a checkpoint of the same model and optimizer. What differs: "
            f"{', '.join(sorted(differing)[:4])}. Choose another output directory."
        )
    # NumPy stores what it does not know, such as bfloat16, as plain bytes.
    return {
        name: values[name].view(keras.ops.convert_to_numpy(v).dtype)
        if values[name].dtype.kind == "V"
        else values[name]
        for name, v in variables.items()
    }


# === An optimizer's state by the names of weights ===

# What the means of gradients and of their squares are called, by who wrote them: the
# optimizer of BERT, that of MLPerf's LAMB, the former by its own name, TensorFlow 1.
SLOT_NAMES = (
    ("adam_m", "adam_v"),
    ("LAMB", "LAMB_1"),
    ("AdamWeightDecayOptimizer", "AdamWeightDecayOptimizer_1"),
    ("Adam", "Adam_1"),
)


def load_optimizer_state(optimizer: Any, path: str | Path) -> int:
    """Sets an optimizer's slots and counters from `optimizer.weights.h5`.

    `keras-bert convert` writes that file from a training checkpoint of Google's or the
    Model Garden's, beside the weights.

    Args:
        optimizer: built, of `keras_bert.optimizers`.
        path: the file, or its directory. Its slots have one of the pairs of names in
            `SLOT_NAMES`, whichever of Adam and LAMB wrote and reads them.

    Returns:
        The steps that were done, from the counter `global_step` or `iteration`.

    Raises:
        MissingFileError: there is no such file.
        CheckpointError: it lacks a slot of a weight, has one of another shape, or has
            no counter.

    Example:
        >>> done = load_optimizer_state(optimizer, "converted/")  # doctest: +SKIP
    """
    import h5py

    path = Path(path)
    file = path / "optimizer.weights.h5" if path.is_dir() else path
    if not file.is_file():
        raise MissingFileError(
            f"Expected an optimizer's state at {file}; none is there. `keras-bert "
            "convert` writes it from a checkpoint of training."
        )
    with h5py.File(file, "r") as stored:
        steps = _counter(stored, file)
        means = (optimizer._momentums, optimizer._velocities)
        wanted = {
            f"{weight}/{slot}": variable
            for slot, variables in zip(_names(stored, optimizer), means, strict=True)
            for weight, variable in zip(optimizer.paths, variables, strict=True)
        }
        for name, variable in wanted.items():
            variable.assign(_slot(stored, name, tuple(variable.shape), file))
    optimizer.iterations.assign(steps)
    optimizer.update_counts.assign(np.full(len(optimizer.paths), steps, "float32"))
    return steps


def _names(stored: Any, optimizer: Any) -> tuple[str, str]:
    """Returns the names of the slots that a file has; those of BERT if it has none."""
    there = (
        pair
        for pair in SLOT_NAMES
        if any(f"{weight}/{pair[0]}" in stored for weight in optimizer.paths)
    )
    return next(there, SLOT_NAMES[0])


def _counter(stored: Any, file: Path) -> int:
    for name in ("global_step", "iteration", "iterations"):
        if name in stored:
            return int(np.asarray(stored[name]).item())
    raise CheckpointError(
        f"Expected a counter of steps (global_step) in {file}; there is none. Convert "
        "the checkpoint of training again."
    )


def _slot(stored: Any, name: str, shape: tuple[int, ...], file: Path) -> np.ndarray:
    found = stored.get(name)
    if found is None or found.shape != shape:
        raise CheckpointError(
            f"Expected {name} of shape {shape} in {file}. Received: "
            f"{'nothing' if found is None else found.shape}. Convert the checkpoint of "
            "training again, with the model's own class."
        )
    return np.asarray(found)
