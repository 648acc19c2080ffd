"""Gradient accumulation: the gradient of a batch, one microbatch at a time.

Averaging the gradients of microbatches would give each the same weight, however few
masked tokens it has. Here the loss of each microbatch is divided by the sum of weights
of the whole batch, so the sum of the gradients is that of the whole batch.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_bert.errors import InputError
from keras_bert.optimizers.gradients import dense
from keras_bert.training.adversarial import gradients_there, moved, table_index
from keras_bert.training.step import BatchLoss

Tensor = Any


def split(batch: tuple, microbatches: int) -> tuple:
    """Splits a batch into microbatches of equal size.

    Args:
        batch: arrays `(rows, …)`.
        microbatches: number of them.

    Returns:
        The same structure, arrays `(microbatches, rows / microbatches, …)`.

    Raises:
        InputError: `microbatches` does not divide the rows.

    Example:
        >>> import numpy as np
        >>> labels = np.arange(6)
        >>> np.asarray(split((labels,), 3)[0]).tolist()
        [[0, 1], [2, 3], [4, 5]]
    """

    def split_rows(x: Tensor) -> Tensor:
        rows = x.shape[0]
        if rows is not None and rows % microbatches:
            raise InputError(
                f"Expected a batch, on each replica, of a multiple of {microbatches} "
                f"rows for {microbatches} microbatches. Received: {rows} rows."
            )
        return ops.reshape(x, (microbatches, -1, *ops.shape(x)[1:]))

    return keras.tree.map_structure(split_rows, batch)


def gradients(
    batch_loss: BatchLoss,
    batch: tuple,
    variables: Sequence[keras.Variable],
    microbatches: int = 1,
    scale_loss: Callable[[Tensor], Tensor] = lambda loss: loss,
) -> tuple[list[Tensor], Tensor, dict]:
    """Computes the gradient of a batch on TensorFlow, one microbatch after another.

    Args:
        batch_loss: the loss and the sums of metrics.
        batch: of this replica, `(features, labels[, weights])`.
        variables: the weights.
        microbatches: number of forward and backward passes; activations of one pass
            are in memory at a time.
        scale_loss: of the optimizer.

    Returns:
        Dense gradients of the scaled loss; this replica's share of the loss; and the
        sums of `BatchLoss`.
    """
    import tensorflow as tf

    totals = batch_loss.totals(batch)

    def one_microbatch(microbatch: tuple) -> tuple[list[Tensor], Tensor, dict]:
        with tf.GradientTape() as tape:
            loss, sums = batch_loss(microbatch, training=True, totals=totals)
            scaled = scale_loss(loss)
        found = tape.gradient(scaled, [v.value for v in variables])
        if batch_loss.fgm:
            index = table_index(batch_loss.model)
            table = moved(variables[index].value, found[index], batch_loss.fgm)
            place = {"index": index, "table": table}
            options = {"totals": totals, "scale_loss": scale_loss, **place}
            there = gradients_there(batch_loss, microbatch, variables, **options)
            found = [dense(g) + h for g, h in zip(found, there, strict=True)]
        return tf.nest.map_structure(
            tf.convert_to_tensor, ([dense(g) for g in found], loss, sums)
        )

    if microbatches == 1:
        return one_microbatch(batch)
    return _summed(one_microbatch, split(batch, microbatches), microbatches)


def _summed(one_microbatch: Callable, batches: tuple, microbatches: int) -> Any:
    import tensorflow as tf

    # Traced once, called twice: the first microbatch starts the sum.
    one_microbatch = tf.function(one_microbatch, autograph=False)

    def of(number: Any) -> Any:
        return one_microbatch(tf.nest.map_structure(lambda x: x[number], batches))

    def add(number: Tensor, sums: Any) -> tuple[Tensor, Any]:
        return number + 1, tf.nest.map_structure(tf.add, sums, of(number))

    # In parallel, microbatches would need the memory that this saves.
    _, sums = tf.while_loop(
        lambda number, _: number < microbatches, add, (1, of(0)), parallel_iterations=1
    )
    return sums
