"""Rows held out by label."""

import json
from collections import Counter

import numpy as np
import pytest

from keras_bert.errors import ConfigError, InputError
from keras_bert.tasks import Example, TextClassification, TextRegression
from keras_bert.tasks.splits import held_out, split
from tests.serving.cases import VOCAB, make_model

assert VOCAB  # of the fixture `tokenizer`


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.9])
def test_every_label_has_its_share(fraction):
    sizes = {"a": 70, "b": 20, "c": 11, "d": 1}
    labels = [name for name, size in sizes.items() for _ in range(size)]
    chosen = held_out(labels, fraction, seed=5)
    assert (chosen == held_out(labels, fraction, seed=5)).all()
    assert (chosen != held_out(labels, fraction, seed=6)).any()
    counts = Counter(name for name, out in zip(labels, chosen, strict=True) if out)
    for name, size in sizes.items():
        assert abs(counts[name] - size * fraction) <= 1 and counts[name] < size
    assert abs(chosen.sum() - len(labels) * fraction) <= 2


def test_numbers_are_held_out_over_their_range():
    numbers = np.random.default_rng(0).permutation(100).astype(float).tolist()
    chosen = np.sort(np.array(numbers)[held_out(numbers, 0.1, seed=1)])
    assert (chosen // 10 == np.arange(10)).all()


def test_no_label_of_lists_is_only_held_out():
    labels = [("x",)] * 9 + [("x", "y"), ("z",), ()]
    for seed in range(9):
        chosen = held_out(labels, 0.5, seed=seed)
        left = {x for row in np.flatnonzero(~chosen) for x in labels[row]}
        assert left == {"x", "y", "z"}


@pytest.mark.parametrize(
    ("rows", "fraction", "error", "message"),
    [
        (9, 0.01, InputError, r"hold out 0.01 of them\. Received: 9"),
        (9, 1.5, ConfigError, "between 0 and 1"),
        (9, 1, ConfigError, "between 0 and 1"),
        (1, 0.5, InputError, "Received: 1"),
    ],
)
def test_what_cannot_be_held_out(rows, fraction, error, message):
    with pytest.raises(error, match=message):
        held_out(["a"] * rows, fraction, seed=1)


def test_rows_on_both_sides_are_said(caplog):
    items = [Example("a", label="x", row=n) for n in range(4)]
    parts = split(items, ["x"] * 4, 0.25, 1)
    assert (len(parts.train), len(parts.dev)) == (3, 1)
    assert "1 of the 1 examples held out" in caplog.text


def test_a_run_keeps_its_split(tmp_path):
    items, strata = [Example(f"{n}", label="x") for n in range(20)], ["x"] * 20
    parts = split(items, strata, 0.1, 1)
    parts.keep(tmp_path)
    rows = json.loads((tmp_path / "dev_split.json").read_text())["rows"]
    assert [items[row - 1] for row in rows] == parts.dev
    parts.keep(tmp_path)
    with pytest.raises(ConfigError, match=r"0.1 of 20 by seed 1\. Received: 0.1"):
        split(items, strata, 0.1, 2).keep(tmp_path)
    (tmp_path / "dev_split.json").unlink()
    (tmp_path / "plan.json").touch()
    with pytest.raises(ConfigError, match="began with: none"):
        parts.keep(tmp_path)


def test_a_task_holds_out(tokenizer):
    task = TextClassification(make_model("classes"), tokenizer, max_length=8)
    labels = [("bad", "fair", "good")[n % 3] for n in range(30)]
    texts = ["a film " * n for n in range(1, 31)]
    parts = task.hold_out(task.read(texts, labels), 0.2)
    assert Counter(item.label for item in parts.dev) == {"bad": 2, "fair": 2, "good": 2}
    numbers = TextRegression(make_model("score"), tokenizer)
    with pytest.raises(InputError, match="Received: 'bad' in row 1"):
        numbers.hold_out(numbers.read(texts, labels), 0.2)
