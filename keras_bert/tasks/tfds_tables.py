"""Rows of a data set of `tensorflow_datasets`, by its name and split."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_bert.errors import InputError
from keras_bert.extras import require
from keras_bert.pretraining.sources.items import prepared

PREFIX = "tfds:"
# A version follows a colon too, as in `glue/sst2:2.0.0`.
_ADDRESS = re.compile(r"tfds:([^:]+(?::\d[\w.*]*)?)(?::(.+))?")
# The texts of GLUE's tasks, which have other names than in most tables.
_GLUE_TEXTS = (
    ("sentence1", "sentence2"),
    ("question1", "question2"),
    ("premise", "hypothesis"),
    ("question", "sentence"),
    ("sentence",),
)


def is_tfds(source: Any) -> bool:
    """Whether data is a data set of `tensorflow_datasets`."""
    return str(source).startswith(PREFIX)


def with_split(source: Any, split: str) -> Any:
    """Returns the address of a data set with a split, if it names none.

    Example:
        >>> with_split("tfds:glue/sst2", "train"), with_split("a.csv", "train")
        ('tfds:glue/sst2:train', 'a.csv')
    """
    named = not is_tfds(source) or Address.of(source).split
    return source if named else f"{source}:{split}"


class Address(NamedTuple):
    """What `tfds:name/config:split` names.

    Attributes:
        name: of the data set, with config and version.
        split: as `tensorflow_datasets` writes it, such as `train[:10%]`; None if it is
            not named.
    """

    name: str
    split: str | None

    @classmethod
    def of(cls, text: Any) -> "Address":
        """Reads an address.

        Raises:
            InputError: it has no name.

        Example:
            >>> Address.of("tfds:glue/sst2:2.0.0:train[:9]")
            Address(name='glue/sst2:2.0.0', split='train[:9]')
        """
        match = _ADDRESS.fullmatch(str(text))
        if match is None:
            raise InputError(
                "Expected tfds:NAME or tfds:NAME:SPLIT, as in tfds:imdb_reviews:test. "
                f"Received: {text}."
            )
        return cls(*match.groups())


class Split(NamedTuple):
    """The rows of a split.

    Attributes:
        names: of their values.
        rows: returns them, in order; classes have their names, or None if they are not
            known.
    """

    names: list[str]
    rows: Callable[[Sequence[str]], Iterator[list[Any]]]


def open_split(source: Any) -> Split:
    """Opens a split of a data set, which is downloaded if it is not there.

    Args:
        source: its address.

    Raises:
        InputError: there is no such data set or split, or none is named.
        MissingExtraError: tensorflow_datasets is not installed.
    """
    tfds = require("tensorflow_datasets")
    name, split = Address.of(source)
    builder = prepared(name, None)
    try:
        if split is None:
            raise ValueError
        data = builder.as_dataset(split=split, shuffle_files=False)
    except ValueError as error:
        splits = list(builder.info.splits)
        raise InputError(
            f"Expected a split of {name}: {', '.join(splits)}; as in "
            f"tfds:{name}:{splits[0]}. Received: {split or 'none'}."
        ) from error
    features = builder.info.features

    def rows(names: Sequence[str]) -> Iterator[list[Any]]:
        for example in tfds.as_numpy(data):
            yield [_value(features[key], example[key]) for key in names]

    return Split(list(features), rows)


def glue_texts(source: Any, names: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of the texts, if it is a task of GLUE."""
    if not Address.of(source).name.startswith("glue/"):
        return ()
    return next((texts for texts in _GLUE_TEXTS if {*texts} <= {*names}), ())


def _value(feature: Any, value: Any) -> Any:
    """Returns a value as a table has it."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, Mapping):  # of a sequence, lists by name
        inner = getattr(feature, "feature", feature)
        return {name: _value(inner[name], item) for name, item in value.items()}
    if np.ndim(value):
        return [_value(getattr(feature, "feature", None), item) for item in value]
    if hasattr(feature, "int2str"):
        return feature.int2str(int(value)) if value >= 0 else None
    return value.item()
