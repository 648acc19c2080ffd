"""Losses that divide by the weights, and an accuracy that knows what to ignore.

Keras' own reduction divides the masked-LM loss by the number of positions,
masked or not, and under data parallelism every replica by its own. These divide
by the sum of weights over all replicas, so the number means the same whatever
the padding and the number of devices.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import keras
from keras import ops

from keras_bert.errors import ConfigError, InputError
from keras_bert.layers.crf import path_losses
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

    Subclasses define `each(labels, outputs)`, the values, `counts(labels, shape)`,
    which of them count, and `valid(labels, classes)`, which labels there are. A label
    that is not valid makes the loss NaN. Counts follow from the labels and the shape of
    the outputs alone, so that a batch can be counted before the model has seen it.

    Attributes:
        takes: which labels are valid, in words; `last` is the largest class.
        options: names of arguments that change what is learned.
    """

    takes: ClassVar[str]
    options: ClassVar[tuple[str, ...]] = ()

    def kind(self, labels: Tensor, shape: Shape) -> "WeightedMean":
        """Returns the loss of these labels, given the shape of the outputs."""
        return self

    def label_shape(self, shape: Shape) -> Shape:
        """Returns the shape of labels, given that of the outputs."""
        return shape

    def __call__(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> Tensor:
        outputs = ops.cast(ops.convert_to_tensor(y_pred), "float32")
        values, weights = self.values(ops.convert_to_tensor(y_true), outputs)
        if sample_weight is not None:
            given = spread(ops.convert_to_tensor(sample_weight), values)
            weights = weights * _nan_unless(given >= 0, given)
        total = sum_over_replicas(ops.sum(weights))
        return ops.sum(values * weights) / ops.where(total > 0, total, 1.0)

    def values(self, labels: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the values and which of them count, two tensors of one shape."""
        return self.each(labels, outputs), self.counts(labels, ops.shape(outputs))

    def each(self, labels: Tensor, outputs: Tensor) -> Tensor:
        raise NotImplementedError

    def counts(self, labels: Tensor, shape: Shape) -> Tensor:
        raise NotImplementedError

    def valid(self, labels: Tensor, classes: Any) -> Tensor:
        """Returns which labels are valid, by operators that NumPy has too."""
        raise NotImplementedError

    def divergence(self, labels: Tensor, one: Tensor, other: Tensor) -> Tensor:
        """Returns how far two outputs are apart, where `values` has the values.

        Of distributions the mean of both Kullback-Leibler divergences, of numbers the
        square of the difference.
        """
        raise NotImplementedError

    def get_config(self) -> dict:
        return {"name": self.name}


def _as_wide(labels: Tensor, shape: Shape) -> bool:
    """Tells labels that are each on or off from numbers of classes.

    Raises:
        InputError: a graph does not know how many axes labels have.
    """
    if getattr(labels.shape, "rank", 0) is None:
        raise InputError(
            "Expected labels whose number of axes is known. Received: labels without "
            "a shape in a graph. Give them one (tf.ensure_shape), or call compile() "
            "again if the model has learned from labels of another shape."
        )
    return len(labels.shape) == len(shape) and labels.shape[-1] == shape[-1]


def _signed(labels: Tensor) -> Tensor:
    """Gives labels a dtype that holds -100 and all they held before."""
    dtype = keras.backend.standardize_dtype(labels.dtype)
    small = dtype in ("bool", "int8", "int16", "uint8", "uint16")
    return ops.cast(labels, "int32") if small else labels


def _shaped(labels: Tensor, shape: Shape) -> Tensor:
    """Gives labels the shape of what is learned.

    Raises:
        InputError: the shapes differ, other than by a last axis of one.
    """
    if not fits(labels.shape, shape):
        raise InputError(
            f"Expected labels of shape {tuple(shape)}. Received: "
            f"{tuple(labels.shape)}. Give one label for each output that learns."
        )
    return ops.reshape(_signed(labels), shape)


def fits(given: Shape, wanted: Shape) -> bool:
    """Whether labels have a shape, where it is known; a last axis of one may differ.

    Example:
        >>> fits((4, 1), (4,)), fits((4,), (None, 1)), fits((4, 2), (4,))
        (True, True, False)
    """
    if getattr(given, "rank", 0) is None:
        return True  # a graph knows no better
    *shorter, longer = sorted((list(given), list(wanted)), key=len)
    extra = longer[len(shorter[0]) :]
    known = (
        isinstance(a, int) and isinstance(b, int) and a != b
        for a, b in zip(*shorter, longer, strict=False)
    )
    return extra in ([], [1], [None]) and not any(known)


def _is_class(labels: Tensor, classes: Any) -> Tensor:
    """Returns which labels number one of some classes, by operators alone."""
    if not isinstance(classes, int):
        classes = ops.cast(classes, labels.dtype)
    known = (labels >= 0) & (labels < classes)
    is_float = "float" in keras.backend.standardize_dtype(labels.dtype)
    return known & (labels % 1 == 0) if is_float else known


def _nan_unless(valid: Tensor, values: Tensor) -> Tensor:
    return ops.where(valid, values, float("nan"))


def _next_tokens(labels: Tensor) -> Tensor:
    """Drops the first label, which nothing predicts.

    Labels keep their places, so that weights stay theirs.
    """
    labels = _signed(labels)
    none = ops.full_like(labels[:, :1], IGNORED)
    return ops.concatenate([none, labels[:, 1:]], axis=1)


def _predicting(logits: Tensor) -> Tensor:
    """Puts the logits that predict a label at its place."""
    return ops.roll(logits, 1, axis=1)


class ClassLoss(WeightedMean):
    """A cross-entropy, with options against rare classes and overconfidence.

    Args:
        name: of the loss.
        label_smoothing: share of every label that is spread evenly over all classes, in
            [0, 1).
        focal_gamma: power of `1 - p` that a term `-log p` is multiplied by, so that
            easy examples count less; 0 is the plain cross-entropy.
        class_weight: a number for each class, in their order. A label has the weight
            of its class in the sum and in the divisor.

    Raises:
        ConfigError: a number is out of range.

    Source: Szegedy et al. 2016 (arXiv:1512.00567) section 7; Lin et al. 2017
    (arXiv:1708.02002) section 3; the divisor is that of PyTorch's `CrossEntropyLoss`.
    """

    options = ("label_smoothing", "focal_gamma", "class_weight")

    def __init__(
        self,
        name: str,
        label_smoothing: float = 0.0,
        focal_gamma: float = 0.0,
        class_weight: Sequence[float] | None = None,
    ):
        super().__init__(name=name)
        self.label_smoothing, self.focal_gamma = label_smoothing, focal_gamma
        self.class_weight = None if class_weight is None else list(class_weight)
        check_loss_options(label_smoothing, focal_gamma, self.class_weight)

    def weights_of(self, classes: Any) -> Tensor:
        """Returns the weight of every class, float32 `(classes,)`.

        Raises:
            InputError: there are not as many as classes.
        """
        if isinstance(classes, int) and classes != len(self.class_weight or ()):
            raise InputError(
                f"Expected class_weight for each of {classes} classes. Received: "
                f"{len(self.class_weight or ())} weights."
            )
        return ops.convert_to_tensor(self.class_weight, "float32")

    def focused(self, losses: Tensor) -> Tensor:
        """Multiplies terms `-log p` by `(1 - p) ** focal_gamma`."""
        if not self.focal_gamma:
            return losses
        # Never 0, where a root has an infinite slope.
        missed = ops.maximum(-ops.expm1(-losses), 1e-7)
        return losses * missed**self.focal_gamma

    def get_config(self) -> dict:
        options = {name: getattr(self, name) for name in self.options}
        return {**super().get_config(), **options}


def check_loss_options(
    label_smoothing: float, focal_gamma: float, class_weight: Sequence[float] | None
) -> None:
    """Raises an error if options of a `ClassLoss` are out of range.

    Raises:
        ConfigError: naming the option.
    """
    if not 0 <= label_smoothing < 1:
        raise ConfigError(
            f"Expected label_smoothing in [0, 1). Received: {label_smoothing}."
        )
    if not 0 <= focal_gamma < float("inf"):
        raise ConfigError(
            f"Expected focal_gamma of 0 or more. Received: {focal_gamma}."
        )
    weights = class_weight or ()
    if not all(0 < weight < float("inf") for weight in weights):
        raise ConfigError(
            f"Expected class_weight above 0. Received: {list(weights)}. Leave out "
            "examples of a class that is not to be learned."
        )


@keras.saving.register_keras_serializable(package="keras_bert")
class Crossentropy(ClassLoss):
    """Cross-entropy of integer labels; -100 is ignored.

    Args:
        name, **options: see `ClassLoss`.

    Call arguments:
        y_true: integers `(...)`.
        y_pred: logits `(..., classes)`.
        sample_weight: `(...)`, or one for each example.

    Example:
        >>> float(Crossentropy()([[1, -100]], [[[0.0, 0.0], [9.0, 0.0]]]))
        0.6931471824645996
    """

    takes = "from 0 to {last}, or -100 to ignore one"

    def __init__(self, name: str = "crossentropy", **options: Any):
        super().__init__(name, **options)

    def label_shape(self, shape: Shape) -> Shape:
        return tuple(shape[:-1])

    def each(self, labels: Tensor, outputs: Tensor) -> Tensor:
        shape = ops.shape(outputs)
        labels, classes = _shaped(labels, self.label_shape(shape)), shape[-1]
        known = ops.cast(ops.where(_is_class(labels, classes), labels, 0), "int32")
        changed = any(getattr(self, name) for name in self.options)
        values = (self._changed if changed else self._plain)(outputs, known)
        return _nan_unless(self.valid(labels, classes), values)

    def _plain(self, outputs: Tensor, labels: Tensor) -> Tensor:
        rows = ops.reshape(outputs, (-1, ops.shape(outputs)[-1]))
        values = crossentropy(rows, ops.reshape(labels, (-1,)))
        return ops.reshape(values, ops.shape(labels))

    def _changed(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Returns what `counts`, which weighs by class, is multiplied by."""
        terms = self.focused(-ops.log_softmax(outputs, axis=-1))  # (..., classes)
        if self.class_weight is not None:
            table = self.weights_of(outputs.shape[-1])
            terms = terms * table / ops.take(table, labels)[..., None]
        own = ops.take_along_axis(terms, labels[..., None], axis=-1)[..., 0]
        share = self.label_smoothing
        return (1.0 - share) * own + share * ops.mean(terms, axis=-1)

    def divergence(self, labels: Tensor, one: Tensor, other: Tensor) -> Tensor:
        one, other = (ops.log_softmax(x, axis=-1) for x in (one, other))
        apart = (ops.exp(one) - ops.exp(other)) * (one - other)
        return ops.sum(apart, axis=-1) / 2

    def counts(self, labels: Tensor, shape: Shape) -> Tensor:
        labels = _shaped(labels, self.label_shape(shape))
        counted = ops.cast(labels != IGNORED, "float32")
        if self.class_weight is None:
            return counted
        table = self.weights_of(shape[-1])
        known = ops.where(_is_class(labels, len(self.class_weight)), labels, 0)
        return counted * ops.take(table, ops.cast(known, "int32"))

    def valid(self, labels: Tensor, classes: Any) -> Tensor:
        return _is_class(labels, classes) | (labels == IGNORED)


@keras.saving.register_keras_serializable(package="keras_bert")
class NextTokenCrossentropy(Crossentropy):
    """Cross-entropy of a left-to-right model: position i predicts label i + 1.

    A label's weight stands at the label's position.

    Source: `ForCausalLMLoss` in Hugging Face's `loss_utils.py`.
    """

    def __init__(self, name: str = "next_token_crossentropy", **options: Any):
        super().__init__(name, **options)

    def each(self, labels: Tensor, outputs: Tensor) -> Tensor:
        return super().each(_next_tokens(labels), _predicting(outputs))

    def counts(self, labels: Tensor, shape: Shape) -> Tensor:
        return super().counts(_next_tokens(labels), shape)

    def divergence(self, labels: Tensor, one: Tensor, other: Tensor) -> Tensor:
        return super().divergence(labels, _predicting(one), _predicting(other))


@keras.saving.register_keras_serializable(package="keras_bert")
class PathLoss(WeightedMean):
    """Minus the log-probability of sequences of labels, per label; -100 is passed over.

    Call arguments:
        y_true: integers `(batch, seq)`.
        y_pred: scores of a label by the one before,
            `(batch, seq, classes + 1, classes)`, see `keras_bert.layers.crf`.
        sample_weight: `(batch, seq)`, or one for each example.
    """

    takes = Crossentropy.takes

    def __init__(self, name: str = "path_loss"):
        super().__init__(name=name)

    def label_shape(self, shape: Shape) -> Shape:
        return tuple(shape[:-2])

    def each(self, labels: Tensor, outputs: Tensor) -> Tensor:
        shape = ops.shape(outputs)
        labels = _shaped(labels, self.label_shape(shape))
        known = _is_class(labels, shape[-1])
        values = path_losses(outputs, ops.where(known, labels, 0), known)
        return _nan_unless(self.valid(labels, shape[-1]), values)

    def counts(self, labels: Tensor, shape: Shape) -> Tensor:
        labels = _shaped(labels, self.label_shape(shape))
        return ops.cast(labels != IGNORED, "float32")

    def valid(self, labels: Tensor, classes: Any) -> Tensor:
        return _is_class(labels, classes) | (labels == IGNORED)


@keras.saving.register_keras_serializable(package="keras_bert")
class SquaredError(WeightedMean):
    """Squared error of a regression; labels `(batch,)` or `(batch, labels)`."""

    takes = "that are finite numbers"

    def __init__(self, name: str = "squared_error"):
        super().__init__(name=name)

    def each(self, labels: Tensor, outputs: Tensor) -> Tensor:
        labels = ops.cast(_shaped(labels, ops.shape(outputs)), "float32")
        return ops.square(labels - outputs)

    def divergence(self, labels: Tensor, one: Tensor, other: Tensor) -> Tensor:
        return ops.square(one - other)

    def counts(self, labels: Tensor, shape: Shape) -> Tensor:
        return ops.ones(shape, "float32")

    def valid(self, labels: Tensor, classes: Any) -> Tensor:
        return labels * 0 == 0


@keras.saving.register_keras_serializable(package="keras_bert")
class BinaryCrossentropy(ClassLoss):
    """Cross-entropy of labels that are each on or off; both `(batch, labels)`.

    Labels are 0, 1, or a probability between; -100 is ignored.

    Args:
        name, **options: see `ClassLoss`. The classes of a label are on and off; a
            number of `class_weight` is for a column.
    """

    takes = "from 0 to 1, or -100 to ignore one"

    def __init__(self, name: str = "binary_crossentropy", **options: Any):
        super().__init__(name, **options)

    def each(self, labels: Tensor, outputs: Tensor) -> Tensor:
        labels = ops.cast(_shaped(labels, ops.shape(outputs)), "float32")
        known = ops.where(labels == IGNORED, 0.0, labels)
        share = self.label_smoothing
        values = self._values(outputs, known * (1.0 - share) + share / 2)
        return _nan_unless(self.valid(labels, None), values)

    def divergence(self, labels: Tensor, one: Tensor, other: Tensor) -> Tensor:
        return (ops.sigmoid(one) - ops.sigmoid(other)) * (one - other) / 2

    def _values(self, outputs: Tensor, on: Tensor) -> Tensor:
        if self.focal_gamma:
            missed = ops.sigmoid(outputs) * (1 - on) + ops.sigmoid(-outputs) * on
            factor = ops.maximum(missed, 1e-7) ** self.focal_gamma
        else:
            factor = 1.0
        # max(x, 0) - x z + log(1 + exp(-|x|)): no overflow for any logit.
        values = ops.relu(outputs) - outputs * on
        return (values + ops.softplus(-ops.abs(outputs))) * factor

    def counts(self, labels: Tensor, shape: Shape) -> Tensor:
        counted = ops.cast(_shaped(labels, shape) != IGNORED, "float32")
        if self.class_weight is None:
            return counted
        return counted * self.weights_of(shape[-1])

    def valid(self, labels: Tensor, classes: Any) -> Tensor:
        return ((labels >= 0) & (labels <= 1)) | (labels == IGNORED)


@keras.saving.register_keras_serializable(package="keras_bert")
class TokenBinaryCrossentropy(BinaryCrossentropy):
    """Cross-entropy of tokens that are each on or off; both `(batch, seq)`."""

    def counts(self, labels: Tensor, shape: Shape) -> Tensor:
        return ops.cast(labels != IGNORED, "float32")  # however long the rows are


@keras.saving.register_keras_serializable(package="keras_bert")
class ClassificationLoss(ClassLoss):
    """Cross-entropy, or binary cross-entropy for labels as wide as the logits.

    This is how Hugging Face derives `problem_type` when the config is silent.

    Args:
        name, **options: see `ClassLoss`.
    """

    def __init__(self, name: str = "classification_loss", **options: Any):
        super().__init__(name, **options)

    def each(self, labels: Tensor, outputs: Tensor) -> Tensor:
        return self.kind(labels, outputs.shape).each(labels, outputs)

    def counts(self, labels: Tensor, shape: Shape) -> Tensor:
        return self.kind(labels, shape).counts(labels, shape)

    def divergence(self, labels: Tensor, one: Tensor, other: Tensor) -> Tensor:
        return self.kind(labels, one.shape).divergence(labels, one, other)

    def kind(self, labels: Tensor, shape: Shape) -> WeightedMean:
        kind = BinaryCrossentropy if _as_wide(labels, shape) else Crossentropy
        return kind(**{name: getattr(self, name) for name in self.options})


@keras.saving.register_keras_serializable(package="keras_bert")
class Accuracy(keras.metrics.Mean):
    """Share of labels that the largest logit names; -100 is ignored.

    Labels as wide as the logits are each on or off, and right when the logit has
    their sign. A label out of range, or a logit that is NaN, makes it NaN.
    """

    def __init__(self, name: str = "accuracy", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self._direction = "up"  # for callbacks that monitor it

    def values(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
        """Returns which answers are right, and which count."""
        logits, labels = ops.convert_to_tensor(y_pred), ops.convert_to_tensor(y_true)
        shape = ops.shape(logits)
        if _as_wide(labels, logits.shape):
            loss, first = BinaryCrossentropy(), logits
            labels = _shaped(labels, shape)
            right = (logits > 0) == (ops.cast(labels, "float32") > 0.5)
        else:
            loss, first = Crossentropy(), logits[..., 0]
            labels = _shaped(labels, shape[:-1])
            best = ops.argmax(logits, axis=-1)
            right = ops.cast(best, "int32") == ops.cast(labels, "int32")
        valid = loss.valid(labels, shape[-1]) & ~ops.isnan(first)
        values = _nan_unless(valid, ops.cast(right, "float32"))
        return values, loss.counts(labels, shape)

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        right, weights = self.values(y_true, y_pred)
        if sample_weight is not None:
            weights = weights * spread(ops.convert_to_tensor(sample_weight), right)
        super().update_state(right, sample_weight=weights)


@keras.saving.register_keras_serializable(package="keras_bert")
class BinaryAccuracy(Accuracy):
    """Accuracy of one logit that is on or off; labels `(batch,)` or `(batch, 1)`."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
        logits, labels = ops.convert_to_tensor(y_pred), ops.convert_to_tensor(y_true)
        return super().values(_shaped(labels, ops.shape(logits)), logits)


@keras.saving.register_keras_serializable(package="keras_bert")
class FirstLabelAccuracy(Accuracy):
    """Accuracy of a conditional random field, each label taken without the others."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
        return super().values(y_true, ops.convert_to_tensor(y_pred)[..., -1, :])


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

    def loss_with(self, **options: Any) -> keras.losses.Loss:
        """Returns the loss with options of `ClassLoss`.

        Raises:
            ConfigError: this loss has no such option.
        """
        known = set(getattr(self.loss, "options", ()))
        if not self.axes.endswith("classes"):
            known -= {"class_weight"}
        if unknown := sorted(options.keys() - known):
            raise ConfigError(
                f"Expected {' or '.join(sorted(known)) or 'no option'} for "
                f"{self.loss.__name__} of {self.axes!r}. Received: "
                f"{', '.join(unknown)}. Leave it out."
            )
        return self.loss(**options)

    @property
    def new_metrics(self) -> list[keras.metrics.Metric]:
        return [self.metric()]
