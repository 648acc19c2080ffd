"""Checkpoints of a run: whole or absent, checked, kept by number and by loss."""

import json
import logging
import resource

import h5py
import numpy as np
import pytest

from keras_bert.checkpoints.conversion import convert
from keras_bert.errors import (
    CheckpointError,
    ConfigError,
    DiskFullError,
    MissingFileError,
)
from keras_bert.models import BertForPreTraining
from keras_bert.training.checkpointing import NOTES, STATE, Checkpoints
from keras_bert.training.loop import Plan, Run
from keras_bert.training.monitoring import kept_lines
from keras_bert.training.variables import (
    SLOT_NAMES,
    cast_values,
    load_optimizer_state,
    numbered,
)
from tests.cases import CONFIG
from tests.paths import shared
from tests.training.cases import run_of


def _arrays(step):
    return {"weight": np.full((7, 3), step, "float32"), "count": np.array(step)}


def _saved(folder, steps, keep=9, best=None):
    checkpoints = Checkpoints(folder, keep)
    with checkpoints:
        for step in steps:
            checkpoints.save(step, _arrays(step), {"note": step}, best=best)
    return checkpoints


def test_what_was_saved_is_read(tmp_path):
    saved = _saved(tmp_path, [3, 12, 7]).newest()
    assert (saved.step, saved.path, saved.notes) == (
        12,
        tmp_path / "step-12",
        {"note": 12},
    )
    assert saved.arrays.keys() == {"weight", "count"}
    np.testing.assert_array_equal(saved.arrays["weight"], _arrays(12)["weight"])
    assert saved.arrays["weight"].dtype == "float32" and saved.arrays["count"] == 12


def test_the_newest_are_kept_and_the_best(tmp_path):
    checkpoints = _saved(tmp_path, [1, 2, 3, 4, 5], keep=2, best=2)
    assert checkpoints.steps() == [2, 4, 5]
    assert checkpoints.latest() == tmp_path / "step-5"


def test_none_is_none(tmp_path):
    assert Checkpoints(tmp_path / "new", 1).newest() is None
    assert not list((tmp_path / "new").iterdir())


def _flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 8
    path.write_bytes(data)


