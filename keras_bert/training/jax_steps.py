"""The steps of a run on JAX: pure functions of its state, over a mesh of devices.

Keras' variables only declare the state. Their values are arrays that a compiled step
takes and returns in the same memory. How each array is placed, replicated or sharded,
is given at compilation, and the compiler adds the communication.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import keras
import numpy as np
from jax import numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from keras_bert.errors import ConfigError
from keras_bert.training.accumulation import split
from keras_bert.training.adversarial import moved, table_index
from keras_bert.training.batches import Batches, is_dataset, prefetch
from keras_bert.training.sharding import partitions
from keras_bert.training.step import STOP_CHECK_EVERY, BatchLoss
from keras_bert.training.variables import cast_values, numbered

Array = Any


class State(NamedTuple):
    """All values that steps change.

    Attributes:
        trainable: of the trainable weights of the model.
        others: of its other variables, among them the dropout seed.
        optimizer: of the variables of the optimizer.
    """

    trainable: list[Array]
    others: list[Array]
    optimizer: list[Array]


class JaxSteps:
    """Training and evaluation steps, their data, and the state they change.

    Args:
        mesh: the devices, with the axes "data" and "model".
        batch_loss: of a model, whose weights get the trained values in `finish`.
        optimizer: not built yet.
        microbatches: number of microbatches per step.

    Attributes:
        devices: number of distinct devices that compute a step together.
        writes: whether this process writes the run's files.
    """

    def __init__(
        self, mesh: Any, batch_loss: BatchLoss, optimizer: Any, microbatches: int
    ) -> None:
        self.mesh, self.optimizer = mesh, optimizer
        self.model = model = batch_loss.model
        self.batch_loss, self.microbatches = batch_loss, microbatches
        optimizer.build(model.trainable_variables)
        self.variables = State(
            model.trainable_variables,
            [*model.non_trainable_variables, *batch_loss.constants],
            optimizer.variables,
        )
        # Logical CPUs share one processor.
        on_cpu = mesh.devices.flat[0].platform == "cpu"
        self.devices = jax.process_count() if on_cpu else mesh.size
        self.writes = jax.process_index() == 0
        self._replicated = NamedSharding(mesh, PartitionSpec())
        self._rows = NamedSharding(mesh, PartitionSpec("data"))
        shards = mesh.shape["model"]
        self._partitions = (
            partitions(model.config, model.parts_held, shards) if shards > 1 else {}
        )
        self._shardings = State(
            *([self._sharding(v) for v in group] for group in self.variables)
        )
        self.take_values()
        self._train = jax.jit(
            self._train_step,
            donate_argnums=0,
            out_shardings=(self._shardings, self._replicated),
        )
        self._evaluate = jax.jit(self._evaluate_step, out_shardings=self._replicated)

    # === Placement ===

    def _sharding(self, variable: keras.Variable) -> NamedSharding:
        """Returns the sharding of a variable; a slot has that of its weight."""
        for weight in self.variables.trainable:
            slot = variable.name.startswith(weight.path.replace("/", "_") + "_")
            if variable is weight or (slot and variable.shape == weight.shape):
                axes = self._partitions.get(weight.path, ())
                return NamedSharding(self.mesh, PartitionSpec(*axes))
        return self._replicated

    def _on_devices(self, values: Any) -> State:
        """Copies values, all of them known to this process, to their devices."""
        values = map(np.asarray, values)
        return jax.tree.map(lambda s: _global(next(values), s), self._shardings)

    # === Steps ===

    def train(self, batch: tuple) -> dict:
        """Takes a step and returns its sums."""
        self._state, sums = self._train(self._state, batch)
        return sums

    def evaluate(self, batch: tuple) -> dict:
        """Returns the sums of a held-out batch."""
        return self._evaluate(self._state, batch)

    def _train_step(self, state: State, batch: tuple) -> tuple[State, dict]:
        totals = self.batch_loss.totals(batch)
        compute = self._gradients if self.microbatches == 1 else self._accumulated
        gradients, others, sums = compute(state, batch, totals)
        if self.batch_loss.fgm:
            there = self._there(state._replace(others=others), gradients)
            more, others, _ = compute(there, batch, totals)
            gradients = jax.tree.map(jnp.add, gradients, more)
        trainable, optimizer = self.optimizer.stateless_apply(
            state.optimizer, gradients, state.trainable
        )
        norm = self._index(self.optimizer.gradient_norm)
        sums["grad_norm"] = (optimizer[norm], jnp.ones(()))
        return State(trainable, others, optimizer), sums

    def _there(self, state: State, gradients: list[Array]) -> State:
        """Returns the state with the word embeddings moved along their gradient."""
        index = table_index(self.model)
        table = moved(state.trainable[index], gradients[index], self.batch_loss.fgm)
        trainable = [*state.trainable]
        trainable[index] = table
        return state._replace(trainable=trainable)

    def _gradients(
        self, state: State, batch: tuple, totals: Mapping
    ) -> tuple[list[Array], list[Array], dict]:
        """Returns gradients, new values of other variables, and sums."""

        def scaled_loss(trainable: list[Array]) -> tuple[Array, tuple]:
            now = state._replace(trainable=trainable)
            with keras.StatelessScope(state_mapping=self._mapping(now)) as scope:
                loss, sums = self.batch_loss(batch, training=True, totals=totals)
                scaled = self.optimizer.scale_loss(loss)
            others = [scope.get_current_value(v) for v in self.variables.others]
            sums = jax.tree.map(jnp.asarray, {**sums, "loss": (loss, 1.0)})
            return scaled, (others, sums)

        found, (others, sums) = jax.grad(scaled_loss, has_aux=True)(state.trainable)
        return found, others, sums

    def _accumulated(
        self, state: State, batch: tuple, totals: Mapping
    ) -> tuple[list[Array], list[Array], dict]:
        rows = NamedSharding(self.mesh, PartitionSpec(None, "data"))
        batches = jax.tree.map(
            lambda x: jax.lax.with_sharding_constraint(x, rows),
            split(batch, self.microbatches),
        )

        def one(others: list[Array], microbatch: tuple) -> tuple[list[Array], tuple]:
            now = state._replace(others=others)
            found, others, sums = self._gradients(now, microbatch, totals)
            return others, (found, sums)

        def add(carry: tuple, microbatch: tuple) -> tuple[tuple, None]:
            others, results = one(carry[0], microbatch)
            return (others, jax.tree.map(jnp.add, carry[1], results)), None

        first = jax.tree.map(lambda x: x[0], batches)
        rest = jax.tree.map(lambda x: x[1:], batches)
        carry, _ = jax.lax.scan(add, one(state.others, first), rest)
        others, (found, sums) = carry
        # The losses of microbatches are shares of one total.
        sums["loss"] = (sums["loss"][0], jnp.ones(()))
        return found, others, sums

    def _evaluate_step(self, state: State, batch: tuple) -> dict:
        with keras.StatelessScope(state_mapping=self._mapping(state)):
            _, sums = self.batch_loss(batch, training=False)
        return jax.tree.map(jnp.asarray, sums)

    def _mapping(self, state: State) -> list[tuple[keras.Variable, Array]]:
        groups = zip(self.variables, state, strict=True)
        return [pair for group in groups for pair in zip(*group, strict=True)]

    def _index(self, variable: keras.Variable) -> int:
        return next(i for i, v in enumerate(self.variables.optimizer) if v is variable)

    def any_process_stopped(self, stopped: bool, step: int) -> bool:
        """Returns whether any process was told to stop; the same in all of them."""
        if jax.process_count() == 1 or step % STOP_CHECK_EVERY:
            return stopped and jax.process_count() == 1
        from jax.experimental.multihost_utils import process_allgather

        return bool(process_allgather(np.array([stopped])).any())

    def shapes(self, batch: tuple) -> dict[str, tuple[int, ...]]:
        """Returns the shapes of a batch's features, over all devices."""
        return {name: x.shape for name, x in batch[0].items()}

    def lower(self, batch: tuple, platform: str = "tpu") -> Any:
        """Lowers the training step for a platform, which need not be available.

        Args:
            batch: of arrays, or of anything with a shape and a dtype.
            platform: "tpu", "cuda", "rocm" or "cpu".

        Returns:
            A `jax.export.Exported`; `mlir_module()` is its program in StableHLO.
        """

        def shape_of(value: Any, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(value.shape, value.dtype, sharding=sharding)

        state = jax.tree.map(shape_of, self._state, self._shardings)
        batch = jax.tree.map(lambda x: shape_of(x, self._rows), batch)
        return jax.export.export(self._train, platforms=[platform])(state, batch)

    # === Data ===

    def feed(self, source: Any, start: int, steps: int) -> Iterator[Any]:
        """Returns the batches of the steps after `start`, placed on the devices."""
        if is_dataset(source):
            return map(self._whole_batch, source.skip(start).as_numpy_iterator())
        return self._placed(source, range(start + 1, steps + 1))

    def heldout(self, source: Any) -> Iterator[Any]:
        """Returns the batches of one evaluation."""
        if is_dataset(source):
            return map(self._whole_batch, source.as_numpy_iterator())
        return self._placed(source, range(1, len(source) + 1))

    def _whole_batch(self, batch: tuple) -> tuple:
        """Places a batch that every process has; sharded if its rows are divisible."""
        count = len(jax.tree.leaves(batch)[0])
        sharded = count % self.mesh.shape["data"] == 0
        sharding = self._rows if sharded else self._replicated
        return jax.tree.map(lambda x: _global(x, sharding), batch)

    def _placed(self, source: Batches, numbers: range) -> Iterator[tuple]:
        size, replicas = source.batch_size, self.mesh.shape["data"]
        if size % replicas:
            raise ConfigError(
                f"Expected a batch size that the {replicas} devices along the data "
                f"axis divide. Received: {size}."
            )
        shape = (size,)
        rows = self._rows.addressable_devices_indices_map(shape).values()
        bounds = [index[0].indices(size) for index in rows]
        mine = slice(min(b[0] for b in bounds), max(b[1] for b in bounds))

        def place(step: int) -> tuple:
            batch = source(step, mine)
            return jax.tree.map(
                lambda x: _global(x, self._rows, (size, *x.shape[1:]), mine.start),
                batch,
            )

        return prefetch(place, numbers)

    # === State ===

    def state(self) -> dict[str, np.ndarray]:
        """Returns copies of the values of all variables.

        Every process has to call it.
        """
        values = {id(v): value for v, value in self._mapping(self._state)}
        names = numbered(self.model, self.optimizer)
        return {name: self._gathered(values[id(v)]) for name, v in names.items()}

    def _gathered(self, value: Array) -> np.ndarray:
        if not value.is_fully_addressable:
            value = jax.jit(lambda x: x, out_shardings=self._replicated)(value)
        # A copy: a later step reuses the array's memory.
        return np.array(
            value.addressable_data(0)
            if len(value.devices()) > 1 and value.is_fully_replicated
            else value
        )

    def load(self, values: Mapping[str, np.ndarray]) -> None:
        """Sets all variables."""
        names = numbered(self.model, self.optimizer)
        by_variable = {id(v): v.value for v in self.batch_loss.constants}
        given = cast_values(names, values)
        by_variable |= {id(names[name]): value for name, value in given.items()}
        self._state = self._on_devices(
            by_variable[id(v)] for group in self.variables for v in group
        )

    def take_values(self) -> None:
        """Takes the values that Keras' variables have."""
        self._state = self._on_devices(
            v.value for group in self.variables for v in group
        )

    def value(self, variable: keras.Variable) -> np.ndarray:
        """Returns the value of a variable of the optimizer.

        Every process has to call it.
        """
        return self._gathered(self._state.optimizer[self._index(variable)])

    def set_value(self, variable: keras.Variable, value: Any) -> None:
        """Sets a variable of the optimizer."""
        at = self._index(variable)
        value = np.asarray(value, variable.dtype)
        self._state.optimizer[at] = _global(value, self._shardings.optimizer[at])

    def save_position(self, folder: Path) -> None:
        """Does nothing: batches follow from step numbers."""

    def load_position(self, folder: Path, source: Any) -> None:
        """Does nothing, see `save_position`."""

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Evaluates the averaged weights inside."""
        before = self._state
        averages = [
            before.optimizer[self._index(average)] if average is not None else value
            for value, average in zip(
                before.trainable,
                self.optimizer._model_variables_moving_average,
                strict=True,
            )
        ]
        self._state = before._replace(trainable=averages)
        try:
            yield
        finally:
            self._state = before

    def finish(self) -> None:
        """Assigns the trained values to the variables of model and optimizer."""
        for variable, value in self._mapping(self._state):
            variable.assign(self._gathered(value))


def _global(
    value: np.ndarray,
    sharding: NamedSharding,
    shape: tuple[int, ...] | None = None,
    start: int = 0,
) -> Array:
    """Makes one array over all processes from the rows that this one has.

    Args:
        value: all rows of the array that the devices of this process hold.
        sharding: of the array.
        shape: of the whole array; None if `value` is all of it.
        start: number of the first row of `value`.
    """
    shape = value.shape if shape is None else shape

    def shard(index: tuple[slice, ...]) -> np.ndarray:
        if not index:
            return value
        first, last, _ = index[0].indices(shape[0])
        return value[(slice(first - start, last - start), *index[1:])]

    return jax.make_array_from_callback(shape, sharding, shard)
