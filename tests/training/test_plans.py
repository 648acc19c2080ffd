"""Runs that end early, thaw layer by layer, skip steps, or save memory.

On every backend that the loop knows; `test_on_jax` runs this file once more.
"""

import io
import json
import math
import re
import shutil
from dataclasses import asdict
from itertools import pairwise
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_bert.errors import ConfigError, UnknownNameError
from keras_bert.models import BertForSequenceClassification
from keras_bert.training import loop
from keras_bert.training.checkpointing import Checkpoints
from keras_bert.training.early_stopping import BestEvaluation
from keras_bert.training.loop import Plan, Run
from keras_bert.training.monitoring import Progress, progress
from keras_bert.training.plan import claim
from tests.backends import passed
from tests.cases import CONFIG

TINY = CONFIG.replace(num_hidden_layers=1, num_labels=2)
ROWS, TIMED = 5, ("time", "tokens_per_second", "matmul_share")


class Rows:
    """Batches by number."""

    batch_size = ROWS

    def __init__(self, last: int = 9):
        self.last = last

    def __len__(self):
        return self.last

    def __call__(self, step, rows=slice(None)):
        rng = np.random.default_rng(step)
        ids = rng.integers(2, 99, (ROWS, 7)).astype("int32")
        return {"input_ids": ids[rows]}, (ids[:, 2] > 50).astype("int32")[rows]


def _run(folder, heldout=True, dtype=None, **changes):
    options = dict(steps=12, learning_rate=1e-3, log_every=4, checkpoint_every=3)
    return Run(
        BertForSequenceClassification(TINY, seed=1, dtype=dtype),
        Plan(**options | changes),
        folder,
        Rows(),
        Rows(2) if heldout else None,
        show_progress=False,
    )


class Killed(BaseException):
    """Nothing is saved on the way out."""


def _killed_at(run, step, monkeypatch):
    next_batch = loop.next_batch

    def kill_there(batches, number):
        if number == step:
            raise Killed
        return next_batch(batches, number)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(loop, "next_batch", kill_there)
        run()


def _without_times(run):
    return [{k: v for k, v in x.items() if k not in TIMED} for x in run.history]


def _values(run):
    return [keras.ops.convert_to_numpy(v) for v in run.model.variables]


def _assert_same(actual, expected):
    assert _without_times(actual) == _without_times(expected)
    state, wanted = actual._steps.state(), expected._steps.state()
    assert state.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(state[name], value, err_msg=name)
    for one, other in zip(_values(actual), _values(expected), strict=True):
        np.testing.assert_array_equal(one, other)


def _saved(run, step):
    return Checkpoints(run.directory / "checkpoints", 9, writes=False).read(step).arrays


def _steps_kept(run):
    return Checkpoints(run.directory / "checkpoints", 9, writes=False).steps()


# === Early stopping ===

# Nothing is better than the first evaluation by that much.
IMPATIENT = dict(evaluate_every=2, patience=2, min_delta=9.0, keep=1)


@pytest.fixture(scope="module")
def impatient(tmp_path_factory):
    run = _run(tmp_path_factory.mktemp("runs") / "run", **IMPATIENT)
    run()
    return run


def test_a_run_ends_when_its_patience_does(impatient):
    lines = [(line["split"], line["step"]) for line in impatient.history]
    heldout = [("heldout", step) for step in (2, 4, 6)]
    # The steps after the last line are in the log too.
    assert lines == [heldout[0], ("train", 4), *heldout[1:], ("train", 6)]
    assert impatient.ended_early and impatient.history[-1]["step"] == 6
    assert _steps_kept(impatient) == [2, 6]


def test_the_model_then_has_its_best_weights(impatient):
    best, last = _saved(impatient, 2), _saved(impatient, 6)
    state = impatient._steps.state()
    assert all((state[name] == best[name]).all() for name in best)
    assert any((last[name] != best[name]).any() for name in best)
    stored = [v for name, v in best.items() if name.startswith("model/")]
    for actual, value in zip(_values(impatient), stored, strict=True):
        np.testing.assert_array_equal(actual, value)
    assert impatient.result["step"] == 2 and impatient.result["split"] == "heldout"


def test_broken_off_it_ends_at_the_same_step(impatient, tmp_path, monkeypatch):
    run = _run(tmp_path / "run", **IMPATIENT)
    _killed_at(run, 6, monkeypatch)
    assert _steps_kept(run) == [2, 3]  # step 4 is evaluated again, and counted once
    again = _run(tmp_path / "run", **IMPATIENT)
    again()
    _assert_same(again, impatient)