DAMAGES = {
    "a bit": lambda folder: _flip(folder / STATE),
    "cut off": lambda folder: (folder / STATE).write_bytes(
        (folder / STATE).read_bytes()[:-40]
    ),
    "empty": lambda folder: (folder / STATE).write_bytes(b""),
    "no state": lambda folder: (folder / STATE).unlink(),
    "notes": lambda folder: (folder / NOTES).write_text('{"note": '),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_corrupt_one_is_renamed_and_the_previous_one_read(damage, tmp_path, caplog):
    checkpoints = _saved(tmp_path, [4, 9])
    DAMAGES[damage](tmp_path / "step-9")
    with caplog.at_level(logging.WARNING):
        assert checkpoints.newest().step == 4
    assert "step-9 is corrupt" in caplog.text
    assert {path.name for path in tmp_path.iterdir()} == {"step-4", "corrupt-9"}
    assert _saved(tmp_path, [9]).newest().step == 9  # its place is free again


def test_corrupt_ones_alone_are_an_error_not_a_new_start(tmp_path):
    checkpoints = _saved(tmp_path, [4])
    _flip(tmp_path / "step-4" / STATE)
    with pytest.raises(CheckpointError, match=r"steps \[4\], all corrupt"):
        checkpoints.newest()


def test_what_a_kill_left_half_written_is_no_checkpoint(tmp_path):
    _saved(tmp_path, [4])
    for name in (".step-9", ".step-2.removed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / STATE).write_bytes(b"half")
    assert Checkpoints(tmp_path, 2, writes=False).steps() == [4]
    assert Checkpoints(tmp_path, 2).newest().step == 4
    assert {path.name for path in tmp_path.iterdir()} == {"step-4"}


def test_an_error_in_the_background_is_raised(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", full)
    checkpoints = Checkpoints(tmp_path, 2)
    checkpoints.save(1, _arrays(1), {})
    with pytest.raises(OSError, match="no space left"):
        checkpoints.save(2, _arrays(2), {})
    assert checkpoints.steps() == []


def test_a_full_disk_leaves_those_before(tmp_path):
    checkpoints = _saved(tmp_path, [4], keep=1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))
    try:
        with pytest.raises(DiskFullError, match=r"room on the disk for .*step-9"):
            _saved(tmp_path, [9], keep=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert checkpoints.newest().step == 4
    assert [path.name for path in tmp_path.iterdir()] == ["step-4"]


def test_one_that_is_there_is_not_written_again(tmp_path):
    """A run that is stopped after a checkpoint must not lose it meanwhile."""
    _saved(tmp_path, [4])
    written = (tmp_path / "step-4" / STATE).stat().st_ino
    assert _saved(tmp_path, [4]).newest().step == 4
    assert (tmp_path / "step-4" / STATE).stat().st_ino == written


def test_other_damage_is_said(tmp_path, caplog):
    (tmp_path / "step-4").mkdir()
    np.savez(tmp_path / "step-4" / STATE, weight=np.ones(3))
    (tmp_path / "step-4" / NOTES).write_text("[" * 10**5)
    _saved(tmp_path, [2])
    assert Checkpoints(tmp_path, 2).newest().step == 2
    log = tmp_path / "metrics.jsonl"
    log.write_bytes(b'{"step": 1}\n[1]\n\xff\n{"step": 2}\n{"step": 3}\n{"st')
    assert kept_lines(log, 2) == [{"step": 1}, {"step": 2}]
    assert "metrics.jsonl is damaged" in caplog.text


def test_one_process_of_several_writes(tmp_path):
    with Checkpoints(tmp_path / "run", 2, writes=False) as checkpoints:
        checkpoints.save(1, _arrays(1), {})
    assert not (tmp_path / "run").exists()


# === In a run ===


def test_a_run_resumes_from_the_one_before_a_corrupt_one(tmp_path, caplog):
    plan = dict(steps=4, log_every=1, checkpoint_every=2, evaluate_every=0)
    whole = run_of(tmp_path / "run", heldout=False, plan=Plan(**plan))
    expected = whole()
    _flip(tmp_path / "run/checkpoints/step-4" / STATE)
    again = run_of(tmp_path / "run", heldout=False, plan=Plan(**plan))
    with caplog.at_level(logging.WARNING):
        history = again()
    assert "step-4 is corrupt" in caplog.text
    assert [line["loss"] for line in history] == [line["loss"] for line in expected]
    for one, other in zip(again.model.variables, whole.model.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)


def test_the_best_is_that_of_the_least_heldout_loss(tmp_path):
    plan = Plan(
        steps=6,
        learning_rate=5.0,
        clip_norm=None,
        log_every=6,
        evaluate_every=1,
        keep=1,
    )  # a rate that ruins the model
    run = run_of(tmp_path / "run", plan=plan)
    lines = [line for line in run() if line["split"] == "heldout"]
    best = min(lines, key=lambda line: line["loss"])["step"]
    assert best < 6 and run._checkpoints.steps() == [best, 6]
    notes = json.loads((tmp_path / "run/checkpoints/step-6" / NOTES).read_text())
    assert notes["best"]["step"] == best


def test_a_log_that_ends_in_the_middle_of_a_line(tmp_path):
    lines = [{"step": 1, "split": "train"}, {"step": 2, "split": "train"}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "metrics.jsonl").write_text(text + '{"step": 3, "spl')
    assert kept_lines(tmp_path / "metrics.jsonl", 9) == lines
    assert kept_lines(tmp_path / "metrics.jsonl", 1) == lines[:1]


@pytest.fixture(scope="module")
def built():
    model = BertForPreTraining(CONFIG.replace(num_hidden_layers=1), seed=1)
    optimizer = Plan(steps=9).optimizer_for(model.config)
    optimizer.build(model.trainable_variables)
    return model, optimizer


def test_values_that_do_not_fit_are_refused(built):
    variables = numbered(*built)
    values = {name: v.numpy() for name, v in variables.items()}
    assert cast_values(variables, values).keys() == values.keys()
    name = next(iter(values))
    with pytest.raises(CheckpointError, match=name):
        cast_values(variables, {k: v for k, v in values.items() if k != name})
    with pytest.raises(CheckpointError, match=name):
        cast_values(variables, {**values, name: values[name][:-1]})


# === Google's optimizer state ===


def _write_state(path, model, steps=1000, slots=SLOT_NAMES[0]):
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for variable in model.trainable_variables:
            for slot in slots:
                value = rng.uniform(size=variable.shape).astype("float32")
                file[f"{variable.path}/{slot}"] = value
        file["global_step"] = np.array(steps)


def test_a_run_of_googles_goes_on(tmp_path):
    (tmp_path / "converted").mkdir()
    plan = Plan(steps=1002, learning_rate=1e-3, log_every=1, bias_correction=False)
    run = run_of(tmp_path / "run", heldout=False, plan=plan)
    _write_state(tmp_path / "converted/optimizer.weights.h5", run.model)
    run.optimizer_state = tmp_path / "converted"
    lines = run()
    assert [line["step"] for line in lines] == [1001, 1002]
    assert lines[0]["learning_rate"] == pytest.approx(1e-3 * 2 / 1002, rel=1e-4)
    assert int(run.optimizer.iterations.numpy()) == 1002
    slot = run.optimizer._momentums[0].numpy()
    with h5py.File(tmp_path / "converted/optimizer.weights.h5") as file:
        first = file[f"{run.optimizer.paths[0]}/adam_m"][()]
    assert np.abs(slot - 0.81 * first).max() < 0.2 and slot.mean() > 0.3
    # Called again, the run's own checkpoint counts.
    again = run_of(tmp_path / "run", heldout=False, plan=plan)
    again.optimizer_state = tmp_path / "converted"
    assert again() == lines


@pytest.mark.parametrize("kind", ["adamw", "lamb"])
@pytest.mark.parametrize("names", SLOT_NAMES, ids=lambda names: names[0])
def test_slots_are_read_by_the_names_of_every_writer(kind, names, built, tmp_path):
    model, _ = built
    optimizer = Plan(steps=9, optimizer=kind).optimizer_for(model.config)
    optimizer.build(model.trainable_variables)
    _write_state(tmp_path / "optimizer.weights.h5", model, steps=77, slots=names)
    assert load_optimizer_state(optimizer, tmp_path) == 77
    means = dict(zip(names, (optimizer._momentums, optimizer._velocities), strict=True))
    with h5py.File(tmp_path / "optimizer.weights.h5") as file:
        for name, slots in means.items():
            for weight, slot in zip(optimizer.paths, slots, strict=True):
                np.testing.assert_array_equal(slot.numpy(), file[f"{weight}/{name}"])
    assert int(optimizer.iterations.numpy()) == 77
    np.testing.assert_array_equal(optimizer.update_counts.numpy(), 77.0)


def test_a_state_that_lacks_something_is_refused(built, tmp_path):
    model, optimizer = built
    with pytest.raises(MissingFileError, match=r"optimizer.weights.h5"):
        load_optimizer_state(optimizer, tmp_path)
    path = tmp_path / "optimizer.weights.h5"
    _write_state(path, model)
    assert load_optimizer_state(optimizer, path) == 1000
    name = f"{optimizer.paths[3]}/adam_v"
    with h5py.File(path, "a") as file:
        del file[name]
    with pytest.raises(CheckpointError, match=name):
        load_optimizer_state(optimizer, path)
    with h5py.File(path, "a") as file:
        del file["global_step"]
    with pytest.raises(CheckpointError, match="global_step"):
        load_optimizer_state(optimizer, path)


# === Plans ===


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rate": 0.0},
        {"learning_rate": -1e-4},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"keep": 0},
        {"log_every": -1},
        {"checkpoint_every": -5},
        {"weight_decay": -0.1},
        {"weight_decay": float("nan")},
        {"clip_norm": 0.0},
        {"layer_decay": 1.5},
        {"ema_momentum": 0.0},
        {"model_shards": 2},
        {"distribution": "model_parallel"},
    ],
)
def test_numbers_that_cannot_be_are_refused(changes):
    name = next(iter(changes))
    with pytest.raises(ConfigError, match=name):
        Plan(steps=9, **changes)


