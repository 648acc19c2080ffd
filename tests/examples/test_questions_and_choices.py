"""The examples of questions and of choices run, and learn their data."""

import runpy

import numpy as np
import pytest

from keras_bert import BertModel
from tests.paths import ROOT
from tests.serving.cases import CONFIG, VOCAB

assert VOCAB  # of the fixture `tokenizer`


@pytest.fixture
def run(tokenizer, tmp_path, monkeypatch):
    """Runs an example on a tiny model; returns its names."""
    model = BertModel(CONFIG.replace(max_position_embeddings=384))
    folder = model.save_pretrained(tmp_path / "m", tokenizer=tokenizer)

    def run(name: str) -> dict:
        path = ROOT / "examples" / f"{name}.py"
        assert len(path.read_text().splitlines()) < 40
        arguments = [str(path), "--model", str(folder), "--epochs", "1"]
        monkeypatch.setattr("sys.argv", arguments)
        return runpy.run_path(str(path), run_name="__main__")

    return run


def test_question_answering(run, capsys):
    names = run("question_answering")
    answer = names["answer"]
    assert names["TEXT"][answer["start"] : answer["end"]] == answer["answer"]
    assert "'exact_match'" in capsys.readouterr().out


def test_multiple_choice(run, capsys):
    names = run("multiple_choice")
    answer, task, few = names["answer"], names["task"], names["few"][:1]
    [logits] = task.outputs(task.read(few))
    np.testing.assert_allclose(answer["logits"], logits, rtol=1e-4, atol=1e-5)
    assert answer["choice"] == logits.argmax()
    assert answer["answer"] == few[0]["choices"][answer["choice"]]
    assert "'accuracy'" in capsys.readouterr().out
