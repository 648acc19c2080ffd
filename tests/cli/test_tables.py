"""Commands on tables: classes and their order, rows and answers that line up."""

import argparse
import json
import math

import pytest

from keras_bert.cli.evaluate import report
from tests.cli.calling import call
from tests.serving.cases import make_model

# The classes of the checkpoint, in order: bad, fair, good.
ROWS = "text,label\na good film,good\nnot so bad,bad\nseen,good\n"


@pytest.fixture
def planned(checkpoint, tmp_path):
    """Plans a fine-tuning run on a table."""

    def plan(table: str, *flags, model=checkpoint, name="train.csv"):
        (tmp_path / name).write_text(table, encoding="utf-8")
        command = ("finetune", "--model", model, "--train", tmp_path / name)
        output = ("--output", tmp_path / "run", "--max-length", 8, "--dry-run")
        done = call(*command, *output, *flags)
        assert not (tmp_path / "run").exists()
        return done

    return plan


def _lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


# === Classes ===


def test_a_head_keeps_its_classes_and_their_order(planned):
    done = planned(ROWS)
    assert done.status == 0, done.err
    assert "3 examples, 3 classes" in done.out
    assert "Examples of each class: bad 1, fair 0, good 2." in done.out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "single labels: bad, fair, good. Received in "),
        ((), "single labels: no, yes. If they are the same, pass"),
        (("--ignore-mismatched-sizes",), "Examples of each class: no 1, yes 2."),
        (("--labels", "yes", "no", "so"), "each class: yes 2, no 1, so 0."),
        (("--labels", "yes", "so", "so"), "different names as --labels"),
        (("--labels", "yes", "so", "a"), "Received: 'no' in row 2 of"),
        (("--labels", "yes", "no"), "as many labels"),
    ],
)
def test_other_classes_than_those_of_the_head(planned, flags, message):
    done = planned(ROWS.replace("good\n", "yes\n").replace(",bad", ",no"), *flags)
    assert message in (done.err if done.status else done.out)
    assert done.status == (0 if message.startswith(("Examples", "each")) else 2)


def test_a_new_head_of_the_same_size_has_new_weights(planned, caplog):
    rows = "text,label\na,x\nb,y\nc,z\n"
    assert planned(rows, "--ignore-mismatched-sizes").status == 0
    assert "no sequence_classifier that fits: new weights" in caplog.text


def test_classes_that_may_be_one_are_said(planned, caplog):
    rows = "text,label\na,bad\nb,Good\nc,good\nd,1\ne,1.0\nf,\u00e9\ng,e\u0301\n"
    done = planned(rows, "--ignore-mismatched-sizes")
    assert "7 classes" in done.out
    warned = [r.getMessage() for r in caplog.records if "two classes" in r.getMessage()]
    assert [line.split(": ", 1)[1].split(" are")[0] for line in warned] == [
        *("'1' and '1.0'", "'Good' and 'good'", r"'e\u0301' and '\xe9'")
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("text,label\na,x\nb,x\n", "two classes in .*: x in all 2 rows.*--regression"),
        ("text,label\na,x\nb,\n", "a label in every row of .*train.csv.* in row 2"),
        ("text,label\na,x\nb,nan\n", "a label in every row"),
        ("text,label\na,x\n,y\n", "a text in every row"),
        ("text,label\na,x\nb,y,z\n", "2 fields in line 3 of"),
        ("sentence,label\na,x\nb,y\n", "sentence, label"),
    ],
)
def test_what_cannot_be_trained_on(planned, rows, message):
    import re

    done = planned(rows)
    assert done.status == 2 and not done.out
    assert re.search(message, done.err.splitlines()[-1]), done.err


def test_a_head_of_single_labels_is_not_taken_for_lists(planned):
    lines = '{"text": "a", "label": ["good"]}\n{"text": "b", "label": ["bad"]}\n'
    done = planned(lines, name="train.jsonl")
    assert done.status == 2 and "lists of labels: bad, good. If" in done.err
    done = planned(lines, "--ignore-mismatched-sizes", name="train.jsonl")
    assert "Examples of each class: bad 1, good 1." in done.out


def test_lists_of_labels_are_not_numbers(planned):
    line = '{"text": "a", "label": ["1"]}\n'
    done = planned(line, "--regression", name="train.jsonl")
    assert done.status == 2 and "single labels in" in done.err


def test_held_out_data_has_the_labels_of_the_training_data(planned, tmp_path):
    dev = tmp_path / "dev.csv"
    for content, message in [
        ("text,label\na,odd\n", f"'odd' in row 1 of {dev}"),
        ("text,label\na,\n", f"a label in every row of {dev}"),
    ]:
        dev.write_text(content)
        done = planned(ROWS, "--dev", dev)
        assert done.status == 2 and message in done.err, done.err


# === From training to answers ===


LISTS = "id;text;label\n7;a good film;a|b\n\n8;seen;b\n9;so bad;\n"
SEPARATED = ("--delimiter", ";", "--label-separator", "|")


