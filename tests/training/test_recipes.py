"""Recipes: what they say, how they are changed, what is refused, what is estimated."""

import json
import math
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from keras_bert import BertConfig, BertForPreTraining
from keras_bert.cli.plan_summary import duration
from keras_bert.cli.run_checks import CONTRADICTIONS, RunChecks
from keras_bert.errors import (
    CheckpointError,
    ConfigError,
    InputError,
    UnknownNameError,
)
from keras_bert.families.bert import SMALL_SIZES
from keras_bert.pretraining.record_form import RecordForm
from keras_bert.pretraining.settings import DataSettings
from keras_bert.training import estimates
from keras_bert.training.checkpointing import Checkpoints, hand_over
from keras_bert.training.plan import Plan
from keras_bert.training.recipes import (
    FINE_TUNING,
    PRETRAINING,
    Phase,
    Recipe,
    override,
    settings,
)

# === The values ===


@pytest.mark.parametrize("name", PRETRAINING)
def test_a_recipe_makes_plans_and_names_data(name):
    recipe = PRETRAINING[name]
    assert recipe.summary and ("arXiv" in recipe.source or "README" in recipe.source)
    plans = recipe.plans()
    assert len(plans) == len(recipe.phases)
    config = BertConfig.preset(recipe.model)
    for plan, phase in zip(plans, recipe.phases, strict=True):
        data = DataSettings(**phase.data)
        assert data.max_seq_length <= config.max_position_embeddings
        assert data.max_predictions_per_seq == math.ceil(0.15 * data.max_seq_length)
        assert phase.batch_size % plan.gradient_accumulation_steps == 0
        plan.optimizer_for(config)


def test_the_numbers_are_those_of_the_papers():
    base, lamb = PRETRAINING["bert-base"], PRETRAINING["lamb-64k"]
    assert [(p.steps, p.batch_size) for p in base.phases] == [
        (900_000, 256),
        (100_000, 256),
    ]
    assert not base.bias_correction  # Google's optimizer
    assert [(p.steps, p.batch_size) for p in lamb.phases] == [
        (7038, 65_536),
        (1563, 32_768),
    ]
    roberta = PRETRAINING["roberta-base"]
    assert roberta.clip_norm is None and roberta.bias_correction
    assert roberta.optimizer_options == {"beta_2": 0.98, "epsilon": 1e-6}
    large = PRETRAINING["roberta-large"].phases[0]
    assert (large.learning_rate, large.warmup_steps) == (4e-4, 30_000)
    domain = PRETRAINING["roberta-domain"].phases[0]
    found = (domain.steps, domain.batch_size, domain.warmup_steps, domain.learning_rate)
    assert found == (12_500, 2048, 750, 5e-4)
    assert {f"bert-{size}" for size in SMALL_SIZES} <= PRETRAINING.keys()
    squad = FINE_TUNING["squad-2.0"]
    assert (squad.epochs, squad.batch_size, squad.learning_rate) == (2, 48, 5e-5)


def test_two_phases_are_one_schedule():
    """The pieces give the rates of one linear run, at every step."""
    whole = Plan(steps=100, learning_rate=0.3, warmup_steps=7).learning_rate_schedule()
    phases = (
        Phase(steps=70, batch_size=5, learning_rate=0.3, warmup_steps=7),
        Phase(steps=30, batch_size=5),
    )
    first, second = Recipe(phases=phases).plans()
    found = [float(first.learning_rate_schedule()(step)) for step in range(70)]
    found += [float(second.learning_rate_schedule()(step)) for step in range(30)]
    expected = [float(whole(step)) for step in range(100)]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)


def test_layers_thaw_in_the_first_phase():
    first, second = override(TINY, {"unfreeze_every": 50}).plans()
    assert (first.unfreeze_every, second.unfreeze_every) == (50, None)
    first, second = override(TINY, {"freeze_layers": 1}).plans()
    assert first.freeze_layers == second.freeze_layers == 1


def test_a_phase_with_its_own_rate_warms_up_again():
    first, second = PRETRAINING["lamb-64k"].plans()
    assert (first.warmup_steps, second.warmup_steps) == (2000, 200)
    assert first.schedule == second.schedule == "polynomial"
    assert second.learning_rate == 4e-3


@pytest.mark.parametrize("name", FINE_TUNING)
def test_a_grid_holds_the_published_combinations(name):
    task = FINE_TUNING[name]
    found = list(task.grid())
    assert len(found) == len(task.batch_sizes) * len(task.learning_rates) * len(
        task.epoch_counts
    )
    for combination in found:
        changed = override(task, combination)
        assert {n: getattr(changed, n) for n in combination} == combination


