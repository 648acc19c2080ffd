"""Class names: those of a trained head, and those found in labeled data."""

import logging
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_bert.errors import InputError
from keras_bert.tasks.examples import Example
from keras_bert.tasks.text_classification import label_counts
from keras_bert.tasks.text_classification import label_names as names_in

SHOWN = 20  # classes whose examples are counted before "and N more"
LISTS = "multi_label_classification"
log = logging.getLogger(__name__)
KINDS = {False: "single labels", True: "lists of labels"}


def label_names(config: Any, given: Sequence[str] | None = None) -> list[str] | None:
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
        return without_repeats(given)
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
    counts = label_counts(examples)
    shown = ", ".join(f"{name} {counts[name]:,}" for name in labels[:SHOWN])
    more = len(labels) - SHOWN
    return f"{shown} and {more} more classes" if more > 0 else shown


def class_counts(labels: Any, names: Sequence[str] | None) -> dict[str, int] | None:
    """Returns the number of labels of each class, for the weights of classes.

    Args:
        labels: encoded: numbers of classes `(...)`, where -100 is none, or floats
            `(rows, classes)` that are each on or off.
        names: of the classes, in order; None if there are none.

    Returns:
        The counts by name, in order; None where labels are no classes.

    Example:
        >>> class_counts(np.array([[2, -100], [0, 2]]), ["O", "B", "I"])
        {'O': 1, 'B': 0, 'I': 2}
    """
    if not names or isinstance(labels, Mapping):
        return None
    labels = np.asarray(labels)
    if labels.dtype.kind == "f":
        counts = (labels > 0).sum(axis=0)
    else:
        counts = np.bincount(labels[labels >= 0], minlength=len(names))
    return dict(zip(names, counts.tolist(), strict=True))


def without_repeats(names: Sequence[str] | None) -> list[str]:
    """Returns names as a list.

    Raises:
        InputError: two are the same.
    """
    names = names or []
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(
            f"Expected different names as --labels. Received: {repeated[0]!r} twice."
        )
    return list(names)


# === Of a model to train ===


def labels_to_train(
    examples: Sequence[Example],
    name: str,
    *,
    head: Sequence[str] | None,
    head_lists: bool,
    given: Sequence[str] | None,
    renew: bool,
    model: str,
) -> tuple[list[str], bool]:
    """Returns the classes in the order of their ids; a trained head keeps its own.

    Args:
        examples: the training data.
        name: of their file, for messages.
        head: the classes of the trained head, or None if there is none.
        head_lists: whether that was trained on lists of labels.
        given: the classes in the order of their ids, or None.
        renew: whether a head of other classes may be replaced by a new one.
        model: what the checkpoint is called.

    Returns:
        The classes, and whether the head that has them is a new one.

    Raises:
        InputError: there is one class only, or classes that the head does not have.
    """
    found, lists = names_in(examples), are_lists(examples)
    _warn_of_similar(found, name)
    if len(found) < (1 if lists else 2):
        raise InputError(
            f"Expected {'a class' if lists else 'at least two classes'} in "
            f"{name}. Received: {', '.join(found) or 'none'} in all "
            f"{len(examples)} rows. If labels are numbers, pass --regression."
        )
    given = without_repeats(given)
    if head is None:
        return given or found, True
    if lists == head_lists and (given or not {*found} - {*head}):
        return list(given or head), False
    if not renew:
        raise InputError(
            f"Expected the classes of the head in {model}, {KINDS[head_lists]}: "
            f"{', '.join(head)}. Received in {name}, {KINDS[lists]}: "
            f"{', '.join(found)}. If they are the same, pass the file's names in the "
            "order of the head's ids with --labels; for a new head, pass "
            "--ignore-mismatched-sizes."
        )
    return given or found, True


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
