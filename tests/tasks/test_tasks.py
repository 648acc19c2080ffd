"""Labeled files, their features, scores and predictions."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_bert.errors import (
    ExistingOutputError,
    InputError,
    MissingFileError,
    UnknownNameError,
)
from keras_bert.tasks import (
    Example,
    dataset,
    encode,
    label_names,
    read_examples,
    score,
    write_predictions,
)

ROWS = [('A "fine" film, it\'s so.', "good"), ("Dull — très long.", "bad")]
EXPECTED = [Example(text, None, label) for text, label in ROWS]


class WordTokenizer:
    """Counts words; enough to see what `encode` hands on."""

    def encode_batch(self, texts, text_pairs=None, max_length=128):
        pairs = text_pairs or [""] * len(texts)
        words = [
            (len(a.split()), len(b.split())) for a, b in zip(texts, pairs, strict=True)
        ]
        ids = np.minimum(np.array(words, "int32"), max_length)
        return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def write(path, text: str):
    path.write_text(text, encoding="utf-8")
    return path


def as_csv_field(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "label\ttext\n" + "".join(f"{b}\t{a}\n" for a, b in ROWS)),
        (
            "a.csv",
            "\ufefftext,label\n" + "".join(f"{as_csv_field(a)},{b}\n" for a, b in ROWS),
        ),
        (
            "a.jsonl",
            "\n".join(json.dumps({"label": b, "text": a}) for a, b in ROWS) + "\n\n",
        ),
    ],
)
def test_the_same_examples_from_every_kind_of_file(tmp_path, name, content):
    assert read_examples(write(tmp_path / name, content)) == EXPECTED


def test_columns_are_chosen_by_name(tmp_path):
    path = write(tmp_path / "p.tsv", "id\tq1\tq2\tscore\n7\tHow?\tWhy?\t3.5\n")
    found = read_examples(path, text="q1", text_pair="q2", label="score")
    assert found == [Example("How?", "Why?", "3.5")]
    assert read_examples(path, text="q2", label=None) == [Example("Why?")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "text\tclass\nhello\tx\n", "column 'label' in .*text, class"),
        ("a.tsv", "text\tlabel\nhello\n", "2 fields in line 2 .*Received: 1"),
        ("a.tsv", "text\tlabel\n", "at least one example"),
        ("a.csv", 'text,label\n"open,x\n', "in the record that begins in line 2"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": \n', "JSON object.* line 2"),
        ("a.jsonl", "[1, 2]\n", "object.* in line 1 .*a JSON list"),
    ],
)
def test_damaged_files_are_named(tmp_path, name, content, message):
    with pytest.raises(InputError, match=message):
        read_examples(write(tmp_path / name, content))


def test_missing_and_unknown_files(tmp_path):
    with pytest.raises(MissingFileError, match=r"nothing\.tsv"):
        read_examples(tmp_path / "nothing.tsv")
    with pytest.raises(UnknownNameError, match=r"\.tsv"):
        read_examples(write(tmp_path / "a.txt", "text\tlabel\nx\ty\n"))


def test_encode_classes_numbers_and_unknown():
    examples = [Example("one two three", label="b"), Example("four", label="a")]
    features, labels = encode(examples, WordTokenizer(), 2, label_names(examples))
    assert features["input_ids"].tolist() == [[2, 0], [1, 0]]
    assert (labels.tolist(), labels.dtype) == ([1, 0], np.int32)
    _, labels = encode(examples, WordTokenizer(), 9, ["b", "c", "a"])
    assert labels.tolist() == [0, 2]
    _, labels = encode([Example("x", label="2.5")], WordTokenizer(), 9)
    assert (labels.tolist(), labels.dtype) == ([2.5], np.float32)
    assert encode([Example("x")], WordTokenizer(), 9)[1] is None


def test_encode_hands_pairs_on():
    features, _ = encode([Example("a b", "c d e", "1")], WordTokenizer(), 9)
    assert features["input_ids"].tolist() == [[2, 3]]
    with pytest.raises(InputError, match="1 with one"):
        encode([Example("a", "b", "1"), Example("c", None, "1")], WordTokenizer(), 9)


@pytest.mark.parametrize(
    ("label", "labels", "message"),
    [
        ("c", ["a", "b"], "'c'"),
        ("c", None, "number"),
        ("nan", None, "finite"),
        ("inf", None, "finite"),
        ("2e99", None, "finite"),
    ],
)
def test_encode_refuses_labels_it_cannot_use(label, labels, message):
    with pytest.raises(InputError, match=message):
        encode([Example("x", label=label)], WordTokenizer(), 9, labels)


def test_dataset_covers_every_example_in_each_epoch():
    features = {"input_ids": np.arange(26, dtype="int32").reshape(13, 2)}
    labels = np.arange(13, dtype="int32")
    data = dataset(features, labels, 5, shuffle_seed=7)
    epochs = [[(x["input_ids"].numpy(), y.numpy()) for x, y in data] for _ in range(2)]
    assert [len(y) for _, y in epochs[0]] == [5, 5, 3]
    first, second = (np.concatenate([y for _, y in epoch]) for epoch in epochs)
    assert sorted(first) == sorted(second) == list(range(13))
    assert first.tolist() != second.tolist()
    rows = np.concatenate([x for x, _ in epochs[0]])
    assert (rows[:, 0] == 2 * first).all()
    again = np.concatenate([y for _, y in dataset(features, labels, 5, shuffle_seed=7)])
    assert again.tolist() == first.tolist()


def test_dataset_in_order_without_labels_and_without_end():
    features = {"input_ids": np.arange(3, dtype="int32")[:, None]}
    (batch,) = dataset(features, None, 8)
    assert batch["input_ids"].numpy().tolist() == [[0], [1], [2]]
    endless = dataset(features, None, 2, repeat=True).take(3)
    assert [b["input_ids"].numpy()[0, 0] for b in endless] == [0, 2, 1]


def test_scores_against_hand_counts():
    # True positives 2, false positives 1, false negatives 1, true negatives 3.
    labels = np.array([1, 1, 1, 0, 0, 0, 0])
    logits = np.eye(2)[[1, 1, 0, 1, 0, 0, 0]]
    expected = {
        "accuracy": 5 / 7,
        "f1": 2 * 2 / (2 * 2 + 1 + 1),
        "matthews_correlation": (2 * 3 - 1 * 1) / math.sqrt(3 * 3 * 4 * 4),
    }
    assert score(labels, logits) == pytest.approx(expected)
    assert list(score(labels, logits, ["f1"])) == ["f1"]
    assert "f1_macro" in score(np.array([0, 1, 2]), np.eye(3))


def test_regression_scores():
    labels, logits = np.array([1.0, 2.0, 4.0]), np.array([[2.0], [3.0], [3.5]])
    found = score(labels, logits)
    assert found["spearman"] == pytest.approx(1.0)
    assert found["mean_squared_error"] == pytest.approx((1 + 1 + 0.25) / 3)
    assert found["pearson"] == pytest.approx(np.corrcoef(labels, logits[:, 0])[0, 1])
    assert math.isnan(score(labels, np.zeros((3, 1)))["pearson"])
    # Cosines of equal texts differ by rounding alone.
    nearly = np.array([1, 1 - 1.2e-7, 1], "float32")
    assert math.isnan(score(labels, nearly)["spearman"])


@given(st.lists(st.integers(0, 4), min_size=2, max_size=40))
def test_a_perfect_prediction_scores_one(labels):
    found = score(np.array(labels), np.eye(5)[labels], ["accuracy", "f1_macro"])
    assert found == {"accuracy": 1.0, "f1_macro": 1.0}


def test_score_refuses():
    with pytest.raises(InputError, match="2 logits and 3 labels"):
        score(np.zeros(3), np.zeros((2, 2)))
    with pytest.raises(UnknownNameError, match="accuracy"):
        score(np.zeros(1, int), np.zeros((1, 2)), ["acuracy"])


def test_scores_of_lists_of_labels():
    labels = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    logits = np.array([[2.0, -1.0], [-1.0, 3.0], [1.0, 0.5]])
    expected = {"accuracy": 2 / 3, "f1_micro": 6 / 7, "f1_macro": (1 + 2 / 3) / 2}
    assert score(labels, logits) == pytest.approx(expected)
    with pytest.raises(InputError, match=r"labels of shape \(3, 2\)"):
        score(labels, np.zeros((3, 3)))


@pytest.mark.parametrize(
    ("labels", "logits", "metric", "kind"),
    [
        ([0, 1, 2], np.eye(3), "f1", "several classes"),
        ([0, 1, 2], np.eye(3), "pearson", "several classes"),
        ([0, 1], np.eye(2), "f1_micro", "two classes"),
        ([0.5, 1], np.ones((2, 1)), "accuracy", "numbers"),
        (np.eye(2), np.eye(2), "f1", "lists of labels"),
    ],
)
def test_a_metric_of_something_else_is_refused(labels, logits, metric, kind):
    with pytest.raises(InputError, match=f"metrics of {kind}.*Received: {metric}"):
        score(np.asarray(labels), logits, [metric])


def test_predictions_file(tmp_path):
    path = tmp_path / "out" / "predictions.jsonl"
    logits = np.array([[0.0, math.log(3)], [1000.0, 0.0]])
    write_predictions(path, EXPECTED, logits, ["bad", "good"])
    first, second = (json.loads(line) for line in path.read_text().splitlines())
    assert first["prediction"] == "good" and first["label"] == "good"
    assert first["probability"] == {"bad": 0.25, "good": 0.75}
    assert second["probability"] == {"bad": 1.0, "good": 0.0}
    with pytest.raises(ExistingOutputError, match="overwrite"):
        write_predictions(path, EXPECTED, logits, ["bad", "good"])
    write_predictions(path, EXPECTED, np.array([[1.5], [2.5]]), overwrite=True)
    assert [json.loads(line)["prediction"] for line in path.open()] == [1.5, 2.5]


def test_predictions_line_up_with_rows(tmp_path):
    path = tmp_path / "p.jsonl"
    examples = [
        Example("a", label=("x", "y"), row=1, id=7),
        Example(None, row=2),
        Example("b", label=(), row=3),
    ]
    logits = np.array([[2.0, -1e4], [0.5, 1.5]])
    write_predictions(path, examples, logits, ["x", "y"], multi_label=True)
    first, blank, last = (json.loads(line) for line in path.open())
    assert list(first) == ["row", "id", "text", "label", "prediction", "probability"]
    assert (first["row"], first["id"], first["label"]) == (1, 7, ["x", "y"])
    assert first["prediction"] == ["x"]
    assert first["probability"] == {"x": 0.880797, "y": 0.0}
    assert blank == {"row": 2, "prediction": None}
    assert (last["row"], last["prediction"], last["label"]) == (3, ["x", "y"], [])


def test_no_predictions_file_after_an_error(tmp_path):
    with pytest.raises(InputError, match=r"\(2, 2\)"):
        write_predictions(tmp_path / "p.jsonl", EXPECTED, np.zeros((3, 2)), ["a", "b"])
    with pytest.raises(InputError, match=r"\(2, 1\)"):
        write_predictions(tmp_path / "p.jsonl", EXPECTED, np.zeros((2, 2)), ["a"])
    assert list(tmp_path.iterdir()) == []
