"""`keras-bert predict` on the files of each task, as `finetune` reads them."""

import json

import numpy as np
import pytest

from keras_bert.cli import parser_of
from keras_bert.cli.input_forms import form_of
from keras_bert.cli.partial_files import PartialFile
from keras_bert.tasks import TASKS, SentenceSimilarity
from tests.cli.calling import call
from tests.serving.cases import TEXTS, make_model

STORY = {"question": "was it", "context": "a good film"}
SWAG_HEADER = "sent1,sent2,ending0,ending1,ending2,ending3\n"
SWAG = f"{SWAG_HEADER}a film,it,was good,was bad,seen,not\nseen,,a,so,really,it\n"
CHOICES = [
    ["it was good", "it was bad", "it seen", "it not"],
    ["a", "so", "really", "it"],
]


@pytest.fixture(scope="module")
def models(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("models")
    for name in ("answers", "choices", "tokens", "masked_lm", "encoder"):
        make_model(name).save_pretrained(folder / name, tokenizer=tokenizer)
    return folder


def _rows(model, *arguments):
    found = call("predict", "--model", model, *arguments)
    assert found.status == 0, found.err
    return [json.loads(line) for line in found.out.splitlines()]


@pytest.mark.parametrize("name", ["in.json", "in.jsonl"])
def test_questions(models, tmp_path, name):
    squad = {"paragraphs": [{"context": STORY["context"], "qas": []}]}
    squad["paragraphs"][0]["qas"] = [{"id": "7", "question": STORY["question"]}]
    content = {"data": [squad]} if name == "in.json" else {"id": "7", **STORY}
    (tmp_path / name).write_text(json.dumps(content))
    (row,) = _rows(models / "answers", "--input", tmp_path / name)
    assert (
        row["id"] == "7"
        and row["answer"] == STORY["context"][slice(row["start"], row["end"])]
    )
    out = tmp_path / "predictions.json"
    done = call(
        *("predict", "--model", models / "answers", "--input", tmp_path / name),
        *("--output", out),
    )
    assert done.status == 0, done.err
    assert json.loads(out.read_text()).keys() == {"7"}


@pytest.mark.parametrize("name", ["in.csv", "in.jsonl"])
def test_choices(models, tmp_path, name):
    lines = [
        json.dumps({"text": text, "choices": choices})
        for text, choices in zip(["a film", "seen"], CHOICES, strict=True)
    ]
    (tmp_path / name).write_text(SWAG if name == "in.csv" else "\n".join(lines))
    found = _rows(models / "choices", "--input", tmp_path / name)
    task = TASKS["multiple-choice"].from_pretrained(models / "choices")
    expected = task.predict(["a film", "seen"], CHOICES)
    assert [row["choice"] for row in found] == [x["choice"] for x in expected]
    close = [x["logits"] for x in found], [x["logits"] for x in expected]
    np.testing.assert_allclose(*close, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("in.conll", "a X\nfilm X\n\nseen X\n"),
        ("in.bmes", "a X\nfilm X\n\nseen X\n"),
        ("in.jsonl", '{"tokens": ["a", "film"]}\n{"tokens": ["seen"]}\n'),
    ],
)
def test_words(models, tmp_path, name, content):
    (tmp_path / name).write_text(content)
    given = ("predict", "--model", models / "tokens", "--input", tmp_path / name)
    done = call(*given, "--output", tmp_path / "out.conll")
    assert done.status == 0, done.err
    lines = (tmp_path / "out.conll").read_text().split("\n")
    assert [line.split()[0] if line else "" for line in lines][:4] == [
        *("a", "film", "", "seen")
    ]
    beam = call(*given, "--output", tmp_path / "b.conll", "--runner", "DirectRunner")
    assert beam.status == 2 and "no --runner with tagged words" in beam.err


