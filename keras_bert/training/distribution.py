"""The devices of a run: one option, one small class for each of its values.

A class initializes the devices and makes the steps that run on them. On TensorFlow it
holds a `tf.distribute` strategy, on JAX a mesh with the axes "data" and "model".
"""

import logging
import os
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import keras
import numpy as np

from keras_bert.errors import ConfigError, choose

logger = logging.getLogger(__name__)


class OnTensorFlow:
    """The devices of a `tf.distribute` strategy; here, of the one in scope."""

    def __init__(self, shards: int = 1) -> None:
        self.strategy = self._make_strategy()

    def _make_strategy(self) -> Any:
        import tensorflow as tf

        return tf.distribute.get_strategy()

    @property
    def replicas(self) -> int:
        """Number of shares that a batch is divided into."""
        return self.strategy.num_replicas_in_sync

    def scope(self) -> AbstractContextManager:
        """Returns the context to make the model in."""
        return self.strategy.scope()

    def steps(self, *arguments: Any) -> Any:
        """Returns the steps of a run, see `TensorFlowSteps`."""
        from keras_bert.training.tensorflow_steps import TensorFlowSteps

        return TensorFlowSteps(self.strategy, *arguments)


class Mirrored(OnTensorFlow):
    """All devices of this machine, each with a copy of the weights."""

    def _make_strategy(self) -> Any:
        import tensorflow as tf

        # By default it uses a single CPU, however many there are.
        devices = tf.config.list_logical_devices
        names = [device.name for device in devices("GPU") or devices("CPU")]
        return tf.distribute.MirroredStrategy(names)


class MultiWorker(OnTensorFlow):
    """All devices of the machines that the environment variable TF_CONFIG lists."""

    def _make_strategy(self) -> Any:
        import tensorflow as tf

        if "TF_CONFIG" not in os.environ:
            raise ConfigError(
                "Expected the environment variable TF_CONFIG with the workers, as in "
                '{"cluster": {"worker": ["host0:12345", "host1:12345"]}, '
                '"task": {"type": "worker", "index": 0}}. Received: none.'
            )
        return tf.distribute.MultiWorkerMirroredStrategy()


class TPU(OnTensorFlow):
    """The cores of the TPU that the variable TPU_NAME names, or of this machine."""

    def _make_strategy(self) -> Any:
        import tensorflow as tf

        name = os.environ.get("TPU_NAME", "local")
        try:
            resolver = tf.distribute.cluster_resolver.TPUClusterResolver(name)
            tf.config.experimental_connect_to_cluster(resolver)
            tf.tpu.experimental.initialize_tpu_system(resolver)
        except (
            Exception
        ) as error:  # of several classes: name, kernel or machine not found
            raise ConfigError(
                f"Expected a TPU named {name!r} (TPU_NAME). Received from TensorFlow: "
                f"{str(error).splitlines()[0]} See docs/tpu.md."
            ) from error
        return tf.distribute.TPUStrategy(resolver)


class OnJax:
    """One device of JAX."""

    def __init__(self, shards: int = 1) -> None:
        import jax

        _join_processes()
        devices = self._devices(jax)
        if len(devices) % shards:
            raise ConfigError(
                "Expected model_shards to divide the number of devices. Received: "
                f"{len(devices)} devices, model_shards={shards}."
            )
        grid = np.array(devices).reshape(-1, shards)
        self.mesh = jax.sharding.Mesh(grid, ("data", "model"))

    def _devices(self, jax: Any) -> list:
        return jax.local_devices()[:1]

    @property
    def replicas(self) -> int:
        """Number of shares that a batch is divided into."""
        return self.mesh.shape["data"]

    def scope(self) -> AbstractContextManager:
        """Returns the context to make the model in."""
        return nullcontext()

    def steps(self, *arguments: Any) -> Any:
        """Returns the steps of a run, see `JaxSteps`."""
        from keras_bert.training.jax_steps import JaxSteps

        return JaxSteps(self.mesh, *arguments)


class AllOnJax(OnJax):
    """All devices of all processes; weights are replicated, or sharded."""

    def _devices(self, jax: Any) -> list:
        return jax.devices()


def _join_processes() -> None:
    """Connects to the other processes of a run, if the environment names them."""
    import jax

    address = os.environ.get("JAX_COORDINATOR_ADDRESS")
    pod = "," in os.environ.get("TPU_WORKER_HOSTNAMES", "")
    if jax.distributed.is_initialized() or not (address or pod):
        return
    numbers = (os.environ.get(f"JAX_{key}") for key in ("NUM_PROCESSES", "PROCESS_ID"))
    count, number = (None if text is None else int(text) for text in numbers)
    jax.distributed.initialize(address, count, number)


DISTRIBUTIONS: dict[str, dict[str, type]] = {
    "tensorflow": {
        "one": OnTensorFlow,
        "mirrored": Mirrored,
        "multi_worker": MultiWorker,
        "tpu": TPU,
    },
    "jax": {"one": OnJax, "data_parallel": AllOnJax, "model_parallel": AllOnJax},
}
NAMES = sorted({name for table in DISTRIBUTIONS.values() for name in table})


def distribution(name: str, shards: int = 1) -> OnTensorFlow | OnJax:
    """Initializes the devices of a run, once per process.

    Call it before anything is computed, and make the model in its `scope()`.

    Args:
        name: "one"; on TensorFlow "mirrored", "multi_worker" or "tpu"; on JAX
            "data_parallel" or "model_parallel". JAX connects to other processes if
            `JAX_COORDINATOR_ADDRESS`, `JAX_NUM_PROCESSES` and `JAX_PROCESS_ID` are set.
        shards: number of devices that share one copy of the weights, for
            "model_parallel".

    Raises:
        ConfigError: the backend has no such distribution, or the devices do not fit.

    Example:
        >>> with distribution("mirrored").scope():  # doctest: +SKIP
        ...     model = BertForPreTraining(config)
    """
    choose("distribution", name, NAMES)
    backend = keras.backend.backend()
    known = DISTRIBUTIONS.get(backend, {})
    if name not in known:
        raise ConfigError(
            f"Expected a distribution of the backend {backend!r}: "
            f"{', '.join(known) or 'none; use model.fit there'}. Received: {name!r}. "
            "Set KERAS_BACKEND to choose the backend."
        )
    if name == "one":
        return known[name](shards)  # on TensorFlow it depends on the open scope
    return _initialized(known[name], shards)


@cache
def _initialized(kind: type, shards: int) -> OnTensorFlow | OnJax:
    return kind(shards)
