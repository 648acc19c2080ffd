"""Batches for training, made of rows that are read one by one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_bert.errors import InputError
from keras_bert.features import INPUTS
from keras_bert.models.labels import NAMES as LABELS
from keras_bert.transformers.collators import (
    DataCollatorWithPadding,
    DefaultDataCollator,
)


def prepare_tf_dataset(
    model: Any,
    dataset: Any,
    batch_size: int = 8,
    shuffle: bool = True,
    tokenizer: Any = None,
    collate_fn: Callable[..., Mapping[str, Any]] | None = None,
    collate_fn_args: Mapping[str, Any] | None = None,
    drop_remainder: bool | None = None,
    prefetch: bool = True,
    seed: int | None = None,
) -> tf.data.Dataset:
    """Returns batches of inputs and labels.

    Args:
        model: that they are for; columns it does not take are left out.
        dataset: a `datasets.Dataset`, or another sequence of dicts.
        batch_size: rows of a batch.
        shuffle: draw another order every epoch.
        tokenizer: pads the rows of a batch; needed where their lengths differ.
        collate_fn: makes a batch of a list of rows; None takes the tokenizer's.
        collate_fn_args: further arguments of it.
        drop_remainder: leave the last, smaller batch out; None does when shuffling.
        prefetch: prepare batches ahead.
        seed: of the order; None takes TensorFlow's global one.

    Returns:
        Tuples of a dict of inputs and labels, a dict if there are several; inputs
        alone if there are none.

    Raises:
        InputError: the dataset has no rows, or no column that the model takes.

    Source: the method of this name in `transformers` 4.57.
    """
    rows = _Rows(dataset, _collator(collate_fn, tokenizer), collate_fn_args or {})
    example = rows(range(min(2, len(dataset))))
    names = list(example)
    types = [tf.as_dtype(example[name].dtype) for name in names]

    def read(numbers: Any) -> Any:
        arrays = tf.numpy_function(rows.arrays(names), [numbers], types)
        for name, array in zip(names, arrays, strict=True):
            array.set_shape([None] * example[name].ndim)
        return _with_labels(dict(zip(names, arrays, strict=True)))

    order = tf.data.Dataset.range(len(dataset))
    order = order.shuffle(len(dataset), seed=seed) if shuffle else order
    drop = shuffle if drop_remainder is None else drop_remainder
    batches = order.batch(batch_size, drop_remainder=drop).map(read)
    return batches.prefetch(tf.data.AUTOTUNE) if prefetch else batches


def _collator(given: Any, tokenizer: Any) -> Callable[..., Mapping[str, Any]]:
    if given is not None:
        return given
    if tokenizer is None:
        return DefaultDataCollator(return_tensors="np")
    return DataCollatorWithPadding(tokenizer, return_tensors="np")


class _Rows:
    """Reads batches of a dataset by the numbers of rows."""

    def __init__(self, dataset: Any, collate: Callable, options: Mapping[str, Any]):
        self.dataset, self.collate, self.options = dataset, collate, options
        columns = list(dataset[0]) if len(dataset) else []
        self.columns = [name for name in columns if name in (*INPUTS, *LABELS)]
        if "input_ids" not in self.columns:
            raise InputError(
                f"Expected rows with input_ids. Received: columns {columns}. Map the "
                "tokenizer over the dataset first."
            )

    def __call__(self, numbers: Sequence[int]) -> dict[str, np.ndarray]:
        rows = [self.dataset[int(number)] for number in numbers]
        kept = [{name: row[name] for name in self.columns} for row in rows]
        batch = self.collate(kept, **self.options)
        return {name: np.asarray(value) for name, value in batch.items()}

    def arrays(self, names: Sequence[str]) -> Callable:
        """Returns a function of row numbers that returns the arrays in order."""

        def read(numbers: Any) -> list[np.ndarray]:
            batch = self(numbers)
            return [batch[name] for name in names]

        return read


def _with_labels(batch: dict[str, Any]) -> Any:
    labels = {name: batch.pop(name) for name in [*batch] if name in LABELS}
    if not labels:
        return batch
    return batch, labels if len(labels) > 1 else next(iter(labels.values()))
