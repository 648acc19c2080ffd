"""`keras-bert finetune --seeds` and `--grid`: what is run, kept and printed."""

import argparse
import csv
import json

import pytest

from keras_bert.cli.finetune import FLAGS
from keras_bert.cli.sweep import sweep
from keras_bert.errors import ConfigError, ExistingOutputError
from keras_bert.training.loop import TrainingStopped
from keras_bert.training.recipes import FINE_TUNING
from tests.cli.calling import call
from tests.serving.cases import VOCAB, make_model

assert VOCAB  # of the fixture `tokenizer`


def _arguments(folder, **changes):
    given = dict(output=str(folder), seed=7, seeds=1, grid=None, dev="dev.csv")
    given |= dict(data=None, dev_split=None, dry_run=False, set=[], model="m")
    return argparse.Namespace(**given | changes)


class _Trained:
    """Stands for training: notes what is trained, and scores by rate and seed."""

    def __init__(self):
        self.runs = []

    def __call__(self, args):
        rate = getattr(args, "learning_rate", 0.5)
        self.runs.append((rate, args.seed, args.set))
        if rate > 1:
            raise TrainingStopped("Expected a finite loss.")
        return lambda: {"f1": rate + args.seed / 100}


GRID = ["learning-rate=0.5,2.0", "clip_norm=1"]


def test_every_combination_is_trained_once_and_tabulated(tmp_path, capsys):
    train, recipe = _Trained(), FINE_TUNING["rte"]
    args = _arguments(tmp_path, seeds=2, grid=GRID)
    sweep(args, recipe, train, FLAGS)
    given = ["clip_norm=1"]
    expected = [(rate, seed, given) for rate in (0.5, 2.0) for seed in (7, 8)]
    assert train.runs == expected
    table = list(csv.reader((tmp_path / "results.tsv").open(), delimiter="\t"))
    assert table == [
        ["learning_rate", "clip_norm", "runs", "f1"],
        ["0.5", "1", "2", "0.5750 ± 0.0071"],
        ["2.0", "1", "0 of 2", "–"],
    ]
    shown = capsys.readouterr().out.splitlines()
    assert "Run 4 of 4: learning_rate=2.0,clip_norm=1/seed-8" in shown
    assert "learning_rate  clip_norm  runs    f1" in shown

    sweep(_arguments(tmp_path, seeds=3, grid=GRID), recipe, train, FLAGS)
    assert train.runs[4:] == [(0.5, 9, given), (2.0, 9, given)]
    with pytest.raises(ConfigError, match=r"other arguments \(model\)"):
        sweep(_arguments(tmp_path, grid=GRID, model="other"), recipe, train, FLAGS)
    assert len(train.runs) == 6


def test_the_grid_of_the_recipe_and_seeds_alone(tmp_path):
    train = _Trained()
    sweep(_arguments(tmp_path / "a", grid=[]), FINE_TUNING["rte"], train, FLAGS)
    assert len(train.runs) == len(list(FINE_TUNING["rte"].grid())) == 18
    sweep(_arguments(tmp_path / "b", seeds=2), FINE_TUNING["rte"], train, FLAGS)
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == [
        *("results.tsv", "seed-7", "seed-8")
    ]


@pytest.mark.parametrize(
    "changes, error, words",
    [
        ({"dev": None}, ConfigError, "--dev, --dev-split or --data"),
        (
            {"grid": ["learning_rate"]},
            ConfigError,
            "NAME=X,Y. Received: 'learning_rate'",
        ),
        ({"output": "run"}, ExistingOutputError, "run holds a run, not several"),
        ({"output": "bad"}, ConfigError, "result.json is corrupt"),
    ],
)
def test_what_cannot_be_compared_is_refused(changes, error, words, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "plan.json").touch()
    (tmp_path / "bad" / "seed-7").mkdir(parents=True)
    (tmp_path / "bad" / "seed-7" / "result.json").write_text("{}")
    if "output" in changes:
        changes = {"output": str(tmp_path / changes["output"])}
    train = _Trained()
    with pytest.raises(error, match=words):
        args = _arguments(tmp_path / "new", **{"seeds": 2, **changes})
        sweep(args, FINE_TUNING["rte"], train, FLAGS)
    assert not train.runs


def test_a_value_that_cannot_be_is_refused_before_the_first_run(tmp_path):
    for wrong, words in [("learning_rate=0.001,abc", "abc"), ("epochs=1,-1", "-1")]:
        command = ("finetune", "--model", "m", "--train", "t.csv", "--dev", "d.csv")
        refused = call(*command, "--output", tmp_path / "new", "--grid", wrong)
        assert refused.status == 2 and words in refused.err, refused.err
        assert "Run 1" not in refused.out
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_models_of_several_seeds_are_trained_and_scored(tmp_path, tokenizer):
    model = make_model("encoder").save_pretrained(tmp_path / "m", tokenizer=tokenizer)
    table = tmp_path / "d.csv"
    table.write_text("text,label\na good film,yes\nso bad,no\ngood good,yes\nbad,no\n")
    command = ("finetune", "--model", model, "--train", table, "--dev", table)
    done = call(*command, "--seeds", 2, "--epochs", 1, "--output", tmp_path / "out")
    assert done.status == 0, done.err
    assert done.out.count("Wrote") == 5 and "±" in done.out
    for seed in (12345, 12346):
        folder = tmp_path / "out" / f"seed-{seed}"
        scores = json.loads((folder / "result.json").read_text())["scores"]
        assert {"accuracy", "f1", "loss"} <= scores.keys()
        assert (folder / "model").is_dir() and not (folder / "checkpoints").exists()
