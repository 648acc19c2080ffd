"""Packing: which texts share a row."""

from itertools import chain
from typing import NamedTuple

import numpy as np

from keras_bert.errors import InputError
from keras_bert.pretraining.ranges import within


class Places(NamedTuple):
    """Where pieces are placed.

    Attributes:
        rows: int64 `(pieces,)`.
        slots: int64 `(pieces,)`: which of the row's pieces it is, from the left.
    """

    rows: np.ndarray
    slots: np.ndarray


def pack(lengths: np.ndarray, room: int, most: int) -> Places:
    """Packs pieces into rows.

    The longest remaining piece begins a row; then the one or two pieces that fill it
    best are added while any fit. There are few distinct lengths, so pieces are counted
    by length, and time is linear in their number.

    Args:
        lengths: int `(pieces,)`, in tokens, special ones included.
        room: tokens per row.
        most: the most pieces per row.

    Returns:
        The places. Rows are numbered by their first piece, and pieces keep their order
        within a row, so the order does not depend on lengths.

    Raises:
        InputError: a piece is longer than a row.

    Example:
        >>> pack(np.array([3, 5, 4, 2, 2]), room=8, most=3)
        Places(rows=array([0, 0, 1, 1, 1]), slots=array([0, 1, 0, 1, 2]))

    Source: Krell et al. 2021, "Efficient Sequence Packing without
    Cross-contamination", section 3 (packing by a histogram of lengths).
    """
    if len(lengths) and lengths.max() > room:
        raise InputError(
            f"Expected pieces of {room} tokens or less, the length of a row, received "
            f"one of {lengths.max()}. Truncate pieces before packing."
        )
    by_length = np.argsort(lengths, kind="stable")
    taken = _fill(lengths, room, most)
    row_of = np.repeat(np.arange(len(taken)), [len(row) for row in taken])
    taken_lengths = np.fromiter(chain.from_iterable(taken), np.int64, len(lengths))
    rows = np.empty(len(lengths), np.int64)
    rows[by_length] = row_of[np.argsort(taken_lengths, kind="stable")]
    return _in_order(rows)


def _fill(lengths: np.ndarray, room: int, most: int) -> list[list[int]]:
    """Returns the lengths of the pieces of each row."""
    stock, rows = _Stock(lengths, room), []
    while stock.available:
        row = [stock.longest()]
        while len(row) < most and (
            best := stock.best(room - sum(row), most - len(row))
        ):
            row += best
        rows.append(row)
    return rows


class _Stock:
    """The number of pieces of each length that are left.

    Attributes:
        available: bit `n` is set where a piece of `n` tokens is left.
        mirrored: bit `room - n` is set for the same pieces.
    """

    def __init__(self, lengths: np.ndarray, room: int) -> None:
        self.room = room
        self.left = np.bincount(lengths, minlength=room + 1).tolist()
        lengths_left = [length for length, count in enumerate(self.left) if count]
        self.available = sum(1 << length for length in lengths_left)
        self.mirrored = sum(1 << room - length for length in lengths_left)

    def longest(self) -> int:
        """Takes the longest piece."""
        return self._take(self.available.bit_length() - 1)

    def best(self, space: int, most: int) -> list[int]:
        """Takes the piece, or two if `most` allows, that fill a space best."""
        for total in range(space, 0, -1):
            if self.available >> total & 1:
                return [self._take(total)]
            if most > 1 and (longer := self._longer_of_two(total)):
                return [self._take(longer), self._take(total - longer)]
        return []

    def _longer_of_two(self, total: int) -> int:
        """Returns the longer of two pieces of `total` tokens, 0 if there are none.

        Of several pairs it takes the most equal one, which keeps long and short pieces
        for the spaces that need them: 2 % fuller rows than with the least equal one.
        """
        half = total // 2
        pairs = self.available & self.mirrored >> self.room - total
        if total % 2 == 0 and self.left[half] == 1:
            pairs &= ~(1 << half)  # a piece cannot be paired with itself
        upper = pairs >> total - half
        return total - half + (upper & -upper).bit_length() - 1 if upper else 0

    def _take(self, length: int) -> int:
        self.left[length] -= 1
        if not self.left[length]:
            self.available ^= 1 << length
            self.mirrored ^= 1 << self.room - length
        return length


def _in_order(rows: np.ndarray) -> Places:
    """Numbers rows by their first piece, and the pieces of each from 0."""
    _, first, row = np.unique(rows, return_index=True, return_inverse=True)
    number = np.empty(len(first), np.int64)
    number[first.argsort()] = np.arange(len(first))
    numbered = number[row]
    order = numbered.argsort(kind="stable")
    slots = np.empty(len(rows), np.int64)
    slots[order] = within(np.bincount(numbered))
    return Places(numbered, slots)
