"""Adversarial training: a second gradient, where the embeddings are moved against it.

Source: Miyato, Dai & Goodfellow 2017 (arXiv:1605.07725), section 3, with the table of
word embeddings in place of the embeddings of a text.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_bert.errors import ConfigError
from keras_bert.layers.replicas import sum_over_replicas
from keras_bert.optimizers.gradients import dense

Tensor = Any


def table_index(model: Any) -> int:
    """Returns the place of the word embeddings among the weights that are trained.

    Raises:
        ConfigError: they are not.
    """
    table = model.encoder.embeddings.word_embeddings.embeddings
    for index, variable in enumerate(model.trainable_variables):
        if variable is table:
            return index
    raise ConfigError(
        "Expected word embeddings that are trained with fgm, which moves them by their "
        "gradient. Received: a model in which they are not, as with lora."
    )


def moved(table: Tensor, gradient: Tensor, epsilon: float) -> Tensor:
    """Returns a table, moved by a distance along its gradient.

    Args:
        table: `(rows, width)`.
        gradient: of the loss, of this replica.
        epsilon: the distance, over the whole table.
    """
    [gradient] = sum_over_replicas([ops.cast(dense(gradient), "float32")])
    norm = ops.sqrt(ops.sum(ops.square(gradient)))
    step = gradient * (epsilon / ops.maximum(norm, 1e-12))
    return table + ops.cast(step, table.dtype)


def gradients_there(
    batch_loss: Any, batch: tuple, variables: Sequence[keras.Variable], **options: Any
) -> list[Tensor]:
    """Computes on TensorFlow the gradient where the word embeddings have been moved.

    Args:
        batch_loss: of the model.
        batch: of this replica.
        variables: the weights.
        **options: `index` of the word embeddings among them, `table` to put in their
            place, `totals`, and `scale_loss` of the optimizer.
    """
    import tensorflow as tf

    index, table = options["index"], options["table"]
    with (
        tf.GradientTape() as tape,
        keras.StatelessScope(state_mapping=[(variables[index], table)]) as scope,
    ):
        tape.watch(table)
        loss, _ = batch_loss(batch, training=True, totals=options["totals"])
        scaled = options["scale_loss"](loss)
    sources = [v.value for v in variables]
    sources[index] = table
    for variable in batch_loss.model.non_trainable_variables:  # the seed of dropout
        if (value := scope.get_current_value(variable)) is not None:
            variable.assign(value)
    return [dense(g) for g in tape.gradient(scaled, sources)]
