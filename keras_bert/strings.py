"""Strings from outside: which of them are text, and which JSON means one thing."""

from collections import Counter
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


def each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns the pairs of a JSON object as a dict; an `object_pairs_hook`.

    Of a key that is repeated, `json` takes the last value and other readers the first.

    Raises:
        ValueError: a key is there twice.

    Example:
        >>> each_key_once([("a", 1), ("b", 2)])
        {'a': 1, 'b': 2}
    """
    values = dict(pairs)
    if len(values) < len(pairs):
        name = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {name[:80]!r} twice")
    return values
