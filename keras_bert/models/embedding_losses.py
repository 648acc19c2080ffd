"""Losses of sentence embeddings, of rows of two or more texts each.

Outputs are vectors `(batch, texts, dim)`: the anchor, what is like it, and what is not.
Values and gradients are those of sentence-transformers.

Source: `sentence_transformer/losses/` of sentence-transformers.
"""

from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any, ClassVar

import keras
from keras import ops

from keras_bert.errors import ConfigError, choose
from keras_bert.losses import Shape, WeightedMean

Tensor = Any
NEVER = -1e9  # the logit of a candidate that is left out


# === Similarities ===


def normalized(vectors: Tensor) -> Tensor:
    """Scales vectors, the last axis, to length 1."""
    squares = ops.sum(ops.square(vectors), axis=-1, keepdims=True)
    return vectors * ops.rsqrt(ops.maximum(squares, 1e-24))


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Returns the cosine of each pair of vectors, without the last axis."""
    return ops.sum(normalized(a) * normalized(b), axis=-1)


def angle(a: Tensor, b: Tensor) -> Tensor:
    """Returns the similarity of the two halves of each vector as complex numbers.

    Source: Li and Li 2023 (arXiv:2309.12871).
    """
    a, b = (_even(normalized(x)) for x in (a, b))
    half = a.shape[-1] // 2
    sines = a[..., half:] * b[..., :half] - a[..., :half] * b[..., half:]
    return ops.abs(ops.sum(a * b, axis=-1) + ops.sum(sines, axis=-1))


def _even(vectors: Tensor) -> Tensor:
    odd = vectors.shape[-1] % 2
    return ops.concatenate([vectors, 0 * vectors[..., :1]], -1) if odd else vectors


def _euclidean(a: Tensor, b: Tensor) -> Tensor:
    # Not 0, where the root has no gradient.
    return ops.sqrt(ops.maximum(ops.sum(ops.square(a - b), axis=-1), 1e-24))


DISTANCES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "euclidean": _euclidean,
    "cosine": lambda a, b: 1 - cosine(a, b),
    "manhattan": lambda a, b: ops.sum(ops.abs(a - b), axis=-1),
}


# === Losses ===


class EmbeddingLoss(WeightedMean):
    """What the losses of embeddings share: one value for each row.

    Attributes:
        texts: the fewest and the most texts of a row; None for any number.
        scored: whether rows have a label, how similar their two texts are.
        compares_rows: whether the value of a row depends on the others of its batch.
    """

    texts: ClassVar[tuple[int, int | None]] = (2, 2)
    scored: ClassVar[bool] = True
    compares_rows: ClassVar[bool] = False
    takes = "that are finite numbers"

    def label_shape(self, shape: Shape) -> Shape:
        return tuple(shape[:1] if self.scored else shape[:2])

    def counts(self, labels: Tensor, shape: Shape) -> Tensor:
        return ops.ones(shape[:1], "float32")

    def valid(self, labels: Tensor, classes: Any) -> Tensor:
        return labels * 0 == 0


@keras.saving.register_keras_serializable(package="keras_bert")
class MultipleNegativesRanking(EmbeddingLoss):
    """Cross-entropy of finding the second text of a row among those of the batch.

    The other rows' texts, and a row's own from the third on, are wrong answers. Some
    would be right, and are left out: a text equal to the right one or to the anchor,
    and the second text of a row with the same anchor.

    Args:
        scale: of the cosines, one over the temperature.
        symmetric: also finds the first text of a row by its second, and averages.

    Call arguments:
        y_true: the number of each text, `(batch, texts)`, the same for equal texts;
            see `text_numbers`.
        y_pred: vectors `(batch, texts, dim)`.

    Example:
        >>> import numpy as np
        >>> vectors = np.array([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]])
        >>> loss = MultipleNegativesRanking(scale=1.0)
        >>> round(float(loss([[0, 1], [2, 3]], vectors)), 4)
        0.3133

    Source: Henderson et al. 2017 (arXiv:1705.00652), section 4.
    """

    texts = (2, None)
    scored, compares_rows = False, True
    takes = "that number the texts"

    def __init__(
        self,
        scale: float = 20.0,
        symmetric: bool = False,
        name: str = "multiple_negatives",
    ):
        super().__init__(name=name)
        self.scale, self.symmetric = _positive("scale", scale), bool(symmetric)

    def each(self, labels: Tensor, outputs: Tensor) -> Tensor:
        vectors, numbers = normalized(outputs), ops.cast(labels, "int32")
        anchors, found = vectors[:, 0], vectors[:, 1]
        size = ops.shape(outputs)[0]
        own = ops.cast(ops.eye(size), "bool")
        cosines = ops.matmul(anchors, ops.transpose(_columns(vectors)))
        right = cosines[:, :size]  # of the second texts
        same = _same(numbers[:, 0], numbers[:, 0])
        wrong = _same(numbers[:, 1], _columns(numbers)) | _same(
            numbers[:, 0], _columns(numbers)
        )
        first = (wrong[:, :size] | same) & ~own
        left_out = ops.concatenate([first, wrong[:, size:]], axis=1)
        total = self._total(cosines, left_out)
        if self.symmetric:
            left_out = (same | _same(numbers[:, 1], numbers[:, 1])) & ~own
            back = ops.matmul(found, ops.transpose(anchors))
            total = (total + self._total(back, left_out)) / 2
        return total - self.scale * ops.sum(
            ops.where(own, right, ops.zeros_like(right)), axis=1
        )

    def _total(self, cosines: Tensor, left_out: Tensor) -> Tensor:
        scores = ops.where(left_out, NEVER, self.scale * cosines)
        return ops.logsumexp(scores, axis=1)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "scale": self.scale,
            "symmetric": self.symmetric,
        }


def _columns(values: Tensor) -> Tensor:
    """Puts the second and later columns one after the other: `(batch columns, …)`."""
    rest = (ops.shape(values)[-1],) if len(values.shape) == 3 else ()
    axes = (1, 0, 2)[: len(values.shape)]
    return ops.reshape(ops.transpose(values[:, 1:], axes), (-1, *rest))


def _same(a: Tensor, b: Tensor) -> Tensor:
    return a[:, None] == b[None, :]


@keras.saving.register_keras_serializable(package="keras_bert")
class CosineSimilarity(EmbeddingLoss):
    """Squared difference of the cosine of two texts and their label, in [-1, 1].

    Source: Reimers and Gurevych 2019 (arXiv:1908.10084), section 3.
    """

    takes = "from -1 to 1"

    def __init__(self, name: str = "cosine"):
        super().__init__(name=name)

    def each(self, labels: Tensor, outputs: Tensor) -> Tensor:
        found = cosine(outputs[:, 0], outputs[:, 1])
        return ops.square(found - _flat(labels))

    def valid(self, labels: Tensor, classes: Any) -> Tensor:
        return (labels >= -1) & (labels <= 1)


@keras.saving.register_keras_serializable(package="keras_bert")
class CoSENT(EmbeddingLoss):
    """Ranks the pairs of a batch: one of a higher label shall be more similar.

    Labels are of any scale: their order alone matters. The value is one of the whole
    batch, which every row is given.

    Args:
        scale: of the similarities.

    Example:
        >>> import numpy as np
        >>> vectors = np.array([[[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]])
        >>> round(float(CoSENT(scale=1.0)([5.0, 0.0], vectors)), 4)
        0.3133

    Source: Su 2022 (kexue.fm/archives/8847).
    """

    compares_rows = True
    similarity: ClassVar[Any] = staticmethod(cosine)

    def __init__(self, scale: float = 20.0, name: str = "cosent"):
        super().__init__(name=name)
        self.scale = _positive("scale", scale)

    def each(self, labels: Tensor, outputs: Tensor) -> Tensor:
        labels = _flat(labels)
        found = self.scale * self.similarity(outputs[:, 0], outputs[:, 1])
        # How much more similar row i is than row j, where it should be less.
        more = found[:, None] - found[None, :]
        below = labels[:, None] < labels[None, :]
        terms = ops.reshape(ops.where(below, more, NEVER), (-1,))
        terms = ops.concatenate([ops.zeros_like(terms[:1]), terms])
        return ops.logsumexp(terms) + 0 * found

    def get_config(self) -> dict:
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable(package="keras_bert")
class AnglE(CoSENT):
    """CoSENT of angles in complex space, whose gradient does not vanish near 0 and 1.

    Source: Li and Li 2023 (arXiv:2309.12871).
    """

    similarity = staticmethod(angle)

    def __init__(self, scale: float = 20.0, name: str = "angle"):
        super().__init__(scale, name)


@keras.saving.register_keras_serializable(package="keras_bert")
class Triplet(EmbeddingLoss):
    """How much farther the anchor should be from the third text than from the second.

    Args:
        distance: "euclidean", "cosine" or "manhattan".
        margin: of distances.

    Source: Reimers and Gurevych 2019 (arXiv:1908.10084), section 3.
    """

    texts = (3, 3)
    scored = False

    def __init__(
        self, distance: str = "euclidean", margin: float = 5.0, name: str = "triplet"
    ):
        super().__init__(name=name)
        self.distance = choose("distance", distance, DISTANCES)
        self.margin = _positive("margin", margin)

    def each(self, labels: Tensor, outputs: Tensor) -> Tensor:
        anchor, like, unlike = (outputs[:, column] for column in range(3))
        distance = DISTANCES[self.distance]
        return ops.relu(distance(anchor, like) - distance(anchor, unlike) + self.margin)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "distance": self.distance,
            "margin": self.margin,
        }


LOSSES: Mapping[str, type[EmbeddingLoss]] = {
    "multiple_negatives": MultipleNegativesRanking,
    "cosent": CoSENT,
    "cosine": CosineSimilarity,
    "angle": AnglE,
    "triplet": Triplet,
}


@keras.saving.register_keras_serializable(package="keras_bert")
class Matryoshka(EmbeddingLoss):
    """The sum of a loss over vectors cut to their first dimensions.

    A vector may then be cut to one of these lengths, and says most of what it did.

    Args:
        loss: of vectors of any length.
        dimensions: lengths; the whole one should be among them.
        weights: of each length; None for 1.

    Source: Kusupati et al. 2022 (arXiv:2205.13147).
    """

    def __init__(
        self,
        loss: EmbeddingLoss,
        dimensions: Sequence[int],
        weights: Sequence[float] | None = None,
        name: str = "matryoshka",
    ):
        super().__init__(name=name)
        self.loss, self.dimensions = loss, _listed(dimensions)
        self.weights = (1.0,) * len(self.dimensions)
        if weights is not None:
            self.weights = _listed(weights)
        for rule in ("texts", "scored", "takes", "compares_rows"):
            setattr(self, rule, getattr(loss, rule))
        counts = all(type(d) is int and d > 0 for d in self.dimensions)
        repeated = len({*self.dimensions}) != len(self.dimensions)
        if not self.dimensions or not counts or repeated:
            raise ConfigError(
                "Expected different numbers of dimensions, such as 384 128 64. "
                f"Received: {list(self.dimensions)}."
            )
        numbers = all(isinstance(x, Real) and x >= 0 for x in self.weights)
        if len(self.weights) != len(self.dimensions) or not numbers:
            raise ConfigError(
                f"Expected a weight of 0 or more for each of {len(self.dimensions)} "
                f"numbers of dimensions. Received: {list(self.weights)}."
            )

    def each(self, labels: Tensor, outputs: Tensor) -> Tensor:
        self.check_width(outputs.shape[-1])
        total = 0.0
        for dimension, weight in zip(self.dimensions, self.weights, strict=True):
            cut = normalized(outputs[..., :dimension])
            total = total + weight * self.loss.each(labels, cut)
        return total

    def check_width(self, width: int) -> None:
        """Refuses dimensions that vectors do not have.

        Raises:
            ConfigError: naming the largest.
        """
        if max(self.dimensions) > width:
            raise ConfigError(
                f"Expected numbers of dimensions up to {width}, that of the vectors. "
                f"Received: {max(self.dimensions)}."
            )

    def valid(self, labels: Tensor, classes: Any) -> Tensor:
        return self.loss.valid(labels, classes)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "loss": keras.saving.serialize_keras_object(self.loss),
            "dimensions": list(self.dimensions),
            "weights": list(self.weights),
        }

    @classmethod
    def from_config(cls, config: dict) -> "Matryoshka":
        loss = keras.saving.deserialize_keras_object(config["loss"])
        return cls(**{**config, "loss": loss})


def new_loss(
    name: str,
    dimensions: Sequence[int] | None = None,
    weights: Sequence[float] | None = None,
    **arguments: Any,
) -> EmbeddingLoss:
    """Returns a loss by its name.

    Args:
        name: of `LOSSES`.
        dimensions: sum it over vectors cut to these lengths, see `Matryoshka`.
        weights: of these lengths.
        **arguments: of the loss, such as `scale` or `margin`.

    Raises:
        UnknownNameError: there is no such loss, or it has no such argument.
        ConfigError: an argument is out of range.

    Example:
        >>> new_loss("cosent", [384, 64]).dimensions
        (384, 64)
    """
    kind = LOSSES[choose("loss", name, LOSSES)]
    known = [key for key in kind().get_config() if key != "name"]
    for key in arguments:
        choose(f"argument of the loss {name}", key, known)
    loss = kind(**arguments)
    if dimensions is None and weights is None:
        return loss
    return Matryoshka(loss, dimensions or (), weights)


def _listed(values: Any) -> tuple:
    return tuple(values) if isinstance(values, list | tuple) else (values,)


def _flat(labels: Tensor) -> Tensor:
    return ops.cast(ops.reshape(labels, (-1,)), "float32")


def _positive(name: str, value: float) -> float:
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not (number and 0 < value < float("inf")):
        raise ConfigError(f"Expected a {name} above 0. Received: {value!r}.")
    return float(value)
