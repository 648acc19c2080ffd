"""Shared fixtures: a tokenizer, two devices to train on, short collections."""

import gc
import os
import sys

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def _two_cpus() -> None:
    """Splits the CPU in two, for strategies; TensorFlow allows it only at first."""
    import tensorflow as tf

    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], halves
    )


if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
    _two_cpus()


# Rooms whose tests take longest, some in processes of their own: they are run first, so
# that at the end no worker waits for another.
LONG = ("training", "project", "models", "tokenization")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.parent.name not in LONG)


@pytest.fixture(scope="module", autouse=True)
def short_collections():
    """Keeps what earlier modules left out of garbage collections.

    Keras collects all garbage for every layer that it quantizes and every session that
    it clears, which takes seconds among the objects of thousands of tests.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def seeds_of_its_own():
    """Keeps TensorFlow's global seed, which a module may set, from the next modules.

    It is part of every draw of `tf.data`, of those with a seed of their own too.
    """
    yield
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].random.set_seed(None)


@pytest.fixture(scope="session")
def two_devices():
    """Both halves of the CPU, as replicas.

    One strategy for all tests, that of the commands: TensorFlow numbers the
    collectives of every strategy of a process alike, and they would meet.
    """
    from keras_bert.training.distribution import distribution

    return distribution("mirrored").strategy


@pytest.fixture(scope="module")
def tokenizer(request):
    """A tokenizer of the vocabulary that the test's module calls VOCAB."""
    from keras_bert import BertTokenizer

    return BertTokenizer(request.module.VOCAB)
