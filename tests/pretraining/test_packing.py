"""Packing: every piece has a place of its own, and rows are full."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_bert.errors import InputError
from keras_bert.pretraining.packing import Places, pack


def fill(lengths: np.ndarray, places: Places, room: int) -> float:
    return lengths.sum() / (room * (places.rows.max() + 1))


@given(st.lists(st.integers(1, 37), max_size=80), st.integers(1, 9))
def test_every_piece_has_a_place(lengths, most):
    places = pack(np.array(lengths, np.int64), 37, most)
    rows: dict[int, list[int]] = {}
    for piece, (row, slot) in enumerate(zip(*places, strict=True)):
        assert slot == len(rows.setdefault(row, []))  # pieces keep their order
        rows[row].append(piece)
    assert list(rows) == list(range(len(rows)))  # rows follow their first pieces
    for pieces in rows.values():
        assert len(pieces) <= most
        assert sum(lengths[piece] for piece in pieces) <= 37


@given(st.lists(st.integers(1, 37), min_size=1, max_size=80))
def test_no_two_rows_would_fit_in_one(lengths):
    lengths = np.array(lengths)
    places = pack(lengths, 37, most=99)
    used = np.sort(np.bincount(places.rows, lengths))
    assert len(used) == 1 or used[0] + used[1] > 37


@given(st.lists(st.integers(1, 37), min_size=1, max_size=40), st.randoms())
def test_fill_does_not_depend_on_the_order(lengths, rng):
    mixed = rng.sample(lengths, len(lengths))
    ours, other = (pack(np.array(x), 37, 4).rows.max() for x in (lengths, mixed))
    assert ours == other


def test_best_fit():
    # By first fit the piece of 3 would lie with the 6, and the 4 alone.
    places = pack(np.array([6, 7, 3, 4]), room=10, most=3)
    assert places.rows.tolist() == [0, 1, 1, 0]
    assert places.slots.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("draw", "room", "most"),
    [
        (lambda rng: rng.lognormal(3.3, 0.6, 20000), 128, 8),  # short texts
        (lambda rng: rng.gamma(2, 20, 20000), 128, 8),
        (lambda rng: rng.uniform(5, 128, 20000), 128, 4),
        (lambda rng: rng.gamma(2, 60, 5000), 512, 16),
    ],
)
def test_rows_are_full(draw, room, most):
    lengths = np.clip(draw(np.random.default_rng(7)), 5, room).astype(np.int64)
    places = pack(lengths, room, most)
    assert fill(lengths, places, room) > 0.97
    assert np.bincount(places.rows).max() <= most
    alone = fill(lengths, pack(lengths, room, 1), room)
    assert alone < 0.6


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match=r"8 tokens or less.*received one of 9"):
        pack(np.array([3, 9]), 8, 2)
