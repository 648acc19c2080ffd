"""The training loop on JAX, on one device and eight, where TensorFlow is absent.

XLA can show one processor as eight devices, but only from the start of a process, so
this file runs itself in a new one.
"""

import json
import os
import re
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest

from tests.paths import ROOT

ON_JAX = os.environ.get("KERAS_BACKEND") == "jax"
FLAGS = (  # eight devices, and less time in the compiler
    "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0 "
    "--xla_llvm_disable_expensive_passes=true"
)
on_jax = pytest.mark.skipif(not ON_JAX, reason="runs in a process of its own")


class Absent:
    """Lets nothing be imported that a machine with JAX alone would lack."""

    names = ("tensorflow", "tensorflow_text", "keras_hub", "tokenizers", "einops")

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


if ON_JAX:
    sys.meta_path.insert(0, Absent())

from keras_bert.errors import ConfigError  # noqa: E402
from keras_bert.models import BertForPreTraining  # noqa: E402
from keras_bert.training import loop  # noqa: E402
from keras_bert.training.distribution import distribution  # noqa: E402
from keras_bert.training.loop import Plan, Run, TrainingStopped  # noqa: E402
from keras_bert.training.sharding import partitions  # noqa: E402
from keras_bert.training.step import BatchLoss  # noqa: E402
from tests.cases import CONFIG  # noqa: E402

STEPS, ROWS, PEAK = 20, 16, 1e-3
TINY = CONFIG.replace(
    vocab_size=100, hidden_size=24, intermediate_size=36, num_hidden_layers=1
)
STILL = TINY.replace(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


@pytest.mark.skipif(ON_JAX, reason="this is that process")
@pytest.mark.slow
@pytest.mark.parametrize("marks, least", [("not slow", 10), ("slow", 2)])
def test_on_eight_devices_without_tensorflow(marks, least):
    pytest.importorskip("jax")
    environment = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": FLAGS}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=short", "-m", marks, __file__],
        cwd=ROOT / "tests",
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= least, done.stdout


class Rows:
    """Batches by number, of arrays."""

    def __init__(self, batches=STEPS, spoiled=None):
        self.batch_size, self.spoiled, self._batches = ROWS, spoiled, batches

    def __len__(self):
        return self._batches

    def __call__(self, step, rows=slice(None)):
        rng = np.random.default_rng(step)
        masked, width = (ROWS, 4), (ROWS, 13)
        features = {
            "input_ids": rng.integers(1, 9, width),  # with repeated ids
            "attention_mask": np.arange(13) < rng.integers(5, 14, (ROWS, 1)),
            "token_type_ids": rng.integers(0, 2, width),
            "masked_lm_positions": rng.integers(0, 5, masked),
        }
        labels = {
            "prediction_logits": rng.integers(0, 99, masked),
            "seq_relationship_logits": rng.integers(0, 2, ROWS),
        }
        weights = {
            "prediction_logits": np.arange(4) < rng.integers(0, 5, (ROWS, 1)),
            "seq_relationship_logits": rng.uniform(0, 2, ROWS),
        }
        if step == self.spoiled:
            weights["seq_relationship_logits"] *= np.inf
        pick = {"int32": (features, labels), "float32": (weights,)}
        found = [
            {name: value[rows].astype(dtype) for name, value in part.items()}
            for dtype, parts in pick.items()
            for part in parts
        ]
        return tuple(found)

    def describe(self, step):
        return [f"rows-{step}#{row}" for row in range(ROWS)]


def _run(folder, config=TINY, train=None, **changes):
    options = dict(steps=STEPS, learning_rate=PEAK, warmup_steps=3, log_every=1)
    plan = Plan(**options | changes)
    model = BertForPreTraining(config, seed=1)
    train = train or Rows()
    return Run(model, plan, folder, train, Rows(2), show_progress=False)


class Trained(NamedTuple):
    losses: list[float]
    outputs: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]


def _trained(folder, **changes) -> Trained:
    run = _run(folder, STILL, **changes)
    losses = [line["loss"] for line in run()]
    outputs = run.model.predict_on_batch(Rows()(1)[0])
    weights = {v.path: np.asarray(v) for v in run.model.trainable_variables}
    return Trained(losses, outputs, weights)


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> Trained:
    return _trained(tmp_path_factory.mktemp("one") / "run")


