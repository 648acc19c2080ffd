"""`--recipe` of `keras-bert pretrain` and `finetune`, in process."""

import contextlib
import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import keras_bert
from keras_bert.cli import main
from keras_bert.pretraining.create import create_pretraining_data
from keras_bert.pretraining.settings import DataSettings
from keras_bert.pretraining.sources import Documents
from keras_bert.tokenization import BertTokenizer
from keras_bert.training.checkpointing import Checkpoints
from tests.cli.calling import call
from tests.training.places import ports, tensorflow_place

SENTENCES = ["the sea is wide", "a ship sails far", "waves are blue", "the sun is hot"]
DOCUMENTS = [[*SENTENCES[n % 4 :], *SENTENCES[: n % 4]] * 2 for n in range(14)]
SHORT, LONG = 13, 19


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
        "settings from Turc et al. 2019",
        f"phase 1: {model.count_params():,} parameters, 6 steps of 4 rows, "
        f"{6 * 4 * SHORT} tokens",
        f"phase 2: {model.count_params():,} parameters, 3 steps of 4 rows",
        f"records of {LONG} tokens",
        "floating-point operations in matrix products",
        "GB of memory on each device",
        "s per step, measured",
    ):
        assert words in run.out
    assert run.out.index("phase 2:") < run.out.index("Drew")


def _assert_handed_over(folder, step):
    """The second phase begins with the first one's state, counted anew."""
    first, start = (
        Checkpoints(folder / phase / "checkpoints", keep=1, writes=False)
        for phase in ("phase-1", "phase-2")
    )
    before, after = first.read(step), start.read(0)
    for name, value in before.arrays.items():
        same = 0 if name.endswith("/iteration") else value
        np.testing.assert_array_equal(after.arrays[name], same, err_msg=name)
    assert any(name.endswith("/iteration") for name in before.arrays)


def test_the_second_phase_goes_on_where_the_first_ended(work, run):
    _assert_handed_over(work / "run", 6)
    rates = [_lines(work / "run" / f"phase-{n}")[-1]["learning_rate"] for n in (1, 2)]
    np.testing.assert_allclose(rates, [1e-4 * (1 - 5 / 9), 1e-4 * (1 - 8 / 9)], 1e-5)


def test_a_phase_alone_goes_on_from_the_one_before(work, run):
    arguments = [*_pretrain(work, "alone", "short"), *_changes(), "--phase"]
    second = [work / "long" if a == work / "short" else a for a in arguments]
    refused = call(*second, 2)
    assert refused.status == 2 and "run of phase 1" in refused.err
    assert not (work / "alone").exists()
    assert call(*arguments, 1).status == 0
    done = call(*second, 2)
    assert done.status == 0, done.err
    assert f"weights and optimizer of {work / 'alone' / 'phase-1'}" in done.out
    timed = ("time", "tokens_per_second", "matmul_share")
    lines = [
        [{k: v for k, v in line.items() if k not in timed} for line in _lines(folder)]
        for folder in (work / "alone" / "phase-2", work / "run" / "phase-2")
    ]
    assert lines[0] == lines[1]  # as when both are trained at once


