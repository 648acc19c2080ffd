"""Recipes: the numbers that published BERTs were trained with, as values to change.

A recipe is a frozen value with a name in `PRETRAINING` or `FINE_TUNING`; each says
where its numbers are from. `override` changes some of them by name, as the command
line and a YAML file do, and `Recipe.plans` are what the training loop takes.
"""

import itertools
import math
import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from keras_bert.errors import CheckpointError, ConfigError, choose
from keras_bert.families.bert import SMALL_SIZES
from keras_bert.optimizers import SCHEDULES
from keras_bert.training.checkpointing import Checkpoints
from keras_bert.training.plan import Plan

Settings = Mapping[str, Any]
R = TypeVar("R", "Recipe", "FineTuning")


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of pretraining on records of one kind.

    Args:
        steps: optimizer steps.
        batch_size: rows of a step, over all devices.
        learning_rate: the highest rate; None goes on with the schedule of the phase
            before, as one run over both.
        warmup_steps: steps over which the rate rises to it.
        gradient_accumulation_steps: parts a batch is computed in. It changes memory,
            not the result.
        data: what its records are made like, fields of
            `keras_bert.pretraining.settings.DataSettings`; what is not named may be
            anything.
    """

    steps: int
    batch_size: int
    learning_rate: float | None = None
    warmup_steps: int = 0
    gradient_accumulation_steps: int = 1
    data: Settings = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """What pretraining and fine-tuning both say about the steps; see `Plan`."""

    schedule: str = "linear"
    schedule_options: Settings = field(default_factory=dict)
    optimizer: str = "adamw"
    optimizer_options: Settings = field(default_factory=dict)
    weight_decay: float = 0.01
    bias_correction: bool = True
    clip_norm: float | None = 1.0
    layer_decay: float = 1.0
    ema_momentum: float | None = None
    freeze_layers: int | None = None

    def numbers(self) -> dict[str, Any]:
        """Returns these as arguments of `Plan`."""
        return {f.name: getattr(self, f.name) for f in fields(Optimization)}


@dataclass(frozen=True, kw_only=True)
class Recipe(Optimization):
    """How a model is pretrained; what is not named here is in `Optimization`.

    Args:
        summary: one line.
        source: where the numbers are from.
        phases: one after the other; optimizer state is handed on.
        model: a size by name, see `BertConfig.preset`, or a config file.
        goes_on: it begins with a checkpoint.
        unfreeze_every: see `Plan`; layers thaw in the first phase.

    Example:
        >>> [plan.steps for plan in PRETRAINING["bert-base"].plans()]
        [900000, 100000]
    """

    summary: str = ""
    source: str = ""
    phases: tuple[Phase, ...]
    model: str = "base"
    goes_on: bool = False
    unfreeze_every: int | None = None

    @property
    def steps(self) -> int:
        """Optimizer steps of all phases."""
        return sum(phase.steps for phase in self.phases)

    def plans(self, **circumstances: Any) -> list[Plan]:
        """Returns the plan of each phase.

        Args:
            **circumstances: further arguments of `Plan`, the same for all phases.

        Raises:
            ConfigError: the numbers contradict each other.
        """
        return [
            Plan(
                steps=phase.steps,
                gradient_accumulation_steps=phase.gradient_accumulation_steps,
                **self.numbers() | self._frozen(number) | self._rates(number),
                **circumstances,
            )
            for number, phase in enumerate(self.phases)
        ]

    def _frozen(self, number: int) -> dict[str, Any]:
        """Returns the part of a plan that says what is frozen."""
        if self.unfreeze_every and number:
            return {"freeze_layers": None}  # what was frozen has thawed
        return {"unfreeze_every": self.unfreeze_every}

    def _rates(self, number: int) -> dict[str, Any]:
        """Returns the part of a plan that says what the learning rate is."""
        choose("schedule", self.schedule, SCHEDULES)
        starts = [
            n for n, phase in enumerate(self.phases) if phase.learning_rate is not None
        ]
        if 0 not in starts:
            raise ConfigError(
                "Expected a learning_rate of the first phase. Received: none."
            )
        first = max(start for start in starts if start <= number)
        last = min([s for s in starts if s > number], default=len(self.phases))
        phase, peak = self.phases[number], self.phases[first].learning_rate
        if last - first == 1:
            return {"learning_rate": peak, "warmup_steps": phase.warmup_steps}
        return self._piece(number, self.phases[first:last], number - first)

    def _piece(
        self, number: int, chain: tuple[Phase, ...], place: int
    ) -> dict[str, Any]:
        """Returns the rates of a phase that is a piece of one linear schedule."""
        phase, peak = chain[place], chain[0].learning_rate
        if self.schedule != "linear" or (place and phase.warmup_steps):
            raise ConfigError(
                "Expected schedule='linear', and no warm-up of its own in a phase "
                "that goes on with the schedule of the one before. Received in phase "
                f"{number + 1}: {self.schedule!r}, warmup_steps={phase.warmup_steps}. "
                "Give every phase a learning_rate of its own."
            )
        total = sum(p.steps for p in chain)
        done = sum(p.steps for p in chain[:place])
        return {
            "schedule": "polynomial",
            "schedule_options": {"end": peak * (1 - (done + phase.steps) / total)},
            "learning_rate": peak * (1 - done / total),
            "warmup_steps": phase.warmup_steps,
        }


_COUNTER = "/iteration"


def hand_over(before: str | Path, after: str | Path) -> None:
    """Begins a phase's run with the weights and the optimizer's state of another run.

    Its steps are counted from 0 and its schedule begins; Adam's means go on. Where
    the phase has begun already, nothing happens.

    Args:
        before: directory of the run that has ended.
        after: directory of the run to begin.

    Raises:
        CheckpointError: there is nothing to hand over.
    """
    with Checkpoints(Path(after) / "checkpoints", keep=1) as checkpoints:
        if checkpoints.steps():
            return
        done = Checkpoints(Path(before) / "checkpoints", keep=1, writes=False)
        if (last := done.newest()) is None:
            raise CheckpointError(
                f"Expected a checkpoint in {before} to go on from. Received: none. "
                "Run the phase before."
            )
        chosen = last.notes.get("chosen", last.step)  # the best, with early stopping
        if chosen != last.step and chosen in done.steps():
            last = done.read(chosen)
        checkpoints.save(0, last.arrays | _counter_at_zero(last.arrays), {})


def _counter_at_zero(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the counter that a schedule reads, by the name Keras has for it."""
    [name] = [n for n in arrays if n.startswith("optimizer/") and n.endswith(_COUNTER)]
    return {name: np.zeros_like(arrays[name])}


