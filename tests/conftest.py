"""Shared fixtures: reference data where it is present, two devices to train on."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

SHARED = Path(__file__).resolve().parents[2] / "shared"


def shared(*parts: str) -> Path:
    """Returns a path in the reference data beside the repository, or skips."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"reference data not present: {'/'.join(parts)}")
    return path


def _two_cpus() -> None:
    """Splits the CPU in two, for strategies; TensorFlow allows it only at first."""
    import tensorflow as tf

    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], halves
    )


if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
    _two_cpus()


@pytest.fixture(scope="session")
def two_devices():
    """Both halves of the CPU, as replicas.

    One strategy for all tests, that of the commands: TensorFlow numbers the
    collectives of every strategy of a process alike, and they would meet.
    """
    from keras_bert.training.distribution import distribution

    return distribution("mirrored").strategy