@pytest.mark.slow
def test_two_workers_end_a_phase_early_and_hand_over_its_best(work):
    output = work / "workers"
    arguments = [
        *(*_pretrain(work, "workers", "short", "long"), *_changes()),
        *("--heldout", work / "short", work / "long", "--heldout-batches", 2),
        *("--evaluate-every", 1, "--patience", 2, "--min-delta", 9, "--keep", 9),
        *("--gradient-accumulation-steps", 2),
    ]
    command = [sys.executable, "-m", "keras_bert", *map(str, arguments)]
    addresses = [f"127.0.0.1:{port}" for port in ports(2)]
    workers = [
        subprocess.Popen(
            [*command, "--distribution", "multi_worker"],
            env={**os.environ, **tensorflow_place(addresses, index)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(2)
    ]
    shown = [worker.communicate(timeout=500)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], shown
    assert ["Wrote" in text for text in shown] == [True, False]
    assert _lines(output / "phase-1")[-1]["step"] == 3  # of 6
    _assert_handed_over(output, 1)
    assert _lines(output / "phase-2")[-1]["step"] == 3
    keras_bert.BertForPreTraining.from_pretrained(output / "model")


def test_a_plan_that_cannot_fit_says_so(work, monkeypatch):
    from keras_bert.training import estimates

    arguments = [*_pretrain(work, "never", "short"), *_changes(), "--dry-run"]
    arguments = [a for a in arguments if a != "--no-estimate"]
    for free in (1e6, 1e12):
        monkeypatch.setattr(estimates, "free_bytes", lambda free=free: free)
        planned = call(*arguments)
        assert planned.status == 0, planned.err
        assert ("does not fit: 0.0 GB are free" in planned.out) == (free == 1e6)


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
    "patience without records": (
        [*_changes(), "--patience", "2", "--evaluate-every", "1"],
        "Expected held-out data",
    ),
    "a number to monitor": ([*_changes(), "--monitor", "accuracy"], "nsp_accuracy"),
    "layers to freeze": ([*_changes(), "--freeze-layers", "2"], "0 to 1 layers"),
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
    [
        ("- 1\n- 2\n", "names and values"),
        ("a: [", "Expected settings in"),
        ("steps: 3\nseed: 1\nsteps: 4\n", "the key 'steps' twice"),
        ('{"steps": 3, "steps": 4}', "the key 'steps' twice"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(work, text, words):
    file = work / ("wrong.json" if text.startswith("{") else "wrong.yaml")
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
    assert "Drew" in tuned.out and (output / "curves.png").stat().st_size > 1000


def test_a_dry_run_trains_nothing(work, task):
    planned = call(*task, "--dry-run", "--output", work / "never")
    assert planned.status == 0 and "3 epochs in batches of 32" in planned.out
    assert "learning rate 5e-05, 0 warm-up steps" in planned.out
    assert not (work / "never").exists()


def test_a_plan_says_in_what_it_is_computed_and_what_never_thaws(work, task):
    flags = ("--gradual-unfreezing", "--epochs", 1, "--dtype", "mixed_float16")
    planned = call(*task, *flags, "--dry-run", "--output", work / "never")
    assert planned.status == 0, planned.err
    assert "computed in mixed_float16; a layer thaws every 1 steps" in planned.out
    assert "; at the last step some layers are still frozen" in planned.out


def test_a_dtype_that_is_none_is_refused(work, task):
    refused = call(*task, "--dtype", "banana", "--output", work / "never")
    assert refused.status == 2
    assert "banana" in refused.err


def test_fine_tuning_takes_the_flags_of_a_run(work, task):
    output = work / "flags"
    tuned = call(
        *(*task, "--dev", work / "task.tsv", "--output", output, "--epochs", 3),
        *("--batch-size", 4, "--distribution", "mirrored", "--optimizer", "lamb"),
        *("--gradient-accumulation-steps", 2, "--schedule", "constant", "--keep", 9),
        *("--ema-momentum", 0.5, "--layer-decay", 0.9, "--activation-checkpointing"),
        *("--freeze-layers", 0, "--gradual-unfreezing", "--evaluate-every", 2),
        *("--patience", 1, "--monitor", "accuracy", "--min-delta", 1),
    )
    assert tuned.status == 0, tuned.err
    plan = json.loads((output / "plan.json").read_text())["plan"]
    wanted = dict(
        distribution="mirrored",
        gradient_accumulation_steps=2,
        optimizer="lamb",
        schedule="constant",
        keep=9,
        ema_momentum=0.5,
        layer_decay=0.9,
        activation_checkpointing=True,
        freeze_layers=0,
        unfreeze_every=3,
        patience=1,
        monitor="accuracy",
        min_delta=1.0,
    )
    assert {name: plan[name] for name in wanted} == wanted
    assert (
        "a layer thaws every 3 steps; the learning rate of a layer is 0.9 times that "
        "of the one above; averaged weights are evaluated and saved; activations are "
        "recomputed; early stopping by accuracy, patience 1" in tuned.out
    )
    # No accuracy is better than another by more than 1.
    assert "Stopped early, at step 4 of 9." in tuned.out
    lines = tuned.out.splitlines()
    numbers = next(line for line in lines if line.startswith("step "))
    assert numbers.startswith("step 2, split heldout")
    kept = Checkpoints(output / "checkpoints", keep=9, writes=False).read(2)
    averages = [v for n, v in kept.arrays.items() if n.endswith("_average")]
    model = keras_bert.BertForSequenceClassification.from_pretrained(output / "model")
    for variable, average in zip(model.trainable_variables, averages, strict=True):
        np.testing.assert_array_equal(variable.numpy(), average, variable.path)


def test_every_flag_of_a_run_is_in_both_commands():
    from keras_bert.cli import parser_of

    flags = [
        {
            option
            for action in parser_of(name)._actions
            for option in action.option_strings
        }
        for name in ("pretrain", "finetune")
    ]
    from keras_bert.cli import runs

    names = (*runs.RECIPE_FLAGS, *runs._RUNTIME_OPTIONS)
    assert {f"--{name.replace('_', '-')}" for name in names} <= flags[0] & flags[1]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ("--patience", 2, "--evaluate-every", 1),
            "Expected held-out data with patience",
        ),
        (
            ("--batch-size", 7, "--gradient-accumulation-steps", 2),
            "7 rows in 2 microbatches.",
        ),
        (("--batch-size", 7, "--distribution", "mirrored"), "each of 2 devices"),
        (("--freeze-layers", 2), "0 to 1 layers"),
        (("--distribution", "data_parallel"), "KERAS_BACKEND"),
    ],
)
def test_what_cannot_be_is_refused_before_a_run(work, task, flags, words):
    refused = call(*task, *flags, "--output", work / "never")
    assert refused.status == 2 and refused.err.count("\n") == 1
    assert words in refused.err, refused.err
    assert not (work / "never").exists()


def test_a_recipe_for_another_head_is_refused(work, task):
    flags = ("--task", "classification", "--recipe", "squad-1.1")
    refused = call(*task, *flags, "--output", work / "never")
    assert refused.status == 2 and "question_answering" in refused.err
    assert not (work / "never").exists()
