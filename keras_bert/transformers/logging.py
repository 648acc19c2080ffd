"""`transformers.logging`: how much is said, by the names scripts know.

What this package says goes to Python's `logging` under `keras_bert`.
"""

import logging
from logging import CRITICAL, DEBUG, ERROR, INFO, WARNING

__all__ = ["CRITICAL", "DEBUG", "ERROR", "INFO", "WARNING"]

_ROOT = logging.getLogger("keras_bert")


def get_logger(name: str | None = None) -> logging.Logger:
    """Returns a logger; without a name that of this package."""
    return logging.getLogger(name) if name else _ROOT


def get_verbosity() -> int:
    """Returns the level from which on messages are shown."""
    return _ROOT.getEffectiveLevel()


def set_verbosity(verbosity: int) -> None:
    """Sets the level from which on messages of this package are shown.

    Example:
        >>> set_verbosity(ERROR)
        >>> get_verbosity() == ERROR
        True
        >>> set_verbosity(logging.NOTSET)  # as it was: that of the root logger
    """
    _ROOT.setLevel(verbosity)


def set_verbosity_debug() -> None:
    """Shows everything."""
    set_verbosity(DEBUG)


def set_verbosity_info() -> None:
    """Shows information, warnings and errors."""
    set_verbosity(INFO)


def set_verbosity_warning() -> None:
    """Shows warnings and errors."""
    set_verbosity(WARNING)


def set_verbosity_error() -> None:
    """Shows errors alone."""
    set_verbosity(ERROR)


def enable_default_handler() -> None:
    """Writes messages to stderr; until then Python does so with warnings alone."""
    if not _ROOT.handlers:
        _ROOT.addHandler(logging.StreamHandler())


def disable_default_handler() -> None:
    """Undoes `enable_default_handler`."""
    for handler in list(_ROOT.handlers):
        _ROOT.removeHandler(handler)


def enable_explicit_format() -> None:
    """Shows level, file, line and time with each message."""
    enable_default_handler()
    form = "[%(levelname)s|%(filename)s:%(lineno)s] %(asctime)s >> %(message)s"
    for handler in _ROOT.handlers:
        handler.setFormatter(logging.Formatter(form))


def enable_propagation() -> None:
    """Hands messages on to Python's root logger, as is the default here."""
    _ROOT.propagate = True


def disable_propagation() -> None:
    """Keeps messages from Python's root logger."""
    _ROOT.propagate = False


def enable_progress_bar() -> None:
    """Does nothing: downloads show the bars of `huggingface_hub`."""


def disable_progress_bar() -> None:
    """Hides the bars of downloads."""
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
