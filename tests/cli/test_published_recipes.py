"""The recipes of SQuAD, CoNLL and SWAG on few rows of the published form."""

import json

import pytest

from tests.cli.calling import call
from tests.serving.cases import make_model

pytestmark = pytest.mark.slow
SWAG = ",video-id,fold-ind,startphrase,sent1,sent2,gold-source,ending0,ending1,ending2"


def _squad(folder, version):
    text = "a good film was seen"
    answers = [{"text": "good film", "answer_start": 2}]
    qas = [{"id": f"{n}", "question": "was it", "answers": answers} for n in range(6)]
    if version == "2.0":
        qas = [dict(qa, is_impossible=False) for qa in qas]
        qas[1] = dict(qas[1], answers=[], is_impossible=True)
    data = [{"title": "t", "paragraphs": [{"context": text, "qas": qas}]}]
    path = folder / "squad.json"
    path.write_text(json.dumps({"version": version, "data": data}))
    return path


def _conll(folder):
    lines = "-DOCSTART- -X- -X- O\n\n" + "a DT B-NP O\nfilm NN I-NP B-MISC\n\n" * 6
    (folder / "train.conll").write_text(lines)
    return folder / "train.conll"


def _swag(folder):
    row = "{n},v,1,a film it,a film,it,gold,was good,was bad,seen,not,{label}\n"
    rows = "".join(row.format(n=n, label=n % 4) for n in range(6))
    (folder / "train.csv").write_text(f"{SWAG},ending3,label\n{rows}")
    return folder / "train.csv"


CASES = {
    "squad-1.1": ("qa", lambda folder: _squad(folder, "1.1"), "predictions.json", "f1"),
    "squad-2.0": (
        *("qa", lambda folder: _squad(folder, "2.0")),
        *("predictions.json", "NoAns_f1"),
    ),
    "conll-2003": ("ner", _conll, "tagged.conll", "f1"),
    "swag": ("multiple-choice", _swag, "chosen.jsonl", "accuracy"),
}


@pytest.mark.parametrize("recipe", CASES)
def test_a_recipe_trains_scores_and_answers(recipe, tmp_path, tokenizer):
    kind, write, answers, metric = CASES[recipe]
    base = make_model("encoder").save_pretrained(tmp_path / "base", tokenizer=tokenizer)
    data, run = write(tmp_path), tmp_path / "run"
    given = ("--train", data, "--dev", data, "--max-length", 20)
    few = ("--epochs", 1, "--batch-size", 2, "--set", "options.doc_stride=4")
    few = few if kind == "qa" else few[:4]
    trained = call(
        *("finetune", "--recipe", recipe, "--model", base, *given, *few),
        *("--output", run),
    )
    assert trained.status == 0, trained.err
    scored = call("evaluate", "--model", run, "--data", data, "--json")
    assert scored.status == 0, scored.err
    assert metric in json.loads(scored.out)
    out = tmp_path / answers
    told = call("predict", "--model", run, "--input", data, "--output", out)
    assert told.status == 0 and out.stat().st_size, told.err
    if kind == "multiple-choice":
        assert len(out.read_text().splitlines()) == 6
        return
    again = call(
        *("evaluate", "--task", kind, "--predictions", out, "--data", data, "--json")
    )
    assert again.status == 0, again.err
    assert json.loads(again.out)["f1"] == pytest.approx(json.loads(scored.out)["f1"])
