"""Batches without the padding that none of their rows needs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_bert.tasks import dataset
from keras_bert.tasks.trimming import lengths, predict, trimmed


def rows(counts, seq):
    mask = (np.arange(seq) < np.asarray(counts)[..., None]).astype("int32")
    return {"input_ids": mask * 7, "attention_mask": mask}


@pytest.mark.parametrize(
    ("counts", "seq", "length"),
    [
        ([1, 3], 40, 16),
        ([16, 3], 40, 16),
        ([17, 3], 40, 32),
        ([0, 0], 40, 16),
        ([33, 2], 40, 40),  # no longer than they were
        ([128, 2], 300, 128),
        ([129, 2], 300, 192),
        ([[3, 18], [2, 5]], 40, 32),  # of choices, or windows
    ],
)
def test_the_longest_row_decides(counts, seq, length):
    features = rows(counts, seq)
    labels = tf.zeros(np.shape(features["input_ids"]))
    found, same = trimmed(features, labels)
    _, short = trimmed(features, labels, token_labels=True)
    assert found["input_ids"].shape[-1] == short.shape[-1] == length
    assert same.shape == labels.shape
    real = features["attention_mask"].sum()
    assert int(tf.reduce_sum(found["attention_mask"])) == real


def test_padding_on_the_left_stays():
    mask = np.array([[0] * 30 + [1] * 3])
    assert trimmed({"attention_mask": mask})["attention_mask"].shape == (1, 32 + 1)


def test_other_features_are_left_alone():
    features = rows([3, 5], 40) | {"masked_lm_positions": np.ones((2, 40), "int32")}
    assert trimmed(features)["masked_lm_positions"].shape == (2, 40)


def test_predictions_are_in_the_order_of_the_rows():
    counts = [3, 39, 1, 20, 7, 7, 33]
    ids = keras.Input((None,), dtype="int32", name="input_ids")
    mask = keras.Input((None,), dtype="int32", name="attention_mask")
    total = keras.ops.sum(ids * mask, -1, keepdims=True)
    model = keras.Model({"input_ids": ids, "attention_mask": mask}, {"total": total})
    found = predict(model, rows(counts, 41), batch_size=3)["total"]
    assert found[:, 0].tolist() == [7 * count for count in counts]


def test_grouped_rows_come_once_a_pass_in_batches_of_like_lengths():
    counts = np.random.default_rng(3).integers(1, 60, 200)
    features, places = rows(counts, 60), np.arange(200)
    options = {"shuffle_seed": 5, "group_by_length": True}
    first = [y.numpy() for _, y in dataset(features, places, 8, **options)]
    again = [y.numpy() for _, y in dataset(features, places, 8, **options)]
    assert sorted(np.concatenate(first)) == places.tolist()
    assert np.concatenate(first).tolist() == np.concatenate(again).tolist()
    longest = [int(counts[batch].max()) for batch in first]
    assert longest != sorted(longest)  # the batches are shuffled
    padded = sum(len(batch) * counts[batch].max() for batch in first)
    assert padded < 1.1 * counts.sum()
    assert [len(batch) for batch in first[:-1]] == [8] * 24
    plain = dataset(features, places, 8, shuffle_seed=5)
    assert sum(len(y) * counts[y].max() for _, y in plain) > 1.5 * counts.sum()


def test_grouped_batches_go_on_where_they_were_saved(tmp_path):
    counts = np.random.default_rng(3).integers(1, 60, 30)
    options = {"shuffle_seed": 5, "group_by_length": True, "repeat": True}
    data = dataset(rows(counts, 60), np.arange(30), 4, **options).map(trimmed)
    iterator = iter(data)
    for _ in range(5):
        next(iterator)
    saved = tf.train.Checkpoint(iterator=iterator).write(str(tmp_path / "place"))
    expected = [next(iterator)[1].numpy().tolist() for _ in range(9)]
    again = iter(data)
    tf.train.Checkpoint(iterator=again).read(saved)
    assert [next(again)[1].numpy().tolist() for _ in range(9)] == expected


def test_lengths_are_those_of_the_longest_text_of_a_row():
    assert lengths(rows([[3, 18], [2, 5]], 40)["attention_mask"]).tolist() == [18, 5]
