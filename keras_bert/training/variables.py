"""The variables of a run by name, and optimizer state of converted checkpoints."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_bert.errors import CheckpointError, MissingFileError
from keras_bert.training.weight_order import reordered


def numbered(model: Any, optimizer: Any) -> dict[str, keras.Variable]:
    """Returns every variable of a run under its index and name.

    Indices alone would not reveal another model, and names alone depend on how many
    objects the process made before.
    """
    groups = {"model": model.variables, "optimizer": optimizer.variables}
    return {
        f"{group}/{number}/{variable.name}": variable
        for group, variables in groups.items()
        for number, variable in enumerate(variables)
    }


def assign(
    variables: Mapping[str, keras.Variable], values: Mapping[str, np.ndarray]
) -> None:
    """Assigns values to variables by name.

    Raises:
        CheckpointError: the names or shapes differ.
    """
    for name, value in cast_values(variables, values).items():
        variables[name].assign(value)


def cast_values(
    variables: Mapping[str, keras.Variable], values: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Returns the values in the dtypes of their variables.

    Raises:
        CheckpointError: the names or shapes differ.
    """
    values = reordered(variables, values)
    differing = variables.keys() ^ values.keys() or {
        name for name, v in variables.items() if tuple(v.shape) != values[name].shape
    }
    if differing:
        raise CheckpointError(
            "Expected a checkpoint of the same model and optimizer. Received other: "
            f"{', '.join(sorted(differing)[:4])}. Choose another output directory."
        )
    # NumPy stores dtypes it does not know, such as bfloat16, as plain bytes.
    return {
        name: values[name].view(keras.ops.convert_to_numpy(v).dtype)
        if values[name].dtype.kind == "V"
        else values[name]
        for name, v in variables.items()
    }


# === Optimizer state by the names of weights ===

# Names of the first and second moment: in BERT's optimizer, in MLPerf's LAMB, in BERT's
# optimizer under its class name, in TensorFlow 1.
SLOT_NAMES = (
    ("adam_m", "adam_v"),
    ("LAMB", "LAMB_1"),
    ("AdamWeightDecayOptimizer", "AdamWeightDecayOptimizer_1"),
    ("Adam", "Adam_1"),
)


def load_optimizer_state(optimizer: Any, path: str | Path) -> int:
    """Loads an optimizer's slots and counters from `optimizer.weights.h5`.

    `keras-bert convert` writes that file next to the weights, from a training
    checkpoint of Google's code or the Model Garden.

    Args:
        optimizer: of `keras_bert.optimizers`, built.
        path: the file, or its directory. Its slots have one of the pairs of names in
            `SLOT_NAMES`; state of Adam fits LAMB and the reverse.

    Returns:
        The number of completed steps, from the counter `global_step` or `iteration`.

    Raises:
        MissingFileError: there is no such file.
        CheckpointError: a slot is missing or has another shape, or the counter is
            missing.

    Example:
        >>> done = load_optimizer_state(optimizer, "converted/")  # doctest: +SKIP
    """
    import h5py

    path = Path(path)
    file = path / "optimizer.weights.h5" if path.is_dir() else path
    if not file.is_file():
        raise MissingFileError(
            f"Expected optimizer state at {file}; there is no such file. `keras-bert "
            "convert` writes it from a training checkpoint."
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
    """Returns the slot names that a file uses; those of BERT if it has no slots."""
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
        f"Expected a step counter (global_step) in {file}; there is none. Convert the "
        "training checkpoint again."
    )


def _slot(stored: Any, name: str, shape: tuple[int, ...], file: Path) -> np.ndarray:
    found = stored.get(name)
    if found is None or found.shape != shape:
        raise CheckpointError(
            f"Expected {name} of shape {shape} in {file}. Received: "
            f"{'nothing' if found is None else found.shape}. Convert the training "
            "checkpoint again, with --head set to the model's class."
        )
    return np.asarray(found)
