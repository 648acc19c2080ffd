"""Distillation: a student learns what a teacher answers, and its hidden states.

Source: Hinton, Vinyals & Dean 2015 (arXiv:1503.02531) for the answers; Jiao et al. 2020
(arXiv:1909.10351) for hidden states; Sanh et al. 2019 (arXiv:1910.01108) for layers of
the teacher to start from.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from keras import ops

from keras_bert.errors import ConfigError
from keras_bert.layers.replicas import sum_over_replicas
from keras_bert.losses import (
    BinaryCrossentropy,
    ClassificationLoss,
    Crossentropy,
    SquaredError,
)
from keras_bert.models import PreTrainedModel
from keras_bert.training.step import BatchLoss, unpacked, weighed

Tensor = Any


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """How much a student learns from a teacher, and what.

    Args:
        temperature: logits of both are divided by it; the loss is multiplied by its
            square.
        teacher_weight: share of the teacher's answers in the loss, in [0, 1]; the rest
            is that of the labels.
        hidden_weight: weight of the mean squared difference of hidden states.
        layers: the teacher's layer for each of the student's, whose hidden states are
            compared; 0 are the embeddings. None spreads the student's layers evenly.
        teacher: its name; a run does not go on with another.

    Raises:
        ConfigError: a number is out of range.
    """

    temperature: float = 2.0
    teacher_weight: float = 0.5
    hidden_weight: float = 0.0
    layers: Mapping[int, int] | None = None
    teacher: str = ""

    def __post_init__(self):
        wrong = {
            "temperature above 0": not 0 < self.temperature < float("inf"),
            "teacher_weight in [0, 1]": not 0 <= self.teacher_weight <= 1,
            "hidden_weight of 0 or more": not 0 <= self.hidden_weight < float("inf"),
        }
        for expected, failed in wrong.items():
            if failed:
                raise ConfigError(f"Expected {expected}. Received: {self}.")

    def pairs(self, student: int, teacher: int) -> dict[int, int]:
        """Returns the teacher's layer for each layer of the student to compare.

        Args:
            student, teacher: numbers of their layers.

        Raises:
            ConfigError: there is no such layer.

        Example:
            >>> Distillation().pairs(3, 12)
            {0: 0, 1: 4, 2: 8, 3: 12}
        """
        if self.layers is None:
            return {i: i * teacher // student for i in range(student + 1)}
        pairs = {int(i): int(j) for i, j in self.layers.items()}
        wrong = [
            f"{i}:{j}"
            for i, j in pairs.items()
            if not (0 <= i <= student and 0 <= j <= teacher)
        ]
        if wrong or not pairs:
            raise ConfigError(
                f"Expected layers of the student from 0 to {student}, and of the "
                f"teacher from 0 to {teacher}. Received: {', '.join(wrong) or 'none'}."
            )
        return pairs

    def settings(self) -> dict[str, Any]:
        """Returns these as JSON holds them."""
        layers = self.layers and {str(i): int(j) for i, j in self.layers.items()}
        return {**asdict(self), "layers": layers}


class DistillationLoss(BatchLoss):
    """The loss of a student: of labels, of a teacher's answers, of hidden states.

    Args:
        model: the student.
        teacher: a model with the same outputs, for the same inputs.
        distillation: what is learned of it.
        **options: see `BatchLoss`.

    Raises:
        ConfigError: their outputs cannot be compared.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        teacher: PreTrainedModel,
        distillation: Distillation,
        **options: Any,
    ):
        super().__init__(model, **options)
        self.teacher, self.distillation = teacher, distillation
        _check(model, teacher, self.losses, distillation)
        layers = (len(m.config.block_numbers) for m in (model, teacher))
        self._pairs = distillation.pairs(*layers) if distillation.hidden_weight else {}

    @property
    def constants(self) -> Sequence[Any]:
        """The variables of the teacher, which steps read and do not change."""
        return self.teacher.variables

    def outputs(self, features: Any, training: bool) -> dict[str, Tensor]:
        if not (self._pairs and training):
            return super().outputs(features, training)
        return self.model.compute(features, training, ["hidden_states"])

    def totals(self, batch: tuple) -> dict[str, Tensor]:
        total = sum_over_replicas(ops.sum(self._real(batch[0])))
        return {**super().totals(batch), "hidden": ops.maximum(total, 1.0)}

    def __call__(
        self,
        batch: tuple,
        training: bool,
        totals: Mapping[str, Tensor] | None = None,
    ) -> tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]:
        if not training:
            return super().__call__(batch, training, totals)
        totals = self.totals(batch) if totals is None else totals
        loss, sums, passes = self.of_labels(batch, training, totals)
        states = ["hidden_states"] if self._pairs else []
        taught = self.teacher.compute(batch[0], False, states)
        soft, weight = self._soft(batch, passes, taught, totals, sums)
        loss = loss * (1.0 - weight) + soft * weight
        if self._pairs:
            loss = loss + self._hidden(batch[0], passes[0], taught, totals, sums)
        return loss, sums

    def _soft(
        self, batch: tuple, passes: Any, taught: Any, totals: Any, sums: dict
    ) -> tuple[Tensor, float]:
        _, labels, weights = unpacked(batch)
        loss = 0.0
        for name in self.losses:
            given = ops.convert_to_tensor(labels[name])
            one, other = (ops.cast(x[name], "float32") for x in (passes[0], taught))
            kind = self.losses[name].kind(given, one.shape)
            values = _DISTANCES[type(kind)](other, one, self.distillation.temperature)
            counts = self.losses[name].counts(given, ops.shape(one))
            top, bottom = weighed(values, counts, weights.get(name))
            loss = loss + self.loss_weights.get(name, 1.0) * top / totals[name]
            sums[f"{name.removesuffix('logits')}teacher_loss"] = top, bottom
        return loss, self.distillation.teacher_weight

    def _hidden(
        self, features: Any, found: Any, taught: Any, totals: Any, sums: dict
    ) -> Tensor:
        real = self._real(features)
        ours, theirs = (x["hidden_states"] for x in (found, taught))
        apart = [
            ops.mean(
                ops.square(
                    ops.cast(ours[i], "float32") - ops.cast(theirs[j], "float32")
                ),
                axis=-1,
            )
            for i, j in self._pairs.items()
        ]
        mean = sum(apart[1:], apart[0]) / len(apart)
        top = ops.sum(mean * real)
        sums["hidden_loss"] = top, ops.sum(real)
        return self.distillation.hidden_weight * top / totals["hidden"]

    def _real(self, features: Any) -> Tensor:
        """Returns which tokens are no padding, float32 `(rows, seq)`."""
        mask = self.model.complete(features, ["attention_mask"])["attention_mask"]
        return ops.cast(ops.reshape(mask, (-1, ops.shape(mask)[-1])) > 0, "float32")


