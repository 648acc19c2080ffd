"""Matches the tensors of a checkpoint with the rows of its family."""

import logging
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from keras_bert import axes, families
from keras_bert.checkpoints.checkpoint import Checkpoint, Tensor
from keras_bert.checkpoints.files import OPTIMIZER_STATE, equal, is_float
from keras_bert.config import Config
from keras_bert.errors import CheckpointError
from keras_bert.families.family import BODY, FIELDS, OPTIONS, OUTPUTS, Family
from keras_bert.families.names import STYLES
from keras_bert.families.rows import Placement, Row

SHOWN = 10  # names listed in a message before "and N more"
OPTIMIZER = "optimizer"  # in `drop`: all of its state
DROPPED = "dropped by request"
MASKED_LM = "masked_lm"  # the part with the output matrix
ADAPTER = (
    "It has an adapter: merge it into its model first (merge_and_unload() of peft). "
)
# What explains a missing or unexpected weight, by a part of its name.
EXPLANATIONS = {
    ("Missing", "position_embeddings"): "NEZHA and other models with relative "
    "positions have no position embeddings and cannot be read. ",
    ("Unexpected", "lora_"): ADAPTER,
}
WAY_OUT = (
    "Correct the file or the config, or leave tensors or parts out by name: "
    "config_file= and drop= in Python, --config and --drop of keras-bert convert, "
    "strip and inspect."
)
log = logging.getLogger(__name__)


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
    order = sorted(OUTPUTS, key=lambda name: name not in meant)
    taken: set[str] = set()
    kept = []
    for name in order:
        names = {
            r.placements[format].name
            for r in family.parts.get(name, [])
            if format in r.placements
        }
        kept += [name] if name in meant or not names & taken else []
        taken |= names
    return [n for n in family.parts if n in kept or n not in OUTPUTS]


def _part(name: str, checkpoint: Checkpoint, config: Config) -> PartMatch:
    family = families.of(config)
    part = PartMatch(name, family.rows_of([name], config))
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
    if not is_float(tensor.dtype):
        return f"expected floating point, received {tensor.dtype}"
    if tensor.shape == expected:
        return None
    fields = [FIELDS[n] for n in axes.names(place.axes) if n in FIELDS]
    why = ", ".join(f"{f}={getattr(config, f)}" for f in dict.fromkeys(fields))
    return f"expected {expected} from {why}, received {tensor.shape}"


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


def resolve_contents(checkpoint: Checkpoint) -> Contents:
    """Returns the contents of a checkpoint, or raises with every mismatch.

    Args:
        checkpoint: what was read.

    Returns:
        The model class, its parts and their rows.

    Raises:
        CheckpointError: a tensor is missing, unexpected or misshapen; or the parts
            belong to no model class.
    """
    resolve_ties(checkpoint)
    config = checkpoint.config
    head = choose_head(checkpoint, config)
    required = _required(head, config)
    found = match_weights(checkpoint, config, required)
    wanted = dict.fromkeys((*families.of(config).body(config), *required))
    wanted |= dict.fromkeys(found.present)
    parts = {name: found.parts[name] for name in wanted}
    check_match(checkpoint, config, parts.values(), found.unexpected, head)
    if head is None:
        raise CheckpointError(
            f"Expected the parts of one model class in {checkpoint.path}. Received: "
            f"{', '.join(parts)}, which no class has together. Leave one of them out "
            "by name (drop=, --drop)."
        )
    rows = [row for part in parts.values() for row in part.rows]
    return Contents(head, list(parts), rows)


# === What is left out ===


def leave_out(checkpoint: Checkpoint, drop: Collection[str]) -> None:
    """Moves what is named to `ignored`.

    Args:
        checkpoint: what was read.
        drop: names of tensors or parts; "optimizer" for all of the optimizer's state.

    Raises:
        CheckpointError: there is nothing of a name.
    """
    for name in drop:
        gone = _named(checkpoint, name)
        if not gone and name == OPTIMIZER:
            raise CheckpointError(
                f"Expected the state of an optimizer in {checkpoint.path}. "
                "Received: none; the checkpoint holds weights alone."
            )
        if not gone:
            raise CheckpointError(
                f"Expected a tensor or a part {name!r} in {checkpoint.path} to drop. "
                "Received: none. Leave the name out, or give that of a tensor or one "
                f"of {', '.join(families.of(checkpoint.config).parts)}, {OPTIMIZER}."
            )
        reason = OPTIMIZER_STATE if name == OPTIMIZER else DROPPED
        checkpoint.ignored |= dict.fromkeys(sorted(gone), reason)
        for held in _held(checkpoint):
            for key in gone & held.keys():
                del held[key]
        _forget_class(checkpoint, name)


def _named(checkpoint: Checkpoint, name: str) -> set[str]:
    """Returns the tensors that a name in `drop` stands for."""
    if name == OPTIMIZER:
        ignored = checkpoint.ignored.items()
        state = {n for n, reason in ignored if reason == OPTIMIZER_STATE}
        return state | checkpoint.optimizer.keys()
    family = families.of(checkpoint.config)
    part = [name] if name in family.parts else []
    rows = family.rows(part, checkpoint.config, OPTIONS)
    at = checkpoint.format
    names = {r.placements[at].name for r in rows if at in r.placements} or {name}
    names |= {copy for copy, of in family.ties.items() if of in names}
    held = *_held(checkpoint), checkpoint.ignored
    return {n for n in names if any(n in place for place in held)}


def _held(checkpoint: Checkpoint) -> tuple[dict[str, Tensor], ...]:
    return checkpoint.tensors, checkpoint.optimizer, checkpoint.copies


