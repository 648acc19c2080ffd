"""Labeled data: reading, encoding, and scoring predictions."""

from keras_bert.tasks.examples import Example, filled, iter_examples, read_examples
from keras_bert.tasks.metrics import score
from keras_bert.tasks.tables import Table
from keras_bert.tasks.text_classification import (
    dataset,
    encode,
    label_counts,
    label_names,
    write_predictions,
)

__all__ = [
    "Example",
    "Table",
    "dataset",
    "encode",
    "filled",
    "iter_examples",
    "label_counts",
    "label_names",
    "read_examples",
    "score",
    "write_predictions",
]
