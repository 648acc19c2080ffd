"""`--recipe` of `keras-bert pretrain` and `finetune`, in process."""

import contextlib
import io
import json
from typing import NamedTuple

import numpy as np
import pytest

import keras_bert
from keras_bert.cli import main
from keras_bert.pretraining.create import create_pretraining_data
from keras_bert.pretraining.settings import DataSettings
from keras_bert.pretraining.sources import Documents
from keras_bert.tokenization import BertTokenizer
from keras_bert.training.checkpointing import Checkpoints

SENTENCES = ["the sea is wide", "a ship sails far", "waves are blue", "the sun is hot"]
DOCUMENTS = [[*SENTENCES[n % 4 :], *SENTENCES[: n % 4]] * 2 for n in range(14)]
SHORT, LONG = 13, 19


class Result(NamedTuple):
    """What a command returned and printed."""

    status: int
    out: str
    err: str


def call(*arguments) -> Result:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(argument) for argument in arguments])
    return Result(status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A vocabulary, a config, and records of three kinds."""
    folder = tmp_path_factory.mktemp("work")
    tokenizer = BertTokenizer.train(iter(SENTENCES * 9), vocab_size=60)
    tokenizer.save_pretrained(folder / "tokenizer")
    config = keras_bert.BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=28,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=37,
        max_position_embeddings=LONG,
    )
    (folder / "config.json").write_text(config.to_json_string())
    kinds = {
        "short": {"max_seq_length": SHORT},
        "long": {"max_seq_length": LONG},
        "sentences": {"max_seq_length": SHORT, "objective": "none", "form": "compact"},
    }
    for name, kind in kinds.items():
        create_pretraining_data(
            Documents(DOCUMENTS),
            folder / name,
            tokenizer,
            DataSettings(max_predictions_per_seq=3, dupe_factor=2, **kind),
            progress=False,
        )
    return folder


def _changes():
    """What makes the two phases small enough for a test."""
    shared = ["batch_size=4", "warmup_steps=2", "data.max_predictions_per_seq=3"]
    numbered = ["phase-1.steps=6", "phase-2.steps=3"]
    lengths = [
        f"phase-1.data.max_seq_length={SHORT}",
        f"phase-2.data.max_seq_length={LONG}",
    ]
    return [part for text in (*shared, *numbered, *lengths) for part in ("--set", text)]


def _pretrain(work, output, *data, recipe="bert-tiny"):
    return [
        *("pretrain", "--recipe", recipe, "--model", work / "config.json"),
        *("--data", *(work / name for name in data), "--output", work / output),
        *("--vocab", work / "tokenizer", "--no-estimate"),
    ]


@pytest.fixture(scope="module")
def run(work):
    arguments = [*_pretrain(work, "run", "short", "long"), *_changes()]
    arguments.remove("--no-estimate")
    return call(*arguments)


def _lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").open()]


def test_the_plan_is_printed_before_it_starts(work, run):
    assert run.status == 0, run.err
    model = keras_bert.BertForPreTraining.from_pretrained(work / "run" / "model")
    for words in (
        "numbers from Turc et al. 2019",
        f"phase 1: {model.count_params():,} parameters, 6 steps of 4 rows, "
        f"{6 * 4 * SHORT} tokens",
        f"phase 2: {model.count_params():,} parameters, 3 steps of 4 rows",
        f"records of {LONG} tokens",
        "operations of matrix products",
        "GB of memory on each device",
        "s a step, measured",
    ):
        assert words in run.out
    assert run.out.index("phase 2:") < run.out.index("Drew")


def test_the_second_phase_goes_on_where_the_first_ended(work, run):
    first, start = (
        Checkpoints(work / "run" / phase / "checkpoints", keep=1, writes=False)
        for phase in ("phase-1", "phase-2")
    )
    before, after = first.read(6), start.read(0)
    for name, value in before.arrays.items():
        same = 0 if name.endswith("/iteration") else value
        np.testing.assert_array_equal(after.arrays[name], same, err_msg=name)
    assert any(name.endswith("/iteration") for name in before.arrays)
    rates = [_lines(work / "run" / f"phase-{n}")[-1]["learning_rate"] for n in (1, 2)]
    np.testing.assert_allclose(rates, [1e-4 * (1 - 5 / 9), 1e-4 * (1 - 8 / 9)], 1e-5)


def test_called_again_it_changes_nothing(work, run):
    """Without the model that was measured, names and numbers are the same."""
    before = _lines(work / "run" / "phase-2")
    again = call(*_pretrain(work, "run", "short", "long"), *_changes())
    assert again.status == 0, again.err
    assert _lines(work / "run" / "phase-2") == before


def test_what_was_used_is_a_config_file(work, run):
    used = json.loads((work / "run" / "recipe.json").read_text())
    assert used["recipe"] == "bert-tiny" and used["phase-2"]["steps"] == 3
    arguments = _pretrain(work, "again", "short", "long")
    del arguments[1:3]  # --recipe; the file names it
    config = ["--config", work / "run" / "recipe.json", "--dry-run"]
    again = call(*arguments, *config)
    assert again.status == 0, again.err
    shown = again.out.replace("again", "run").splitlines()
    assert [line for line in shown if line not in run.out.splitlines()] == []
    assert not (work / "again").exists()


def test_yaml_set_and_flags_weigh_more_in_this_order(work):
    file = work / "changes.yaml"
    file.write_text(
        "recipe: bert-tiny\nlearning_rate: 1e-3\nphase-1: {batch_size: 2}\n"
        f"phase-1.data: {{max_seq_length: {SHORT}}}\nsteps: 50\nwarmup_steps: 0\n"
    )
    arguments = _pretrain(work, "yaml", "short")
    del arguments[1:3]
    found = call(
        *(*arguments, "--config", file, "--dry-run", "--steps", 20),
        *("--set", "steps=30", "--set", "batch_size=4"),
        *("--set", "data.max_predictions_per_seq=3"),
    )
    assert found.status == 0, found.err
    assert "18 steps of 4 rows" in found.out and "rate 0.001 to" in found.out
    assert "Phase 2 of 2 is not trained" in found.out


def test_full_sentences_train_masked_words_alone(work):
    trained = call(
        *_pretrain(work, "roberta", "sentences", recipe="roberta-base"),
        *("--steps", 2, "--warmup-steps", 1, "--batch-size", 6),
        *("--gradient-accumulation-steps", 3, "--max-predictions-per-seq", 3),
        *("--set", f"data.max_seq_length={SHORT}"),
    )
    assert trained.status == 0, trained.err
    plan = json.loads((work / "roberta" / "plan.json").read_text())["plan"]
    assert plan["optimizer_options"] == {"beta_2": 0.98, "epsilon": 1e-6}
    assert plan["clip_norm"] is None and plan["gradient_accumulation_steps"] == 3
    assert "nsp_loss" not in _lines(work / "roberta")[-1]
    keras_bert.BertForMaskedLM.from_pretrained(work / "roberta" / "model")


REFUSED = {
    "an unknown recipe": (["--recipe", "bert-tny"], "bert-tiny"),
    "a length": ([], "max_seq_length=128 for phase 1"),
    "records for three phases": (["--data", "a", "b", "c"], "2 at most"),
    "more held-out records": (["--heldout", "a", "b"], "1 at most"),
    "a phase": (["--phase", "3"], "Unknown phase '3'"),
    "a setting without a value": (["--set", "steps"], "NAME=VALUE"),
    "a setting of the data": (["--set", "data.masks=3"], "setting of the data"),
    "a value of the data": (["--set", "data.form=round"], "static, compact"),
    "a file that is absent": (["--config", "absent.yaml"], "absent.yaml"),
    "no checkpoint": (["--recipe", "bert-domain"], "--init"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line_and_nothing_written(work, name):
    arguments, words = REFUSED[name]
    refused = call(*_pretrain(work, "refused", "short"), *arguments)
    assert refused.status == 2 and refused.out == ""
    assert words in refused.err and refused.err.count("\n") == 1
    assert not (work / "refused").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [("- 1\n- 2\n", "names and values"), ("a: [", "Expected settings in")],
)
def test_a_file_that_is_no_mapping_is_refused(work, text, words):
    file = work / "wrong.yaml"
    file.write_text(text)
    refused = call(*_pretrain(work, "refused", "short"), "--config", file)
    assert refused.status == 2 and words in refused.err


def test_steps_have_to_come_from_somewhere(work):
    arguments = _pretrain(work, "refused", "short")
    del arguments[1:3]
    refused = call(*arguments)
    assert refused.status == 2 and "--steps or --recipe" in refused.err


def test_static_records_need_no_vocabulary(work):
    arguments = _pretrain(work, "bare", "short")
    arguments = [a for a in arguments if a not in ("--vocab", work / "tokenizer")]
    planned = call(*arguments, "--dry-run", *_changes())
    assert planned.status == 0, planned.err
    compact = [a if a != work / "short" else work / "sentences" for a in arguments]
    refused = call(*compact, "--dry-run", *_changes())
    assert refused.status == 2 and "--vocab" in refused.err


@pytest.mark.parametrize("command", ["pretrain", "finetune"])
def test_recipes_are_listed(command):
    from keras_bert.training import recipes

    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as ended:
        main([command, "--list-recipes"])
    assert ended.value.code == 0
    known = {"pretrain": recipes.PRETRAINING, "finetune": recipes.FINE_TUNING}
    names = [line.split()[0] for line in out.getvalue().splitlines()]
    assert names == list(known[command])


# === Fine-tuning ===


@pytest.fixture(scope="module")
def task(work, run):
    rows = [f"{sentence}\t{n % 2}" for n, sentence in enumerate(SENTENCES * 3)]
    (work / "task.tsv").write_text("\n".join(["text\tlabel", *rows]) + "\n")
    return [
        *("finetune", "--model", work / "run" / "model"),
        *("--train", work / "task.tsv", "--max-length", SHORT),
    ]


def test_a_task_has_the_numbers_of_its_recipe(work, task):
    output = work / "tuned"
    tuned = call(*task, "--recipe", "sts-b", "--set", "epochs=2", "--output", output)
    assert tuned.status == 0, tuned.err
    assert "no classes" in tuned.out and "2 epochs in batches of 32" in tuned.out
    plan = json.loads((output / "plan.json").read_text())["plan"]
    assert (plan["steps"], plan["learning_rate"]) == (1, 2e-5)
    used = json.loads((output / "recipe.json").read_text())
    found = used["recipe"], used["max_length"], used["regression"]
    assert found == ("sts-b", SHORT, True)


def test_a_dry_run_trains_nothing(work, task):
    planned = call(*task, "--dry-run", "--output", work / "never")
    assert planned.status == 0 and "3 epochs in batches of 32" in planned.out
    assert "5e-05 after 0 steps" in planned.out
    assert not (work / "never").exists()


def test_a_recipe_for_another_head_is_refused(work, task):
    refused = call(*task, "--recipe", "squad-1.1", "--output", work / "never")
    assert refused.status == 2 and "BertForQuestionAnswering" in refused.err
    assert not (work / "never").exists()
