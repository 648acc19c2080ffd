"""Outputs of predict and features that are interrupted, and their forms."""

import argparse
import csv
import json

import numpy as np
import pytest

from keras_bert.cli import answers, glue, predict
from keras_bert.cli.partial_files import partial_file
from keras_bert.errors import ConfigError, ExistingOutputError, InputError
from tests.cli.calling import call

ROWS = 7


@pytest.fixture
def asked(monkeypatch):
    """Answers each text with its length; returns the texts that were answered."""
    asked = []

    class Answerer:
        def __init__(self, *_):
            pass

        def names(self):
            return ["label", "scores"]

        def __call__(self, examples):
            for example in examples:
                if example.text == "stop":
                    raise KeyboardInterrupt
                asked.append(example.text)
                yield {"label": b"x", "scores": np.array([len(example.text), 0.5])}

    monkeypatch.setattr(predict, "_Answerer", Answerer)
    monkeypatch.setattr("keras_bert.cli.tables.WINDOW", 1)
    return asked


def _predict(folder, name="out.jsonl", *flags, texts=None):
    if texts:
        (folder / "in.txt").write_text("\n".join(texts) + "\n")
    files = ("--input", folder / "in.txt", "--output", folder / name)
    return call("predict", "--model", "any", *files, "--batch-size", 2, *flags)


def test_an_interrupted_run_goes_on(asked, tmp_path, monkeypatch):
    texts = ["a" * n for n in range(1, ROWS + 1)]
    whole = _predict(tmp_path, "whole.jsonl", texts=texts)
    assert whole.status == 0, whole.err
    real, asked[:] = predict._Answerer.__call__, []

    def stops(self, examples):
        if len(asked) == 4:
            raise KeyboardInterrupt
        return real(self, examples)

    with monkeypatch.context() as patch:
        patch.setattr(predict._Answerer, "__call__", stops)
        stopped = _predict(tmp_path)
    assert stopped.status == 130
    partial = tmp_path / "out.jsonl.partial"
    assert f"after 4 rows, which are in {partial}: run the same" in stopped.err
    assert not (tmp_path / "out.jsonl").exists()
    with (partial / "rows").open("a") as file:
        file.write('{"half')
    refused = _predict(tmp_path, "out.jsonl", "--max-length", 9)
    assert refused.status == 2 and "of other max_length" in refused.err
    done = _predict(tmp_path)
    assert "Going on after the 4 rows" in done.out
    assert asked == texts
    same = [(tmp_path / f"{name}.jsonl").read_text() for name in ("out", "whole")]
    assert same[0] == same[1]
    assert not partial.exists()
    (tmp_path / "out.jsonl").unlink()


def test_what_belongs_to_another_job_is_not_taken(tmp_path):
    path = tmp_path / "out.txt"

    def write(job, overwrite=False, error=None):
        with partial_file(path, {"of": job}, overwrite=overwrite) as file:
            file.append(f"{job}{file.rows}\n", 1)
            if error:
                raise error

    with pytest.raises(KeyboardInterrupt, match="after 1 rows"):
        write("a", error=KeyboardInterrupt())
    with pytest.raises(ConfigError, match="another one, of other of"):
        write("b")
    with pytest.raises(InputError):
        write("b", overwrite=True, error=InputError("no text"))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError):
        write("a", error=OSError("full"))
    write("a")
    assert path.read_text() == "a0\na1\n"
    with pytest.raises(ExistingOutputError):
        write("a")
    write("b", overwrite=True)
    assert path.read_text() == "b0\n"


def test_tables_of_answers(asked, tmp_path):
    texts = ["a", "", 'b"']
    assert _predict(tmp_path, "out.csv", texts=texts).status == 0
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["row", "label", "scores"]
    assert rows[1:3] == [["1", "x", "[1.0, 0.5]"], ["2", "", ""]]
    assert _predict(tmp_path, "out.tsv").status == 0
    lines = (tmp_path / "out.tsv").read_text().splitlines()
    assert lines[0] == "row\tlabel\tscores" and lines[3] == "3\tx\t[2.0, 0.5]"


def test_ids_have_a_column_where_the_first_has_none():
    lines = answers._writer(
        argparse.Namespace(output="a.tsv", input="x", id_column="k"), places=True
    )
    rows = [{"row": 1, "label": "x"}, {"row": 2, "id": 'a"b', "label": "y"}]
    assert lines(rows, True) == 'row\tid\tlabel\n1\t\tx\n2\ta"b\ty\n'
    assert lines(rows[:1], False) == "1\t\tx\n"
    with pytest.raises(InputError, match="fields without tabs"):
        lines([{"row": 1, "label": "a\tb"}], True)


def test_a_file_for_glue(asked, tmp_path):
    (tmp_path / "test.tsv").write_text("index\tsentence\n0\ta film\n1\tgood\n")
    out = tmp_path / "SST-2.tsv"
    command = ("predict", "--model", "any", "--data", tmp_path, "--output", out)
    done = call(*command, "--task", "sst2")
    assert done.status == 0, done.err
    assert out.read_text() == "index\tprediction\n0\tx\n1\tx\n"
    for flags in ((), ("--task", "sst2", "a"), ("--task", "ner")):
        refused = call(*command, *flags, "--overwrite")
        assert refused.status == 2 and not refused.out
    assert json.loads(call("predict", "--model", "any", "a").out)["label"] == "x"
    scores = [glue._prediction({"scores": np.float32(x)}) for x in (-0.1, 2.5, 5.7)]
    assert scores == ["0.000", "2.500", "5.000"]
