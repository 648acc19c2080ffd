"""The examples of questions and of choices run, and learn their data."""

import runpy

import pytest

from keras_bert import BertModel
from tests.paths import ROOT
from tests.serving.cases import CONFIG, VOCAB

assert VOCAB  # of the fixture `tokenizer`


@pytest.mark.parametrize(
    ("name", "score", "asked"),
    [
        ("question_answering", "'exact_match'", "'answer'"),
        ("multiple_choice", "'accuracy'", "'choice'"),
    ],
)
def test_an_example_runs(name, score, asked, tokenizer, tmp_path, monkeypatch, capsys):
    model = BertModel(CONFIG.replace(max_position_embeddings=384))
    folder = model.save_pretrained(tmp_path / "m", tokenizer=tokenizer)
    path = ROOT / "examples" / f"{name}.py"
    assert len(path.read_text().splitlines()) < 40
    monkeypatch.setattr(
        "sys.argv", [str(path), "--model", str(folder), "--epochs", "1"]
    )
    runpy.run_path(str(path), run_name="__main__")
    scores, answer = capsys.readouterr().out.splitlines()[-2:]
    assert score in scores and asked in answer