def test_started_again_it_does_not_train_on(impatient, monkeypatch):
    log = (impatient.directory / "metrics.jsonl").read_bytes()
    again = _run(impatient.directory, **IMPATIENT)
    monkeypatch.setattr(loop, "next_batch", None)  # whoever trains needs it
    again()
    assert (impatient.directory / "metrics.jsonl").read_bytes() == log
    _assert_same(again, impatient)


def test_with_more_patience_it_trains_on(impatient, tmp_path):
    shutil.copytree(impatient.directory, tmp_path / "run")
    again = _run(tmp_path / "run", **{**IMPATIENT, "patience": 3})
    again()
    assert again.history[-1]["step"] == 8 and again.ended_early
    assert again.result == impatient.result


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"patience": 2}, ConfigError, "evaluate_every above 0.*evaluate_every=0"),
        ({**IMPATIENT, "keep_best": False}, ConfigError, "keep_best=False"),
        ({**IMPATIENT, "patience": 0}, ConfigError, "patience of 1 or more"),
        ({**IMPATIENT, "min_delta": -1.0}, ConfigError, "min_delta of 0 or more"),
        ({**IMPATIENT, "heldout": False}, ConfigError, "Expected held-out data"),
        ({"monitor": "acuracy"}, UnknownNameError, "accuracy"),
        ({"freeze_layers": 2}, ConfigError, "0 to 1 layers.*Received: 2"),
        ({"unfreeze_every": 0}, ConfigError, "unfreeze_every of 1 or more"),
        ({"freeze": ["pooler", "layer_7"]}, ConfigError, r"'layer_7'.*of embeddings, "),
        ({"freeze": ["layer_["]}, ConfigError, r"regular expression.*'layer_\['"),
        ({"freeze": ["layer", "[epc]"]}, ConfigError, "Expected weights to train"),
        ({"label_smoothing": 1.0}, ConfigError, "label_smoothing in"),
        ({"fgm": 1.0, "lora": 2}, ConfigError, "no lora with fgm.*lora=2"),
        ({"r_drop": -1.0}, ConfigError, "r_drop of 0 or more"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_written(tmp_path, changes, error, words):
    with pytest.raises(error, match=words):
        _run(tmp_path / "run", **changes)()
    assert not (tmp_path / "run").exists()


def _ends_at(plan, values):
    """The evaluations after which a run ends, and which one was best."""
    best = BestEvaluation(plan, {})
    for step, value in enumerate(values):
        best.improves(step, value)
        if best.patience_exhausted:
            break
    return step, best.step


@settings(deadline=None, max_examples=50)
@given(
    values=st.lists(st.integers(0, 12), min_size=1, max_size=14),
    patience=st.integers(1, 4),
    min_delta=st.integers(0, 3),
    monitor=st.sampled_from(["loss", "accuracy"]),
)
def test_it_ends_where_keras_does(values, patience, min_delta, monitor):
    plan = Plan(
        steps=1,
        patience=patience,
        monitor=monitor,
        min_delta=min_delta,
        evaluate_every=1,
    )
    theirs = keras.callbacks.EarlyStopping(
        monitor,
        min_delta,
        patience,
        mode="max" if monitor == "accuracy" else "min",
        restore_best_weights=True,
    )
    theirs.set_model(keras.Sequential())
    theirs.model.stop_training = False
    theirs.on_train_begin()
    for epoch, value in enumerate(values):
        theirs.on_epoch_end(epoch, {monitor: value})
        if theirs.model.stop_training:
            break
    assert _ends_at(plan, values) == (epoch, theirs.best_epoch)


def test_a_number_that_is_none_is_never_the_best():
    plan = Plan(steps=1, patience=3, evaluate_every=1)
    assert _ends_at(plan, [math.nan, 5.0, math.nan, math.inf, 6.0, 4.0]) == (4, 1)


# === Freezing ===

THAWING = dict(unfreeze_every=3, keep=9)


@pytest.fixture(scope="module")
def thawing(tmp_path_factory):
    run = _run(tmp_path_factory.mktemp("runs") / "run", heldout=False, **THAWING)
    run()
    return run


def _moved(run, steps):
    """Parts of the model that moved from each checkpoint to the next."""
    paths = {n: v.path for n, v in enumerate(run.model.variables) if v.trainable}
    found = []
    for one, other in pairwise(steps):
        before, after = _saved(run, one), _saved(run, other)
        names = [n for n in before if n.startswith("model/")]
        moved = {n for n in names if (before[n] != after[n]).any()}
        numbers = {int(name.split("/")[1]) for name in moved} & paths.keys()
        found.append({paths[number].split("/")[0] for number in numbers})
    return found


ABOVE = {"pooler", "classifier"}


def test_a_layer_thaws_after_so_many_steps(thawing):
    assert _moved(thawing, [3, 6, 9, 12]) == [
        {*ABOVE, "layer_0"},
        {*ABOVE, "layer_0", "embeddings"},
        {*ABOVE, "layer_0", "embeddings"},
    ]
    start = BertForSequenceClassification(TINY, seed=1)
    for number, variable in enumerate(start.variables):
        moved = (_saved_model(thawing, 3)[number] != np.asarray(variable)).any()
        if variable.trainable:
            assert moved == (variable.path.split("/")[0] in ABOVE), variable.path


def _saved_model(run, step):
    return [v for name, v in _saved(run, step).items() if name.startswith("model/")]


def test_broken_off_after_a_thaw_it_goes_on_to_the_same_bits(
    thawing, tmp_path, monkeypatch
):
    run = _run(tmp_path / "run", heldout=False, **THAWING)
    _killed_at(run, 5, monkeypatch)  # to thaw once more, after step 3
    again = _run(tmp_path / "run", heldout=False, **THAWING)
    again()
    _assert_same(again, thawing)


def test_what_is_frozen_for_the_whole_run_stays(tmp_path):
    frozen = dict(freeze_layers=0, freeze=["^pooler/", "attention/"])
    run = _run(tmp_path / "run", heldout=False, steps=6, keep=9, **frozen)
    run()
    assert _moved(run, [3, 6]) == [{"classifier", "layer_0"}]
    with pytest.raises(ConfigError, match=r"freeze \['\^pooler/', 'attention/'\], now"):
        _run(tmp_path / "run", heldout=False, steps=6, freeze_layers=0)()


def test_adapters_go_on_to_the_same_bits_and_are_kept(tmp_path, monkeypatch):
    """The encoder's own weights never change, and have no state in the optimizer."""
    options = dict(heldout=False, steps=6, keep=9, lora=2, lora_dropout=0.2)
    whole = _run(tmp_path / "whole", **options)
    whole()
    run = _run(tmp_path / "run", **options)
    _killed_at(run, 4, monkeypatch)
    again = _run(tmp_path / "run", **options)
    again()
    _assert_same(again, whole)
    start = {
        v.path: ops.convert_to_numpy(v)
        for v in BertForSequenceClassification(TINY, seed=1).encoder.weights
    }
    for variable in again.model.encoder.weights:
        if variable.path in start:
            np.testing.assert_array_equal(variable, start[variable.path])
    slots = {v.path for v in again.optimizer._momentums}
    assert len(slots) == 2 * 2 + 2  # of one layer's query and value; of the head
    names = [p.name for p in sorted((tmp_path / "run" / "adapter").iterdir())]
    assert names == ["adapter_config.json", "adapter_model.safetensors"]
    with pytest.raises(ConfigError, match="lora 2, now 3"):
        _run(tmp_path / "run", **{**options, "lora": 3})()


def test_layers_frozen_by_step():
    def frozen(**options):
        plan = Plan(steps=9, **options)
        return [plan.layers_frozen(step, 2) for step in (1, 4, 5, 8, 9, 13)]

    assert frozen() == [None] * 6
    assert frozen(freeze_layers=1) == [1] * 6
    assert frozen(unfreeze_every=4) == [2, 2, 1, 1, 0, None]
    assert frozen(unfreeze_every=4, freeze_layers=0) == [0, 0, None, None, None, None]


# === float16 ===


def test_scale_and_skipped_steps_are_in_the_log(tmp_path, monkeypatch):
    start = 2.0**25  # overflows for a while
    options = dict(dtype="mixed_float16", optimizer_options={"initial_scale": start})
    run = _run(tmp_path / "whole", **options)
    run()
    lines = [line for line in run.history if line["split"] == "train"]
    skipped = [line["skipped_steps"] for line in lines]
    scales = [line["loss_scale"] for line in lines]
    halved = np.log2(np.array([start, *scales[:-1]]) / scales)
    np.testing.assert_array_equal(halved, skipped)
    assert skipped[0] > 0 and skipped[-1] == 0
    again = _run(tmp_path / "run", **options)
    _killed_at(again, 6, monkeypatch)  # between two lines
    again = _run(tmp_path / "run", **options)
    again()
    _assert_same(again, run)


# === Activation checkpointing ===


def test_layers_computed_twice_take_the_same_steps(thawing, tmp_path, monkeypatch):
    calls, remat = [], keras.remat

    def spy(function):
        calls.append(function)
        return remat(function)

    monkeypatch.setattr(keras, "remat", spy)
    changes = {**THAWING, "activation_checkpointing": True}
    run = _run(tmp_path / "run", heldout=False, **changes)
    run()
    assert calls and not run.model.encoder.activation_checkpointing
    for line, other in zip(run.history, thawing.history, strict=True):
        assert line["loss"] == pytest.approx(other["loss"], rel=1e-5)


# === The log ===


def test_evaluation_is_not_training_time(tmp_path, monkeypatch):
    """A clock that a step moves by 1 and a held-out batch by 50."""
    now, next_batch = [0.0], loop.next_batch

    def train(batches, number):
        now[0] += 1
        return next_batch(batches, number)

    class Heldout(Rows):
        def __call__(self, *arguments):
            now[0] += 50
            return super().__call__(*arguments)

    run = _run(tmp_path / "run", steps=8, evaluate_every=3)
    run.heldout = Heldout(2)
    monkeypatch.setattr(loop, "next_batch", train)
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now[0]))
    lines = [line for line in run() if line["split"] == "train"]
    assert [line["step"] for line in lines] == [4, 8]
    for line in lines:
        assert line["tokens_per_second"] == pytest.approx(ROWS * 7)
    assert lines[-1]["time"] == 8 + 2 * 2 * 50


