"""Strings from outside: which of them are text."""

from typing import Any


def is_text(value: Any) -> bool:
    """Whether a value is a string that UTF-8 can encode, without lone surrogates.

    Example:
        >>> is_text("é"), is_text("\\ud83d"), is_text(None)
        (True, False, False)
    """
    if not isinstance(value, str):
        return False
    try:
        value.isascii() or value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
