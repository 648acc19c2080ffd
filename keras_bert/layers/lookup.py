"""Rows of tables by number, where the numbers come in tensors that nobody has checked.

Backends differ on a number out of range: the last row for -1, the nearest row, zeros,
NaN, an error. Here it is NaN on all of them, never another row. That costs comparisons
of integers and one addition.
"""

from functools import reduce
from operator import add, and_
from typing import Any

import keras
from keras import ops

Tensor = Any


def inside(numbers: Tensor, size: Any) -> Tensor:
    """Returns which numbers are in `[0, size)`."""
    return (numbers >= 0) & (numbers < size)


def kept_inside(numbers: Tensor, size: Any) -> Tensor:
    """Returns the numbers, with 0 for those out of range."""
    return ops.where(inside(numbers, size), numbers, ops.zeros_like(numbers))


def nan_unless(known: Tensor, rows: Tensor) -> Tensor:
    """Makes rows NaN where they are not those that were asked for.

    Args:
        known: bool `(...)`.
        rows: `(..., width)`.

    Example:
        >>> nan_unless(ops.array([True, False]), ops.ones((2, 1))).numpy().tolist()
        [[1.0], [nan]]
    """
    nothing = ops.cast(ops.where(known, 0.0, float("nan")), rows.dtype)
    return rows + ops.expand_dims(nothing, -1)


def rows_of(table: Any, numbers: Tensor) -> Tensor:
    """Returns rows of a table, whose gradient is the whole table's.

    TensorFlow's own gradient holds a row once for every time it was looked up, and
    optimizers of Keras square each: Adam would be wrong for every row met twice.

    Args:
        table: `(rows, width)`, a variable or a tensor.
        numbers: integers `(...)`, all in range.

    Returns:
        `(..., width)`.
    """
    return ops.take(ops.reshape(table, ops.shape(table)), numbers, axis=0)


def sum_of_rows(*lookups: tuple[Any, Tensor]) -> Tensor:
    """Adds up rows of several tables.

    Args:
        *lookups: embedding layers, or None for none, each with integers `(...)`.

    Returns:
        `(..., width)`; NaN where a number is out of range.
    """
    pairs = [(table, numbers) for table, numbers in lookups if table]
    rows = (table(kept_inside(x, table.input_dim)) for table, x in pairs)
    known = (inside(x, table.input_dim) for table, x in pairs)
    return nan_unless(reduce(and_, known), reduce(add, rows))


@keras.saving.register_keras_serializable(package="keras_bert")
class Table(keras.layers.Embedding):
    """Keras' layer, with the gradient of `rows_of`."""

    def call(self, inputs: Tensor) -> Tensor:
        return ops.cast(rows_of(self.embeddings, inputs), self.compute_dtype)