def _check(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    losses: Mapping[str, Any],
    distillation: Distillation,
) -> None:
    a, b = student.config, teacher.config
    wrong = {
        "a teacher with the head of the student": student.kind != teacher.kind,
        "the labels of the teacher, in its order": list(a.labels) != list(b.labels),
        "a vocabulary of one size": a.vocab_size > b.vocab_size,
        "hidden states of one width, with hidden_weight": distillation.hidden_weight
        and a.hidden_size != b.hidden_size,
        "outputs that are classes, labels or numbers": not all(
            type(loss) in (*_DISTANCES, ClassificationLoss) for loss in losses.values()
        ),
    }
    for expected, failed in wrong.items():
        if failed:
            raise ConfigError(
                f"Expected {expected}. Received: a student {_words(student)}, and a "
                f"teacher {_words(teacher)}."
            )


def _words(model: PreTrainedModel) -> str:
    c = model.config
    return (
        f"{type(model).__name__} with the labels {', '.join(c.labels[:5])}, "
        f"{c.vocab_size:,} tokens, hidden size {c.hidden_size}"
    )


# How far answers of a student are from the teacher's: (teacher, student, temperature).


def _of_classes(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    one, other = (ops.log_softmax(x / temperature, axis=-1) for x in (teacher, student))
    return ops.sum(ops.exp(one) * (one - other), axis=-1) * temperature**2


def _of_labels(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    teacher, student = teacher / temperature, student / temperature
    on = ops.sigmoid(teacher) * (teacher - student)
    return (on - ops.softplus(teacher) + ops.softplus(student)) * temperature**2


def _of_numbers(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    return ops.square(teacher - student)


_DISTANCES: Mapping[type, Callable[[Tensor, Tensor, float], Tensor]] = {
    Crossentropy: _of_classes,
    BinaryCrossentropy: _of_labels,
    SquaredError: _of_numbers,
}


def student_of(
    teacher: PreTrainedModel, layers: Sequence[int], seed: int | None = None
) -> PreTrainedModel:
    """Returns a smaller model that starts from layers of a teacher.

    Args:
        teacher: a model of this package.
        layers: numbers of its layers, from 0, in the order of the student's.
        seed: of dropout.

    Raises:
        ConfigError: there is no such layer.

    Example:
        >>> from keras_bert import BertConfig, BertModel
        >>> teacher = BertModel(BertConfig.preset("mini", vocab_size=37))
        >>> student_of(teacher, [0, 2]).config.num_hidden_layers
        2

    Source: Sanh et al. 2019 (arXiv:1910.01108), section 3.
    """
    count = teacher.config.num_hidden_layers
    if count != teacher.config.num_blocks:
        raise ConfigError(
            "Expected a teacher whose layers have weights of their own. Received: "
            f"{count} layers of {teacher.config.num_blocks} blocks. Make the student "
            "from a config instead."
        )
    if not layers or not all(0 <= layer < count for layer in layers):
        raise ConfigError(
            f"Expected layers of the teacher, from 0 to {count - 1}. Received: "
            f"{list(layers)}."
        )
    student = teacher.like(
        teacher.config.replace(num_hidden_layers=len(layers)), seed=seed
    )
    values = teacher.merged_weights()
    for variable in student.weights:
        block, slash, rest = variable.path.partition("/")
        if block.startswith("layer_"):
            block = f"layer_{layers[int(block.removeprefix('layer_'))]}"
        variable.assign(values[f"{block}{slash}{rest}"])
    return student
