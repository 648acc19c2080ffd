"""Several short texts in one row: which text goes where."""

from typing import NamedTuple

import numpy as np

from keras_bert.errors import InputError


class Places(NamedTuple):
    """Where pieces stand.

    Attributes:
        rows: int64 `(pieces,)`.
        slots: int64 `(pieces,)`: which of the row's pieces it is, from the left.
    """

    rows: np.ndarray
    slots: np.ndarray


def pack(lengths: np.ndarray, room: int, most: int) -> Places:
    """Packs pieces by best fit, the longest first.

    A piece goes into the row with the least space that takes it, or into a new one.
    Time is linear in the pieces.

    Args:
        lengths: int `(pieces,)`, in tokens, special ones included.
        room: tokens of a row.
        most: pieces of a row, at most.

    Returns:
        The places. Rows are numbered by their first piece, and pieces keep their
        order within a row, so that neither tells how long a piece is.

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
    order = np.argsort(-lengths, kind="stable")
    rows = np.empty(len(lengths), np.int64)
    rows[order] = _best_fit(lengths[order].tolist(), room, most)
    return _in_order(rows)


def _best_fit(lengths: list[int], room: int, most: int) -> list[int]:
    """Returns the row of each piece, given in the order of falling lengths."""
    by_space: list[list[int]] = [[] for _ in range(room + 1)]
    spaces = 0  # bit `s` is set where a row has space for `s` tokens
    pieces: list[int] = []  # of each row
    chosen = []
    for length in lengths:
        if fitting := spaces >> length:
            # The lowest bit that is set is the least space that takes the piece.
            space = length + (fitting & -fitting).bit_length() - 1
            row = by_space[space].pop()
            spaces ^= (not by_space[space]) << space
        else:
            row, space = len(pieces), room
            pieces.append(0)
        pieces[row] += 1
        chosen.append(row)
        if pieces[row] < most:
            by_space[space - length].append(row)
            spaces |= 1 << (space - length)
    return chosen


def _in_order(rows: np.ndarray) -> Places:
    """Numbers rows by their first piece, and the pieces of each from 0."""
    _, first, row = np.unique(rows, return_index=True, return_inverse=True)
    number = np.empty(len(first), np.int64)
    number[first.argsort()] = np.arange(len(first))
    numbered = number[row]
    order = numbered.argsort(kind="stable")
    sizes = np.bincount(numbered)
    starts = np.repeat(sizes.cumsum() - sizes, sizes)
    slots = np.empty(len(rows), np.int64)
    slots[order] = np.arange(len(rows)) - starts
    return Places(numbered, slots)
