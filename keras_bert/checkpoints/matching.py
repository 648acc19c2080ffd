"""Matches the tensors of a checkpoint with the rows of its family."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from keras_bert import axes, families
from keras_bert.checkpoints.checkpoint import Checkpoint, Tensor
from keras_bert.config import Config
from keras_bert.errors import CheckpointError
from keras_bert.families.family import BODY, CLASSIFIERS, FIELDS, Family
from keras_bert.families.rows import Placement, Row, expand

SHOWN = 10  # names listed in a message before "and N more"


@dataclass
class PartMatch:
    """One part of a model, as a checkpoint holds it.

    Args:
        name: for instance "encoder" or "masked_lm".
        rows: its weights, those of every layer.
        found: names of weights that the checkpoint has.
        missing: names of weights that it does not have.
        misshapen: expected and received shape, by name, where they differ.
    """

    name: str
    rows: list[Row]
    found: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    misshapen: dict[str, str] = field(default_factory=dict)


@dataclass
class Matches:
    """The parts of a checkpoint, and the tensors that belong to none.

    Args:
        parts: by name, including parts that the checkpoint does not have.
        unexpected: names of tensors that are in no row.
    """

    parts: dict[str, PartMatch]
    unexpected: list[str]

    @property
    def present(self) -> list[str]:
        """Names of the parts of which the checkpoint has any weight."""
        return [name for name, part in self.parts.items() if part.found]


def match_weights(
    checkpoint: Checkpoint, config: Config, parts: Collection[str]
) -> Matches:
    """Looks up the weights of every part in a checkpoint.

    Args:
        checkpoint: what was read.
        config: gives the expected shapes.
        parts: the parts that are meant where several have the same names.

    Returns:
        What was found, complete or not.
    """
    names = _distinct(families.of(config), parts, checkpoint.format)
    found = {name: _part(name, checkpoint, config) for name in names}
    known = {name for part in found.values() for name in part.found}
    return Matches(found, sorted(set(checkpoint.tensors) - known))


def _distinct(family: Family, meant: Collection[str], format: str) -> list[str]:
    """Returns all parts, but only one of the classifiers that share names."""
    order = sorted(CLASSIFIERS, key=lambda name: name not in meant)
    taken: set[str] = set()
    kept = []
    for name in order:
        names = {
            r.placements[format].name
            for r in family.parts[name]
            if format in r.placements
        }
        kept += [name] if name in meant or not names & taken else []
        taken |= names
    return [n for n in family.parts if n in kept or n not in CLASSIFIERS]


def _part(name: str, checkpoint: Checkpoint, config: Config) -> PartMatch:
    family = families.of(config)
    part = PartMatch(name, expand(family.parts[name], config.num_hidden_layers))
    for row in part.rows:
        place = row.placements.get(checkpoint.format)
        if place is None:
            part.missing.append(f"a place for {row.placements['keras'].name}")
            continue
        tensor = checkpoint.tensors.get(place.name)
        if tensor is None:
            part.missing.append(place.name)
            continue
        part.found.append(place.name)
        problem = _misfit(place, tensor, config)
        if problem:
            part.misshapen[place.name] = problem
    return part


def _misfit(place: Placement, tensor: Tensor, config: Config) -> str | None:
    """Returns how a tensor differs from what the config says, or None."""
    family = families.of(config)
    expected = axes.shape(place.axes, family.sizes(config))
    if not _is_float(tensor.dtype):
        return f"expected floating point, received {tensor.dtype}"
    if tensor.shape == expected:
        return None
    fields = [FIELDS[n] for n in axes.names(place.axes) if n in FIELDS]
    why = ", ".join(f"{f}={getattr(config, f)}" for f in dict.fromkeys(fields))
    return f"expected {expected} from {why}, received {tensor.shape}"


def _is_float(dtype) -> bool:
    # The kind of ml_dtypes' bfloat16 is "V".
    return dtype.kind == "f" or dtype.name == "bfloat16"


# === Which model class ===


@dataclass
class Contents:
    """What a complete checkpoint holds.

    Args:
        head: the name of the model class.
        parts: the parts it holds.
        rows: all its weights.
    """

    head: str
    parts: list[str]
    rows: list[Row]


def head_class(name: str, config: Config) -> str:
    """Returns the name of a model class, given that name or the kind of head.

    Raises:
        UnknownNameError: it is neither.

    Example:
        >>> from keras_bert.families.bert import BertConfig
        >>> head_class("token_classification", BertConfig())
        'BertForTokenClassification'
    """
    return families.of(config).class_name(name)


def resolve_contents(checkpoint: Checkpoint, drop: Collection[str] = ()) -> Contents:
    """Returns the contents of a checkpoint, or raises with every mismatch.

    Args:
        checkpoint: what was read; tensors named in `drop` move to `ignored`.
        drop: names of tensors or parts to leave out.

    Returns:
        The model class, its parts and their rows.

    Raises:
        CheckpointError: a tensor is missing, unexpected or misshapen; or the parts
            belong to no model class.
    """
    _leave_out(checkpoint, drop)
    config = checkpoint.config
    head = choose_head(checkpoint, config)
    required = _required(head, config)
    found = match_weights(checkpoint, config, required)
    wanted = dict.fromkeys((*families.of(config).body(config), *required))
    wanted |= dict.fromkeys(found.present)
    parts = {name: found.parts[name] for name in wanted}
    raise_mismatch(checkpoint, parts.values(), found.unexpected, head)
    if head is None:
        raise CheckpointError(
            f"Expected the parts of one model class in {checkpoint.path}. Received: "
            f"{', '.join(parts)}, which no class has together. Drop one of them by "
            "name (drop=, --drop)."
        )
    rows = [row for part in parts.values() for row in part.rows]
    return Contents(head, list(parts), rows)


def _leave_out(checkpoint: Checkpoint, drop: Collection[str]) -> None:
    """Moves tensors named in `drop`, one by one or by part, to `ignored`."""
    family = families.of(checkpoint.config)
    layers = checkpoint.config.num_hidden_layers
    for name in drop:
        rows = expand(family.parts.get(name, []), layers)
        at = checkpoint.format
        names = [r.placements[at].name for r in rows if at in r.placements] or [name]
        gone = [n for n in names if checkpoint.tensors.pop(n, None) is not None]
        if not gone:
            raise CheckpointError(
                f"Expected a tensor or a part {name!r} in {checkpoint.path} to drop. "
                f"Received: none. Its parts can be {', '.join(family.parts)}."
            )
        checkpoint.ignored.update({n: "dropped by request" for n in gone})
        declared = family.parts_of(checkpoint.head)
        if _body(family, [name]) & _body(family, declared):
            checkpoint.head = None  # no longer what its files say


def choose_head(checkpoint: Checkpoint, config: Config) -> str | None:
    """Returns the name of a checkpoint's model class.

    It is the class that its files name if the parts allow that, else the first class
    with exactly these parts, or None if there is none.

    Args:
        checkpoint: what was read.
        config: its config.
    """
    family = families.of(config)
    declared = checkpoint.head
    present = match_weights(checkpoint, config, ()).present
    bodies = {head: _body(family, parts) for head, parts in family.model_parts.items()}
    body = _body(family, present)
    if declared in bodies and (bodies[declared] == body or bodies[declared] - body):
        return declared  # a missing part becomes an error
    pooled = {
        head
        for head, parts in family.model_parts.items()
        if ("pooler" in parts) == ("pooler" in present)
    }
    fitting = [head for head in bodies if bodies[head] == body]
    return next((h for h in fitting if h in pooled), next(iter(fitting), None))


def _body(family: Family, parts: Iterable[str]) -> set[str]:
    """Returns the parts by which the names in a checkpoint tell model classes apart."""
    same = dict.fromkeys(CLASSIFIERS, "classifier")
    return {same.get(part, part) for part in parts} - {*BODY}


def _required(head: str | None, config: Config) -> list[str]:
    family = families.of(config)
    parts = family.parts_of(head)
    optional = ("pooler",) if family.models.get(head) == "encoder" else ()
    return [p for p in parts if p not in optional]


# === Errors ===


def raise_mismatch(
    checkpoint: Checkpoint,
    parts: Iterable[PartMatch],
    unexpected: Iterable[str],
    head: str | None,
) -> None:
    """Raises one error that lists every mismatch, if there are any.

    Raises:
        CheckpointError: a part is incomplete or misshapen, or a name is unexpected.
    """
    parts = list(parts)
    problems = {
        "Missing": [n for p in parts for n in p.missing],
        "Unexpected": list(unexpected),
        "Misshapen": [f"{n}: {t}" for p in parts for n, t in p.misshapen.items()],
    }
    lines = [f"{kind}: {_listing(names)}." for kind, names in problems.items() if names]
    if lines:
        raise CheckpointError(
            f"Expected {checkpoint.path} to hold the weights of a "
            f"{head or 'known model class'} of the sizes in its config. "
            f"{' '.join(lines)} Correct the config or the file, name another head, or "
            "name tensors to drop."
        )


def _listing(names: list[str]) -> str:
    shown = "; ".join(names[:SHOWN])
    more = len(names) - SHOWN
    return f"{shown}; and {more} more" if more > 0 else shown


def parameters(tensors: Mapping[str, Tensor], names: Iterable[str]) -> int:
    """Returns the number of values in some of a checkpoint's tensors."""
    return sum(math.prod(tensors[name].shape) for name in names)
