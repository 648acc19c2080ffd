"""Batches through a model: made of rows, computed on a device, made numbers."""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np

from keras_bert.errors import InputError
from keras_bert.models import PreTrainedModel
from keras_bert.models.pretrained import STATES
from keras_bert.transformers.models import TFPreTrainedModel

# Batches after which a graph is traced: that takes as long as some calls without one.
EAGER_BATCHES = 24


def placed(device: Any) -> AbstractContextManager:
    """Returns the context in which a device computes.

    Args:
        device: see `Pipeline`.

    Raises:
        InputError: there is no such device.
    """
    if device is None:
        return nullcontext()
    text = str(device).lower()
    if text in ("-1", "cpu", "cpu:0"):
        return keras.device("cpu:0")
    found = re.fullmatch(r"(?:(?:cuda|gpu):?)?(\d+)|cuda|gpu", text)
    if found is None:
        raise InputError(
            f'Expected device=-1, "cpu", or the number of a GPU. Received: {device!r}.'
        )
    return keras.device(f"gpu:{found[1] or 0}")


def padded(rows: Sequence[Mapping[str, Sequence[int]]], pad: int) -> dict[str, Any]:
    """Returns a batch of rows that are as long as the longest.

    Args:
        rows: inputs by name.
        pad: the id of padding.

    Returns:
        int32 arrays `(rows, longest)` by name.

    Example:
        >>> padded([{"input_ids": [2, 7]}, {"input_ids": [2]}], 0)["input_ids"].tolist()
        [[2, 7], [2, 0]]
    """
    return {
        name: _array([row[name] for row in rows], pad if name == "input_ids" else 0)
        for name in rows[0]
    }


def _array(rows: Sequence[Sequence[int]], filler: int) -> np.ndarray:
    array = np.full((len(rows), max(map(len, rows))), filler, "int32")
    for target, row in zip(array, rows, strict=True):
        target[: len(row)] = row
    return array


class Computation:
    """Calls a model; on TensorFlow after some batches as a graph, which costs less.

    There is one graph for batches of all sizes. It is made anew where the model has
    other weights, for instance since its vocabulary was resized.
    """

    def __init__(self) -> None:
        self._batches = 0
        self._graph: Any = None
        self._weights: list[Any] = []

    def __call__(
        self, model: PreTrainedModel, inputs: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Returns the outputs of a batch by name.

        Args:
            model: of either form.
            inputs: arrays of integers, `(batch, seq)`.
        """
        self._batches += 1
        if keras.backend.backend() != "tensorflow" or self._batches <= EAGER_BATCHES:
            return _outputs(model, inputs)
        model.check(inputs)  # a graph does not see values
        weights = list(model.weights)
        if list(map(id, weights)) != list(map(id, self._weights)):
            self._graph, self._weights = _graph(model, inputs), weights
        return self._graph(inputs)


def _graph(model: PreTrainedModel, names: Iterable[str]) -> Any:
    import tensorflow as tf

    spec = {name: tf.TensorSpec((None, None), tf.int32) for name in names}
    return tf.function(lambda inputs: _outputs(model, inputs), input_signature=[spec])


def _outputs(model: PreTrainedModel, inputs: Mapping[str, Any]) -> dict[str, Any]:
    form = {"return_dict": True} if isinstance(model, TFPreTrainedModel) else {}
    outputs = model(inputs, **form)
    by_name = outputs if isinstance(outputs, Mapping) else {"logits": outputs}
    return {name: value for name, value in by_name.items() if name not in STATES}


def float32(value: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(keras.ops.cast(value, "float32"))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns probabilities, along the last axis."""
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Returns a probability for each logit."""
    return np.exp(-np.logaddexp(0, -logits))
