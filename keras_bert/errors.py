"""The one family of errors: what was expected, what was received, what to do."""

import numbers
from collections.abc import Iterable
from typing import Any


class KerasBertError(Exception):
    """Base of every error this package raises on purpose.

    Scripts print it as one readable line and exit with status 2.
    """

    # KeyError would print the repr of its message; a sentence reads better.
    def __str__(self) -> str:
        return " ".join(str(arg) for arg in self.args)


class ConfigError(KerasBertError, ValueError):
    """A configuration value, or a combination of values, cannot be used."""


class InputError(KerasBertError, ValueError):
    """Data given to a model, tokenizer or tool cannot be used."""


class CheckpointError(KerasBertError, ValueError):
    """A checkpoint is damaged, incomplete, or does not fit."""


class UnknownNameError(KerasBertError, KeyError):
    """A name (preset, head, format, token) is not one of the known ones."""


class MissingFileError(KerasBertError, FileNotFoundError):
    """A file or directory does not exist."""


class ExistingOutputError(KerasBertError, FileExistsError):
    """The output is already there and was not to be overwritten."""


class LockedOutputError(KerasBertError, BlockingIOError):
    """Another process writes the output."""


class DiskFullError(KerasBertError, OSError):
    """There is no room for the output."""


class MissingExtraError(KerasBertError, ImportError):
    """An optional dependency is needed; the message names the extra."""


class UnavailableNameError(KerasBertError, ImportError):
    """A name of another library has nothing to stand for it in this package."""


def check_counts(**counts: Any) -> None:
    """Raises an error if a number of things is not a whole number of 1 or more.

    Args:
        **counts: by the names of the arguments.

    Raises:
        ConfigError: naming the argument.

    Example:
        >>> check_counts(batch_size=32)
    """
    for name, value in counts.items():
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if not (whole and value >= 1):
            raise ConfigError(f"Expected {name} of 1 or more. Received: {value!r}.")


def choose(kind: str, name: str, known: Iterable[str]) -> str:
    """Returns `name` if it is one of `known`, else raises naming the nearest.

    Args:
        kind: what is being chosen, for the message ("preset", "format").
        name: the name received.
        known: iterable of the names accepted.

    Raises:
        UnknownNameError: `name` is not in `known`.

    Example:
        >>> choose("size", "tiny", ["tiny", "mini"])
        'tiny'
    """
    import difflib

    known = list(known)
    if name in known:
        return name
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UnknownNameError(
        f"Unknown {kind} {name!r}; expected one of {', '.join(known)}.{hint}"
    )
