"""Checkpoints whose variables are in another order, as earlier versions wrote them.

The names in a checkpoint hold the index of a variable. If the order of a model's layers
changes, the slots of the optimizer, which are named after the weights, still tell the
order in which a checkpoint was written.
"""

from collections.abc import Iterable, Mapping

import keras
import numpy as np

_SLOT = "_adam_m"
_PER_WEIGHT = ("counts", "moving")  # vectors with one number for each weight
_SEED = "seed_generator_state"


def reordered(
    variables: Mapping[str, keras.Variable], values: Mapping[str, np.ndarray]
) -> Mapping[str, np.ndarray]:
    """Returns the values under the names that their variables have now.

    Args:
        variables: by name, see `keras_bert.training.variables.numbered`.
        values: by name, of a checkpoint.

    Returns:
        The values; unchanged if the order is the same, or if more than that differs.
    """
    saved, wanted = _slots(values), _slots(variables)
    if saved == wanted or sorted(saved) != sorted(wanted):
        return values
    weights = dict(zip(saved, _of_model(values, seeds=False), strict=False))
    if any(not slot.endswith(_last(name)) for slot, name in weights.items()):
        return values
    places = [saved.index(slot) for slot in wanted]
    state = {_last(name): value for name, value in values.items() if _is_state(name)}
    state |= {name: state[name][places] for name in _PER_WEIGHT if name in state}
    sources = {name: _slot_of(variables[name]) for name in _of_model(variables, False)}
    found = {name: values[weights[slot]] for name, slot in sources.items()}
    seeds = zip(_of_model(variables, True), _of_model(values, True), strict=False)
    found |= {name: values[source] for name, source in seeds}
    return found | {n: state[_last(n)] for n in variables if _is_state(n)}


def _slots(names: Iterable[str]) -> list[str]:
    """Returns the weights, as the optimizer's slots name them, in their order."""
    slots = [name for name in names if name.endswith(_SLOT)]
    return [_last(name).removesuffix(_SLOT) for name in sorted(slots, key=_index)]


def _of_model(names: Iterable[str], seeds: bool) -> list[str]:
    found = [name for name in names if not _is_state(name)]
    return sorted((n for n in found if (_last(n) == _SEED) is seeds), key=_index)


def _is_state(name: str) -> bool:
    return name.startswith("optimizer/")


def _slot_of(variable: keras.Variable) -> str:
    return variable.path.replace("/", "_")


def _index(name: str) -> int:
    return int(name.split("/")[1])


def _last(name: str) -> str:
    return name.split("/", 2)[2]
