"""Batches without the padding that none of their rows needs."""

from collections.abc import Mapping
from typing import Any

import numpy as np

TOKENS = "input_ids", "attention_mask", "token_type_ids"
WIDTH, WIDER = 16, 64  # steps of lengths: few shapes are compiled where each is
LONG = 128  # rows longer than this are in the wider steps


def trimmed(
    features: Mapping[str, Any], *others: Any, token_labels: bool = False
) -> Any:
    """Drops the padding that all rows of a batch have, to be mapped over batches.

    Args:
        features: tensors by name, of tokens `(rows, …, seq)`; others are left alone.
        *others: labels and weights, if there are any.
        token_labels: whether these are of tokens too, `(rows, …, seq)`.

    Returns:
        Features, or a tuple of features and the others.

    Example:
        >>> import tensorflow as tf
        >>> mask = tf.constant([[1] * 9 + [0] * 31])
        >>> trimmed({"attention_mask": mask})["attention_mask"].shape
        TensorShape([1, 16])
    """
    import tensorflow as tf

    mask = features["attention_mask"]
    real = tf.reduce_any(tf.reshape(mask, [-1, tf.shape(mask)[-1]]) > 0, 0)
    longest = tf.reduce_max(tf.where(real, tf.range(1, tf.size(real) + 1), 1))
    width = tf.where(longest > LONG, WIDER, WIDTH)
    length = -(-longest // width) * width
    short = {k: x[..., :length] if k in TOKENS else x for k, x in features.items()}
    if token_labels:
        others = tf.nest.map_structure(lambda x: x[..., :length], others)
    return (short, *others) if others else short


def lengths(mask: Any) -> np.ndarray:
    """Returns the tokens of the longest text of each row, `(rows,)`.

    Args:
        mask: the attention mask, `(rows, …, seq)`.
    """
    counts = np.asarray(mask).sum(-1)
    return counts.reshape(len(counts), -1).max(1)


def predict(model: Any, features: Mapping[str, Any], batch_size: int) -> Any:
    """Returns what a model predicts, computed on rows of like lengths together.

    Args:
        model: whose outputs have no axis of tokens.
        features: arrays `(rows, …, seq)` by name.
        batch_size: rows per batch.

    Returns:
        Arrays `(rows, …)` in the order of the rows, in the model's structure.
    """
    import keras
    import tensorflow as tf

    order = np.argsort(-lengths(features["attention_mask"]), kind="stable")
    ordered = {name: np.asarray(x)[order] for name, x in features.items()}
    data = tf.data.Dataset.from_tensor_slices(ordered).batch(batch_size).map(trimmed)
    outputs = model.predict(data, verbose=0)
    places = np.argsort(order)
    return keras.tree.map_structure(lambda x: np.asarray(x)[places], outputs)


def grouped(data: Any, rows: int, batch_size: int, seed: int) -> Any:
    """Returns batches of rows of like lengths, drawn from as many rows at a time.

    Args:
        data: a `tf.data.Dataset` of shuffled rows, `(features, …)`.
        rows: how many are sorted by length at a time.
        batch_size: rows per batch.
        seed: for the order of the batches.
    """
    import tensorflow as tf

    def ordered(number: Any, pool: Any) -> Any:
        mask = pool[0]["attention_mask"]
        counts = tf.reduce_sum(tf.reshape(mask, [tf.shape(mask)[0], -1]), 1)
        order = tf.argsort(counts, stable=True)
        full = tf.size(order) // batch_size * batch_size
        batches = tf.reshape(order[:full], [-1, batch_size])
        shuffle = tf.random.experimental.stateless_shuffle
        batches = shuffle(batches, seed=[tf.cast(seed, tf.int64), number])
        order = tf.concat([tf.reshape(batches, [-1]), order[full:]], 0)
        return tf.nest.map_structure(lambda x: tf.gather(x, order), pool)

    # Shuffling with a seed of its own, since the state of this can be saved.
    data = data.map(lambda *row: row).batch(rows).enumerate().map(ordered)
    return data.unbatch().batch(batch_size)
