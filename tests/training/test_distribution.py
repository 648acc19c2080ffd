"""One run over several devices and several processes, one of which is killed."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from keras_bert.errors import ConfigError, UnknownNameError
from keras_bert.models import BertForPreTraining
from keras_bert.training.distribution import DISTRIBUTIONS, distribution
from keras_bert.training.loop import Plan
from keras_bert.training.step import STOP_CHECK_EVERY
from tests.paths import ROOT
from tests.training.places import jax_place, ports, tensorflow_place
from tests.training.worker import STEPS, Rows, run

WORKER = (sys.executable, "-m", "tests.training.worker")


class Trained(NamedTuple):
    losses: list[float]
    weights: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return run(tmp_path_factory.mktemp("one") / "run", "one")


def _trained(done):
    weights = {v.path: v.numpy() for v in done.model.trainable_variables}
    return Trained([line["loss"] for line in done.history], weights)


def _read(folder, index=0):
    """What a worker left."""
    lines = (folder / "run/metrics.jsonl").read_text().splitlines()
    weights = dict(np.load(folder / f"weights-{index}.npz"))
    return Trained([json.loads(line)["loss"] for line in lines], weights)


def _assert_agree(actual, expected):
    assert len(actual.losses) == STEPS
    np.testing.assert_allclose(actual.losses, expected.losses, rtol=1e-5)
    summed_rate = 1e-3 * STEPS / 2
    for path, weight in expected.weights.items():
        # The true gradient of a key bias is zero: Adam makes steps of noise.
        noise = path.endswith("key/bias")
        bound = 1e-4 * summed_rate if noise else 1e-5 * np.abs(weight).max()
        difference = np.abs(actual.weights[path] - weight).max()
        assert difference <= bound, f"{path}: {difference:.1e} > {bound:.1e}"


def test_two_devices_of_one_machine(one, tmp_path):
    done = run(tmp_path / "run", "mirrored")
    assert done._steps.replicas == 2 and done._steps.devices == 1
    _assert_agree(_trained(done), _trained(one))


# === Two processes ===


@contextmanager
def _started(folder, place, name, count=2):
    """Starts workers, as a supervisor would; none of them is left."""
    addresses = [f"127.0.0.1:{port}" for port in ports(count)]
    workers = [
        subprocess.Popen(
            [*WORKER, str(folder), name, str(index)],
            cwd=ROOT,
            env={**os.environ, **place(addresses, index)},
            stdout=subprocess.DEVNULL,
            stderr=(folder / f"errors-{index}").open("w"),
        )
        for index in range(count)
    ]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def _assert_ended_well(workers, folder):
    done = [worker.wait(timeout=300) for worker in workers]
    assert done == [0] * len(workers), _errors(folder)


def _errors(folder):
    return "\n".join(p.read_text()[-1500:] for p in sorted(folder.glob("errors-*")))


def _steps(folder):
    return [int(p.name[5:]) for p in (folder / "run/checkpoints").glob("step-*")]


def _wait_for(what, workers, folder, seconds=240):
    end = time.monotonic() + seconds
    while not what():
        states = [worker.poll() for worker in workers]
        assert None in states and time.monotonic() < end, (states, _errors(folder))
        time.sleep(0.05)


@pytest.mark.parametrize(
    "place, name",
    [
        (tensorflow_place, "multi_worker"),
        (jax_place, "data_parallel"),
    ],
)
@pytest.mark.slow
def test_two_workers_one_of_them_killed_and_one_taken_away(place, name, one, tmp_path):
    with _started(tmp_path, place, name) as workers:
        _wait_for(lambda: max(_steps(tmp_path), default=0) >= 4, workers, tmp_path)
        workers[1].kill()
        workers[1].wait()
        # The other one cannot go on alone.
        assert not (tmp_path / "weights-0.npz").exists()
    kept = max(_steps(tmp_path))
    assert 4 <= kept < STEPS
    before = (tmp_path / "progress-0").read_text()
    assert int(before) < STEPS

    # Started again; one of them is told that its machine is taken away.
    with _started(tmp_path, place, name) as workers:
        _wait_for(lambda: max(_steps(tmp_path)) > kept, workers, tmp_path)
        workers[1].terminate()
        _assert_ended_well(workers, tmp_path)
    assert max(_steps(tmp_path)) % STOP_CHECK_EVERY == 0  # both stopped there
    assert not (tmp_path / "weights-0.npz").exists()

    with _started(tmp_path, place, name) as workers:
        _assert_ended_well(workers, tmp_path)
    first, second = (_read(tmp_path, index) for index in range(2))
    for path, weight in first.weights.items():
        np.testing.assert_array_equal(second.weights[path], weight, err_msg=path)
    _assert_agree(first, _of_one_device(place, one, tmp_path / "alone"))


def _of_one_device(place, one, folder):
    """The same run on one device; initial weights are drawn by the backend."""
    if place is tensorflow_place:
        return _trained(one)
    folder.mkdir()
    with _started(folder, place, "one", count=1) as workers:
        _assert_ended_well(workers, folder)
    return _read(folder)


# === What a TPU needs ===


def test_the_step_has_static_shapes_and_nothing_on_the_host(one):
    """What XLA could not compile for a TPU would show in the graph."""
    batch = tf.nest.map_structure(tf.convert_to_tensor, Rows()(1))
    graph = one._steps.train.get_concrete_function(batch).graph
    functions = graph.as_graph_def().library.function
    nodes = [*graph.as_graph_def().node, *(n for f in functions for n in f.node_def)]
    kinds = {node.op for node in nodes}
    assert "MatMul" in kinds or "BatchMatMulV2" in kinds
    assert not kinds & {"PyFunc", "EagerPyFunc", "PyFuncStateless", "HostCompute"}
    assert not kinds & {"Unique", "Where", "NonMaxSuppression"}  # shapes of their own
    for op in graph.get_operations():
        for output in op.outputs:
            assert output.shape.is_fully_defined() or output.dtype in (
                tf.resource,
                tf.variant,
            ), (op.name, output.shape)


def test_xla_compiles_the_whole_step(one):
    """What XLA cannot compile for a processor it cannot compile for a TPU."""
    batch = tf.nest.map_structure(tf.convert_to_tensor, Rows()(1))
    step = tf.function(
        one._steps._train_on_replica, jit_compile=True, autograph=False
    ).experimental_get_compiler_ir(batch)
    program = step(stage="hlo")
    assert "dot(" in program and "custom-call" not in program
    assert "<=" not in program  # a dimension of changing size


def test_a_dataset_of_changing_shapes_is_refused_for_a_tpu():
    from keras_bert.training.tensorflow_steps import _require_static_shapes

    data = tf.data.Dataset.range(7)
    with pytest.raises(ConfigError, match="one static shape"):
        _require_static_shapes(data.batch(2))
    _require_static_shapes(data.batch(2, drop_remainder=True))


# === What does not fit ===


def test_names_are_checked_and_the_backend_is_named(monkeypatch):
    with pytest.raises(UnknownNameError, match="mirrored"):
        distribution("miror")
    with pytest.raises(
        ConfigError, match=r"'tensorflow': one, mirrored.*KERAS_BACKEND"
    ):
        distribution("data_parallel")
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ConfigError, match="TF_CONFIG"):
        distribution("multi_worker")
    assert set(DISTRIBUTIONS["tensorflow"]) == {
        "one",
        "mirrored",
        "multi_worker",
        "tpu",
    }


def test_rows_that_the_replicas_do_not_share_evenly(tmp_path):
    from keras_bert.training.loop import Run

    odd = Rows()
    odd.batch_size = 7
    with distribution("mirrored").scope():
        model = BertForPreTraining(_small(), seed=1)
    plan = Plan(steps=1, distribution="mirrored")
    with pytest.raises(ConfigError, match=r"2 replicas divide\. Received: 7"):
        Run(model, plan, tmp_path / "run", odd, show_progress=False)()


def _small():
    from tests.cases import CONFIG

    return CONFIG.replace(num_hidden_layers=1)
