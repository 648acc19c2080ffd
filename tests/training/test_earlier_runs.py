"""A run that an earlier version began is resumed: its plan, its checkpoint, its log.

`earlier_run` holds what that version wrote up to step 3 of 6, and `expected.jsonl` the
log of the same run to its end. It has no dropout, whose draws are not part of a
checkpoint's format.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from keras_bert import BertConfig, BertForPreTraining
from keras_bert.errors import CheckpointError
from keras_bert.training.loop import Plan, Run
from keras_bert.training.recipes import PRETRAINING, override, settings
from keras_bert.training.variables import cast_values, numbered
from keras_bert.training.weight_order import reordered

FOLDER = Path(__file__).parent / "earlier_run"
PLAN = Plan(
    steps=6,
    warmup_steps=2,
    learning_rate=1e-2,
    ema_momentum=0.5,
    unfreeze_every=2,
    freeze_layers=1,
    log_every=2,
    evaluate_every=3,
    keep=1,
)
CONFIG = BertConfig(
    vocab_size=23,
    hidden_size=6,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=5,
    max_position_embeddings=7,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)
SPEED = {"time", "tokens_per_second", "matmul_share"}


class Batches:
    """The batches of the run."""

    batch_size = 4

    def __call__(self, step, rows=slice(None)):
        rng = np.random.default_rng(step)
        ids = rng.integers(1, 23, (4, 7)).astype("int32")
        positions = np.tile(np.arange(1, 4, dtype="int32"), (4, 1))
        pairs = rng.integers(0, 2, 4).astype("int32")
        names = ("prediction_logits", "seq_relationship_logits")
        features = {"input_ids": ids, "masked_lm_positions": positions}
        labels = dict(zip(names, (ids[:, 1:4], pairs), strict=True))
        weights = {name: np.ones(x.shape, "float32") for name, x in labels.items()}
        return tuple(
            {name: x[rows] for name, x in part.items()}
            for part in (features, labels, weights)
        )

    def __len__(self):
        return 2


def _metrics(file):
    lines = [json.loads(line) for line in file.open(encoding="utf-8")]
    return [{k: v for k, v in line.items() if k not in SPEED} for line in lines]


def test_it_is_resumed_to_the_same_numbers(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "run")
    model = BertForPreTraining(CONFIG, seed=2)
    Run(model, PLAN, tmp_path / "run", Batches(), Batches(), show_progress=False)()
    found = _metrics(tmp_path / "run" / "metrics.jsonl")
    expected = _metrics(FOLDER / "expected.jsonl")
    assert [line.keys() for line in found] == [line.keys() for line in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.pop("split") == theirs.pop("split")
        np.testing.assert_allclose([*ours.values()], [*theirs.values()], rtol=1e-5)


@pytest.fixture(scope="module")
def variables():
    model = BertForPreTraining(CONFIG, seed=2)
    optimizer = PLAN.optimizer_for(CONFIG)
    optimizer.build(model.trainable_variables)
    return numbered(model, optimizer)


def _saved():
    with np.load(FOLDER / "checkpoints" / "step-3" / "state.npz") as archive:
        return {name: archive[name] for name in archive.files}


def test_every_value_goes_to_its_variable(variables):
    """Each weight and its slots are told apart by what they hold."""
    saved = _saved()
    slots = [n for n in saved if n.endswith("_adam_m")]
    weights = [n for n in saved if n.startswith("model/") and "seed" not in n]
    marks = {
        slot.split("/")[2].removesuffix("_adam_m"): n for n, slot in enumerate(slots)
    }
    for number, (weight, slot) in enumerate(zip(weights, slots, strict=True)):
        saved[weight] = np.full_like(saved[weight], number)
        saved[slot] = np.full_like(saved[slot], number)
    for name in ("counts", "moving"):
        [key] = [n for n in saved if n.endswith(f"/{name}")]
        saved[key] = np.arange(len(slots), dtype="float32")
    found = cast_values(variables, saved)
    order = [
        marks[n.split("/")[2].removesuffix("_adam_m")] for n in found if "adam_m" in n
    ]
    for name, variable in variables.items():
        mark = marks.get(variable.path.replace("/", "_"))
        if name.startswith("model/") and mark is not None:
            assert (found[name] == mark).all(), name
        if name.endswith("_adam_m"):
            mark = marks[name.split("/")[2].removesuffix("_adam_m")]
            assert (found[name] == mark).all(), name
        if name.endswith(("/counts", "/moving")):
            assert found[name].tolist() == order


def test_the_same_order_is_left_alone(variables):
    values = {name: np.asarray(v) for name, v in variables.items()}
    assert reordered(variables, values) is values


def test_another_model_is_refused(variables):
    other = {n: v for n, v in _saved().items() if "layer_1" not in n}
    with pytest.raises(CheckpointError, match="same model and optimizer"):
        cast_values(variables, other)


def test_settings_of_an_earlier_recipe_are_read():
    changed = override(PRETRAINING["bert-tiny"], {"goes_on": True})
    assert changed.from_checkpoint
    assert settings(changed)["from_checkpoint"] is True
