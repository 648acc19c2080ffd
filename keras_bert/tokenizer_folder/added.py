"""Added and special tokens, and where a folder lists them."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_bert.errors import InputError
from keras_bert.tokenizer_folder.names import (
    ADDED_FILE,
    CONFIG_FILE,
    FAST_FILE,
    MAP_FILE,
    MOST_IDS,
)
from keras_bert.tokenizer_folder.vocabulary import read_object

log = logging.getLogger(__name__)


class AddedToken(NamedTuple):
    """A token that is looked for in text before the text is split into words.

    Args:
        content: the token.
        special: dropped by `decode`; never masked in pretraining.
        normalized: looked for in normalized text, instead of the text as given.
        lstrip: takes whitespace on its left with it.
        rstrip: takes whitespace on its right with it.
        single_word: not found inside of words.

    Example:
        >>> AddedToken.of("<e1>", special=True).normalized
        False
    """

    content: str
    special: bool = False
    normalized: bool = True
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False

    @classmethod
    def of(cls, value: Any, special: bool = False) -> "AddedToken":
        """Returns a token from a string, a mapping, or transformers' `AddedToken`.

        Args:
            value: the token.
            special: the default of `special`; special tokens are by default not
                normalized.

        Raises:
            InputError: it is none of these.
        """
        if isinstance(value, str):
            return cls(value, special, not special)
        get = value.get if isinstance(value, Mapping) else _attribute(value, special)
        fields = {"special": special, "normalized": not special}
        found = {name: get(name, fields.get(name, False)) for name in cls._fields[1:]}
        content = get("content", None)
        flags = found.values()
        if not isinstance(content, str) or not all(isinstance(f, bool) for f in flags):
            raise InputError(
                "Expected a token: a string, or an AddedToken (or mapping) with a "
                f"string as content and true or false as flags. "
                f"Received: {value!r:.99}."
            )
        return cls(content, **found)


def _attribute(value: Any, special: bool) -> Any:
    """Returns what reads an `AddedToken` of transformers, as a special one or not."""
    flag = getattr(value, "special", None)
    if special and flag is False:
        value.special = True  # whether it is normalized follows, unless it was said
    found = {name: getattr(value, name, None) for name in AddedToken._fields}
    if special and flag is False:
        value.special = flag
    return lambda name, default: default if found[name] is None else found[name]


class SpecialTokens:
    """The special tokens that settings name.

    Args:
        config: the contents of `tokenizer_config.json`.
        folder: the folder, for `special_tokens_map.json`, which counts if the settings
            do not list added tokens themselves.
    """

    def __init__(self, config: Mapping, folder: Path) -> None:
        self.lists = "added_tokens_decoder" in config
        mapped = {} if self.lists else read_object(folder / MAP_FILE)
        self.decoder = config.get("added_tokens_decoder")
        self.named = _named_tokens({**config, **mapped}, folder)
        own = _extra_tokens(config, folder)
        self.extra = own or _extra_tokens(mapped, folder)
        # Of these alone transformers knows that they are special when it reads
        # added_tokens.json.
        self.known = {token.content for token in self.named.values()} | set(own)

    def join(
        self, stored: Iterable[AddedToken], defaults: Iterable[str]
    ) -> list[AddedToken]:
        """Returns all added tokens, those that files list first, in that order."""
        special = {token.content for token in self.named.values()}.union(defaults)
        found = {token.content: token for token in stored}
        others = [*self.named.values(), *map(special_token, sorted(defaults))]
        for token in (*others, *self.extra.values()):
            found.setdefault(token.content, token)
        return [
            token._replace(special=token.special or token.content in special)
            for token in found.values()
            if token.content
        ]


def special_token(content: str) -> AddedToken:
    return AddedToken.of(content, special=True)


_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token")


def _named_tokens(config: Mapping, folder: Path) -> dict[str, AddedToken]:
    known = [name for name in (*_NAMED, "mask_token") if config.get(name) is not None]
    others = [n for n in config if n.endswith("_token") and n not in known]
    names = [*known, *(n for n in others if isinstance(config[n], str | dict))]
    return {
        name: _token(config[name], f"{name} in {folder}", special=True)
        for name in names
    }


def _extra_tokens(config: Mapping, folder: Path) -> dict[str, AddedToken]:
    found = config.get("extra_special_tokens") or config.get(
        "additional_special_tokens"
    )
    if not isinstance(found, list | dict | None):
        raise InputError(
            f"Expected a list as additional_special_tokens in {folder}. Received: "
            f"{found!r:.60}."
        )
    values = found.values() if isinstance(found, dict) else found or ()
    where = f"additional_special_tokens in {folder}"
    tokens = [_token(value, where, special=True) for value in values]
    return {token.content: token for token in tokens}


def _token(value: Any, where: str, special: bool = False) -> AddedToken:
    try:
        return AddedToken.of(value, special)
    except InputError as error:
        raise InputError(f"{error} It is {where}.") from error


def stored_tokens(
    found: SpecialTokens, fast: Mapping, decides: bool, folder: Path
) -> dict[int, AddedToken]:
    """Returns added tokens by the ids that files give them, in that order."""
    listed = _listed_tokens(found, folder)
    # transformers' BERT tokenizer reads those of tokenizer.json only if no settings
    # list any.
    file = folder / FAST_FILE
    in_fast = added_in(fast, file) if decides or not found.lists else {}
    both = {**in_fast, **listed} if found.lists else {**listed, **in_fast}
    return dict(sorted(both.items()))


def added_in(fast: Mapping, file: Path) -> dict[int, AddedToken]:
    listed = fast.get("added_tokens", ())
    ids = (value.get("id") if isinstance(value, dict) else None for value in listed)
    tokens = (_token(value, f"in {file}") for value in listed)
    return _by_id(zip(ids, tokens, strict=True), file)


def _by_id(
    listed: Iterable[tuple[Any, AddedToken]], file: Path
) -> dict[int, AddedToken]:
    found: dict[int, AddedToken] = {}
    for value, token in listed:
        index = _id(value, file)
        if index in found:
            raise InputError(
                f"Expected each id once in {file}: {found[index].content!r} and "
                f"{token.content!r} both have {index}."
            )
        found[index] = token
    return found


def _listed_tokens(found: SpecialTokens, folder: Path) -> dict[int, AddedToken]:
    if not found.lists:
        file = folder / ADDED_FILE
        listed = (
            (index, AddedToken.of(content, special=content in found.known))
            for content, index in read_object(file).items()
        )
        return _by_id(listed, file)
    file = folder / CONFIG_FILE
    if not isinstance(found.decoder, dict):
        raise InputError(f"Expected an object as added_tokens_decoder in {file}.")
    decoder = found.decoder.items()
    return _by_id(((i, _token(value, f"in {file}")) for i, value in decoder), file)


def _id(value: Any, file: Path) -> int:
    index = int(value) if isinstance(value, str) and value.isdecimal() else value
    if isinstance(index, bool) or not isinstance(index, int):
        raise InputError(
            f"Expected integers as ids in {file}. Received: {value!r:.60}."
        )
    if not 0 <= index < MOST_IDS:
        raise InputError(
            f"Expected ids in [0, {MOST_IDS}) in {file}. Received: {value!r:.60}."
        )
    return index


def say_where_ids_differ(
    added: Iterable[AddedToken],
    stored: Mapping[int, AddedToken],
    tokens: Sequence[str],
    folder: Path,
) -> None:
    ids = {token: index for index, token in enumerate(tokens)}
    for token in added:
        ids.setdefault(token.content, len(ids))
    for index, token in stored.items():
        if ids.get(token.content, index) != index:
            log.warning(
                "Added token %r in %s has id %d, after what the vocabulary holds, and "
                "not %d as the file says; transformers numbers it the same way.",
                token.content,
                folder,
                ids[token.content],
                index,
            )