# === Overriding ===

_NUMBERED = re.compile(r"phase-(\d+)")
# Where a phase goes on with the schedule of another, it has none of these.
_OF_A_SCHEDULE = ("learning_rate", "warmup_steps")
_NOT_SETTINGS = ("summary", "source", "phases")
_OF_PHASES = tuple(f.name for f in fields(Phase))
_OF_RECIPES = tuple(f.name for f in fields(Recipe) if f.name not in _NOT_SETTINGS)


def override(recipe: R, changes: Settings) -> R:
    """Changes a recipe by names.

    Args:
        recipe: a `Recipe` or `FineTuning`.
        changes: values by name: fields of the recipe; fields of `Phase`, for every
            phase or as `phase-2.batch_size` for one. `steps` without a phase is
            shared out as the recipe's are. Dotted names and mappings inside mappings
            are the same.

    Returns:
        The changed copy.

    Raises:
        UnknownNameError: there is no such setting.
        ConfigError: a value of another kind.

    Example:
        >>> changes = {"steps": 50, "phase-2": {"batch_size": 8}}
        >>> changed = override(PRETRAINING["bert-tiny"], changes)
        >>> [(phase.steps, phase.batch_size) for phase in changed.phases]
        [(45, 256), (5, 8)]
    """
    change = _changed if isinstance(recipe, Recipe) else _changed_task
    for name, value in _flat(changes):
        recipe = change(recipe, name, value)
    return recipe


