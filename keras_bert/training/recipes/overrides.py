"""Changing a recipe by the names of its settings."""

import itertools
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any, TypeVar

from keras_bert.errors import ConfigError, choose
from keras_bert.training.recipes.base import FineTuning, Phase, Recipe

R = TypeVar("R", Recipe, FineTuning)

_NOT_SETTINGS = {"summary", "source", "phases", "head"}
_NOT_SETTINGS |= {"batch_sizes", "learning_rates", "epoch_counts"}
_PHASE_SETTINGS, _RECIPE_SETTINGS, _TASK_SETTINGS = (
    tuple(f.name for f in fields(kind) if f.name not in _NOT_SETTINGS)
    for kind in (Phase, Recipe, FineTuning)
)
# What scikit-learn and others call settings.
_ALIASES = {("class_weight", "balanced"): ("balance_classes", True)}
# Names in the `recipe.json` of runs that earlier versions began.
_RENAMED = {"goes_on": "from_checkpoint"}
# A phase that continues the schedule of another has neither.
_SCHEDULE_SETTINGS = ("learning_rate", "warmup_steps")
_NUMBERED = re.compile(r"phase-(\d+)")


def override(recipe: R, changes: Mapping[str, Any]) -> R:
    """Changes a recipe by names.

    Args:
        recipe: a `Recipe` or `FineTuning`.
        changes: values by name: fields of the recipe; fields of `Phase`, for every
            phase or as `phase-2.batch_size` for one. `steps` without a phase is
            divided in the proportions of the recipe. Dotted names and nested mappings
            are equivalent.

    Returns:
        The changed copy.

    Raises:
        UnknownNameError: there is no such setting.
        ConfigError: a value of another type.

    Example:
        >>> from keras_bert.training.recipes import PRETRAINING
        >>> changes = {"steps": 50, "phase-2": {"batch_size": 8}}
        >>> changed = override(PRETRAINING["bert-tiny"], changes)
        >>> [(phase.steps, phase.batch_size) for phase in changed.phases]
        [(45, 256), (5, 8)]
    """
    change = _changed if isinstance(recipe, Recipe) else _changed_task
    for name, value in _flat(changes):
        if isinstance(value, str):
            name, value = _ALIASES.get((name, value), (name, value))
        recipe = change(recipe, _RENAMED.get(name, name), value)
    return recipe


def setting_names(kind: type[Recipe | FineTuning]) -> tuple[str, ...]:
    """Returns the names of what `override` changes in a kind of recipe."""
    return _RECIPE_SETTINGS if kind is Recipe else _TASK_SETTINGS


def settings(recipe: Recipe | FineTuning) -> dict[str, Any]:
    """Returns all settings of a recipe as `override` takes them, for JSON or YAML."""
    values = asdict(recipe)
    phases = values.pop("phases", ())
    numbered = {f"phase-{n}": phase for n, phase in enumerate(phases, 1)}
    names = setting_names(type(recipe))
    return {name: values[name] for name in names} | numbered


def _flat(changes: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in changes.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _changed(recipe: Recipe, name: str, value: Any) -> Recipe:
    head, _, rest = name.partition(".")
    if name == "steps":
        return _with_steps(recipe, _converted(name, value, int))
    if match := _NUMBERED.fullmatch(head):
        return replace(recipe, phases=_with_one(recipe, int(match[1]), rest, value))
    if head in _PHASE_SETTINGS:
        return replace(recipe, phases=_with_all(recipe, name, value))
    choose("setting", head, (*_RECIPE_SETTINGS, *_PHASE_SETTINGS))
    return _set(recipe, name, value)


def _changed_task(task: FineTuning, name: str, value: Any) -> FineTuning:
    choose("setting", name.partition(".")[0], _TASK_SETTINGS)
    return _set(task, name, value)


def _with_steps(recipe: Recipe, steps: int) -> Recipe:
    """Divides a total of steps over the phases, in their present proportions."""
    done = list(itertools.accumulate(phase.steps for phase in recipe.phases))
    ends = [round(steps * d / recipe.steps) for d in done]
    sizes = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    phases = zip(recipe.phases, sizes, strict=True)
    return replace(recipe, phases=tuple(replace(p, steps=n) for p, n in phases))


def _with_one(recipe: Recipe, number: int, name: str, value: Any) -> tuple[Phase, ...]:
    known = [f"phase-{n}" for n in range(1, len(recipe.phases) + 1)]
    choose("phase", f"phase-{number}", known)
    choose("setting of a phase", name.partition(".")[0], _PHASE_SETTINGS)
    phases = list(recipe.phases)
    phases[number - 1] = _set(phases[number - 1], name, value)
    return tuple(phases)


def _with_all(recipe: Recipe, name: str, value: Any) -> tuple[Phase, ...]:
    def unchanged(phase: Phase) -> bool:
        return name in _SCHEDULE_SETTINGS and phase.learning_rate is None

    return tuple(p if unchanged(p) else _set(p, name, value) for p in recipe.phases)


def _set(target: Any, name: str, value: Any) -> Any:
    name, _, key = name.partition(".")
    old = getattr(target, name)
    if isinstance(old, Mapping) != bool(key):
        example = f"{name}.max_seq_length=128" if name == "data" else f"{name}=…"
        raise ConfigError(
            f"Expected {'a name inside ' if not key else 'no name inside '}{name}, as "
            f"in {example}. Received: {f'{name}.{key}' if key else name}={value!r}."
        )
    kind = typing.get_type_hints(type(target))[name]
    new = {**old, key: value} if key else _converted(name, value, kind)
    return replace(target, **{name: new})


def _converted(name: str, value: Any, kind: Any) -> Any:
    kinds = typing.get_args(kind) or (kind,)
    if value is None and types.NoneType in kinds:
        return None
    try:
        return _CONVERSIONS[kinds[0]](value)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"Expected {name} of type {kinds[0].__name__}. Received: {value!r}."
        ) from error


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)  # YAML reads 1e-4 as text


def _integer(value: Any) -> int:
    if (number := _number(value)) != int(number):
        raise ValueError
    return int(number)


def _exactly(kind: type) -> Callable[[Any], Any]:
    def same(value: Any) -> Any:
        if not isinstance(value, kind):
            raise TypeError
        return value

    return same


def _words(value: Any) -> list[str]:
    return [_exactly(str)(x) for x in ([value] if isinstance(value, str) else value)]


_CONVERSIONS: dict[Any, Callable[[Any], Any]] = {
    **{float: _number, int: _integer, bool: _exactly(bool), str: _exactly(str)},
    Sequence[str]: _words,
}
