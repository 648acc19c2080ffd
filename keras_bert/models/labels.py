"""The labels of a batch: by output, weighted, and checked where they can be seen."""

import sys
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_bert.axes import names
from keras_bert.errors import InputError
from keras_bert.layers.lookup import kept_inside
from keras_bert.losses import (
    ClassificationLoss,
    Crossentropy,
    WeightedMean,
    fits,
    spread,
)
from keras_bert.models.inputs import as_numbers, refuse_first, visible

Tensor = Any

# What `transformers` calls labels in a dict of inputs, and the outputs they may be of.
NAMES = {
    "labels": ("logits", "prediction_logits"),
    "label": ("logits", "prediction_logits"),
    "label_ids": ("logits", "prediction_logits"),
    "next_sentence_label": ("seq_relationship_logits",),
    "sentence_order_label": ("sop_logits",),
    "start_positions": ("start_logits",),
    "end_positions": ("end_logits",),
}


def split(data: Any, outputs: Iterable[str]) -> tuple[Any, Any, Any]:
    """Returns inputs, labels and weights, the labels taken out of a dict of inputs.

    Args:
        data: inputs, or a tuple of inputs, labels and weights.
        outputs: those that learn. Labels and weights that are a list of one for each
            become a dict: Keras would take them in alphabetical order.

    Raises:
        InputError: labels are given in both places.

    Example:
        >>> split({"input_ids": [[1, 2]], "labels": [0]}, ["logits"])
        ({'input_ids': [[1, 2]]}, [0], None)
    """
    outputs = list(outputs)
    x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
    found = _labels_among(x, outputs) if isinstance(x, Mapping) else {}
    if found and y is not None:
        raise InputError(
            f"Expected labels once. Received: {sorted(found)} among the inputs, and "
            "labels of their own. Leave one of them out."
        )
    if found:
        y = {output: x[name] for name, output in found.items()}
        x = {name: value for name, value in x.items() if name not in found}
    return x, _by_output(y, outputs), _by_output(weights, outputs)


def _labels_among(inputs: Mapping[str, Any], outputs: list[str]) -> dict[str, str]:
    return {
        name: output
        for name, candidates in NAMES.items()
        for output in candidates
        if output in outputs and inputs.get(name) is not None
    }


def _by_output(values: Any, outputs: list[str]) -> Any:
    if isinstance(values, Mapping):
        found = _labels_among(values, outputs)
        values = {found.get(name, name): value for name, value in values.items()}
        return values.get("logits", values)  # the one output
    listed = isinstance(values, list | tuple) and len(outputs) > 1
    if not listed or len(values) != len(outputs):
        return values
    return dict(zip(outputs, values, strict=True))


class Learned(NamedTuple):
    """What is learned of an output.

    Attributes:
        name: of its labels, in messages.
        axes: of the output.
        loss: what its labels are compared by.
        sizes: of axes that do not depend on the batch.
    """

    name: str
    axes: str
    loss: WeightedMean
    sizes: Mapping[str, int]

    def check(self, labels: Any, inputs: Mapping[str, Any]) -> Any:
        """Returns labels, as an array if they were a list, without an axis of one.

        With it, TensorFlow would trace for labels of any shape where some came before
        that have none.

        Args:
            labels: of this output.
            inputs: of the model, by name.

        Raises:
            InputError: a label is no number, out of range, or they have another shape;
                the message names its place, its value and the range.
        """
        values = visible(labels)
        if values is None:
            return labels
        values = as_numbers(values, partial(_no_number, self.name))
        shape = self._shape(inputs)
        loss = self.loss.kind(values, shape)
        if not fits(values.shape, loss.label_shape(shape)):
            raise InputError(
                f"Expected {self.name} of shape {loss.label_shape(shape)}. Received: "
                f"{values.shape}. Give one for each output that learns."
            )
        classes = shape[-1] if isinstance(shape[-1], int) else sys.maxsize
        with np.errstate(invalid="ignore"):  # infinity
            wrong = ~loss.valid(values, classes)
        takes = f"{self.name} {loss.takes.format(last=classes - 1)}"
        refuse_first(wrong, values, takes, "Classes are counted from 0.")
        checked = labels if ops.is_tensor(labels) else values
        return (
            checked[..., 0] if values.ndim > len(loss.label_shape(shape)) else checked
        )

    def numbers_classes(self, labels: Any = None) -> bool:
        """Whether labels are numbers of classes, as many as the model says."""
        *outer, last = names(self.axes)
        kind = self.loss
        if labels is not None and last in self.sizes:
            kind = kind.kind(labels, (*[None] * len(outer), self.sizes[last]))
        numbered = Crossentropy | ClassificationLoss
        return isinstance(kind, numbered) and last in self.sizes

    def _shape(self, inputs: Mapping[str, Any]) -> tuple:
        """Returns the shape of the output; None for sizes that are not known."""
        ids = tuple(inputs["input_ids"].shape)
        predictions = inputs.get("masked_lm_positions", inputs["input_ids"])
        sizes = {
            **self.sizes,
            "batch": ids[0],
            "seq": ids[-1],
            "choices": ids[1],
            "predictions": predictions.shape[-1],
        }
        *outer, last = names(self.axes)
        packed = "cls_positions" in inputs and len(outer) == 1
        pieces = (inputs["cls_positions"].shape[-1],) if packed else ()
        return (*(sizes[axis] for axis in outer), *pieces, sizes[last])


