"""The steps of a run on TensorFlow, under any `tf.distribute` strategy."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_bert.errors import ConfigError
from keras_bert.training.accumulation import gradients
from keras_bert.training.averaging import averaged_weights
from keras_bert.training.batches import Batches, is_dataset, prefetch
from keras_bert.training.step import STOP_CHECK_EVERY, BatchLoss
from keras_bert.training.variables import assign, numbered

ITERATOR = "iterator"


class TensorFlowSteps:
    """Training and evaluation steps, their data, and the variables they change.

    Args:
        strategy: the devices.
        batch_loss: of a model made in the strategy's scope.
        optimizer: not built yet.
        microbatches: number of microbatches per step.

    Attributes:
        devices: number of distinct devices that compute a step together.
        writes: whether this process writes the run's files.
    """

    def __init__(
        self, strategy: Any, batch_loss: BatchLoss, optimizer: Any, microbatches: int
    ) -> None:
        self.strategy, self.optimizer = strategy, optimizer
        self.model = model = batch_loss.model
        self.batch_loss, self.microbatches = batch_loss, microbatches
        with strategy.scope():
            optimizer.build(model.trainable_variables)
        self.replicas = strategy.num_replicas_in_sync
        self.devices = self._distinct_devices()
        self.writes = self._is_chief()
        self.processes = self._processes()
        self.train = self._reduced(self._train_on_replica)
        self.evaluate = self._reduced(self._evaluate_on_replica)
        self._count = self._reduced(lambda flag: flag)
        self._iterator: Any = None

    def _processes(self) -> int:
        resolver = self.strategy.cluster_resolver
        workers = resolver and resolver.cluster_spec().as_dict().get("worker", [])
        return 1 if self._on_tpu() else max(1, len(workers or []))

    def _is_chief(self) -> bool:
        resolver = self.strategy.cluster_resolver
        return resolver is None or not resolver.task_id

    def _distinct_devices(self) -> int:
        import tensorflow as tf

        if tf.config.list_logical_devices("GPU") or self._on_tpu():
            return self.replicas
        # Logical CPUs share one processor.
        return max(1, self.replicas // len(tf.config.list_logical_devices("CPU")))

    def _on_tpu(self) -> bool:
        return type(self.strategy).__name__.startswith("TPU")

    # === Steps ===

    def _train_on_replica(self, batch: tuple) -> dict:
        import tensorflow as tf

        variables = self.model.trainable_variables
        scale_loss = self.optimizer.scale_loss
        found, loss, sums = gradients(
            self.batch_loss, batch, variables, self.microbatches, scale_loss
        )
        self.optimizer.apply(found, variables)
        # The losses are shares of one total: they add up over the replicas.
        sums |= {
            "loss": (loss, 1.0 / self.replicas),
            "grad_norm": (self.optimizer.gradient_norm, 1.0),
        }
        return tf.nest.map_structure(tf.convert_to_tensor, sums)

    def _evaluate_on_replica(self, batch: tuple) -> dict:
        import tensorflow as tf

        _, sums = self.batch_loss(batch, training=False)
        return tf.nest.map_structure(tf.convert_to_tensor, sums)

    def _reduced(self, on_replica: Callable) -> Callable:
        """Runs a function on every replica and adds up its results, compiled once."""
        import tensorflow as tf

        strategy = self.strategy

        @tf.function(reduce_retracing=True, autograph=False)
        def step(batch):
            sums = strategy.run(on_replica, args=(batch,))
            return tf.nest.map_structure(
                lambda x: strategy.reduce(tf.distribute.ReduceOp.SUM, x, axis=None),
                sums,
            )

        return step

    def any_process_stopped(self, stopped: bool, step: int) -> bool:
        """Returns whether any process was told to stop; the same in all of them."""
        if self.processes == 1 or step % STOP_CHECK_EVERY:
            return stopped and self.processes == 1
        return float(self._count(np.float32(stopped))) > 0

    def shapes(self, batch: tuple) -> dict[str, tuple[int, ...]]:
        """Returns the shapes of a batch's features, over all replicas."""
        first = self.strategy.experimental_local_results
        shapes = {name: first(x)[0].shape for name, x in batch[0].items()}
        return {k: (s[0] * self.replicas, *s[1:]) for k, s in shapes.items()}

    # === Data ===

    def feed(self, source: Any, start: int, steps: int) -> Iterator[Any]:
        """Returns the batches of the steps after `start`, placed on the devices."""
        if not is_dataset(source):
            return self._placed(source, range(start + 1, steps + 1))
        if self._on_tpu():
            _require_static_shapes(source)
        if self.replicas == 1:
            self._iterator = self._iterator or iter(source)
            return self._iterator
        # A distributed iterator cannot be saved; completed batches are skipped.
        rest = source.skip(start)
        return iter(self.strategy.experimental_distribute_dataset(rest))

    def heldout(self, source: Any) -> Iterator[Any]:
        """Returns the batches of one evaluation."""
        if is_dataset(source):
            return iter(source)
        return self._placed(source, range(1, len(source) + 1))

    def _placed(self, source: Batches, numbers: range) -> Iterator[Any]:
        rows, rest = divmod(source.batch_size, self.replicas)
        if rest:
            raise ConfigError(
                f"Expected a batch size that {self.replicas} replicas divide. "
                f"Received: {source.batch_size}."
            )
        if self.replicas == 1:
            return prefetch(source, numbers)

        def place(step: int) -> Any:
            def of_replica(context: Any) -> tuple:
                first = context.replica_id_in_sync_group * rows
                return source(step, slice(first, first + rows))

            values = self.strategy.experimental_distribute_values_from_function
            return values(of_replica)

        return prefetch(place, numbers)

    # === State ===

    def state(self) -> dict[str, np.ndarray]:
        """Returns copies of the values of all variables."""
        return {name: v.numpy() for name, v in self._variables().items()}

    def load(self, values: Mapping[str, np.ndarray]) -> None:
        """Sets all variables."""
        with self.strategy.scope():
            assign(self._variables(), values)

    def _variables(self) -> dict[str, keras.Variable]:
        return numbered(self.model, self.optimizer)

    def save_position(self, folder: Path) -> None:
        """Saves the iterator of a dataset; batches by number need no position."""
        if self._iterator is not None:
            import tensorflow as tf

            checkpoint = tf.train.Checkpoint(iterator=self._iterator)
            checkpoint.write(str(folder / ITERATOR))

    def load_position(self, folder: Path, source: Any) -> None:
        """Restores what `save_position` saved."""
        if (folder / f"{ITERATOR}.index").exists() and is_dataset(source):
            import tensorflow as tf

            self._iterator = iter(source)
            checkpoint = tf.train.Checkpoint(iterator=self._iterator)
            checkpoint.read(str(folder / ITERATOR)).assert_consumed()

    def take_values(self) -> None:
        """Does nothing: the variables themselves hold the state."""

    def value(self, variable: keras.Variable) -> np.ndarray:
        """Returns the value of a variable of the optimizer."""
        return variable.numpy()

    def set_value(self, variable: keras.Variable, value: Any) -> None:
        """Sets a variable of the optimizer."""
        with self.strategy.scope():
            variable.assign(value)

    def averaged(self) -> Any:
        """Returns a context in which the averaged weights are evaluated."""
        return averaged_weights(self.optimizer)

    def finish(self) -> None:
        """Does nothing: the model already has its trained values."""


def _require_static_shapes(source: Any) -> None:
    import tensorflow as tf

    for spec in tf.nest.flatten(source.element_spec):
        if not spec.shape.is_fully_defined():
            raise ConfigError(
                "Expected batches of one static shape for a TPU. Received: "
                f"{spec.shape}. Batch with drop_remainder=True and pad every row to "
                "the same length."
            )
