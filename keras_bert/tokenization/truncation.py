"""Texts to rows of limited length: truncation, and windows that overlap."""

import numbers
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from keras_bert.errors import InputError, choose

TRUNCATION = ("longest_first", "only_first", "only_second")


class TokenRow(NamedTuple):
    """The tokens of one row: of one text, or of two.

    Attributes:
        first: `(tokens, columns)`.
        second: the same for the second text, or None.
        sample: the index of the text, or pair, in the batch.
    """

    first: np.ndarray
    second: np.ndarray | None
    sample: int

    @property
    def length(self) -> int:
        """The number of tokens, special ones included."""
        second = 0 if self.second is None else len(self.second) + 1
        return 2 + len(self.first) + second


class Cutter:
    """Makes rows of at most `max_length` tokens of a text or pair.

    Raises:
        InputError: `max_length` is no whole number or has no room for tokens, or
            `stride` is set without truncation.
    """

    def __init__(
        self, truncation: bool | str, max_length: int, stride: int, pairs: bool
    ) -> None:
        if isinstance(truncation, str):
            choose("truncation", truncation, TRUNCATION)
        for name, value in {"max_length": max_length, "stride": stride}.items():
            if not isinstance(value, numbers.Integral):
                raise InputError(
                    f"Expected {name} as a whole number. Received: {value!r}."
                )
        self.truncation = "longest_first" if truncation is True else truncation or ""
        self.room = max_length - (3 if pairs else 2)
        self.stride = stride
        if self.truncation and self.room < 1 + bool(pairs):
            raise InputError(
                f"max_length={max_length} leaves no room for text next to the special "
                f"tokens; expected at least {5 if pairs else 3}."
            )
        if stride and not self.truncation:
            raise InputError(
                "Expected truncation if stride is set. Received: truncation=False."
            )

    def __call__(
        self, first: np.ndarray, second: np.ndarray | None, sample: int
    ) -> Iterator[TokenRow]:
        total = len(first) + (0 if second is None else len(second))
        if not self.truncation or total <= self.room:
            return iter([TokenRow(first, second, sample)])
        if self.stride:
            return self._windows(first, second, sample)
        return iter([self._cut(first, second, sample)])

    def _cut(
        self, first: np.ndarray, second: np.ndarray | None, sample: int
    ) -> TokenRow:
        if second is None:
            return TokenRow(first[: self.room], None, sample)
        keep_first, keep_second = {
            "longest_first": longest_first,
            "only_first": lambda a, b, room: (room - b, b),
            "only_second": lambda a, b, room: (a, room - a),
        }[self.truncation](len(first), len(second), self.room)
        if min(keep_first, keep_second) < 0:
            raise InputError(
                f"truncation={self.truncation!r} cannot make a pair of {len(first)} "
                f"and {len(second)} tokens fit {self.room}; raise max_length or use "
                "'longest_first'."
            )
        return TokenRow(first[:keep_first], second[:keep_second], sample)

    def _windows(
        self, first: np.ndarray, second: np.ndarray | None, sample: int
    ) -> Iterator[TokenRow]:
        if second is None:
            parts = self._parts(first, self.room)
            return (TokenRow(part, None, sample) for part in parts)
        if self.truncation == "only_first":
            parts = self._parts(first, self.room - len(second))
            return (TokenRow(part, second, sample) for part in parts)
        parts = self._parts(second, self.room - len(first))
        return (TokenRow(first, part, sample) for part in parts)

    def _parts(self, tokens: np.ndarray, room: int) -> Iterator[np.ndarray]:
        if room <= self.stride:
            raise InputError(
                f"stride={self.stride} must be smaller than the {room} tokens left "
                "for the text in a row; lower stride or raise max_length."
            )
        starts = range(0, len(tokens) - self.stride, room - self.stride)
        return (tokens[start : start + room] for start in starts)


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Returns the lengths of a pair after removing tokens one by one from the longer.

    Args:
        first: tokens of the first text.
        second: tokens of the second, which is truncated if both are equally long.
        room: tokens that fit.

    Example:
        >>> longest_first(10, 10, 15), longest_first(3, 20, 15)
        ((8, 7), (3, 12))

    Source: `_truncate_seq_pair` in google-research/bert, run_classifier.py.
    """
    second = min(second, max(room // 2, room - first))
    return min(first, room - second), second
