"""What a recipe consists of, and the plans that follow from it."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any

from keras_bert.errors import ConfigError, choose
from keras_bert.optimizers import SCHEDULES
from keras_bert.training.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One phase of pretraining, on records of one kind.

    Args:
        steps: optimizer steps.
        batch_size: rows per step, over all devices.
        learning_rate: the peak rate; None continues the schedule of the previous
            phase, as one run over both.
        warmup_steps: steps over which the rate rises to it.
        gradient_accumulation_steps: microbatches per step. More of them take less
            memory and give the same result.
        data: settings its records were made with, fields of
            `keras_bert.pretraining.settings.DataSettings`; those not named may have
            any value.
    """

    steps: int
    batch_size: int
    learning_rate: float | None = None
    warmup_steps: int = 0
    gradient_accumulation_steps: int = 1
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """The arguments of `Plan` that pretraining and fine-tuning recipes share."""

    schedule: str = "linear"
    schedule_options: Mapping[str, Any] = field(default_factory=dict)
    optimizer: str = "adamw"
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    weight_decay: float = 0.01
    bias_correction: bool = True
    clip_norm: float | None = 1.0
    layer_decay: float = 1.0
    ema_momentum: float | None = None
    freeze_layers: int | None = None
    freeze: Sequence[str] | None = None

    def plan_arguments(self) -> dict[str, Any]:
        """Returns these as arguments of `Plan`."""
        return {f.name: getattr(self, f.name) for f in fields(Optimization)}


@dataclass(frozen=True, kw_only=True)
class Recipe(Optimization):
    """How a model is pretrained; further fields are in `Optimization`.

    Args:
        summary: one line.
        source: where the numbers are from.
        phases: in order; the optimizer state is passed on from one to the next.
        model: a size by name, see `BertConfig.preset`, or a config file.
        from_checkpoint: whether it starts from a pretrained checkpoint.
        unfreeze_every: see `Plan`; layers thaw in the first phase.

    Example:
        >>> from keras_bert.training.recipes import PRETRAINING
        >>> [plan.steps for plan in PRETRAINING["bert-base"].plans()]
        [900000, 100000]
    """

    summary: str = ""
    source: str = ""
    phases: tuple[Phase, ...]
    model: str = "base"
    from_checkpoint: bool = False
    unfreeze_every: int | None = None

    @property
    def steps(self) -> int:
        """Optimizer steps of all phases."""
        return sum(phase.steps for phase in self.phases)

    def plans(self, **runtime_options: Any) -> list[Plan]:
        """Returns the plan of each phase.

        Args:
            **runtime_options: further arguments of `Plan`, the same for all phases.

        Raises:
            ConfigError: the numbers contradict each other.
        """
        return [
            Plan(
                steps=phase.steps,
                gradient_accumulation_steps=phase.gradient_accumulation_steps,
                **self.plan_arguments() | self._freezing(index) | self._rates(index),
                **runtime_options,
            )
            for index, phase in enumerate(self.phases)
        ]

    def _freezing(self, index: int) -> dict[str, Any]:
        if self.unfreeze_every and index:
            return {"freeze_layers": None}  # all layers have thawed
        return {"unfreeze_every": self.unfreeze_every}

    def _rates(self, index: int) -> dict[str, Any]:
        choose("schedule", self.schedule, SCHEDULES)
        starts = [i for i, p in enumerate(self.phases) if p.learning_rate is not None]
        if 0 not in starts:
            raise ConfigError(
                "Expected a learning_rate of the first phase. Received: none."
            )
        first = max(start for start in starts if start <= index)
        last = min([s for s in starts if s > index], default=len(self.phases))
        phase, peak = self.phases[index], self.phases[first].learning_rate
        if last - first == 1:
            return {"learning_rate": peak, "warmup_steps": phase.warmup_steps}
        return self._segment(index, self.phases[first:last], index - first)

    def _segment(
        self, index: int, chain: tuple[Phase, ...], place: int
    ) -> dict[str, Any]:
        """Returns the rates of one phase of a linear schedule over several."""
        phase, peak = chain[place], chain[0].learning_rate
        if self.schedule != "linear" or (place and phase.warmup_steps):
            raise ConfigError(
                "Expected schedule='linear', and no warm-up of its own in a phase that "
                "continues the schedule of the previous one. Received in phase "
                f"{index + 1}: {self.schedule!r}, warmup_steps={phase.warmup_steps}. "
                "Give every phase its own learning_rate."
            )
        total = sum(p.steps for p in chain)
        done = sum(p.steps for p in chain[:place])
        return {
            "schedule": "polynomial",
            "schedule_options": {"end": peak * (1 - (done + phase.steps) / total)},
            "learning_rate": peak * (1 - done / total),
            "warmup_steps": phase.warmup_steps,
        }


# Arguments of `Plan` that fine-tuning alone has.
_LEVERS = (
    *("lora", "lora_alpha", "lora_dropout", "lora_targets"),
    *("label_smoothing", "focal_gamma", "r_drop", "fgm"),
)