def _no_number(name: str, item: str, place: str) -> InputError:
    return InputError(
        f"Expected numbers as {name}. Received: {item} {place}. Give the number of "
        "each class: config.labels.index(name)."
    )


# === Weights ===


def check_weights(weights: Any, rows: int, of: Any = None) -> Any:
    """Returns weights, as an array if they were a list.

    Args:
        weights: of examples, or of labels.
        rows: examples.
        of: the labels.

    Raises:
        InputError: a weight is no number, negative or not finite; or there is not one
            for each row, or for each label.
    """
    name = "sample_weight"
    values = visible(weights)
    if values is None:
        return weights
    values = as_numbers(
        values, lambda item, at: InputError(f"Expected {name} in numbers: {item} {at}.")
    )
    shape = (rows, *(of.shape if hasattr(of, "shape") else np.shape(of))[1:])
    if not values.ndim or values.shape != tuple(shape[: values.ndim]):
        raise InputError(
            f"Expected {name} for each of {rows} rows, or for each label. "
            f"Received: shape {values.shape}."
        )
    wrong = ~((values >= 0) & (values < np.inf))
    refuse_first(wrong, values, f"{name} of 0 or more", "A row of weight 0 is ignored.")
    return weights if ops.is_tensor(weights) else values


def class_table(class_weight: Mapping[int, float], classes: int) -> np.ndarray:
    """Returns the weight of every class, 1 where none is given: `(classes,)`.

    Args:
        class_weight: weights by number of class.
        classes: their number.

    Raises:
        InputError: there is no such class, or a weight is negative or not finite.

    Example:
        >>> class_table({1: 2.5}, 3).tolist()
        [1.0, 2.5, 1.0]
    """
    if not isinstance(class_weight, Mapping):
        raise InputError(
            "Expected class_weight as a dict, such as {0: 1.0, 1: 2.5}. "
            f"Received: {class_weight!r:.60}."
        )
    unknown = [c for c in class_weight if c not in range(classes)]
    wrong = [c for c in class_weight if not 0 <= class_weight[c] < np.inf]
    if unknown or wrong:
        raise InputError(
            f"Expected class_weight by class from 0 to {classes - 1}, each 0 or more. "
            f"Received: {dict(class_weight)}."
        )
    table = np.ones(classes, "float32")
    for number, weight in class_weight.items():
        table[int(number)] = weight
    return table


def weighed_by_class(table: np.ndarray, labels: Tensor, weights: Any) -> Tensor:
    """Returns the weights of labels, each multiplied by that of its class.

    Args:
        table: `(classes,)`.
        labels: numbers of classes; -100 has no weight to change.
        weights: of labels or of examples; None for 1.
    """
    places = kept_inside(ops.cast(labels, "int32"), len(table))
    found = ops.take(ops.convert_to_tensor(table), places, axis=0)
    if weights is None:
        return found
    return found * spread(ops.convert_to_tensor(weights), found)
