"""Tasks of GLUE by name, from their folders to scores and files of predictions."""

import json

import pytest

from keras_bert.tasks.glue_files import GLUE
from tests.cli.calling import call
from tests.serving.cases import make_model

SENTENCES = ["a good film", "not so bad", "really good", "was it bad", "good", "bad"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folders of SST-2, as published, and of STS-B."""
    folder = tmp_path_factory.mktemp("glue")
    (folder / "SST-2").mkdir()
    (folder / "STS-B").mkdir()
    rows = [f"{text}\t{number % 2}" for number, text in enumerate(SENTENCES)]
    lines = {
        "SST-2/train.tsv": ["sentence\tlabel", *rows],
        "SST-2/dev.tsv": ["sentence\tlabel", *rows[:5]],
        "SST-2/test.tsv": [
            "index\tsentence",
            *(f"{n}\t{t}" for n, t in enumerate(SENTENCES)),
        ],
        "STS-B/dev.tsv": [
            "\t".join("i g f y o s1 s2 sentence1 sentence2 score".split()),
            *(
                f"{n}\tg\tf\ty\to\ts\ts\t{t}\tfilm\t{n}.5"
                for n, t in enumerate(SENTENCES)
            ),
        ],
    }
    for name, texts in lines.items():
        (folder / name).write_text("\n".join(texts) + "\n")
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("models")
    for case in ("encoder", "score"):
        make_model(case).save_pretrained(folder / case, tokenizer=tokenizer)
    return folder


def test_a_task_by_name_is_trained_and_scored(data, models, tmp_path):
    run = tmp_path / "run"
    command = ("--task", "sst2", "--data", data)
    sizes = ("--epochs", 1, "--max-length", 8, "--batch-size", 3)
    train = ("finetune", *command, "--model", models / "encoder", "--output", run)
    planned = call(*train, *sizes, "--dev-split", 0.34, "--dry-run", "--seeds", 2)
    assert "4 examples, 2 classes" in planned.out
    held_out = "Held out 2 of 6 examples, chosen by label with seed 12345."
    assert planned.out.count(held_out) == 2
    done = call(*train, *sizes)
    assert done.status == 0, done.err
    assert "6 examples, 2 classes" in done.out
    assert "Devlin et al. 2018" in done.out  # the recipe of the same name
    recipe = json.loads((run / "recipe.json").read_text())
    assert (recipe["recipe"], recipe["learning_rate"]) == ("sst-2", 2e-5)
    score = ("evaluate", *command, "--model", run, "--json")
    done = call(*score)
    assert list(json.loads(done.out)) == ["examples", "accuracy"], done.err
    assert json.loads(done.out)["examples"] == 5
    done = call(*score, "--split", "test")
    assert done.status == 2 and "label in every row" in done.err


def test_metrics_of_a_task_are_those_of_glue(data, models):
    command = ("evaluate", "--model", models / "score", "--data", data / "STS-B")
    done = call(*command, "--task", "stsb")
    assert list(json.loads(done.out)) == ["examples", "pearson", "spearman"], done.err
    assert {GLUE[name].metrics for name in ("mrpc", "qqp")} == {("accuracy", "f1")}
    assert GLUE["cola"].metrics == ("matthews_correlation",)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--task", "sst2"), "--data with the folder of sst-2"),
        (("--task", "sst2", "--data", "{}", "--text", 1), "no text with --task sst2"),
        (("--task", "sst2", "--data", "{}", "--dev", "x"), "either --train FILE, or"),
        (("--task", "sst2", "--data", "{}/STS-B"), "the train file of sst-2 at"),
        (("--task", "sst3", "--data", "{}"), "task 'sst3'"),
        (("--data", "{}"), "either --train FILE, or"),
        ((), "either --train FILE, or"),
        (("--train", "x", "--dev", "y", "--dev-split", 0.1), "either --dev or --dev"),
    ],
)
def test_data_that_is_missing_or_given_twice(data, models, tmp_path, flags, message):
    flags = [str(flag).replace("{}", str(data)) for flag in flags]
    output = ("--output", tmp_path / "run", "--dry-run")
    done = call("finetune", "--model", models / "encoder", *flags, *output)
    assert done.status == 2 and message in done.err, done.err