def test_a_task_makes_a_plan():
    changes = {"epochs": 2.5, "batch_size": 4, "gradual_unfreezing": True}
    plan = override(FINE_TUNING["roberta-glue"], changes).plan(21, patience=None)
    assert (plan.steps, plan.warmup_steps, plan.unfreeze_every) == (14, 1, 6)
    assert plan.clip_norm is None and plan.optimizer_options["beta_2"] == 0.98
    assert FINE_TUNING["rte"].plan(21).unfreeze_every is None


def test_a_task_weighs_classes():
    counts = {"neg": 30, "pos": 10}
    balanced = override(FINE_TUNING["rte"], {"class_weight": "balanced"})
    assert balanced.plan(40, counts).class_weight == [pytest.approx(2 / 3), 2.0]
    named = override(FINE_TUNING["rte"], {"class_weight": {"pos": 2.5}})
    assert named.plan(40, counts).class_weight == [1.0, 2.5]
    assert FINE_TUNING["rte"].plan(40, counts).class_weight is None


@pytest.mark.parametrize(
    "changes, counts, words",
    [
        ({"class_weight.pso": 2}, {"neg": 3, "pos": 1}, r"of neg, pos. .*\['pso'\]"),
        ({"class_weight": "balanced"}, {"neg": 3, "pos": 0}, r"every class.*\['pos'\]"),
        ({"class_weight": "balanced"}, {}, "classes to balance"),
        ({"class_weight.pos": "two"}, {"neg": 3, "pos": 1}, "numbers .*'two'"),
        (
            {"class_weight.pos": 2, "balance_classes": True},
            {"neg": 3, "pos": 1},
            "without balance_classes",
        ),
        ({"class_weight.pos": 0}, {"neg": 3, "pos": 1}, "class_weight above 0"),
        ({"label_smoothing": 1.5}, {}, "label_smoothing in"),
    ],
)
def test_weights_that_no_class_can_have_are_refused(changes, counts, words):
    with pytest.raises(ConfigError, match=words):
        override(FINE_TUNING["rte"], changes).plan(40, counts)


# === Overriding ===

TINY = PRETRAINING["bert-tiny"]


@pytest.mark.parametrize(
    "changes", [{"epochs": 0}, {"epochs": -1.0}, {"warmup": 1.5}, {"warmup": -0.1}]
)
def test_a_task_of_no_length_is_refused(changes):
    (wrong,) = changes.items()
    task = replace(FINE_TUNING["rte"], **changes)
    with pytest.raises(ConfigError, match=re.escape(f"{wrong[0]}={wrong[1]}")):
        task.plan(100)


def test_settings_round_trip_through_json():
    for recipe in (*PRETRAINING.values(), *FINE_TUNING.values()):
        text = json.dumps(settings(recipe))
        blank = replace(recipe, weight_decay=0.5)
        assert settings(override(blank, json.loads(text))) == json.loads(text)


def test_a_rate_changes_the_phase_that_has_one():
    changed = override(TINY, {"learning_rate": "2e-4", "warmup_steps": 5})
    assert [(p.learning_rate, p.warmup_steps) for p in changed.phases] == [
        (2e-4, 5),
        (None, 0),
    ]