# === The progress line ===

# As wide as they get.
LINE = {
    "loss": 7.053,
    "mlm_accuracy": 0.664,
    "nsp_accuracy": 0.959,
    "grad_norm": 0.74,
    "learning_rate": 4e-4,
    "loss_scale": 2.0**15,
    "skipped_steps": 2,
    "tokens_per_second": 115_294.0,
    "matmul_share": 0.62,
}


class Terminal(io.StringIO):
    """What a terminal is told."""

    def isatty(self):
        return True


def test_on_a_terminal_two_lines_hold_all_numbers_in_80_columns():
    assert progress(LINE) == (
        "loss 7.053, mlm 66.4%, nsp 95.9%, norm 0.74, lr 4.0e-04, scale 2^15, 2 skipped"
    )
    assert len(progress(LINE)) <= 80
    terminal = Terminal()
    with Progress(1_000_000, 567_000, True, terminal) as drawn:
        drawn.update()
        drawn.show(LINE)
    lines = re.split(r"[\r\n]+|\x1b\[A", terminal.getvalue())
    assert progress(LINE) in [line.strip() for line in lines]
    bars = [line for line in lines if "tokens/s" in line]
    assert "567001/1000000" in bars[-1] and bars[-1].endswith("62% of matmul")


def test_in_a_file_one_line_holds_all_numbers():
    file = io.StringIO()
    with Progress(9, 0, True, file) as drawn:
        drawn.show(LINE)
        drawn.update()
    last = file.getvalue().split("\r")[-1]
    assert progress(LINE) in last and "115,294 tokens/s, 62% of matmul" in last
    assert "\x1b" not in file.getvalue()