SETTINGS = {
    "data": {"distribution": "data_parallel"},
    "model": {"distribution": "model_parallel", "model_shards": 4},
    "parts": {"distribution": "data_parallel", "gradient_accumulation_steps": 2},
}


@on_jax
@pytest.mark.parametrize(
    "setting", ["data", "model", pytest.param("parts", marks=pytest.mark.slow)]
)
def test_eight_devices_take_the_steps_of_one(setting, one, tmp_path):
    actual = _trained(tmp_path / "run", **SETTINGS[setting])
    np.testing.assert_allclose(actual.losses, one.losses, rtol=1e-5)
    for name, output in one.outputs.items():
        bound = 1e-5 * np.abs(output).max()
        np.testing.assert_allclose(actual.outputs[name], output, 0, bound)
    summed_rate = PEAK * STEPS / 2
    start = {v.path: np.asarray(v) for v in BertForPreTraining(STILL, seed=1).weights}
    for path, weight in one.weights.items():
        # The true gradient of a key bias is zero: Adam makes steps of noise.
        noise = path.endswith("key/bias")
        bound = 1e-4 * summed_rate if noise else 1e-5 * np.abs(weight).max()
        difference = np.abs(actual.weights[path] - weight).max()
        assert difference <= bound, f"{path}: {difference:.1e} > {bound:.1e}"
        assert noise or np.abs(weight - start[path]).max() > 100 * bound, path


@on_jax
def test_eight_devices_drop_the_units_that_one_drops(whole, tmp_path):
    """A mask is drawn for the whole batch, wherever its rows lie."""
    run = _run(tmp_path / "run", distribution="data_parallel", **SHORT)
    run()
    losses = [[line["loss"] for line in each.history] for each in (run, whole)]
    np.testing.assert_allclose(*losses, rtol=1e-5)


# === Where weights lie ===


def test_partitions_follow_the_axes():
    found = partitions(STILL, ("encoder", "masked_lm"), 4)
    assert found["layer_0/attention/query/kernel"] == (None, "model")
    assert found["layer_0/attention/query/bias"] == ("model",)
    assert found["layer_0/attention/output_dense/kernel"] == ("model", None)
    assert found["layer_0/attention/output_dense/bias"] == (None,)
    assert found["layer_0/feed_forward/intermediate_dense/kernel"] == (None, "model")
    assert found["embeddings/word_embeddings/embeddings"] == ("model", None)
    assert found["masked_lm_bias/bias"] == ("model",)
    # What the devices cannot share evenly stays whole: 36 rows in 8 parts.
    in_eighths = partitions(STILL, ("encoder",), 8)
    assert in_eighths["layer_0/feed_forward/output_dense/kernel"] == (None, None)
    paths = {v.path for v in BertForPreTraining(STILL).trainable_variables}
    assert paths == partitions(STILL, BertForPreTraining.parts_for(), 4).keys()


@on_jax
def test_a_shard_holds_its_part_of_a_weight_and_of_its_slots(tmp_path):
    steps = distribution("model_parallel", 4).steps(
        BatchLoss(BertForPreTraining(STILL)), Plan(steps=1).optimizer_for(STILL), 1
    )
    found = {
        v.name: value.addressable_shards[0].data.shape
        for v, value in zip(
            steps.variables.optimizer, steps._state.optimizer, strict=True
        )
    }
    assert found["layer_0_attention_query_kernel_adam_m"] == (24, 6)
    assert found["embeddings_word_embeddings_embeddings_adam_v"] == (25, 24)
    assert found["layer_0_attention_norm_gamma_adam_v"] == (24,)


@on_jax
def test_the_step_lowers_for_a_tpu():
    steps = distribution("model_parallel", 4).steps(
        BatchLoss(BertForPreTraining(TINY)), Plan(steps=1).optimizer_for(TINY), 1
    )
    exported = steps.lower(Rows()(1))
    assert exported.platforms == ("tpu",) and exported.nr_devices == 8
    program = exported.mlir_module()
    assert "callback" not in program  # nothing on the host
    assert "?x" not in program  # every shape is static
    assert "dot_general" in program


