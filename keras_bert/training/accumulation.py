"""The gradient of a large batch, computed a part at a time.

Adding up gradients of means gives every part the same weight, however few masked
tokens it holds. Here each part's loss is divided by the weights of the whole batch,
so the sum is the gradient of the whole batch.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_bert.errors import InputError
from keras_bert.optimizers.gradients import dense
from keras_bert.training.step import Objective

Tensor = Any


def split(batch: tuple, parts: int) -> tuple:
    """Cuts a batch in parts of as many rows each.

    Args:
        batch: of arrays `(rows, …)`.
        parts: number of them.

    Returns:
        The same structure, of `(parts, rows / parts, …)`.

    Raises:
        InputError: the rows cannot be divided so.

    Example:
        >>> labels = np.arange(6)
        >>> np.asarray(split((labels,), 3)[0]).tolist()
        [[0, 1], [2, 3], [4, 5]]
    """

    def cut(x: Tensor) -> Tensor:
        rows = x.shape[0]
        if rows is not None and rows % parts:
            raise InputError(
                f"Expected a batch, on each replica, of a multiple of {parts} rows to "
                f"accumulate {parts} parts. Received: {rows} rows."
            )
        return ops.reshape(x, (parts, -1, *ops.shape(x)[1:]))

    return keras.tree.map_structure(cut, batch)


def gradients(
    objective: Objective,
    batch: tuple,
    variables: Sequence[keras.Variable],
    parts: int = 1,
    scale_loss: Callable[[Tensor], Tensor] = lambda loss: loss,
) -> tuple[list[Tensor], Tensor, dict]:
    """Computes the gradient of a batch on TensorFlow, one part after another.

    Args:
        objective: the loss.
        batch: this replica's share, `(features, labels[, weights])`.
        variables: what to differentiate by.
        parts: forward and backward passes; memory is that of one of them.
        scale_loss: of the optimizer.

    Returns:
        Dense gradients of the scaled loss; the loss, this replica's share; and the
        sums of `Objective`.
    """
    import tensorflow as tf

    totals = objective.totals(batch)

    def one_part(part: tuple) -> tuple[list[Tensor], Tensor, dict]:
        with tf.GradientTape() as tape:
            loss, sums = objective(part, training=True, totals=totals)
            scaled = scale_loss(loss)
        found = tape.gradient(scaled, [v.value for v in variables])
        return tf.nest.map_structure(
            tf.convert_to_tensor, ([dense(g) for g in found], loss, sums)
        )

    if parts == 1:
        return one_part(batch)
    return _added_up(one_part, split(batch, parts), parts)


def _added_up(one_part: Callable, batches: tuple, parts: int) -> Any:
    import tensorflow as tf

    # Traced once, called twice: the first part tells what there is to add to.
    one_part = tf.function(one_part, autograph=False)

    def of(number: Any) -> Any:
        return one_part(tf.nest.map_structure(lambda x: x[number], batches))

    def add(number: Tensor, sums: Any) -> tuple[Tensor, Any]:
        return number + 1, tf.nest.map_structure(tf.add, sums, of(number))

    # Parts at the same time would need the memory that this saves.
    _, sums = tf.while_loop(
        lambda number, _: number < parts, add, (1, of(0)), parallel_iterations=1
    )
    return sums