def test_data_is_changed_by_name_in_one_phase_or_all():
    changed = override(TINY, {"data.masking": "word", "phase-2.data.form": "compact"})
    assert [p.data["masking"] for p in changed.phases] == ["word", "word"]
    assert "form" not in changed.phases[0].data
    assert changed.phases[1].data["form"] == "compact"
    assert changed.phases[1].data["max_seq_length"] == 512


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"learning_rat": 1}, UnknownNameError, "learning_rate"),
        ({"phase-3.steps": 1}, UnknownNameError, "phase-2"),
        ({"phase-2.model": "base"}, UnknownNameError, "setting of a phase"),
        ({"batch_size": 2.5}, ConfigError, "2.5"),
        ({"batch_size": True}, ConfigError, "int"),
        ({"learning_rate": "fast"}, ConfigError, "'fast'"),
        ({"bias_correction": 1}, ConfigError, "bool"),
        ({"data": 3}, ConfigError, "data.max_seq_length"),
        ({"model.x": 3}, ConfigError, "no name inside"),
        ({"weight_decay": None}, ConfigError, "None"),
    ],
)
def test_a_wrong_change_is_named(changes, error, words):
    with pytest.raises(error, match=words):
        override(TINY, changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"warmup_steps": 900_001}, "warmup_steps from 0 to steps=900000"),
        ({"schedule": "cosine"}, "schedule='linear'"),
        ({"phase-2.warmup_steps": 3}, "no warm-up of its own"),
        ({"phase-1.learning_rate": None}, "learning_rate of the first phase"),
        ({"steps": 1, "warmup_steps": 0}, "steps of 1 or more"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        override(TINY, changes).plans()


def test_a_schedule_that_is_none_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'linear'"):
        override(TINY, {"schedule": "linera"}).plans()


# === Refusals ===

STATIC = RecordForm(
    False, "google", False, True, {"seq": 128, "pieces": 1, "predictions": 20}
)
COMPACT = STATIC._replace(compact=True, sizes={"seq": 128, "pieces": 1})
FITTING = RunChecks(1, TINY.phases[0], TINY, "r*", STATIC, False, False, False)


def _phase(**changes):
    return {"phase": replace(TINY.phases[0], **changes)}


WRONG = {
    "no checkpoint": ({"recipe": replace(TINY, from_checkpoint=True)}, "--init"),
    "state without checkpoint": ({"has_optimizer_state": True}, "--init-optimizer"),
    "no tokenizer": ({"form": COMPACT}, "--vocab"),
    "microbatches": (
        _phase(gradient_accumulation_steps=3),
        "256 rows in 3 microbatches",
    ),
    "LAMB without decay": (
        {"recipe": replace(TINY, optimizer="lamb", weight_decay=0.0)},
        "weight_decay above 0",
    ),
    "length": (_phase(data={"max_seq_length": 64}), "max_seq_length=64.*=128"),
    "predictions": (
        _phase(data={"max_predictions_per_seq": 19}),
        "max_predictions_per_seq=19",
    ),
    "no labels": ({"form": STATIC._replace(labeled=False)}, "objective=nsp"),
    "labels": (_phase(data={"objective": "none"}), "objective=none"),
    "static": (_phase(data={"form": "compact"}), "form=compact.*form=static"),
    "not packed": (_phase(data={"pieces_per_row": 4}), "pieces_per_row=4"),
}


def test_what_fits_is_let_through():
    FITTING.run()
    FITTING._replace(form=COMPACT, has_tokenizer=True).run()
    order = replace(TINY.phases[0], data={"objective": "sop"})
    FITTING._replace(phase=order).run()


@pytest.mark.parametrize("name", WRONG)
def test_a_contradiction_is_one_error(name):
    changes, words = WRONG[name]
    with pytest.raises((ConfigError, InputError), match=words) as raised:
        FITTING._replace(**changes).run()
    assert "Received" in str(raised.value)


def test_every_check_is_tested():
    caught = set()
    for changes, _ in WRONG.values():
        checks = FITTING._replace(**changes)
        caught |= {c.message for c in CONTRADICTIONS if c.found_in(checks)}
    assert caught == {c.message for c in CONTRADICTIONS}


# === Handing over ===


def test_the_state_is_handed_over_and_counted_anew(tmp_path):
    arrays = {
        "model/0/kernel": np.arange(3.0),
        "optimizer/0/iteration": np.array(9),
        "optimizer/1/counts": np.full(2, 9.0),
    }
    with Checkpoints(tmp_path / "one" / "checkpoints", keep=1) as checkpoints:
        checkpoints.save(9, arrays, {"best": {"step": 4}})
    hand_over(tmp_path / "one", tmp_path / "two")
    found = Checkpoints(tmp_path / "two" / "checkpoints", keep=1).newest()
    assert (found.step, found.notes) == (0, {})
    assert found.arrays["optimizer/0/iteration"] == 0
    for name in ("model/0/kernel", "optimizer/1/counts"):
        np.testing.assert_array_equal(found.arrays[name], arrays[name])


def test_what_was_chosen_is_handed_over(tmp_path):
    """With early stopping, the best checkpoint and not the last."""
    with Checkpoints(tmp_path / "one" / "checkpoints", keep=1) as checkpoints:
        for step in (4, 9):
            arrays = {"w": np.array(step), "optimizer/0/iteration": np.array(step)}
            checkpoints.save(step, arrays, {"chosen": 4}, best=4)
    hand_over(tmp_path / "one", tmp_path / "two")
    found = Checkpoints(tmp_path / "two" / "checkpoints", keep=1).newest()
    assert (found.step, int(found.arrays["w"])) == (0, 4)


def test_a_phase_that_has_begun_is_left_alone(tmp_path):
    with Checkpoints(tmp_path / "two" / "checkpoints", keep=1) as checkpoints:
        checkpoints.save(5, {"x": np.ones(1)}, {})
    hand_over(tmp_path / "absent", tmp_path / "two")
    with Checkpoints(tmp_path / "two" / "checkpoints", keep=1) as checkpoints:
        assert checkpoints.steps() == [5]


def test_nothing_to_hand_over_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match="Run the previous phase"):
        hand_over(tmp_path / "absent", tmp_path / "two")


# === Estimates ===

CONFIG = BertConfig(
    vocab_size=99,
    hidden_size=28,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=37,
    max_position_embeddings=19,
)


