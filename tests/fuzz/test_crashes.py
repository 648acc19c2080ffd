"""Commands that are killed and run again make what they would have made."""

import os
import subprocess
import sys

import pytest

from tests.paths import ROOT

COMMANDS = ("vocab", "data", "data, google", "convert, overwritten", "predict")
MOST = "12"  # of the write events of each; `make fuzz` tries all


@pytest.mark.slow
def test_killed_commands():
    # Not forked from this process, which has threads of TensorFlow.
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.crashes", *COMMANDS, "--most", MOST],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(f"| {name} | " in done.stdout for name in COMMANDS)