def settings(recipe: "Recipe | FineTuning") -> dict[str, Any]:
    """Returns a recipe as `override` takes it, whole, for JSON or YAML."""
    values = asdict(recipe)
    phases = values.pop("phases", ())
    numbered = {f"phase-{n}": phase for n, phase in enumerate(phases, 1)}
    names = _OF_RECIPES if isinstance(recipe, Recipe) else _OF_TASKS
    return {name: values[name] for name in names} | numbered


def _flat(changes: Settings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in changes.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _changed(recipe: Recipe, name: str, value: Any) -> Recipe:
    head, _, rest = name.partition(".")
    if name == "steps":
        return _shared_out(recipe, _converted(name, value, int))
    if match := _NUMBERED.fullmatch(head):
        return replace(recipe, phases=_with_one(recipe, int(match[1]), rest, value))
    if head in _OF_PHASES:
        return replace(recipe, phases=_with_all(recipe, name, value))
    choose("setting", head, (*_OF_RECIPES, *_OF_PHASES))
    return _set(recipe, name, value)


def _changed_task(task: "FineTuning", name: str, value: Any) -> "FineTuning":
    choose("setting", name.partition(".")[0], _OF_TASKS)
    return _set(task, name, value)


def _shared_out(recipe: Recipe, steps: int) -> Recipe:
    """Gives the phases so many steps in all, in the shares they had."""
    done = list(itertools.accumulate(phase.steps for phase in recipe.phases))
    ends = [round(steps * d / recipe.steps) for d in done]
    sizes = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    phases = zip(recipe.phases, sizes, strict=True)
    return replace(recipe, phases=tuple(replace(p, steps=n) for p, n in phases))


def _with_one(recipe: Recipe, number: int, name: str, value: Any) -> tuple[Phase, ...]:
    known = [f"phase-{n}" for n in range(1, len(recipe.phases) + 1)]
    choose("phase", f"phase-{number}", known)
    choose("setting of a phase", name.partition(".")[0], _OF_PHASES)
    phases = list(recipe.phases)
    phases[number - 1] = _set(phases[number - 1], name, value)
    return tuple(phases)


def _with_all(recipe: Recipe, name: str, value: Any) -> tuple[Phase, ...]:
    def stays(phase: Phase) -> bool:
        return name in _OF_A_SCHEDULE and phase.learning_rate is None

    return tuple(p if stays(p) else _set(p, name, value) for p in recipe.phases)


def _set(thing: Any, name: str, value: Any) -> Any:
    name, _, key = name.partition(".")
    old = getattr(thing, name)
    if isinstance(old, Mapping) != bool(key):
        example = f"{name}.max_seq_length=128" if name == "data" else f"{name}=…"
        raise ConfigError(
            f"Expected {'a name inside ' if not key else 'no name inside '}{name}, as "
            f"in {example}. Received: {f'{name}.{key}' if key else name}={value!r}."
        )
    kind = typing.get_type_hints(type(thing))[name]
    new = {**old, key: value} if key else _converted(name, value, kind)
    return replace(thing, **{name: new})


def _converted(name: str, value: Any, kind: Any) -> Any:
    kinds = typing.get_args(kind) or (kind,)
    if value is None and types.NoneType in kinds:
        return None
    try:
        return _CONVERSIONS[kinds[0]](value)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"Expected {name} to be of the kind {kinds[0].__name__}. "
            f"Received: {value!r}."
        ) from error


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)  # YAML takes 1e-4 for text


def _whole(value: Any) -> int:
    if (number := _number(value)) != int(number):
        raise ValueError
    return int(number)


def _exactly(kind: type) -> Any:
    def same(value: Any) -> Any:
        if not isinstance(value, kind):
            raise TypeError
        return value

    return same


_CONVERSIONS = {float: _number, int: _whole, bool: _exactly(bool), str: _exactly(str)}


# === Pretraining ===

