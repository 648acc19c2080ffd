"""`prepare_tf_dataset`: rows to padded, shuffled batches that models learn from."""

import numpy as np
import pytest

from keras_bert.errors import InputError
from keras_bert.transformers import BertTokenizer, TFBertForQuestionAnswering
from keras_bert.transformers import TFBertForSequenceClassification as Classifier
from tests.compat.test_models import config_of
from tests.vocabulary import SPECIAL

pytest.importorskip("tensorflow")

ROWS = [
    {"input_ids": [2, *range(5, 6 + n), 3], "text": "left out", "label": n % 2}
    for n in range(7)
]


@pytest.fixture(scope="module")
def model():
    return Classifier(config_of("TFBertForSequenceClassification"), seed=1)


@pytest.fixture(scope="module")
def tokenizer():
    return BertTokenizer([*SPECIAL, "a", "b"])


def rows_of(batches):
    return [
        (tuple(ids[mask > 0].tolist()), int(label))
        for batch, labels in batches.as_numpy_iterator()
        for ids, mask, label in zip(
            batch["input_ids"], batch["attention_mask"], labels, strict=True
        )
    ]


def test_batches_are_padded_and_labeled(model, tokenizer):
    options = {"batch_size": 3, "shuffle": False, "tokenizer": tokenizer}
    batches = model.prepare_tf_dataset(ROWS, **options)
    assert len(batches) == 3
    assert rows_of(batches) == [(tuple(r["input_ids"]), r["label"]) for r in ROWS]
    widths = [x["input_ids"].shape[1] for x, _ in batches]
    assert widths == [5, 8, 9]
    assert {*next(iter(batches))[0]} == {"input_ids", "attention_mask"}


def test_an_epoch_has_an_order_of_its_own(model, tokenizer):
    options = {"batch_size": 2, "tokenizer": tokenizer}
    one, two = (model.prepare_tf_dataset(ROWS, **options, seed=5) for _ in range(2))
    first, second = rows_of(one), rows_of(one)
    assert first == rows_of(two)  # the same seed
    assert first != second
    assert len(first) == 6  # without the last batch, which is smaller
    kept = model.prepare_tf_dataset(ROWS, **options, drop_remainder=False)
    assert sorted(rows_of(kept)) == sorted(
        (tuple(r["input_ids"]), r["label"]) for r in ROWS
    )


def test_a_model_learns_from_them(model, tokenizer):
    model.compile("adam", run_eagerly=True)
    batches = model.prepare_tf_dataset(ROWS, batch_size=3, tokenizer=tokenizer, seed=1)
    assert np.isfinite(model.fit(batches, verbose=0).history["loss"]).all()


def test_several_labels_come_by_name():
    model = TFBertForQuestionAnswering(config_of("TFBertForQuestionAnswering"), seed=1)
    rows = [
        {"input_ids": [2, 7, 8, 3], "start_positions": n % 3, "end_positions": 3}
        for n in range(4)
    ]
    batches = model.prepare_tf_dataset(rows, batch_size=2, shuffle=False)
    assert {*next(iter(batches))[1]} == {"start_positions", "end_positions"}
    model.compile("adam", run_eagerly=True)
    assert np.isfinite(model.fit(batches, verbose=0).history["loss"]).all()


@pytest.mark.parametrize("rows", [[], [{"text": "a"}]])
def test_rows_without_ids_are_refused(model, rows):
    with pytest.raises(InputError, match="input_ids"):
        model.prepare_tf_dataset(rows)
