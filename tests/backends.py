"""Gradients on any backend, and test files run again on another one."""

import os
import re
import subprocess
import sys
from collections.abc import Callable

import keras
import numpy as np
import pytest

from tests.paths import ROOT


def gradient_of(function: Callable, x: np.ndarray) -> np.ndarray:
    """Returns the gradient of a scalar function of an array, on any backend."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return np.asarray(jax.grad(function)(x))
    value = keras.ops.convert_to_tensor(x)
    if backend == "torch":
        value = value.clone().requires_grad_()
        function(value).backward()
        return value.grad.cpu().numpy()
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(value)
        result = function(value)
    return tape.gradient(result, value).numpy()


def passed(backend: str, *arguments: str) -> int:
    """Runs pytest on a backend and returns how many tests passed."""
    pytest.importorskip(backend)
    environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=short", *arguments],
        cwd=ROOT / "tests",
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    return int(re.search(r"(\d+) passed", done.stdout)[1])