def _forget_class(checkpoint: Checkpoint, part: str) -> None:
    """Forgets the model class that the files name, if it needs this part."""
    family = families.of(checkpoint.config)
    if _body(family, [part]) & _body(family, family.parts_of(checkpoint.head)):
        checkpoint.head = None


def resolve_ties(checkpoint: Checkpoint, parts: Collection[str] = (MASKED_LM,)) -> None:
    """Decides for copies of tied weights whether they are copies.

    An output matrix that differs from the word embeddings makes the model an untied
    one, as in transformers. A bias that differs from its copy is the copy's, which is
    what transformers adds.

    Args:
        checkpoint: what was read; copies move to `ignored`.
        parts: those asked for; without the masked LM nothing is compared.
    """
    tensors, ignored = checkpoint.tensors, checkpoint.ignored
    family, at = families.of(checkpoint.config), checkpoint.format
    untied = {r.placements[at].name for r in family.untied_rows if at in r.placements}
    for copy in [*checkpoint.copies]:
        original, tensor = family.ties[copy], checkpoint.copies.pop(copy)
        if MASKED_LM not in parts:
            ignored[copy] = f"of {MASKED_LM}, not asked for"
        elif equal(tensor, tensors[original]):
            ignored[copy] = f"tied to {original}"
        elif copy in untied:
            tensors[copy] = tensor
            checkpoint.config = checkpoint.config.replace(tie_word_embeddings=False)
            log.warning(
                "%s: %s differs from %s although the config ties them. It is kept as a "
                "weight of its own (tie_word_embeddings=False), as in transformers.",
                checkpoint.path,
                copy,
                original,
            )
        else:
            ignored[copy] = f"takes the place of {original}"
            tensors[original] = tensor


# === Which model class ===


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
    same = dict.fromkeys(family.alike, "classifier")
    return {same.get(part, part) for part in parts} - {*BODY}


def _required(head: str | None, config: Config) -> list[str]:
    family = families.of(config)
    parts = family.parts_of(head)
    optional = ("pooler",) if family.models.get(head) == "encoder" else ()
    return [p for p in parts if p not in optional]


# === Errors ===


def check_match(
    checkpoint: Checkpoint,
    config: Config,
    parts: Iterable[PartMatch],
    unexpected: Iterable[str],
    head: str | None,
) -> None:
    """Raises one error that lists every mismatch of the parts that are asked for.

    Tensors that belong to none of these parts move to `ignored`, with a warning; unless
    the checkpoint was opened with `strict`, or they are among the weights of these
    parts: a model with such weights computes something else.

    Args:
        checkpoint: what was read.
        config: the model's.
        parts: the parts that are asked for.
        unexpected: names that are in no part.
        head: the model class, or None.

    Raises:
        CheckpointError: a part is incomplete or misshapen, or a name is unexpected.
    """
    parts, unexpected = list(parts), list(unexpected)
    inside = _inside(checkpoint, config, parts)
    refused = [n for n in unexpected if checkpoint.strict or inside(n)]
    problems = {
        "Missing": [n for p in parts for n in p.missing],
        "Unexpected": refused,
        "Misshapen": [f"{n}: {t}" for p in parts for n, t in p.misshapen.items()],
    }
    lines = [f"{kind}: {listing(names)}." for kind, names in problems.items() if names]
    if lines:
        explained = EXPLANATIONS.items()
        why = (x for (kind, name), x in explained if name in str(problems[kind]))
        raise CheckpointError(
            f"Expected {checkpoint.path} to hold the weights of a "
            f"{head or 'known model class'} of the sizes in its config. "
            f"{' '.join(lines)} {''.join(why)}{WAY_OUT}"
        )
    _leave_behind(checkpoint, sorted({*unexpected} - {*refused}), head)


def _inside(
    checkpoint: Checkpoint, config: Config, parts: Iterable[PartMatch]
) -> Callable[[str], bool]:
    """Returns whether an unknown tensor is among the weights of some parts, by name."""
    at = checkpoint.format
    places = [r.placements[at] for p in parts for r in p.rows if at in r.placements]
    scopes = {_scope(place.name) for place in places} | {*STYLES[at].groups}
    family = families.of(config)
    encoder = family.parts["encoder"]
    names = (row.placements[at].name for row in encoder if at in row.placements)
    before = {re.escape(n.split("{i}")[0]) for n in names if "{i}" in n}
    layer = re.compile(rf"(?:{'|'.join(sorted(before))})(\d{{1,9}})")

    def inside(name: str) -> bool:
        found = layer.match(name)
        # Layers beyond the model's are left behind, as transformers does.
        further = found is not None and int(found[1]) >= config.num_blocks
        left = further or name in family.left_behind
        return _scope(name) in scopes and not left

    return inside


def _scope(name: str) -> str:
    return re.split("[./]", name, maxsplit=1)[0]


def _leave_behind(checkpoint: Checkpoint, names: list[str], head: str | None) -> None:
    if not names:
        return
    log.warning(
        "%s: tensors that belong to no part of a %s are left behind: %s.",
        checkpoint.path,
        head or "known model class",
        listing(names),
    )
    checkpoint.ignored |= dict.fromkeys(names, f"no part of a {head or 'known class'}")
    for name in names:
        del checkpoint.tensors[name]


def listing(names: list[str]) -> str:
    """Returns some names for a message, and how many more there are."""
    shown = "; ".join(names[:SHOWN])
    more = len(names) - SHOWN
    return f"{shown}; and {more} more" if more > 0 else shown


def parameters(tensors: Mapping[str, Tensor], names: Iterable[str]) -> int:
    """Returns the number of values in some of a checkpoint's tensors."""
    return sum(math.prod(tensors[name].shape) for name in names)
