"""The same numbers on JAX and PyTorch: other tests, run again in a new process."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import shared

TESTS = Path(__file__).resolve().parent


def _passed(backend: str, *arguments: str) -> int:
    """Runs pytest on a backend and returns how many tests passed."""
    pytest.importorskip(backend)
    environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=short", *arguments],
        cwd=TESTS,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    return int(re.search(r"(\d+) passed", done.stdout)[1])


def test_jax_gives_the_originals_numbers():
    shared("goldens")
    names = "google_tf1_pretraining or hf_bert_seqcls or hf_bert_qa"
    assert _passed("jax", "test_goldens.py", "-k", names) == 6


def test_jax_loads_every_writers_checkpoints():
    shared("goldens", "mg_pretrainer_v2")
    assert _passed("jax", "test_checkpoints_models.py") == 32


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_all_models_and_layers(backend):
    assert _passed(backend, "test_goldens.py", "test_contracts.py") > 100


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_optimizers_losses_and_what_fit_does_with_them(backend):
    names = ("optimizers", "averaging_freezing", "losses", "schedules", "compilation")
    files = [f"test_{name}.py" for name in names]
    assert _passed(backend, *files, "-m", "not slow") > 140


@pytest.mark.slow
def test_jax_trains_in_16_bits():
    assert _passed("jax", "test_training_precision.py") == 10
