"""Which versions of a model are served, and what a server is told to serve."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from keras_bert.errors import ConfigError


class VersionPolicy(Protocol):
    """Chooses among the versions found on disk."""

    def choose(self, found: Sequence[int]) -> list[int]:
        """Returns the versions to serve, of those found, both ascending."""
        ...


@dataclass(frozen=True)
class Latest:
    """The highest versions.

    Example:
        >>> Latest().choose([1, 3, 9])
        [9]
    """

    count: int = 1

    def choose(self, found: Sequence[int]) -> list[int]:
        """Returns the last ones."""
        return list(found[-self.count :])


@dataclass(frozen=True)
class All:
    """Every version."""

    def choose(self, found: Sequence[int]) -> list[int]:
        """Returns what was found."""
        return list(found)


@dataclass(frozen=True)
class Specific:
    """Those named, where they exist."""

    numbers: tuple[int, ...]

    def choose(self, found: Sequence[int]) -> list[int]:
        """Returns those that are there."""
        return [number for number in found if number in self.numbers]


def policy_of(text: str) -> VersionPolicy:
    """Reads a policy: `latest`, `latest:3`, `all`, or numbers such as `1,4`.

    Raises:
        ConfigError: it is none of these.

    Example:
        >>> policy_of("latest:2"), policy_of("1,4")
        (Latest(count=2), Specific(numbers=(1, 4)))
    """
    if text == "all":
        return All()
    if match := re.fullmatch(r"latest(?::([1-9]\d*))?", text):
        return Latest(int(match[1] or 1))
    if re.fullmatch(r"\d+(,\d+)*", text):
        return Specific(tuple(map(int, text.split(","))))
    raise ConfigError(
        "Expected versions as `latest`, `latest:N`, `all` or numbers such as `1,4`. "
        f"Received: {text!r}."
    )


@dataclass(frozen=True)
class ModelConfig:
    """A model to serve.

    Args:
        name: in requests.
        directory: `<directory>/<version>/` holds the SavedModels.
        policy: which versions.
        labels: names for versions, which requests may use instead of numbers.
    """

    name: str
    directory: Path
    policy: VersionPolicy = Latest()
    labels: Mapping[str, int] = field(default_factory=dict)