def test_memory_grows_with_what_is_computed_at_once():
    once = estimates.activation_bytes(CONFIG, 6, 13, 4)
    assert estimates.activation_bytes(CONFIG, 3, 13, 4) == once / 2
    halved = estimates.activation_bytes(CONFIG, 6, 13, 4, size=2)
    assert once / 2 < halved < once  # logits stay float32
    twice = estimates.activation_bytes(CONFIG, 6, 13, 4, activation_checkpointing=True)
    assert once / 2 < twice < once  # one of two layers is kept
    assert estimates.state_bytes(10) >= 4 * 10 * 4  # weights, two slots, gradient


def test_free_memory_is_some_of_what_there_is():
    free = estimates.free_bytes()
    assert free is None or 0 < free < 2**50


@pytest.mark.parametrize(
    ("limit", "expected"), [("9000000000", 6_000_000_000), ("max", 8_192_000_000)]
)
def test_a_container_may_leave_less_than_the_machine(limit, expected, monkeypatch):
    files = {
        "/proc/meminfo": ["MemTotal: 9000000 kB", "MemAvailable: 8000000 kB"],
        "/sys/fs/cgroup/memory.max": [limit],
        "/sys/fs/cgroup/memory.current": ["4000000000"],
        "/sys/fs/cgroup/memory.stat": ["anon 7", "inactive_file 1000000000"],
    }
    monkeypatch.setattr(estimates, "_lines_of", lambda path: files.get(path, []))
    assert estimates.free_bytes() == expected


def test_steps_are_measured_with_another_model():
    made = []

    def make_model():
        made.append(BertForPreTraining(CONFIG, seed=1))
        return made[-1]

    features = {
        "input_ids": np.full((3, 13), 7, "int32"),
        "masked_lm_positions": np.full((3, 2), 5, "int32"),
    }
    labels = {
        "prediction_logits": np.full((3, 2), 7, "int32"),
        "seq_relationship_logits": np.zeros(3, "int32"),
    }
    plan = Plan(steps=5, gradient_accumulation_steps=2)
    seconds = estimates.measured_step_seconds(make_model, plan, (features, labels), 14)
    assert len(made) == 1 and 0 < seconds < 60


_MEASURE = """
import resource, sys
import numpy as np
from keras_bert import BertConfig, BertForPreTraining
from keras_bert.training import estimates
from keras_bert.training.distribution import distribution
from keras_bert.optimizers import scale_float16
from keras_bert.training.plan import Plan
from keras_bert.training.step import BatchLoss
import tensorflow as tf

size, dtype = sys.argv[1], sys.argv[6]
rows, seq, predictions, parts, twice = map(int, [*sys.argv[2:6], *sys.argv[7:]])
tf.matmul(tf.ones((9, 9)), tf.ones((9, 9)))
before = estimates.process_bytes()
config = BertConfig.preset(size)
model = BertForPreTraining(config, seed=0, dtype=dtype)
model.encoder.activation_checkpointing = bool(twice)
optimizer = scale_float16(Plan(steps=9).optimizer_for(config), model.dtype_policy)
steps = distribution("one").steps(BatchLoss(model), optimizer, parts)
features = {
    "input_ids": np.full((rows, seq), 7, "int32"),
    "masked_lm_positions": np.full((rows, predictions), 5, "int32"),
}
labels = {
    "prediction_logits": np.full((rows, predictions), 7, "int32"),
    "seq_relationship_logits": np.zeros(rows, "int32"),
}
for _ in range(3):
    steps.train((features, labels))
peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
said = estimates.training_bytes(
    model.count_params(),
    config,
    rows // parts,
    seq,
    predictions,
    size=4 if dtype == "float32" else 2,
    activation_checkpointing=bool(twice),
)
print(said, peak - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        *("tiny 64 128 20 1 float32 0", "tiny 16 512 77 1 float32 0"),
        *("tiny 128 128 20 4 float32 0", "mini 32 128 20 1 float32 0"),
        *("tiny 16 512 77 1 mixed_bfloat16 0", "mini 64 128 20 1 mixed_float16 0"),
        *("L-12_H-128 32 256 39 1 float32 1", "mini 64 128 20 1 mixed_bfloat16 1"),
    ],
)
def test_memory_is_what_a_process_takes(arguments):
    command = [sys.executable, "-c", _MEASURE, *arguments.split()]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    said, taken = map(float, out.split())
    assert abs(said - taken) <= estimates.MARGIN * taken, (said, taken)


def test_durations_are_readable():
    assert duration(86_400 * 3 + 3600 * 5 + 61) == "3 d 5 h"
    assert duration(3600 + 20) == "1 h"
    assert duration(61) == "1 min 1 s"