@pytest.mark.slow
def test_lists_of_labels_are_trained(tmp_path, tokenizer):
    model = make_model("encoder").save_pretrained(tmp_path / "m", tokenizer=tokenizer)
    table, run = tmp_path / "t.csv", tmp_path / "run"
    table.write_text(LISTS)
    command = ("finetune", "--model", model, "--train", table, "--output", run)
    done = call(*command, *SEPARATED, "--epochs", 1, "--max-length", 8)
    assert done.status == 0, done.err
    assert "Examples of each class: a 1, b 2." in done.out
    config = json.loads((run / "model" / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    assert config["id2label"] == {"0": "a", "1": "b"}


def test_lists_of_labels_are_evaluated(tmp_path, tokenizer):
    path = make_model("many_labels").save_pretrained(
        tmp_path / "m", tokenizer=tokenizer
    )
    table, found = tmp_path / "t.csv", tmp_path / "p.jsonl"
    table.write_text(LISTS)
    names = ("--labels", "b", "a", "c")
    command = (
        "evaluate",
        "--model",
        path,
        "--data",
        table,
        "--predictions",
        found,
        *names,
    )
    for flags, message in [
        (("--delimiter", ";", "--label", "id"), "lists of labels in"),
        ((*SEPARATED, "--labels", "b", "a"), "3 names as --labels"),
        ((*SEPARATED, "--labels", "b", "a", "a"), "'a' twice"),
    ]:
        refused = call(*command, *flags)
        assert refused.status == 2 and message in refused.err, refused.err
    done = call(*command, *SEPARATED, "--id", "id")
    assert done.status == 0, done.err
    assert list(json.loads(done.out)) == [
        "examples",
        "accuracy",
        "f1_micro",
        "f1_macro",
    ]
    rows = _lines(found.read_text())
    ids = [(row["row"], row.get("id")) for row in rows]
    assert ids == [(1, "7"), (2, None), (3, "8"), (4, "9")]
    assert rows[1] == {"row": 2, "prediction": None}
    for row in (rows[0], rows[2], rows[3]):
        likely = [name for name, share in row["probability"].items() if share > 0.5]
        assert row["prediction"] == likely
    assert [row.get("label") for row in rows] == [["a", "b"], None, ["b"], []]


def test_features_of_rows_lines_and_layers(checkpoint, tmp_path):
    def features(*arguments):
        done = call("features", "--model", checkpoint, *arguments)
        assert done.status == 0, done.err
        return _lines(done.out)

    table, lines = tmp_path / "t.csv", tmp_path / "t.txt"
    table.write_text("k,text,text_pair\nx,a,film\n\ny,so,bad\n")
    lines.write_text("a ||| film\n\nso ||| bad\n")
    rows = features("--layers", "-1", "-2", "--input", table, "--id", "k")
    assert [row["linex_index"] for row in rows] == [0, 1, 2]
    assert [(row["row"], row.get("id")) for row in rows] == [
        (1, "x"),
        (2, None),
        (3, "y"),
    ]
    assert rows[1]["features"] is None
    tokens = [feature["token"] for feature in rows[2]["features"]]
    assert tokens == ["[CLS]", "so", "[SEP]", "bad", "[SEP]"]
    layers = [layer["index"] for layer in rows[0]["features"][0]["layers"]]
    assert layers == [-1, -2]
    others = features("--layers=-1,-2", "--input", lines)
    assert [row["features"] for row in others] == [row["features"] for row in rows]
    # One layer has no last four.
    (one,) = features("a")
    assert [layer["index"] for layer in one["features"][0]["layers"]] == [-1]


@pytest.mark.parametrize("command", [("predict", "--input"), ("evaluate", "--data")])
def test_an_output_never_replaces_the_input(command, checkpoint, tmp_path):
    (table := tmp_path / "t.csv").write_text(ROWS)
    name, flag = command
    files = (flag, table, "--output", table, "--overwrite")
    done = call(name, "--model", checkpoint, *files)
    assert done.status == 2 and "another output than the input" in done.err
    assert table.read_text() == ROWS


def test_undefined_scores_are_null(tmp_path):
    output = tmp_path / "scores.json"
    report(
        {"pearson": math.nan},
        argparse.Namespace(output=output, overwrite=False, json=False),
    )
    assert json.loads(output.read_text()) == {"pearson": None}


def test_all_labels_that_apply_are_predicted(tmp_path, tokenizer):
    model = make_model("many_labels")
    model.classifier.kernel.assign(model.classifier.kernel * 0)
    model.classifier.bias.assign([0.5, -3, 2])
    path = model.save_pretrained(tmp_path / "m", tokenizer=tokenizer)
    table = tmp_path / "t.csv"
    table.write_text("text\na film\n\n")
    done = call("predict", "--model", path, "--input", table, "--labels", *"bac")
    assert done.status == 0, done.err
    row, blank = map(json.loads, done.out.splitlines())
    assert list(row) == list(blank)
    assert (row["labels"], blank["labels"]) == (["c", "b"], None)
    assert row["scores"] == pytest.approx([0.8808, 0.6225], abs=1e-4)
    assert len(row["probabilities"]) == 3 and "label" not in row
