"""Class names: those of a model's head, and those of a file."""

import argparse
import logging
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

from keras_bert.errors import InputError
from keras_bert.tasks import Example

SHOWN = 20  # classes whose examples are counted before "and N more"
LISTS = "multi_label_classification"
log = logging.getLogger(__name__)
KINDS = {False: "single labels", True: "lists of labels"}


def label_names(config: Any, given: Sequence[str] | None) -> list[str] | None:
    """Returns the class names in the data, or None if labels are numbers.

    Without class names in the config they are the ids: "0", "1", "2" …

    Args:
        config: of the model.
        given: names that replace them.

    Raises:
        InputError: there are more or fewer of these than classes, or two are the same.
    """
    if given and len(given) != config.num_labels:
        raise InputError(
            f"Expected {config.num_labels} names as --labels, one for each class of "
            f"the model. Received: {len(given)}."
        )
    if given:
        return _without_repeats(given)
    if config.num_labels == 1 and config.problem_type != LISTS:
        return None
    ids = [str(i) for i in range(config.num_labels)]
    return config.labels if config.id2label else ids


def are_lists(examples: Sequence[Example]) -> bool:
    """Whether each of the examples has a list of labels."""
    return isinstance(examples[0].label, tuple)


def check_lists(examples: Sequence[Example], expected: bool, name: str) -> None:
    """Raises an error if there are lists of labels, or none, against expectation.

    Raises:
        InputError: naming the file.
    """
    if are_lists(examples) != expected:
        raise InputError(
            f"Expected {KINDS[expected]} in {name}. Received: {KINDS[not expected]}. "
            "A list is a JSON array, or a field with --label-separator."
        )


def counted(examples: Sequence[Example], labels: Sequence[str]) -> str:
    """Returns the number of examples of each class.

    Example:
        >>> counted([Example("a", label="x")], ["x", "y"])
        'x 1, y 0'
    """
    from keras_bert.tasks import label_counts

    counts = label_counts(examples)
    shown = ", ".join(f"{name} {counts[name]:,}" for name in labels[:SHOWN])
    more = len(labels) - SHOWN
    return f"{shown} and {more} more classes" if more > 0 else shown


# === Of a model to train ===


def labels_to_train(
    args: argparse.Namespace, examples: Sequence[Example], checkpoint: Any, part: str
) -> list[str]:
    """Returns the classes in the order of their ids; a trained head keeps its own.

    Args:
        args: of `keras-bert finetune`.
        examples: the training data.
        checkpoint: to start from. Its head is removed if `--ignore-mismatched-sizes`
            asks for a new one and the data has other classes.
        part: the part of the checkpoint that is its head.

    Raises:
        InputError: there is one class only, or classes that the head does not have.
    """
    from keras_bert.tasks import label_names as names_in

    found, lists = names_in(examples), are_lists(examples)
    _warn_of_similar(found, args.train)
    if len(found) < (1 if lists else 2):
        raise InputError(
            f"Expected {'a class' if lists else 'at least two classes'} in "
            f"{args.train}. Received: {', '.join(found) or 'none'} in all "
            f"{len(examples)} rows. If labels are numbers, pass --regression."
        )
    head, given = _head_labels(checkpoint, part), _without_repeats(args.labels)
    new = given or found
    if head is None:
        return new
    if lists == (checkpoint.config.problem_type == LISTS):
        if given:
            return given
        if not {*found} - {*head}:
            return head
    if not args.ignore_mismatched_sizes:
        raise _other_classes(args, checkpoint.config, head, lists, found)
    _drop(checkpoint, part)
    return new


def _warn_of_similar(names: Sequence[str], file: str) -> None:
    """Says which classes may be one: of other case, form of characters or digits."""
    first: dict[str, str] = {}
    for name in names:
        same = first.setdefault(_plain(name), name)
        if same != name:
            log.warning("%s: %a and %a are two classes", file, same, name)


def _plain(name: str) -> str:
    text = unicodedata.normalize("NFKC", name).casefold()
    text = "".join(c for c in text if c.isprintable())
    try:
        return str(float(text))
    except ValueError:
        return text


def _other_classes(
    args: argparse.Namespace,
    config: Any,
    head: list[str],
    lists: bool,
    found: list[str],
) -> InputError:
    trained = KINDS[config.problem_type == LISTS]
    return InputError(
        f"Expected the classes of the head in {args.model}, {trained}: "
        f"{', '.join(head)}. Received in {args.train}, {KINDS[lists]}: "
        f"{', '.join(found)}. If they are the same, pass the file's names in the order "
        "of the head's ids with --labels; for a new head, pass "
        "--ignore-mismatched-sizes."
    )


def _without_repeats(names: Sequence[str] | None) -> list[str]:
    names = names or []
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(
            f"Expected different names as --labels. Received: {repeated[0]!r} twice."
        )
    return list(names)


def _head_labels(checkpoint: Any, part: str) -> list[str] | None:
    """Returns the class names of the trained head, or None if there is none."""
    trained = _weights(checkpoint, part)
    return label_names(checkpoint.config, None) if trained else None


def _drop(checkpoint: Any, part: str) -> None:
    for name in _weights(checkpoint, part):
        del checkpoint.tensors[name]


def _weights(checkpoint: Any, part: str) -> list[str]:
    from keras_bert.checkpoints.matching import match_weights

    return match_weights(checkpoint, checkpoint.config, (part,)).parts[part].found