# === Going on, stopping ===


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    run = _run(tmp_path_factory.mktemp("whole") / "run", **SHORT)
    run()
    return run


SHORT = dict(steps=8, evaluate_every=4, checkpoint_every=3, ema_momentum=0.9)
TIMED = ("time", "tokens_per_second", "matmul_share")


class Killed(BaseException):
    """Nothing is saved on the way out."""


@on_jax
def test_a_run_broken_off_goes_on_to_the_same_bits(whole, tmp_path, monkeypatch):
    next_batch = loop.next_batch

    def kill_there(batches, step):
        if step == 6:
            raise Killed
        return next_batch(batches, step)

    run = _run(tmp_path / "run", **SHORT)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(loop, "next_batch", kill_there)
        run()
    left = {path.name for path in (tmp_path / "run/checkpoints").iterdir()}
    assert left == {"step-3", "step-4"}
    again = _run(tmp_path / "run", **SHORT)
    again()
    state, expected = again._steps.state(), whole._steps.state()
    assert state.keys() == expected.keys()
    for name, value in expected.items():  # dropout's seed and averages among them
        np.testing.assert_array_equal(state[name], value, err_msg=name)
    lines = [
        [{k: v for k, v in line.items() if k not in TIMED} for line in run.history]
        for run in (again, whole)
    ]
    assert lines[0] == lines[1]
    for one, other in zip(again.model.variables, whole.model.variables, strict=True):
        np.testing.assert_array_equal(one, other)


@on_jax
def test_evaluation_is_of_the_averages_and_training_goes_on_without(whole):
    line = whole.history[-1]
    own = np.asarray(whole.model.trainable_variables[0])
    with whole.weights_to_keep():
        kept = np.asarray(whole.model.trainable_variables[0])
        batches = [Rows()(1), Rows()(2)]
        loss = _masked_lm_loss(whole.model, batches)
    assert not np.array_equal(own, kept)
    np.testing.assert_array_equal(whole.model.trainable_variables[0], own)
    assert line["split"] == "heldout"
    assert line["mlm_loss"] == pytest.approx(loss, rel=1e-5)
    assert line["mlm_perplexity"] == pytest.approx(np.exp(loss), rel=1e-4)


def _masked_lm_loss(model, batches):
    top = bottom = 0.0
    for features, labels, weights in batches:
        logits = model.predict_on_batch(features)["prediction_logits"]
        logits = logits.astype("float64") - logits.max(-1, keepdims=True)
        ids = labels["prediction_logits"][..., None]
        picked = np.take_along_axis(logits, ids, -1)[..., 0]
        losses = np.log(np.exp(logits).sum(-1)) - picked
        top += (losses * weights["prediction_logits"]).sum()
        bottom += weights["prediction_logits"].sum()
    return top / bottom


@on_jax
@pytest.mark.slow
def test_a_loss_that_is_no_number_names_step_batch_and_checkpoint(tmp_path):
    run = _run(
        tmp_path / "run",
        train=Rows(spoiled=6),
        steps=8,
        checkpoint_every=2,
        log_every=4,
    )
    with pytest.raises(TrainingStopped) as stopped:
        run()
    message = str(stopped.value)
    assert "step 6" in message and "rows-6#2" in message and "step-4" in message
    account = json.loads((tmp_path / "run" / "not_finite.json").read_text())
    assert account["step"] == 6 and len(account["records"]) == ROWS


@on_jax
def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="one, data_parallel, model_parallel"):
        _run(tmp_path / "a", distribution="mirrored")()
    with pytest.raises(ConfigError, match="8 devices, model_shards=3"):
        _run(tmp_path / "b", distribution="model_parallel", model_shards=3)()
    odd = Rows()
    odd.batch_size = 12
    with pytest.raises(ConfigError, match=r"8 devices.*Received: 12"):
        _run(tmp_path / "c", train=odd, distribution="data_parallel")()


@on_jax
def test_files_are_those_of_every_run(whole):
    names = {path.name for path in whole.directory.iterdir()}
    assert names == {"plan.json", "metrics.jsonl", "tensorboard", "checkpoints"}
    lines = [json.loads(line) for line in (whole.directory / "metrics.jsonl").open()]
    assert lines == whole.history
    assert "tensorflow" not in sys.modules