@dataclass(frozen=True, kw_only=True)
class FineTuning(Optimization):
    """How a model is fine-tuned on a task, and the grid of values worth trying.

    Further fields are in `Optimization`. Google's fine-tuning had no
    `bias_correction`, without which training on a small task can fail.

    Args:
        summary: one line.
        source: where the numbers are from.
        head: kind of head, a key of `Family.heads`.
        max_length: longest row, in tokens.
        batch_size: rows per step.
        learning_rate: the peak rate.
        epochs: passes over the data.
        warmup: fraction of the steps that warm up, in [0, 1].
        gradient_accumulation_steps: microbatches per step.
        gradual_unfreezing: thaw one of the frozen layers every epoch; all of them are
            frozen at first unless `freeze_layers` is given.
        group_by_length: make batches of rows of like lengths, which are shorter.
        regression: the labels are numbers.
        lora: rank of adapters to train instead of the encoder; None for none.
        lora_alpha, lora_dropout, lora_targets: of them, see
            `keras_bert.models.lora.add_lora`.
        label_smoothing, focal_gamma: of the loss, see `keras_bert.losses.ClassLoss`.
        r_drop, fgm: see `Plan`.
        class_weight: weights of classes by name; 1 where not named.
        balance_classes: weigh every class by `examples / (classes * its examples)`.
        batch_sizes: values of the grid.
        learning_rates: values of the grid.
        epoch_counts: values of the grid.
        options: of the task, such as the stride of windows.

    Example:
        >>> from keras_bert.training.recipes import FINE_TUNING
        >>> next(FINE_TUNING["rte"].grid())
        {'batch_size': 16, 'learning_rate': 5e-05, 'epochs': 2}
    """

    summary: str = ""
    source: str = ""
    head: str = "sequence_classification"
    max_length: int = 128
    batch_size: int = 32
    learning_rate: float = 2e-5
    epochs: float = 3
    warmup: float = 0.1
    gradient_accumulation_steps: int = 1
    gradual_unfreezing: bool = False
    group_by_length: bool = False
    regression: bool = False
    lora: int | None = None
    lora_alpha: float | None = None
    lora_dropout: float = 0.0
    lora_targets: Sequence[str] | None = None
    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    r_drop: float = 0.0
    fgm: float = 0.0
    class_weight: Mapping[str, float] = field(default_factory=dict)
    balance_classes: bool = False
    batch_sizes: tuple[int, ...] = (16, 32)
    learning_rates: tuple[float, ...] = (5e-5, 3e-5, 2e-5)
    epoch_counts: tuple[float, ...] = (2, 3, 4)
    options: Mapping[str, Any] = field(default_factory=dict)

    def plan(
        self,
        examples: int,
        classes: Mapping[str, int] | None = None,
        **runtime_options: Any,
    ) -> Plan:
        """Returns the plan for a number of examples.

        Args:
            examples: number of training examples.
            classes: number of training examples, or tags, of each class, in the order
                of the model's labels; for the weights of classes.
            **runtime_options: further arguments of `Plan`.

        Raises:
            ConfigError: the numbers contradict each other.
        """
        if not (self.epochs > 0 and 0 <= self.warmup <= 1):
            raise ConfigError(
                "Expected epochs above 0, and warmup as a fraction of the steps, 0 to "
                f"1. Received: epochs={self.epochs}, warmup={self.warmup}."
            )
        steps = math.ceil(examples * self.epochs / self.batch_size)
        epoch = math.ceil(examples / self.batch_size)
        return Plan(
            steps=steps,
            learning_rate=self.learning_rate,
            warmup_steps=round(steps * self.warmup),
            gradient_accumulation_steps=self.gradient_accumulation_steps,
            unfreeze_every=epoch if self.gradual_unfreezing else None,
            **{name: getattr(self, name) for name in _LEVERS},
            class_weight=self.weights_of(classes or {}),
            **self.plan_arguments(),
            **runtime_options,
        )

    def weights_of(self, classes: Mapping[str, int]) -> list[float] | None:
        """Returns the weight of each class, or None if all weigh alike.

        Args:
            classes: number of training examples of each class, in order.

        Raises:
            ConfigError: a class is not known, has no examples to balance, or both ways
                to weigh classes are asked for.

        Example:
            >>> task = FineTuning(balance_classes=True)
            >>> task.weights_of({"neg": 30, "pos": 10})
            [0.6666666666666666, 2.0]

        Source: King & Zeng 2001, as `class_weight="balanced"` of scikit-learn.
        """
        if not (self.class_weight or self.balance_classes):
            return None
        unknown = [name for name in self.class_weight if name not in classes]
        rare = [name for name, count in classes.items() if not count]
        odd = {k: x for k, x in self.class_weight.items() if not isinstance(x, Real)}
        wrong = {
            "numbers as class_weight": odd,
            "class_weight without balance_classes": self.balance_classes
            and self.class_weight,
            f"class_weight of {', '.join(classes) or 'classes'}": unknown,
            "an example of every class to balance": self.balance_classes and rare,
            "classes to balance": not classes,
        }
        for expected, received in wrong.items():
            if received:
                raise ConfigError(f"Expected {expected}. Received: {received}.")
        if self.class_weight:
            return [float(self.class_weight.get(name, 1.0)) for name in classes]
        total = sum(classes.values()) / len(classes)
        return [total / count for count in classes.values()]

    def grid(self) -> Iterator[dict[str, float]]:
        """Yields every combination of the grid."""
        axes = (self.batch_sizes, self.learning_rates, self.epoch_counts)
        for values in itertools.product(*axes):
            names = ("batch_size", "learning_rate", "epochs")
            yield dict(zip(names, values, strict=True))