@pytest.mark.parametrize(
    ("name", "content", "task", "output"),
    [
        ("in.conll", "a X\n\nfilm X\n\nseen X\n", "tokens", "out.conll"),
        ("in.jsonl", f"{json.dumps(STORY)}\n" * 3, "answers", "out.json"),
    ],
)
def test_whole_files_go_on(models, tmp_path, monkeypatch, name, content, task, output):
    """An interrupted run goes on, to the bytes of one that was not."""
    monkeypatch.setattr("keras_bert.cli.tagging.WINDOW", 1)
    (tmp_path / name).write_text(content)
    given = ("predict", "--model", models / task, "--input", tmp_path / name)
    given += ("--batch-size", 1, "--output")
    assert call(*given, tmp_path / "whole" / output).status == 0
    append, rows = PartialFile.append, []

    def stop_after_two(self, text, count):
        if len(rows) == 2:
            raise KeyboardInterrupt
        rows.append(count)
        append(self, text, count)

    monkeypatch.setattr(PartialFile, "append", stop_after_two)
    assert "after 2 rows" in call(*given, tmp_path / output).err
    monkeypatch.setattr(PartialFile, "append", append)
    resumed = call(*given, tmp_path / output)
    assert resumed.status == 0 and "Going on after the 2 rows" in resumed.out
    whole = (tmp_path / "whole" / output).read_text()
    assert (tmp_path / output).read_text() == whole
    if output == "out.json":
        assert len(json.loads(whole)) == 3


def test_masks_are_filled(models):
    (row,) = _rows(models / "masked_lm", "a [MASK] film")
    assert len(row["masks"]) == 1 and "[MASK]" not in row["text"]
    refused = call("predict", "--model", models / "masked_lm", "a", "--pair", "b")
    assert refused.status == 2 and "single texts" in refused.err


def test_vectors_of_pairs_are_compared(models, tmp_path):
    given = ("--embeddings", "mean")
    one, other = TEXTS[:2], TEXTS[2:]
    found = _rows(models / "encoder", *one, "--pair", *other, *given)
    vectors = [
        np.array([row["embeddings"] for row in _rows(models / "encoder", *x, *given)])
        for x in (one, other)
    ]
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in vectors]
    expected = (unit[0] * unit[1]).sum(1)
    np.testing.assert_allclose([r["similarity"] for r in found], expected, atol=1e-5)
    (tmp_path / "in.csv").write_text("text,text_pair\n,\na film,seen\n")
    blank, row = _rows(models / "encoder", "--input", tmp_path / "in.csv", *given)
    assert blank["similarity"] is None and -1 <= row["similarity"] <= 1


def test_answers_are_plain(models):
    """`json.dumps` takes what every task predicts."""
    given = {
        "qa": [STORY],
        "multiple-choice": [{"text": "a", "choices": CHOICES[0]}],
        "ner": ["a good film"],
        "mlm": ["a [MASK]"],
    }
    names = {"qa": "answers", "multiple-choice": "choices", "ner": "tokens"}
    for kind, data in given.items():
        task = TASKS[kind].from_pretrained(models / names.get(kind, "masked_lm"))
        assert json.loads(json.dumps(task.predict(data))) == task.predict(data)
    task = SentenceSimilarity.from_pretrained(models / "encoder")
    assert json.dumps(task.predict(["a"]))


def test_lengths_past_the_limit_are_said(models, caplog):
    task = TASKS["classification"].from_pretrained(models / "encoder")
    task.fit(["a", "b"] * 3, ["x", "y"] * 3, epochs=1, max_length=99, batch_size=2)
    assert "max_length=99 is more than the model takes" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("a.jsonl", '{"text": "a", "tokens": ["a"]}', "texts"),
        ("b.jsonl", '{"text": "a", "question": "b", "context": "c"}', "texts"),
        ("c.csv", "question,context\nwas it,a film\n", "texts"),
        ("d.csv", "text,choices\na,b\n", "texts"),
        ("e.jsonl", '{"question": "b", "context": "c"}', "questions"),
        ("f.jsonl", '{"words": ["a"]}', "words"),
        ("g.jsonl", '{"text": "a", "choices": ["b"]}', "choices"),
        ("h.tsv", SWAG.replace(",", "\t"), "choices"),
        ("i.jsonl", "", "texts"),
    ],
)
def test_what_a_file_holds_shows_in_its_first_row(tmp_path, name, content, form):
    (tmp_path / name).write_text(content)
    args = parser_of("predict").parse_args(
        ["--model", "any", "--input", str(tmp_path / name)]
    )
    assert form_of(args) == form
