"""Training of sentence embeddings: data, losses, runs, scores."""

import json

import numpy as np
import pytest

import keras_bert
from keras_bert.cli import main
from keras_bert.errors import ConfigError, InputError, UnknownNameError
from keras_bert.models.embedding_losses import new_loss
from keras_bert.tasks.embedding_training import (
    EmbeddingTask,
    groups_in_memory,
    retrieval,
    text_numbers,
    texts_of,
)
from tests.serving.cases import VOCAB, make_model

assert VOCAB  # of the fixture `tokenizer`

PAIRS = [("a good film", "good good"), ("so bad", "bad bad film"), ("a film", "film")]
SETTINGS = {"epochs": 12, "learning_rate": 3e-2, "batch_size": 3}
QUIET = {"show_progress": False}
SHORT = {**QUIET, "epochs": 1, "batch_size": 3}


class Pairs(EmbeddingTask):
    name = "pairs"


class Scored(EmbeddingTask):
    name, scored = "scored", True


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, tokenizer):
    path = tmp_path_factory.mktemp("m") / "encoder"
    return make_model("encoder").save_pretrained(path, tokenizer=tokenizer)


def test_learns_pairs_resumes_and_is_kept(pretrained, tmp_path):
    task = Pairs.from_pretrained(pretrained)
    options = {"dimensions": [12, 5], "scale": 9, "monitor": "mrr@10"}
    options |= {**SETTINGS, **QUIET}
    task.fit(PAIRS, dev=(PAIRS,), output=tmp_path / "run", **options)
    losses = [line["loss"] for line in task.history if "mrr@10" in line]
    assert losses[-1] < 0.8 * losses[0]
    assert set(task.evaluate(PAIRS)) >= {"accuracy@1", "mrr@10", "ndcg@10", "map@100"}
    again = Pairs.load(tmp_path / "run" / "model")
    same = task.vectors(["so good"])
    np.testing.assert_allclose(again.vectors(["so good"]), same, atol=1e-6)
    other = Pairs.from_pretrained(pretrained)
    other.fit(PAIRS, dev=(PAIRS,), output=tmp_path / "run", **options)  # is done
    np.testing.assert_allclose(other.vectors(["so good"]), same, atol=1e-6)
    with pytest.raises(ConfigError, match=r"another plan.*objective.*'scale': 8"):
        other.fit(
            PAIRS, dev=(PAIRS,), output=tmp_path / "run", **options | {"scale": 8}
        )


def test_files_by_names_numbers_and_defaults(pretrained, tmp_path):
    named, plain = tmp_path / "named.csv", tmp_path / "plain.tsv"
    named.write_text("anchor,positive,negative\na,b c,d\ne,f,g\n,,\n")
    plain.write_text("3.5\ta film\tgood\n1\tso\tbad\n")
    task = Pairs.from_pretrained(pretrained)
    items = task.read(named)
    assert [texts_of(item) for item in items] == [["a", "b c", "d"], ["e", "f", "g"]]
    assert task.describe(items) == ["2 rows of 3 texts without labels"]
    pair = {"text": "anchor", "text_pair": "positive"}
    assert [len(texts_of(item)) for item in task.read(named, **pair)] == [2, 2]
    texts = task.read(plain, header=False)
    assert texts_of(texts[0]) == ["3.5", "a film", "good"]  # by number
    twice = task.read(plain, text=2, text_pair=2, header=False)
    assert texts_of(twice[0]) == ["a film", "a film"]
    columns = {"text": 2, "text_pair": 3, "label": 1, "header": False}
    scored = Scored.from_pretrained(pretrained)
    found = scored.read(plain, **columns)
    assert [item.label for item in found] == ["3.5", "1"]
    assert task.read(plain, **columns) == found
    features, labels = scored.encode(found)
    assert features["input_ids"].shape[:2] == (2, 2)
    assert labels.tolist() == [3.5, 1.0]


def test_rows_have_all_their_texts_or_none(pretrained, tmp_path):
    task, table = Pairs.from_pretrained(pretrained), tmp_path / "t.csv"
    table.write_text("anchor,positive,negative\na,b,c\n,,\nd,e,\n")
    with pytest.raises(InputError, match=r"Expected 3 texts.*a blank one in row 3"):
        task.read(table)
    table.write_text("anchor,positive,negative\na,b,\n")
    assert texts_of(task.read(table)[0]) == ["a", "b"]
    with pytest.raises(InputError, match="a blank one in row 1"):
        task.read(table, negatives=["negative"])
    with pytest.raises(InputError, match="the column 'nagative'"):
        task.read(table, negatives=["nagative"])