_SHORT = {"objective": "nsp", "max_seq_length": 128, "max_predictions_per_seq": 20}
_LONG = {"objective": "nsp", "max_seq_length": 512, "max_predictions_per_seq": 77}
_SENTENCES = {
    "objective": "none",
    "form": "compact",
    "max_seq_length": 512,
    "max_predictions_per_seq": 77,
    "short_seq_prob": 0.0,
}
_DEVLIN = "Devlin et al. 2018 (arXiv:1810.04805), appendix A.2; `optimization.py`"


def _bert(model: str, rows: int = 256, **values: Any) -> Recipe:
    """BERT's own recipe, computed so many rows at a time."""
    parts = 256 // rows
    return Recipe(
        model=model,
        # Google's Adam; one schedule over a million steps.
        bias_correction=False,
        phases=(
            Phase(
                steps=900_000,
                batch_size=256,
                learning_rate=1e-4,
                warmup_steps=10_000,
                gradient_accumulation_steps=parts,
                data=_SHORT,
            ),
            Phase(
                steps=100_000,
                batch_size=256,
                gradient_accumulation_steps=min(4 * parts, 256),
                data=_LONG,
            ),
        ),
        **values,
    )


def _small(size: str) -> Recipe:
    return _bert(
        size,
        summary=f"One of the 24 small models, {size}: BERT's recipe on another size",
        source=(
            "Turc et al. 2019 (arXiv:1908.08962) for the sizes; that they are trained "
            "as BERT is, README of google-research/bert, Smaller BERT Models; "
            f"{_DEVLIN}"
        ),
    )


_LAMB_PHASES = (
    Phase(
        steps=7038,
        batch_size=65_536,
        learning_rate=6e-3,
        warmup_steps=2000,
        gradient_accumulation_steps=512,
        data=_SHORT,
    ),
    Phase(
        steps=1563,
        batch_size=32_768,
        learning_rate=4e-3,
        warmup_steps=200,
        gradient_accumulation_steps=2048,
        data=_LONG,
    ),
)

PRETRAINING: dict[str, Recipe] = {
    "bert-base": _bert(
        "base",
        rows=32,
        summary="BERT-Base: 90 % of the steps at 128 tokens, the rest at 512",
        source=_DEVLIN,
    ),
    "bert-large": _bert(
        "large",
        rows=16,
        summary="BERT-Large: 90 % of the steps at 128 tokens, the rest at 512",
        source=_DEVLIN,
    ),
    **{f"bert-{name}": _small(name) for name in ("tiny", "mini", "small", "medium")},
    **{f"bert-{size}": _small(size) for size in SMALL_SIZES},
    "bert-domain": Recipe(
        summary="goes on from a checkpoint, on the text of a domain",
        source=(
            "README of google-research/bert, pre-training tips: the learning rate and "
            "the least number of steps; batch as in Devlin et al. 2018, a warm-up of a "
            "tenth"
        ),
        goes_on=True,
        bias_correction=False,
        phases=(
            Phase(
                steps=10_000,
                batch_size=256,
                learning_rate=2e-5,
                warmup_steps=1000,
                gradient_accumulation_steps=8,
                data=_SHORT,
            ),
        ),
    ),
    "roberta-domain": Recipe(
        summary="goes on from a RoBERTa, on the text of a domain",
        source=(
            "Gururangan et al. 2020 (arXiv:2004.10964), table 13, and "
            "ADAPTIVE_PRETRAINING.md of allenai/dont-stop-pretraining; a warm-up of "
            "6 %"
        ),
        goes_on=True,
        optimizer_options={"beta_2": 0.98, "epsilon": 1e-6},
        phases=(
            Phase(
                steps=12_500,
                batch_size=2048,
                learning_rate=5e-4,
                warmup_steps=750,
                gradient_accumulation_steps=128,
                data=_SENTENCES,
            ),
        ),
    ),
    "roberta-base": Recipe(
        summary="RoBERTa style: full sentences, no second task, masks anew each time",
        source=(
            "Liu et al. 2019 (arXiv:1907.11692), table 9; sections 4.1 to 4.3 for the "
            "data"
        ),
        clip_norm=None,
        optimizer_options={"beta_2": 0.98, "epsilon": 1e-6},
        phases=(
            Phase(
                steps=500_000,
                batch_size=8192,
                learning_rate=6e-4,
                warmup_steps=24_000,
                gradient_accumulation_steps=1024,
                data=_SENTENCES,
            ),
        ),
    ),
    "lamb-64k": Recipe(
        summary="BERT-Large in 8,601 steps: LAMB, 64k rows and then 32k",
        source=(
            "You et al. 2020 (arXiv:1904.00962), section 4.1, for batches; steps, "
            "rates and warm-up of the README, the optimizer of `optimization.py` in "
            "NVIDIA's DeepLearningExamples, TensorFlow2/LanguageModeling/BERT"
        ),
        model="large",
        optimizer="lamb",
        # Biases and LayerNorm weights do not decay, and are adapted all the same.
        optimizer_options={"exclude_from_layer_adaptation": ()},
        schedule="polynomial",
        schedule_options={"power": 0.5},
        phases=_LAMB_PHASES,
    ),
}
PRETRAINING["roberta-large"] = replace(
    override(
        PRETRAINING["roberta-base"],
        {
            "model": "large",
            "learning_rate": 4e-4,
            "warmup_steps": 30_000,
            "gradient_accumulation_steps": 4096,
        },
    ),
    summary="RoBERTa style at the size of BERT-Large",
)


