"""The short scripts in `examples/` run as they are, on a model of their own."""

import runpy
import sys

import pytest

from tests.paths import ROOT

FOLDER = ROOT / "examples"
SCRIPTS = sorted(
    path.stem
    for path in FOLDER.glob("*.py")
    if not path.stem.startswith("demo") and path.stem != "tiny_model"
)
# What a script needs besides `--model`; those not named here make their own model.
ARGUMENTS = {
    "feature_extraction": ["--model", "{tiny}"],
    "semantic_search": ["a big cat", "--model", "{tiny}"],
}
QUICK = ("custom_head",)  # the others run with the slow tests
PRINTED = {
    "sst2": "'label': '1'",
    "continued_pretraining": "'label': 'heart'",
    "multi_label": "'windy'",
    "regression": "'scores'",
    "ner": "'text': 'London'",
    "custom_head": "  so dull",
    "question_answering": "'answer': 'Ada Lovelace'",
    "distillation": "student: ",
    "multiple_choice": "'answer': 'she gets wet'",
}


def _marked(name: str):
    return pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow])


@pytest.mark.parametrize("name", map(_marked, SCRIPTS))
def test_an_example_runs(name, monkeypatch, capsys, tmp_path):
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    from tiny_model import tiny_model

    flags = ARGUMENTS.get(name, [])
    tiny = tiny_model(["a big cat"]) if flags else None
    flags = [flag.format(tiny=tiny) for flag in flags]
    monkeypatch.setattr(sys, "argv", [name, *flags])
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    assert PRINTED.get(name, "") in capsys.readouterr().out


def test_examples_are_short():
    for name in SCRIPTS:
        assert len((FOLDER / f"{name}.py").read_text("utf-8").splitlines()) <= 40, name
