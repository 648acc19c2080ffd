"""What stays in memory of models that are deleted: nothing."""

import json
import subprocess
import sys

import keras
import pytest

from tests.paths import ROOT

ROUNDS = 3
MB_PER_ROUND = 5.0  # 1.5 measured; with the graphs of one round it was 90


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc to return memory")
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="counts its graphs")
def test_deleted_models_leave_no_graphs_and_no_memory():
    command = [sys.executable, "-m", "tests.models.memory_rounds", str(1 + ROUNDS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    warm_up, *rounds = map(json.loads, done.stdout.splitlines())
    assert len(rounds) == ROUNDS
    for after in rounds:
        assert after["graphs"] == warm_up["graphs"] == 0
        assert after["gradients"] == warm_up["gradients"]
    grown = rounds[-1]["memory"] - warm_up["memory"]
    assert grown / ROUNDS < MB_PER_ROUND, [after["memory"] for after in rounds]