def test_batches_are_as_wide_as_their_texts(tokenizer):
    task = Pairs(keras_bert.SentenceEncoder(make_model("encoder").config), tokenizer)
    items = groups_in_memory([("good " * 20, "a"), ("so", "bad"), ("film", "was it")])
    rows = task.encode(items)
    assert rows[0]["input_ids"].shape == (3, 2, 22)
    task._loss = new_loss("multiple_negatives")
    found = [x["input_ids"] for x, _ in task.batches(task.learner(), rows, 1)]
    assert [x.shape[-1] for x in found] == [22, 16, 16]
    np.testing.assert_array_equal(found[1], rows[0]["input_ids"][1:2, :, :16])


def test_duplicates_have_one_number():
    rows = [["a", "b", "c"], ["b", "a", "d"]]
    assert text_numbers(rows).tolist() == [[0, 1, 2], [1, 0, 3]]


def test_scored_pairs_by_commands(pretrained, tmp_path, capsys):
    data, run = tmp_path / "sts.csv", tmp_path / "run"
    lines = [f"{a},{b},{y}\n" for (a, b), y in zip(PAIRS, (5, 0, 2.5), strict=True)]
    data.write_text("".join(lines))
    columns = "--no-header --text 1 --text-pair 2 --label 3".split()
    command = ["finetune", "--task", "sts", "--model", pretrained, "--train", data]
    command += ["--output", run, *columns, "--epochs", 1]
    cosine = ["--loss", "cosine", "--score-range", 0, 5, "--dimensions", 12, 4]
    assert main([*map(str, [*command, *cosine])]) == 0
    assert "3 rows of 2 texts with labels" in capsys.readouterr().out
    plan = json.loads((run / "plan.json").read_text())["plan"]
    objective = {"loss": "cosine", "dimensions": [12, 4], "score_range": [0, 5]}
    assert plan["objective"] == objective
    task = Scored.from_pretrained(run / "model")
    assert list(task.evaluate(PAIRS, [5, 0, 2.5])) == ["pearson", "spearman"]
    metrics = ["average_precision", "spearman_euclidean"]
    assert list(task.evaluate(PAIRS, [1, 0, 1], metrics=metrics)) == metrics


def test_a_query_does_not_find_itself():
    items = groups_in_memory([("a", "b"), ("b", "a"), ("c", "b")])
    vectors = np.eye(3)[text_numbers([texts_of(item) for item in items])]
    assert retrieval(items, vectors, ["accuracy@1"]) == {"accuracy@1": 1.0}


@pytest.mark.parametrize(
    ("rows", "labels", "options", "error", "words"),
    [
        (PAIRS, [1, 2], {}, InputError, "as many labels as rows, 3"),
        (PAIRS, [1, "x", 2], {}, InputError, "finite number.*'x' in row 2"),
        (PAIRS, [1, 5, 2], {"loss": "cosine"}, InputError, r"5 in row 2.*score-range"),
        (PAIRS, [1, 1, 2], {"score_range": (5, 0)}, ConfigError, r"\(0, 5\).*\(5, 0\)"),
        (PAIRS, [1, 1, 2], {"score_range": 5}, ConfigError, r"greatest label.* 5\."),
        (
            PAIRS,
            [1, 2, 3],
            {"dev": (PAIRS,)},
            InputError,
            "2 texts with labels in.*out",
        ),
        (PAIRS, None, {"loss": "cosent"}, ConfigError, "a label in every row"),
        (PAIRS, [1, 2, 3], {"loss": "triplet"}, ConfigError, "none for the loss"),
        (PAIRS, None, {"loss": "triplet"}, ConfigError, "3 texts in a row.*negative"),
        (PAIRS, None, {"loss": "cosen"}, UnknownNameError, "mean 'cosent'"),
        (PAIRS, None, {"margin": 1}, UnknownNameError, "argument of the loss"),
        (PAIRS, None, {"dimensions": [13]}, ConfigError, "up to 12.*13"),
        (
            [("a", "b"), ("c",)],
            None,
            {},
            InputError,
            "2 texts in every row.* 1 in row 2",
        ),
        (["ab"], None, {}, InputError, "two strings or more. Received: 'ab' in row 1"),
        ([("a", "b", "c")], [1], {}, InputError, "two texts in every row"),
        (
            PAIRS,
            None,
            {"gradient_accumulation_steps": 3},
            ConfigError,
            "accumulation_steps of 1 for multiple_negatives",
        ),
    ],
)
def test_what_cannot_be_trained_on(pretrained, rows, labels, options, error, words):
    task = Pairs.from_pretrained(pretrained)
    with pytest.raises(error, match=words):
        task.fit(rows, labels, **{**SHORT, **options})