@pytest.mark.parametrize(
    ("kind", "least", "most"), [(Terminal, 40, 250), (io.StringIO, 2, 20)]
)
def test_a_file_is_written_to_less_often(kind, least, most, monkeypatch):
    """A log of days would fill with a line for every tenth of a second."""
    seconds, file = iter(range(1000)), kind()
    monkeypatch.setattr("tqdm._monitor.TMonitor.start", lambda self: None)
    with Progress(100, 0, True, file) as drawn:
        drawn._bar._time = lambda: next(seconds)
        drawn._bar.start_t = drawn._bar.last_print_t = 0
        for _ in range(100):
            drawn.update()
    assert least <= file.getvalue().count("\r") <= most


def test_hidden_it_draws_nothing():
    terminal = Terminal()
    with Progress(9, 0, False, terminal) as drawn:
        drawn.update()
        drawn.show(LINE)
    assert terminal.getvalue() == ""


# === Plans of earlier runs ===


def test_a_plan_written_before_a_number_existed_is_the_same(tmp_path):
    plan = Plan(steps=7)
    claim(tmp_path, plan, TINY)
    file = tmp_path / "plan.json"
    stored = json.loads(file.read_text())
    new = ("monitor", "patience", "min_delta", "freeze_layers", "unfreeze_every")
    for name in (*new, "activation_checkpointing"):
        assert stored["plan"].pop(name) == asdict(plan)[name]
    file.write_text(json.dumps(stored))
    claim(tmp_path, plan, TINY)
    claim(tmp_path, Plan(steps=7, activation_checkpointing=True), TINY)
    with pytest.raises(ConfigError, match="freeze_layers None, now 1"):
        claim(tmp_path, Plan(steps=7, freeze_layers=1), TINY)


@pytest.mark.slow
def test_on_jax():
    assert passed("jax", "training/test_plans.py", "-m", "not slow") > 20