@pytest.mark.parametrize("field", ["schedule", "optimizer"])
def test_a_name_that_is_none_is_refused_with_the_nearest(field):
    with pytest.raises(KeyError, match=f"Unknown {field}"):
        Plan(steps=9, **{field: "linnear"})


def test_where_a_run_is_computed_may_change_and_its_numbers_may_not(tmp_path):
    plan = dict(steps=1, log_every=1)
    run_of(tmp_path / "run", heldout=False, plan=Plan(**plan))()
    run_of(tmp_path / "run", heldout=False, plan=Plan(**plan, keep=5))()
    with pytest.raises(ConfigError, match="schedule 'linear', now 'cosine'"):
        run_of(tmp_path / "run", heldout=False, plan=Plan(**plan, schedule="cosine"))()


class _GooglesBatches:
    """The batches of a recorded run, by number."""

    def __init__(self, data):
        self.data, self.batch_size = data, data["input_ids"].shape[1]

    def __call__(self, step, rows=slice(None)):
        names = ("input_ids", "attention_mask", "token_type_ids", "masked_lm_positions")
        found = {k: v[step - 1][rows] for k, v in self.data.items()}
        return (
            {name: found[name] for name in names},
            {
                "prediction_logits": found["masked_lm_ids"],
                "seq_relationship_logits": found["next_sentence_labels"][:, 0],
            },
            {"prediction_logits": found["masked_lm_weights"].astype("float32")},
        )