# === Fine-tuning ===

_GRID = ("batch_sizes", "learning_rates", "epoch_counts")


@dataclass(frozen=True, kw_only=True)
class FineTuning(Optimization):
    """How a model is fine-tuned on a task, and what is worth trying.

    What is not named here is in `Optimization`. Google's fine-tuning had no
    `bias_correction`, which small tasks do not always survive.

    Args:
        summary: one line.
        source: where the numbers are from.
        head: the model class.
        max_length: longest row, in tokens.
        batch_size: rows of a step.
        learning_rate: the highest rate.
        epochs: passes over the data.
        warmup: share of the steps that warm up.
        gradient_accumulation_steps: parts a batch is computed in.
        gradual_unfreezing: thaw one of the frozen layers every epoch; all of them are
            frozen at first where `freeze_layers` is not given.
        regression: the labels are numbers.
        batch_sizes: the grid.
        learning_rates: the grid.
        epoch_counts: the grid.
        options: of the task, such as the stride of windows.

    Example:
        >>> next(FINE_TUNING["rte"].grid())
        {'batch_size': 16, 'learning_rate': 5e-05, 'epochs': 2}
    """

    summary: str = ""
    source: str = ""
    head: str = "BertForSequenceClassification"
    max_length: int = 128
    batch_size: int = 32
    learning_rate: float = 2e-5
    epochs: float = 3
    warmup: float = 0.1
    gradient_accumulation_steps: int = 1
    gradual_unfreezing: bool = False
    regression: bool = False
    batch_sizes: tuple[int, ...] = (16, 32)
    learning_rates: tuple[float, ...] = (5e-5, 3e-5, 2e-5)
    epoch_counts: tuple[float, ...] = (2, 3, 4)
    options: Settings = field(default_factory=dict)

    def plan(self, examples: int, **circumstances: Any) -> Plan:
        """Returns the plan for so many examples.

        Args:
            examples: to train on.
            **circumstances: further arguments of `Plan`.

        Raises:
            ConfigError: the numbers contradict each other.
        """
        if not (self.epochs > 0 and 0 <= self.warmup <= 1):
            raise ConfigError(
                "Expected epochs above 0, and warmup as a share of the steps from 0 "
                f"to 1. Received: epochs={self.epochs}, warmup={self.warmup}."
            )
        steps = math.ceil(examples * self.epochs / self.batch_size)
        epoch = math.ceil(examples / self.batch_size)
        return Plan(
            steps=steps,
            learning_rate=self.learning_rate,
            warmup_steps=round(steps * self.warmup),
            gradient_accumulation_steps=self.gradient_accumulation_steps,
            unfreeze_every=epoch if self.gradual_unfreezing else None,
            **self.numbers(),
            **circumstances,
        )

    def grid(self) -> Iterator[dict[str, float]]:
        """Returns every combination worth trying."""
        names = ("batch_size", "learning_rate", "epochs")
        for values in itertools.product(*(getattr(self, axis) for axis in _GRID)):
            yield dict(zip(names, values, strict=True))


