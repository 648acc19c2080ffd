"""Runs test files again on another backend, in a process of their own."""

import os
import re
import subprocess
import sys

import pytest

from tests.paths import ROOT


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
