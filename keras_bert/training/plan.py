"""The hyper-parameters of a training run, checked before anything is loaded."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from keras_bert.atomic_files import new_file
from keras_bert.config import Config
from keras_bert.errors import ConfigError, choose
from keras_bert.losses import ClassLoss, check_loss_options
from keras_bert.optimizers import (
    OPTIMIZERS,
    SCHEDULES,
    SummedGradientOptimizer,
    WarmupSchedule,
    layer_rates,
)
from keras_bert.training.freezing import layers_frozen

# Bounds of the numbers; None, where it is allowed, is not checked.
_MINIMUM = {
    "steps": 1,
    "warmup_steps": 0,
    "weight_decay": 0,
    "r_drop": 0,
    "fgm": 0,
    "gradient_accumulation_steps": 1,
    "model_shards": 1,
    "log_every": 0,
    "freeze_layers": 0,
    "unfreeze_every": 1,
    "evaluate_every": 0,
    "patience": 1,
    "min_delta": 0,
    "checkpoint_every": 0,
    "keep": 1,
}
_POSITIVE = ("learning_rate", "clip_norm", "layer_decay", "ema_momentum")
_AT_MOST_ONE = ("layer_decay", "ema_momentum")
DIGEST = "data_digest"
# How a run is computed and kept; a resumed run may change these.
_RUNTIME_OPTIONS = (
    *("distribution", "model_shards", "activation_checkpointing"),
    *("keep", "keep_best", "patience"),
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The hyper-parameters of a training run.

    Args:
        steps: optimizer steps.
        learning_rate: the peak rate.
        warmup_steps: steps over which the rate rises to it.
        schedule: the decay after that, a name of `keras_bert.optimizers.SCHEDULES`.
        schedule_options: its further arguments, such as `power`.
        optimizer: a name of `keras_bert.optimizers.OPTIMIZERS`.
        optimizer_options: its further arguments, such as `beta_2`.
        weight_decay: see `AdamW`.
        bias_correction: see `AdamW`; Google's optimizer has none.
        clip_norm: maximum global norm of the gradient; None does not clip.
        layer_decay: learning rate of a layer divided by that of the layer above.
        ema_momentum: of an exponential moving average of the weights, which is then
            evaluated and saved; None keeps none.
        gradient_accumulation_steps: microbatches per step, to save memory; the steps
            are the same except for rounding.
        activation_checkpointing: recompute activations in the backward pass, to save
            memory; the steps are the same.
        freeze_layers: number of layers, from the first, that are frozen together with
            the embeddings. None: none, or all if `unfreeze_every` is given.
        freeze: patterns of the paths of weights that stay frozen, see
            `keras_bert.training.freezing.freeze`.
        unfreeze_every: steps after which another layer thaws, topmost first; None:
            frozen layers stay frozen.
        lora: rank of adapters, which are trained with the head while the encoder is
            frozen, see `keras_bert.models.lora.add_lora`; None trains the model itself.
        lora_alpha, lora_dropout, lora_targets: of the adapters.
        label_smoothing, focal_gamma: of the loss, see `keras_bert.losses.ClassLoss`.
        r_drop: weight of the divergence of two passes with different dropout.
        fgm: distance that the word embeddings are moved against the model, for a second
            gradient that is added.
        class_weight: a number for each class, in their order; None weighs all alike.
        objective: what is learned, where a task leaves a choice, such as the loss of
            embeddings. It is kept, so that no run is resumed with another.
        data_digest: what tells the data of the run from others, so that no run is
            resumed with other rows; None does not ask.
        distillation: what is learned of a teacher, fields of
            `keras_bert.training.distillation.Distillation`; None without one.
        distribution: a name of `keras_bert.training.distribution`.
        model_shards: number of devices that share one copy of the weights, for
            `distribution="model_parallel"`.
        log_every: steps between lines of the log; 0: only at the end.
        evaluate_every: steps between evaluations on held-out data; 0: only at the end.
        checkpoint_every: steps between checkpoints; another is written at the end.
        keep: number of recent checkpoints to keep.
        keep_best: also save and keep the checkpoint with the best held-out metric.
        monitor: the held-out metric that decides which is best, such as "loss" or
            "accuracy", or a score of the task, such as "f1". Losses, errors and
            perplexities are better when smaller, everything else when larger.
        patience: number of evaluations without an improvement after which the run
            stops. The model then gets its best weights, also if the run reaches its
            last step. None: no early stopping, and the last weights.
        min_delta: smallest change that counts as an improvement.

    Raises:
        ConfigError: a number is out of range, or the numbers contradict each other.

    Example:
        >>> Plan(steps=4, learning_rate=1e-3).learning_rate_schedule()(2).numpy().item()
        0.0005000000237487257
    """

    steps: int
    learning_rate: float = 1e-4
    warmup_steps: int = 0
    schedule: str = "linear"
    schedule_options: Mapping[str, float] = field(default_factory=dict)
    optimizer: str = "adamw"
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    weight_decay: float = 0.01
    bias_correction: bool = True
    clip_norm: float | None = 1.0
    layer_decay: float = 1.0
    ema_momentum: float | None = None
    gradient_accumulation_steps: int = 1
    activation_checkpointing: bool = False
    freeze_layers: int | None = None
    freeze: Sequence[str] | None = None
    unfreeze_every: int | None = None
    lora: int | None = None
    lora_alpha: float | None = None
    lora_dropout: float = 0.0
    lora_targets: Sequence[str] | None = None
    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    class_weight: Sequence[float] | None = None
    r_drop: float = 0.0
    fgm: float = 0.0
    objective: Mapping[str, Any] | None = None
    data_digest: str | None = None
    distillation: Mapping[str, Any] | None = None
    distribution: str = "one"
    model_shards: int = 1
    log_every: int = 10
    evaluate_every: int = 0
    checkpoint_every: int = 1000
    keep: int = 2
    keep_best: bool = True
    monitor: str = "loss"
    patience: int | None = None
    min_delta: float = 0.0

    def __post_init__(self):
        choose("schedule", self.schedule, SCHEDULES)
        choose("optimizer", self.optimizer, OPTIMIZERS)
        for name, least in _MINIMUM.items():
            self._require(name, f"of {least} or more", lambda x, y=least: x >= y)
        for name in _POSITIVE:
            self._require(name, "above 0", lambda x: x > 0 and math.isfinite(x))
        for name in _AT_MOST_ONE:
            self._require(name, "of 1 or less", lambda x: x <= 1)
        check_loss_options(self.label_smoothing, self.focal_gamma, self.class_weight)
        self._refuse_contradictions()

    def _refuse_contradictions(self) -> None:
        if self.warmup_steps > self.steps:
            raise ConfigError(
                f"Expected warmup_steps from 0 to steps={self.steps}. "
                f"Received: {self.warmup_steps}."
            )
        if (self.model_shards > 1) != (self.distribution == "model_parallel"):
            raise ConfigError(
                "Expected model_shards above 1 with distribution='model_parallel', and "
                f"1 otherwise. Received: model_shards={self.model_shards} with "
                f"distribution={self.distribution!r}."
            )
        if self.fgm and (self.gradient_accumulation_steps > 1 or self.lora):
            raise ConfigError(
                "Expected gradient_accumulation_steps=1 and no lora with fgm, which "
                "moves the word embeddings by their gradient over the whole batch. "
                f"Received: {self.gradient_accumulation_steps}, lora={self.lora}."
            )
        if self.patience and not (self.evaluate_every and self.keep_best):
            raise ConfigError(
                "Expected evaluate_every above 0 and keep_best with patience, which "
                "counts evaluations and restores the best weights. Received: "
                f"patience={self.patience} with evaluate_every={self.evaluate_every}, "
                f"keep_best={self.keep_best}."
            )

    def _require(self, name: str, words: str, holds: Any) -> None:
        value = getattr(self, name)
        if value is not None and not holds(value):
            raise ConfigError(f"Expected {name} {words}. Received: {value}.")

    @property
    def lora_options(self) -> dict[str, Any]:
        """The arguments of `add_lora` besides the rank."""
        targets = {"targets": self.lora_targets} if self.lora_targets else {}
        return {"alpha": self.lora_alpha, "dropout": self.lora_dropout, **targets}

    @property
    def loss_options(self) -> dict[str, Any]:
        """The options of `BatchLoss` that are not the defaults."""
        names = (*ClassLoss.options, "r_drop", "fgm")
        options = {name: getattr(self, name) for name in names}
        return {name: value for name, value in options.items() if value}

    def learning_rate_schedule(self) -> WarmupSchedule:
        """Returns the learning rate as a function of completed steps."""
        return SCHEDULES[self.schedule](
            self.learning_rate, self.steps, self.warmup_steps, **self.schedule_options
        )

    def layers_frozen(self, step: int, layers: int) -> int | None:
        """Returns how many layers are frozen in a step, as `freeze` takes it.

        Args:
            step: number of the step, from 1.
            layers: number of layers of the encoder.

        Example:
            >>> plan = Plan(steps=9, unfreeze_every=3)
            >>> [plan.layers_frozen(step, 1) for step in (1, 3, 4, 7)]
            [1, 1, 0, None]
        """
        if self.unfreeze_every is None:
            return self.freeze_layers
        first = layers if self.freeze_layers is None else self.freeze_layers
        return layers_frozen((step - 1) // self.unfreeze_every, first)

    def optimizer_for(self, config: Config) -> SummedGradientOptimizer:
        """Returns the optimizer this plan describes.

        Args:
            config: of the model.
        """
        averaged = self.ema_momentum is not None
        average = {"use_ema": True, "ema_momentum": self.ema_momentum}
        shares = layer_rates(config, self.layer_decay) if self.layer_decay < 1 else {}
        # "adam" sets its own weight decay, 0.
        decay = {} if self.optimizer == "adam" else {"weight_decay": self.weight_decay}
        return OPTIMIZERS[self.optimizer](
            self.learning_rate_schedule(),
            bias_correction=self.bias_correction,
            clip_norm=self.clip_norm,
            learning_rate_shares=shares,
            **decay,
            **(average if averaged else {}),
            **self.optimizer_options,
        )


def claim(folder: Path, plan: Plan, config: Config) -> None:
    """Writes `plan.json`, or checks that the existing run has the same plan.

    The devices of a run may change when it is resumed; its hyper-parameters may not.

    Args:
        folder: the run's directory.
        plan: the plan.
        config: of the model.

    Raises:
        ConfigError: the directory holds a run with another plan or model.
    """
    file = folder / "plan.json"
    mine = {"plan": asdict(plan), "config": config.to_dict()}
    if not file.exists():
        with new_file(file) as partial:
            text = json.dumps(mine, indent=2, sort_keys=True) + "\n"
            partial.write_text(text, encoding="utf-8")
    elif changes := _changes(_read(file), json.loads(json.dumps(mine)), type(config)):
        raise ConfigError(
            f"{folder} holds a run with another plan or model ({', '.join(changes)}). "
            "Choose another output directory, or remove this one to start again."
        )


def _read(file: Path) -> dict:
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
        return {part: dict(before[part]) for part in ("plan", "config")}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ConfigError(f"{file} is corrupt: {error}. Remove it.") from error


def _changes(before: Mapping, now: Mapping, config: type[Config]) -> list[str]:
    changes = []
    for part, kind in (("plan", Plan), ("config", config)):
        new, defaults = now[part], {f.name: f.default for f in fields(kind)}
        # Before a field existed, it had its default.
        old = {k: v for k, v in defaults.items() if k in new} | before[part]
        names = sorted((old.keys() | new.keys()) - {*_RUNTIME_OPTIONS})
        if old.get(DIGEST) is None and DIGEST in names:  # of an earlier version
            names.remove(DIGEST)
        changes += [
            f"{name} {old.get(name)!r}, now {new.get(name)!r}"
            for name in names
            if old.get(name) != new.get(name)
        ]
    return changes