_CORRECTION = "bias correction as Zhang et al. 2021 (arXiv:2006.05987) advise"
_WARMUP = "warm-up of `run_classifier.py`"
_A3 = f"Devlin et al. 2018 (arXiv:1810.04805), appendix A.3; {_WARMUP}; {_CORRECTION}"


def _glue(what: str, **values: Any) -> FineTuning:
    source = (
        "Devlin et al. 2018 (arXiv:1810.04805), section 4.1 for batch and epochs, "
        f"appendix A.3 for the grid; {_WARMUP}; {_CORRECTION}"
    )
    return FineTuning(summary=f"GLUE: {what}", source=source, **values)


def _squad(version: str, **values: Any) -> FineTuning:
    section = {"1.1": "4.2", "2.0": "4.3"}[version]
    return FineTuning(
        summary=f"SQuAD {version}: the answer is a span of a text",
        source=(
            f"Devlin et al. 2018 (arXiv:1810.04805), section {section}; lengths and "
            f"warm-up of `run_squad.py`; {_CORRECTION}"
        ),
        head="BertForQuestionAnswering",
        learning_rate=5e-5,
        max_length=384,
        options={"doc_stride": 128, "max_query_length": 64, "max_answer_length": 30},
        **values,
    )


_OF_TASKS = tuple(
    f.name
    for f in fields(FineTuning)
    if f.name not in ("summary", "source", "head", *_GRID)
)

FINE_TUNING: dict[str, FineTuning] = {
    "cola": _glue("is a sentence grammatical"),
    "sst-2": _glue("is a review favorable"),
    "mrpc": _glue("do two sentences say the same"),
    "sts-b": _glue("how alike are two sentences", regression=True),
    "qqp": _glue("do two questions ask the same"),
    "mnli": _glue("does a sentence follow from another, or contradict it"),
    "qnli": _glue("does a sentence answer a question"),
    "rte": _glue("does a sentence follow from another"),
    "wnli": _glue("whom does a pronoun mean"),
    "squad-1.1": _squad("1.1", epochs=3, batch_size=32),
    "squad-2.0": _squad("2.0", epochs=2, batch_size=48),
    "swag": FineTuning(
        summary="SWAG: which of four endings is the likely one",
        source=(
            "Devlin et al. 2018 (arXiv:1810.04805), section 4.4; "
            f"{_WARMUP}; {_CORRECTION}"
        ),
        head="BertForMultipleChoice",
        batch_size=16,
    ),
    "conll-2003": FineTuning(
        summary="CoNLL 2003: names of persons, places and organizations",
        source=f"{_A3}; section 5.3 for the task",
        head="BertForTokenClassification",
    ),
    "roberta-glue": FineTuning(
        summary="GLUE with a RoBERTa; end it early with --patience",
        source="Liu et al. 2019 (arXiv:1907.11692), table 10 and section 5.1",
        learning_rate=2e-5,
        epochs=10,
        warmup=0.06,
        weight_decay=0.1,
        clip_norm=None,
        optimizer_options={"beta_2": 0.98, "epsilon": 1e-6},
        learning_rates=(1e-5, 2e-5, 3e-5),
        epoch_counts=(10,),
    ),
    "small-models": FineTuning(
        summary="any classification with one of the 24 small models",
        source=(
            "README of google-research/bert, Smaller BERT Models; "
            f"{_WARMUP}; {_CORRECTION}"
        ),
        learning_rate=1e-4,
        epochs=4,
        batch_sizes=(8, 16, 32, 64, 128),
        learning_rates=(3e-4, 1e-4, 5e-5, 3e-5),
        epoch_counts=(4,),
    ),
}
