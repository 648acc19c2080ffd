"""Labeled data: reading, encoding, and scoring predictions."""

from keras_bert.tasks.metrics import score
from keras_bert.tasks.text_classification import (
    Example,
    dataset,
    encode,
    label_names,
    read_examples,
    write_predictions,
)

__all__ = [
    "Example",
    "dataset",
    "encode",
    "label_names",
    "read_examples",
    "score",
    "write_predictions",
]
