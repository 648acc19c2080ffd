"""Losses that divide by the weights, and an accuracy that knows what to ignore.

Keras' own reduction divides the masked-LM loss by the number of positions,
masked or not, and under data parallelism every replica by its own. These divide
by the sum of weights over all replicas, so the number means the same whatever
the padding and the number of devices.
"""

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_bert.layers.fused import crossentropy
from keras_bert.layers.replicas import sum_over_replicas

Tensor = Any
Shape = tuple[Any, ...]  # integers, or scalar tensors where a graph knows no better

IGNORED = -100  # labels of this value have no part in loss and accuracy


def spread(weights: Tensor, values: Tensor) -> Tensor:
    """Gives weights of fewer axes (one an example) the rank of the values."""
    weights = ops.cast(weights, values.dtype)
    while len(weights.shape) < len(values.shape):
        weights = ops.expand_dims(weights, -1)
    return ops.broadcast_to(weights, ops.shape(values))


class WeightedMean(keras.losses.Loss):
    """A loss that is `sum(weights * values) / sum(weights)` over all replicas.

    Subclasses define `each(labels, outputs)`, the values, and `counts(labels,
    shape)`, which of them count: it follows from the labels and the shape of the
    outputs alone, so that a batch can be counted before the model has seen it.
    """

    def __call__(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> Tensor:
        outputs = ops.cast(ops.convert_to_tensor(y_pred), "float32")
        values, weights = self.values(ops.convert_to_tensor(y_true), outputs)
        if sample_weight is not None:
            weights = weights * spread(ops.convert_to_tensor(sample_weight), values)
        total = sum_over_replicas(ops.sum(weights))
        return ops.sum(values * weights) / ops.where(total > 0, total, 1.0)

    def values(self, labels: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the values and which of them count, two tensors of one shape."""
        return self.each(labels, outputs), self.counts(labels, ops.shape(outputs))

    def each(self, labels: Tensor, outputs: Tensor) -> Tensor:
        raise NotImplementedError

    def counts(self, labels: Tensor, shape: Shape) -> Tensor:
        raise NotImplementedError

    def get_config(self) -> dict:
        return {"name": self.name}


def _as_wide(labels: Tensor, shape: Shape) -> bool:
    """Tells labels that are each on or off from numbers of classes."""
    return len(labels.shape) == len(shape) and labels.shape[-1] == shape[-1]


def _classes(labels: Tensor, shape: Shape) -> Tensor:
    """Gives integer labels the shape of the logits without their last axis."""
    return ops.reshape(ops.cast(labels, "int32"), shape[:-1])


def _next_tokens(labels: Tensor) -> Tensor:
    """Drops the first label, which nothing predicts.

    Labels keep their places, so that weights stay theirs.
    """
    labels = ops.cast(labels, "int32")
    none = ops.full_like(labels[:, :1], IGNORED)
    return ops.concatenate([none, labels[:, 1:]], axis=1)


def _predicting(logits: Tensor) -> Tensor:
    """Puts the logits that predict a label at its place."""
    return ops.roll(logits, 1, axis=1)


@keras.saving.register_keras_serializable(package="keras_bert")
class Crossentropy(WeightedMean):
    """Cross-entropy of integer labels; -100 is ignored.

    Call arguments:
        y_true: integers `(...)`.
        y_pred: logits `(..., classes)`.
        sample_weight: `(...)`, or one for each example.

    Example:
        >>> float(Crossentropy()([[1, -100]], [[[0.0, 0.0], [9.0, 0.0]]]))
        0.6931471824645996
    """

    def __init__(self, name: str = "crossentropy"):
        super().__init__(name=name)

    def each(self, labels: Tensor, outputs: Tensor) -> Tensor:
        labels = ops.maximum(_classes(labels, ops.shape(outputs)), 0)
        rows = ops.reshape(outputs, (-1, ops.shape(outputs)[-1]))
        values = crossentropy(rows, ops.reshape(labels, (-1,)))
        return ops.reshape(values, ops.shape(labels))

    def counts(self, labels: Tensor, shape: Shape) -> Tensor:
        return ops.cast(_classes(labels, shape) != IGNORED, "float32")


@keras.saving.register_keras_serializable(package="keras_bert")
class NextTokenCrossentropy(Crossentropy):
    """Cross-entropy of a left-to-right model: position i predicts label i + 1.

    A label's weight stands at the label's position.

    Source: `ForCausalLMLoss` in Hugging Face's `loss_utils.py`.
    """

    def __init__(self, name: str = "next_token_crossentropy"):
        super().__init__(name=name)

    def each(self, labels: Tensor, outputs: Tensor) -> Tensor:
        return super().each(_next_tokens(labels), _predicting(outputs))

    def counts(self, labels: Tensor, shape: Shape) -> Tensor:
        return super().counts(_next_tokens(labels), shape)


@keras.saving.register_keras_serializable(package="keras_bert")
class SquaredError(WeightedMean):
    """Squared error of a regression; labels `(batch,)` or `(batch, labels)`."""

    def __init__(self, name: str = "squared_error"):
        super().__init__(name=name)

    def each(self, labels: Tensor, outputs: Tensor) -> Tensor:
        labels = ops.reshape(ops.cast(labels, "float32"), ops.shape(outputs))
        return ops.square(labels - outputs)

    def counts(self, labels: Tensor, shape: Shape) -> Tensor:
        return ops.ones(shape, "float32")


@keras.saving.register_keras_serializable(package="keras_bert")
class BinaryCrossentropy(WeightedMean):
    """Cross-entropy of labels that are each on or off; both `(batch, labels)`."""

    def __init__(self, name: str = "binary_crossentropy"):
        super().__init__(name=name)

    def each(self, labels: Tensor, outputs: Tensor) -> Tensor:
        labels = ops.cast(labels, "float32")
        # max(x, 0) - x z + log(1 + exp(-|x|)): no overflow for any logit.
        values = ops.relu(outputs) - outputs * labels
        return values + ops.softplus(-ops.abs(outputs))

    def counts(self, labels: Tensor, shape: Shape) -> Tensor:
        return ops.ones(shape, "float32")


@keras.saving.register_keras_serializable(package="keras_bert")
class ClassificationLoss(WeightedMean):
    """Cross-entropy, or binary cross-entropy for labels as wide as the logits.

    This is how Hugging Face derives `problem_type` when the config is silent.
    """

    def __init__(self, name: str = "classification_loss"):
        super().__init__(name=name)

    def each(self, labels: Tensor, outputs: Tensor) -> Tensor:
        return self._kind(labels, outputs.shape).each(labels, outputs)

    def counts(self, labels: Tensor, shape: Shape) -> Tensor:
        return self._kind(labels, shape).counts(labels, shape)

    def _kind(self, labels: Tensor, shape: Shape) -> WeightedMean:
        return (BinaryCrossentropy if _as_wide(labels, shape) else Crossentropy)()


@keras.saving.register_keras_serializable(package="keras_bert")
class Accuracy(keras.metrics.Mean):
    """Share of labels that the largest logit names; -100 is ignored.

    Labels as wide as the logits are each on or off, and right when the logit has
    their sign.
    """

    def __init__(self, name: str = "accuracy", **kwargs: Any):
        super().__init__(name=name, **kwargs)

    def values(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
        """Returns which answers are right, and which count."""
        logits, labels = ops.convert_to_tensor(y_pred), ops.convert_to_tensor(y_true)
        if _as_wide(labels, logits.shape):
            right = ops.cast((logits > 0) == (labels > 0), "float32")
            return right, ops.ones_like(right)
        labels = _classes(labels, ops.shape(logits))
        best = ops.cast(ops.argmax(logits, axis=-1), "int32")
        return (
            ops.cast(best == labels, "float32"),
            ops.cast(labels != IGNORED, "float32"),
        )

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        right, weights = self.values(y_true, y_pred)
        if sample_weight is not None:
            weights = weights * spread(ops.convert_to_tensor(sample_weight), right)
        super().update_state(right, sample_weight=weights)


@keras.saving.register_keras_serializable(package="keras_bert")
class NextTokenAccuracy(Accuracy):
    """Accuracy of a left-to-right model: position i predicts label i + 1."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
        labels, logits = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        return super().values(_next_tokens(labels), _predicting(logits))


class Objective(NamedTuple):
    """What is learned of one output.

    Attributes:
        loss, metric: their classes.
        axes: of the output, see `keras_bert.axes`.
        loss_weight: share of the total loss; None is 1.
    """

    loss: type
    metric: type
    axes: str
    loss_weight: float | None = None

    @property
    def new_loss(self) -> keras.losses.Loss:
        return self.loss()

    @property
    def new_metrics(self) -> list[keras.metrics.Metric]:
        return [self.metric()]
