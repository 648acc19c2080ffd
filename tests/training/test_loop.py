"""The training loop: its files, resuming, stopping, evaluation."""

import json
import math
import os
import signal

import numpy as np
import pytest
import tensorflow as tf

from keras_bert.errors import ConfigError, InputError
from keras_bert.models import BertForPreTraining, BertForSequenceClassification
from keras_bert.pretraining.numpy_reading import RecordBatches
from keras_bert.pretraining.tfrecords import write_records
from keras_bert.tokenization import BertTokenizer
from keras_bert.training import loop, monitoring
from keras_bert.training.batches import CheckedBatches
from keras_bert.training.loop import Plan, Run, TrainingStopped
from tests.pretraining.cases import WORDS, compact_records
from tests.training.cases import (
    EXAMPLES,
    STEPS,
    TINY,
    arrays,
    plan_of,
    run_of,
    train_data,
)
from tests.vocabulary import SPECIAL

TIMED = ("time", "tokens_per_second", "matmul_share")


def _kept(folder):
    return {path.name for path in (folder / "checkpoints").iterdir()}


def _without_times(lines):
    return [{k: v for k, v in line.items() if k not in TIMED} for line in lines]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of all steps in one go."""
    run = run_of(tmp_path_factory.mktemp("runs") / "whole")
    run()
    return run


# === What a run writes ===


def test_files_of_a_run(whole):
    folder = whole.directory
    names = {path.name for path in folder.iterdir()}
    assert names == {"plan.json", "metrics.jsonl", "tensorboard", "checkpoints"}
    stored = json.loads((folder / "plan.json").read_text())
    assert stored["plan"]["steps"] == STEPS
    assert stored["config"] == TINY.to_dict()
    assert _kept(folder) == {"step-8", "step-10", "step-12"}  # 8 is the best


TRAIN_KEYS = {
    *("step", "split", "loss", "mlm_loss", "mlm_accuracy", "nsp_loss", "nsp_accuracy"),
    *("grad_norm", "learning_rate", "tokens_per_second", "matmul_share", "time"),
}
ONLY_TRAINING = {"grad_norm", "learning_rate", "tokens_per_second", "matmul_share"}
HELDOUT_KEYS = TRAIN_KEYS - ONLY_TRAINING | {"mlm_perplexity"}


def test_lines_of_the_log(whole):
    text = (whole.directory / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert lines == whole.history
    by_split = {
        split: [line for line in lines if line["split"] == split]
        for split in ("train", "heldout")
    }
    assert [line["step"] for line in by_split["train"]] == [2, 4, 6, 8, 10, 12]
    assert [line["step"] for line in by_split["heldout"]] == [4, 8, 12]
    assert all(line.keys() == TRAIN_KEYS for line in by_split["train"])
    assert all(line.keys() == HELDOUT_KEYS for line in by_split["heldout"])
    times = [line["time"] for line in lines]
    assert times == sorted(times) and times[0] > 0
    # Each rate is that of its step, the first of the run having rate 0.
    rates = [line["learning_rate"] for line in by_split["train"]]
    expected = [1e-3 / 3] + [1e-3 * (1 - step / 12) for step in (3, 5, 7, 9, 11)]
    np.testing.assert_allclose(rates, expected, rtol=1e-5)
    for line in lines:
        assert line["loss"] == pytest.approx(line["mlm_loss"] + line["nsp_loss"], 0.05)


@pytest.mark.parametrize("limit, shown", [(4e9, "75%"), (3e9, "100%"), (2e9, None)])
def test_a_share_is_at_most_all_or_not_shown(limit, shown):
    line = {"tokens_per_second": 7.0, **monitoring.matmul_share(3e9, limit)}
    expected = "7 tokens/s" + (f", {shown} of matmul" if shown else "")
    assert monitoring.progress(line, monitoring._SPEED) == expected


def test_tensorboard_shows_the_same_numbers(whole):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for split in ("train", "heldout"):
        events = EventAccumulator(str(whole.directory / "tensorboard" / split))
        events.Reload()
        lines = [line for line in whole.history if line["split"] == split]
        stored = [(event.step, event.value) for event in events.Scalars("mlm_loss")]
        expected = [(line["step"], np.float32(line["mlm_loss"])) for line in lines]
        assert stored == expected


# === Going on ===


class Killed(BaseException):
    """Nothing is saved on the way out."""


def _kill():
    raise Killed


def _press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def _press_ctrl_c_twice():
    _press_ctrl_c()
    _press_ctrl_c()


def _terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def _break_off(run, step, act, monkeypatch):
    """Runs, and acts in the midst of a step."""
    next_batch = loop.next_batch

    def act_there(batches, number):
        batch = next_batch(batches, number)
        if number == step:
            act()
        return batch

    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patch:
        patch.setattr(loop, "next_batch", act_there)
        with pytest.raises((KeyboardInterrupt, Killed)):
            run()
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers


def _assert_same_run(actual, expected):
    pairs = zip(actual.model.variables, expected.model.variables, strict=True)
    for one, other in pairs:  # the state of dropout's seed among them
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)
    assert _without_times(actual.history) == _without_times(expected.history)


@pytest.mark.parametrize(
    "act, step, kept",
    [
        pytest.param(  # between two lines of the log
            _press_ctrl_c, 7, {"step-4", "step-5", "step-7"}, marks=pytest.mark.slow
        ),
        pytest.param(  # tests/cli/test_training.py does it, too
            _terminate, 8, {"step-5", "step-8"}, marks=pytest.mark.slow
        ),
        pytest.param(
            _press_ctrl_c_twice, 7, {"step-4", "step-5"}, marks=pytest.mark.slow
        ),
        # Steps 6 to 8 are in the log already, and are done and logged again.
        (_kill, 9, {"step-5", "step-8"}),
    ],
)
def test_a_run_broken_off_goes_on_to_the_same_bits(
    act, step, kept, whole, tmp_path, monkeypatch
):
    run = run_of(tmp_path / "run")
    _break_off(run, step, act, monkeypatch)
    assert _kept(run.directory) == kept
    again = run_of(tmp_path / "run")
    again()
    _assert_same_run(again, whole)


@pytest.fixture(scope="module")
def compact(tmp_path_factory):
    """Records that are masked when they are read, and their tokenizer."""
    folder = tmp_path_factory.mktemp("compact")
    write_records(folder / "r.tfrecord", [compact_records(EXAMPLES)])
    (folder / "vocab.txt").write_text("\n".join(SPECIAL + WORDS) + "\n")
    return folder


def _run_of_everything(compact, folder, optimizer="adamw"):
    """Averages, parts, float16 that overflows, layers that thaw, masks drawn anew."""
    tokenizer = BertTokenizer(compact / "vocab.txt")
    config = TINY.replace(vocab_size=tokenizer.vocab_size)
    plan = plan_of(
        optimizer=optimizer,
        ema_momentum=0.9,
        gradient_accumulation_steps=2,
        optimizer_options={"initial_scale": 2.0**26},
        unfreeze_every=4,
        layer_decay=0.9,
    )
    return Run(
        BertForPreTraining(config, seed=1, dtype="mixed_float16"),
        plan,
        folder,
        RecordBatches(compact / "*.tfrecord", 10, seed=1, tokenizer=tokenizer),
        show_progress=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "lamb"])
def test_everything_at_once_goes_on_to_the_same_bits(
    optimizer, compact, tmp_path, monkeypatch
):
    whole = _run_of_everything(compact, tmp_path / "whole", optimizer)
    whole()
    skipped = [line["skipped_steps"] for line in whole.history]
    assert skipped[0] and not skipped[-1]  # the scale is found on the way
    run = _run_of_everything(compact, tmp_path / "run", optimizer)
    _break_off(run, 8, _kill, monkeypatch)  # from step 5 on, over a thaw
    again = _run_of_everything(compact, tmp_path / "run", optimizer)
    again()
    _assert_same_run(again, whole)
    state, wanted = again._steps.state(), whole._steps.state()
    assert {n for n in wanted if n.endswith(("_average", "loss_scale", "moving"))}
    for name, value in wanted.items():
        np.testing.assert_array_equal(state[name], value, err_msg=name)


class _Batches:
    """Batches by number, of records with names; the labels of one are spoiled."""

    batch_size = 4

    def __init__(self, output, value):
        self.output, self.value = output, value

    def __len__(self):
        return 3

    def __call__(self, step, rows=slice(None)):
        features, labels, weights = arrays(self.batch_size)
        batch = {**features, **labels}
        if step == 2:
            batch[self.output][3] = self.value
        parts = features, labels, weights
        return tuple({k: x[rows] for k, x in part.items()} for part in parts)

    def describe(self, step):
        return [f"shard.tfrecord#{row + 10 * step}" for row in range(self.batch_size)]


@pytest.mark.parametrize(
    ("field", "value", "range_"),
    [
        ("input_ids", 99, "input_ids from 0 to 98"),
        ("masked_lm_positions", 11, "masked_lm_positions from 0 to 10"),
        ("prediction_logits", -1, "labels of prediction_logits from 0 to 98"),
        ("seq_relationship_logits", 2, "labels of seq_relationship_logits from 0 to 1"),
    ],
)
def test_a_record_out_of_range_is_named(field, value, range_, tmp_path):
    source = CheckedBatches(
        _Batches(field, value), BertForPreTraining(TINY).checked_batch
    )
    assert len(source) == 3
    for step in (1, 3):
        source(step)
    message = (
        rf"{range_}.*Received: {value} in row 3.*batch 2, record shard.tfrecord#23"
    )
    with pytest.raises(InputError, match=message):
        source(2)
    source(2, slice(0, 3))
    with pytest.raises(InputError, match=r"in row 1.*shard.tfrecord#23"):
        source(2, slice(2, 4))


def test_a_run_that_ended_is_only_read(whole):
    again = run_of(whole.directory)
    assert again() == whole.history
    _assert_same_run(again, whole)


@pytest.mark.parametrize("changes", [{"steps": 13}, {"learning_rate": 2e-3}])
def test_another_plan_in_the_directory_is_refused(whole, changes):
    before = (whole.directory / "plan.json").read_bytes()
    with pytest.raises(ConfigError, match="another plan or model"):
        run_of(whole.directory, plan=plan_of(**changes))()
    assert (whole.directory / "plan.json").read_bytes() == before


# === Stopping ===


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    def spoil(features, labels, weights):
        weights = {key: value * np.inf for key, value in weights.items()}
        return features, labels, weights

    data = train_data().take(6).concatenate(train_data().map(spoil))
    run = run_of(tmp_path / "run", heldout=False, train=data)
    with pytest.raises(TrainingStopped) as stopped:
        run()
    message = str(stopped.value)
    assert "step 7" in message and "step-5" in message and "0.001" in message
    # What is kept is from before the loss was lost.
    steps = [
        json.loads(line)["step"] for line in (run.directory / "metrics.jsonl").open()
    ]
    assert steps == [2, 4, 6]
    assert run._checkpoints.latest().name == "step-5"


def test_a_checkpoint_is_never_written_with_a_loss_that_is_no_number(tmp_path):
    def spoil(features, labels, weights):
        return features, labels, {k: v * np.nan for k, v in weights.items()}

    data = train_data().take(3).concatenate(train_data().map(spoil))
    plan = plan_of(log_every=100, checkpoint_every=2)
    run = run_of(tmp_path / "run", heldout=False, train=data, plan=plan)
    with pytest.raises(TrainingStopped):
        run()
    assert run._checkpoints.latest().name == "step-2"


def test_data_that_ends_is_an_error(tmp_path):
    run = run_of(tmp_path / "run", heldout=False, train=train_data().take(4))
    with pytest.raises(InputError, match=r"ended at step 5\. Repeat the dataset"):
        run()


@pytest.mark.parametrize(
    "changes", [{"steps": 0}, {"warmup_steps": -1}, {"warmup_steps": 13}]
)
def test_plans_that_contradict_themselves(changes):
    name = next(iter(changes)).split("_")[0]
    with pytest.raises(ConfigError, match=name):
        plan_of(**changes)


# === Evaluation ===


def _log_softmax(logits):
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def test_heldout_numbers_are_over_all_batches(whole):
    """Batches of 5, 5 and 3 with unequal weights: not the mean of their means."""
    features, labels, weights = arrays(13)
    outputs = whole.model(features)
    expected = {}
    names = {"mlm": "prediction_logits", "nsp": "seq_relationship_logits"}
    for short, name in names.items():
        logits, ids, weight = outputs[name].numpy(), labels[name], weights[name]
        picked = np.take_along_axis(_log_softmax(logits), ids[..., None], -1)[..., 0]
        right = logits.argmax(-1) == ids
        expected[f"{short}_loss"] = -(picked * weight).sum() / weight.sum()
        expected[f"{short}_accuracy"] = (right * weight).sum() / weight.sum()
    expected["loss"] = expected["mlm_loss"] + expected["nsp_loss"]
    last = whole.history[-1]
    assert last["split"] == "heldout"
    for name, value in expected.items():
        assert last[name] == pytest.approx(value, rel=1e-5), name


def test_a_model_with_one_output_and_no_weights_learns(tmp_path):
    config = TINY.replace(num_labels=2)
    ids = np.random.default_rng(0).integers(2, 99, (24, 7)).astype("int32")
    labels = (ids[:, 2] > 50).astype("int32")
    ids[:, 1] = 1 + labels
    data = tf.data.Dataset.from_tensor_slices(({"input_ids": ids}, labels))
    run = Run(
        BertForSequenceClassification(config, seed=1),
        Plan(steps=30, learning_rate=3e-3, evaluate_every=15),
        tmp_path / "run",
        data.shuffle(24, seed=1).repeat().batch(8),
        data.batch(8),
        show_progress=False,
    )
    first, last = run()[0], run.history[-1]
    assert first.keys() >= {"loss", "accuracy"} and math.isfinite(first["loss"])
    assert last["accuracy"] > 0.9 and last["loss"] < first["loss"]
