"""Tokens of texts to the arrays of a batch, on the host."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_bert.errors import InputError, choose
from keras_bert.tokenization.truncation import TokenRow

_NO_WORD = -1
_SURROGATE = re.compile("[\ud800-\udfff]")
_CURE = "replace missing values by '', and decode bytes"


class Special(NamedTuple):
    """The ids that frame and pad texts."""

    pad: int
    cls: int
    sep: int


def as_lists(texts: Any, pairs: Any, words: bool) -> tuple[list, list]:
    """Checks the arguments of `BertTokenizer.__call__` and makes them lists.

    Args:
        texts: one text, or several; a text is a string, or a list of words.
        pairs: the second texts, as many, or None.
        words: whether texts are lists of words.

    Returns:
        First and second texts; the latter are None if there are none.

    Raises:
        InputError: a text is of another type, or the numbers of texts differ.
    """
    texts = _as_list(texts, words)
    pairs = [None] * len(texts) if pairs is None else _as_list(pairs, words)
    if len(pairs) != len(texts):
        raise InputError(
            f"Expected as many text_pairs as texts, received {len(texts)} texts and "
            f"{len(pairs)} pairs."
        )
    return texts, pairs


def _as_list(texts: Any, words: bool) -> list:
    if isinstance(texts, np.ndarray) and not texts.ndim:
        texts = texts.item()
    if isinstance(texts, str):
        if words:
            raise InputError("is_split_into_words=True expects lists of words.")
        return [texts]
    if isinstance(texts, bytes | Mapping) or not isinstance(texts, Iterable):
        raise InputError(f"Expected a string or a list of them. {_received(texts)}")
    texts = list(texts)
    if not words:
        _check_texts(texts)
        return texts
    if texts and all(isinstance(text, str) for text in texts):
        texts = [texts]
    for index, text in enumerate(texts):
        if isinstance(text, str | bytes) or not isinstance(text, Iterable):
            raise InputError(
                "is_split_into_words=True expects lists of words. "
                f"{_received(text)}, at index {index}."
            )
        _check_texts(text, f"text {index}, word ")
    return texts


def _check_texts(texts: Iterable[Any], where: str = "index ") -> None:
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            words = isinstance(text, list | tuple)
            way = "lists of words need is_split_into_words=True" if words else _CURE
            raise InputError(
                f"Expected strings. {_received(text)}, at {where}{index}; {way}."
            )
        if not text.isascii() and (half := _SURROGATE.search(text)):
            raise InputError(
                f"Expected text. Received: {half[0]!a}, half of a surrogate pair, at "
                f"character {half.start()} of {where}{index}; decode bytes with "
                "errors='replace', or drop it."
            )


def _received(value: Any) -> str:
    return f"Received: {type(value).__name__} {value!r:.60}"


def width_of(rows: Sequence[TokenRow], padding: bool | str, max_length: int) -> int:
    """Returns the width of a batch in tokens.

    Args:
        rows: the rows of the batch.
        padding: see `BertTokenizer.__call__`.
        max_length: the width that "max_length" pads to.

    Raises:
        InputError: the rows differ in length and `padding` is False.
        UnknownNameError: there is no such padding.
    """
    if isinstance(padding, str):
        choose("padding", padding, ("longest", "max_length"))
    lengths = {row.length for row in rows}
    if padding is False and len(lengths) > 1:
        raise InputError("Rows differ in length; padding=False cannot hold them.")
    return max([*lengths, max_length if padding == "max_length" else 0])


def assemble(
    rows: Sequence[TokenRow], width: int, special: Special, columns: int
) -> dict[str, np.ndarray]:
    """Frames and pads the rows of a batch.

    Args:
        rows: tokens, `(tokens, columns)` each.
        width: of the batch, in tokens.
        special: the ids around texts.
        columns: 1 for ids alone, 4 for ids, begins, ends and words.

    Returns:
        `input_ids`, `token_type_ids` and `attention_mask`, int32 `(rows, seq)`, and
        with 4 columns `offset_mapping` `(rows, seq, 2)` and `word_ids` `(rows, seq)`.
    """
    pad, begin, end = np.array(
        [[token, 0, 0, _NO_WORD] for token in special], np.int32
    )[:, None, :columns]
    table = np.tile(pad, (len(rows), width, 1))  # (rows, seq, columns)
    for target, row in zip(table, rows, strict=True):
        parts = [begin, row.first, end]
        parts += [] if row.second is None else [row.second, end]
        np.concatenate(parts, out=target[: row.length])
    positions = np.arange(width, dtype=np.int32)
    lengths = np.array([row.length for row in rows], np.int32)
    boundaries = np.array([len(row.first) + 2 for row in rows], np.int32)
    mask = positions < lengths[:, None]
    types = mask & (positions >= boundaries[:, None])
    batch = {
        "input_ids": np.ascontiguousarray(table[..., 0]),
        "token_type_ids": types.astype(np.int32),
        "attention_mask": mask.astype(np.int32),
    }
    if columns > 1:
        batch["offset_mapping"] = np.ascontiguousarray(table[..., 1:3])
        batch["word_ids"] = np.ascontiguousarray(table[..., 3])
    return batch
