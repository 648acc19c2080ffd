"""Vocabularies, and the JSON objects of a tokenizer's folder."""

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from keras_bert.errors import InputError
from keras_bert.strings import each_key_once
from keras_bert.tokenizer_folder.names import ELSEWHERE, MOST_IDS

log = logging.getLogger(__name__)


def read_object(file: Path) -> dict[str, Any]:
    """Returns the object in a JSON file; empty if there is no such file.

    Raises:
        InputError: the file holds something else.
    """
    if not file.is_file():
        return {}
    try:
        values = json.loads(
            file.read_bytes().decode("utf-8-sig"), object_pairs_hook=each_key_once
        )
    except (ValueError, RecursionError) as error:
        raise InputError(f"Expected a JSON object in {file}: {error}.") from error
    if not isinstance(values, dict):
        raise InputError(
            f"Expected a JSON object in {file}. Received: {type(values).__name__}."
        )
    return values


# What the parts of a tokenizer.json are, where they are there.
_PARTS = {
    "model": dict,
    "normalizer": dict,
    "pre_tokenizer": dict,
    "post_processor": dict,
    "padding": dict,
    "truncation": dict,
    "added_tokens": list,
    "config": dict,  # of KerasHub's file of this name
}


def read_fast(file: Path) -> dict[str, Any]:
    """Returns a `tokenizer.json`, whose parts are of the right types or absent."""
    values = read_object(file)
    for name, kind in _PARTS.items():
        part = values.get(name)
        if part is None:
            values.pop(name, None)
        elif not isinstance(part, kind):
            raise InputError(
                f"Expected {'a list' if kind is list else 'an object'} as {name} in "
                f"{file}. Received: {part!r:.60}."
            )
    return values


def wordpiece_model(fast: Mapping, file: Path) -> Mapping:
    """Returns the model in a `tokenizer.json`.

    Raises:
        InputError: there is none, or one of another kind.
    """
    model = fast.get("model")
    if model is None:
        raise InputError(f"Expected a tokenizer with a model in {file}; found none.")
    kind = model.get("type", "BPE" if "merges" in model else "WordPiece")
    vocabulary = model.get("vocab")
    if kind != "WordPiece" or not isinstance(vocabulary, dict):
        raise InputError(
            f"Expected a WordPiece model with ids by token in {file}. Received: {kind} "
            f"with {type(vocabulary).__name__} as vocab. {ELSEWHERE}"
        )
    return model


def read_vocabulary(path: Path) -> list[str]:
    """Reads a `vocab.txt`.

    Args:
        path: the file.

    Returns:
        The tokens; a token's line is its id.

    Raises:
        InputError: the file is empty or not UTF-8 text.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"Expected a WordPiece vocabulary in UTF-8 in {path}: {error}. Convert the "
            "file to UTF-8."
        ) from error
    # Only "\n" ends a line: two tokens of the Chinese vocabulary are other line breaks
    # of Unicode.
    lines = text.split("\n")
    tokens = [line.strip() for line in lines[: -1 if lines[-1] == "" else None]]
    if not any(tokens):
        raise InputError(
            f"The vocabulary {path} is empty; expected one token per line."
        )
    _say_what_is_twice(tokens, path)
    return tokens


def _say_what_is_twice(tokens: list[str], path: Path) -> None:
    lines: dict[str, int] = {}
    for number, token in enumerate(tokens, 1):
        if token and lines.setdefault(token, number) != number:
            log.warning(
                "%s has %r in lines %d and %d: its id is that of the last, as in "
                "transformers.",
                *(path, token, lines[token], number),
            )
            return


def tokens_by_id(model: Mapping, file: Path) -> list[str]:
    """Returns the tokens of the model in a `tokenizer.json`, in the order of ids.

    Raises:
        InputError: an id is no id, or two tokens have the same one.
    """
    names: dict[int, str] = {}
    for token, index in model["vocab"].items():
        if isinstance(index, bool) or not isinstance(index, int):
            raise InputError(
                f"Expected integers as ids in {file}: {token!r} has {index!r}."
            )
        if not 0 <= index < MOST_IDS:
            raise InputError(
                f"Expected ids in [0, {MOST_IDS}) in {file}: {token!r} has {index}."
            )
        if index in names:
            raise InputError(
                f"Expected each id once in {file}: {names[index]!r} and {token!r} both "
                f"have {index}."
            )
        names[index] = token
    if not names:
        raise InputError(f"The vocabulary in {file} is empty.")
    return [names.get(index, "") for index in range(max(names) + 1)]


def is_cased(tokens: Iterable[str]) -> bool:
    """Whether any token has a capital letter, apart from the special ones.

    Example:
        >>> is_cased(["[PAD]", "the"]), is_cased(["[PAD]", "The"])
        (False, True)
    """
    return any(t != t.lower() for t in tokens if not t.startswith("["))
