"""`keras-bert distill`: students that are made, trained, resumed, refused."""

import json

import pytest

from keras_bert import BertForSequenceClassification, BertTokenizer
from tests.cli.calling import call
from tests.serving.cases import CONFIG, VOCAB, make_model

assert VOCAB  # of the fixture `tokenizer`

TEXTS = {"a good film": "yes", "so bad": "no", "good good": "yes", "bad film": "no"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tokenizer):
    """A table, and a teacher whose classes are in another order than the table's."""
    folder = tmp_path_factory.mktemp("distill")
    rows = "".join(f"{text},{label}\n" for text, label in TEXTS.items())
    (folder / "d.csv").write_text(f"text,label\n{rows}")
    labels = {"id2label": {0: "yes", 1: "no"}}
    labels["problem_type"] = "single_label_classification"
    teacher = BertForSequenceClassification(CONFIG.replace(**labels), seed=3)
    teacher.save_pretrained(folder / "teacher", tokenizer=tokenizer)
    return folder


def _distill(folder, output, *arguments):
    table = ("--train", folder / "d.csv", "--dev", folder / "d.csv")
    run = ("--max-length", 8, "--epochs", 1, "--output", folder / output)
    return call("distill", "--teacher", folder / "teacher", *table, *run, *arguments)


def test_a_student_is_made_trained_and_goes_on(folder):
    layers = ("--student-layers", 0, "--hidden-weight", 0.5, "--layer-map", "1:1")
    done = _distill(folder, "out", *layers)
    assert done.status == 0, done.err
    lines = (folder / "out" / "metrics.jsonl").read_text().splitlines()
    assert {"loss", "teacher_loss", "hidden_loss"} <= json.loads(lines[0]).keys()
    config = json.loads((folder / "out" / "model" / "config.json").read_text())
    assert config["id2label"] == {"0": "yes", "1": "no"}  # as the teacher has them
    assert _distill(folder, "out", *layers).status == 0
    assert (folder / "out" / "metrics.jsonl").read_text().splitlines() == lines
    done = _distill(folder, "out", *layers, "--temperature", 3)
    assert done.status == 2 and "'temperature': 3.0" in done.err


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((), "either --model or --student-layers"),
        (("--student-layers", 7), "layers of the teacher, from 0 to"),
        (("--model", "tiny", "--hidden-weight", 1), "hidden states of one width"),
        (("--student-layers", 0, "--layer-map", "1-2"), "--layer-map I:J"),
        (("--student-layers", 0, "--seeds", 2), "Expected one run"),
        (("--student-layers", 0, "--task", "regression"), "Expected"),
    ],
)
def test_what_cannot_be_distilled_is_refused(folder, arguments, words):
    done = _distill(folder, "refused", *arguments, "--dry-run")
    assert done.status == 2 and words in done.err, done.err
    assert not (folder / "refused").exists()


def test_a_student_of_another_vocabulary_is_refused(folder, tmp_path):
    other = BertTokenizer([*VOCAB[:-2], VOCAB[-1], VOCAB[-2]])
    student = make_model("encoder").save_pretrained(tmp_path / "m", tokenizer=other)
    done = _distill(folder, "refused", "--model", student)
    assert done.status == 2 and "vocabulary of the teacher" in done.err