def test_the_state_of_a_run_of_googles_is_that_of_ours(tmp_path):
    """After the same ten steps; so the eleventh is the same too."""
    case = shared("goldens", "google_tf1_optimizer")
    facts = json.loads((case / "case.json").read_text())
    for stage in ("start", "end"):
        convert(case / stage, tmp_path / stage, "keras")
    plan = Plan(
        steps=facts["num_train_steps"],
        learning_rate=facts["init_lr"],
        warmup_steps=facts["num_warmup_steps"],
        bias_correction=False,
    )
    run = Run(
        BertForPreTraining.from_pretrained(tmp_path / "start"),
        plan,
        tmp_path / "run",
        _GooglesBatches(dict(np.load(case / "inputs.npz"))),
        show_progress=False,
    )
    run()
    theirs = plan.optimizer_for(run.model.config)
    theirs.build(run.model.trainable_variables)
    assert load_optimizer_state(theirs, tmp_path / "end") == 10
    assert int(run.optimizer.iterations.numpy()) == 10
    slots = {
        "adam_m": (run.optimizer._momentums, theirs._momentums),
        "adam_v": (run.optimizer._velocities, theirs._velocities),
    }
    for name, (ours, expected) in slots.items():
        for path, one, other in zip(theirs.paths, ours, expected, strict=True):
            bound = 5e-5 * np.abs(other.numpy()).max()
            if path.endswith("key/bias"):  # a true gradient of zero
                bound = 1e-6
            np.testing.assert_allclose(
                one.numpy(), other.numpy(), 0, bound, err_msg=f"{path}/{name}"
            )
