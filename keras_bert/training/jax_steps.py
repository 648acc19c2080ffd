"""The steps of a run on JAX: pure functions of its state, over a mesh of devices.

Variables of Keras only say what there is. Their values are arrays of one state that a
compiled step takes and gives back in the same memory; where each array lies, whole on
every device or cut, is told at compilation, and the compiler adds what has to be sent.
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
from keras_bert.training.batches import Batches, ahead, is_dataset
from keras_bert.training.sharding import partitions
from keras_bert.training.step import Objective
from keras_bert.training.variables import fitting, numbered

Array = Any

AGREE_EVERY = 8  # steps between talks of processes about stopping


class State(NamedTuple):
    """All values that steps change.

    Attributes:
        trainable: of the model's weights.
        others: of its other variables, the dropout's seed among them.
        optimizer: of the optimizer's variables.
    """

    trainable: list[Array]
    others: list[Array]
    optimizer: list[Array]


class JaxSteps:
    """Training and evaluation steps, their data, and the state they change.

    Args:
        mesh: devices, with the axes "data" and "model".
        model: the model; its weights have the trained values after `finish`.
        optimizer: not built yet.
        parts: parts a batch is computed in.

    Attributes:
        objective: the loss.
        devices: that compute a step together, as far as they are distinct.
        writes: whether this process writes the run's files.
    """

    def __init__(self, mesh: Any, model: Any, optimizer: Any, parts: int) -> None:
        self.mesh, self.model, self.optimizer, self.parts = (
            mesh,
            model,
            optimizer,
            parts,
        )
        self.objective = Objective(model)
        optimizer.build(model.trainable_variables)
        self.kept = State(
            model.trainable_variables,
            model.non_trainable_variables,
            optimizer.variables,
        )
        on_cpu = (
            mesh.devices.flat[0].platform == "cpu"
        )  # all are parts of one processor
        self.devices = jax.process_count() if on_cpu else mesh.size
        self.writes = jax.process_index() == 0
        self._whole = NamedSharding(mesh, PartitionSpec())
        self._rows = NamedSharding(mesh, PartitionSpec("data"))
        shards = mesh.shape["model"]
        self._partitions = (
            partitions(model.config, model.parts_held, shards) if shards > 1 else {}
        )
        self._layout = State(*([self._place(v) for v in part] for part in self.kept))
        self.take_values()
        self._train = jax.jit(
            self._train_step,
            donate_argnums=0,
            out_shardings=(self._layout, self._whole),
        )
        self._evaluate = jax.jit(self._evaluate_step, out_shardings=self._whole)

    # === Where values lie ===

    def _place(self, variable: keras.Variable) -> NamedSharding:
        """Returns where a variable lies; a slot lies where its weight does."""
        for weight in self.kept.trainable:
            slot = variable.name.startswith(weight.path.replace("/", "_") + "_")
            if variable is weight or (slot and variable.shape == weight.shape):
                axes = self._partitions.get(weight.path, ())
                return NamedSharding(self.mesh, PartitionSpec(*axes))
        return self._whole

    def _on_devices(self, values: Any) -> State:
        """Copies values, all of them known to this process, to their devices."""
        values = map(np.asarray, values)
        return jax.tree.map(lambda place: _global(next(values), place), self._layout)

    # === Steps ===

    def train(self, batch: tuple) -> dict:
        """Takes a step and returns its sums."""
        self._state, sums = self._train(self._state, batch)
        return sums

    def evaluate(self, batch: tuple) -> dict:
        """Returns the sums of a held-out batch."""
        return self._evaluate(self._state, batch)

    def _train_step(self, state: State, batch: tuple) -> tuple[State, dict]:
        totals = self.objective.totals(batch)
        if self.parts == 1:
            gradients, others, sums = self._gradients(state, batch, totals)
        else:
            gradients, others, sums = self._by_parts(state, batch, totals)
        trainable, optimizer = self.optimizer.stateless_apply(
            state.optimizer, gradients, state.trainable
        )
        norm = self._index(self.optimizer.gradient_norm)
        sums["grad_norm"] = (optimizer[norm], jnp.ones(()))
        return State(trainable, others, optimizer), sums

    def _gradients(
        self, state: State, batch: tuple, totals: Mapping
    ) -> tuple[list[Array], list[Array], dict]:
        """Returns gradients, new values of other variables, and sums."""

        def scaled_loss(trainable: list[Array]) -> tuple[Array, tuple]:
            now = state._replace(trainable=trainable)
            with keras.StatelessScope(state_mapping=self._mapping(now)) as scope:
                loss, sums = self.objective(batch, training=True, totals=totals)
                scaled = self.optimizer.scale_loss(loss)
            others = [scope.get_current_value(v) for v in self.kept.others]
            sums = jax.tree.map(jnp.asarray, {**sums, "loss": (loss, 1.0)})
            return scaled, (others, sums)

        found, (others, sums) = jax.grad(scaled_loss, has_aux=True)(state.trainable)
        return found, others, sums

    def _by_parts(
        self, state: State, batch: tuple, totals: Mapping
    ) -> tuple[list[Array], list[Array], dict]:
        rows = NamedSharding(self.mesh, PartitionSpec(None, "data"))
        batches = jax.tree.map(
            lambda x: jax.lax.with_sharding_constraint(x, rows),
            split(batch, self.parts),
        )

        def one_part(others: list[Array], part: tuple) -> tuple[list[Array], tuple]:
            now = state._replace(others=others)
            found, others, sums = self._gradients(now, part, totals)
            return others, (found, sums)

        def add(carry: tuple, part: tuple) -> tuple[tuple, None]:
            others, results = one_part(carry[0], part)
            return (others, jax.tree.map(jnp.add, carry[1], results)), None

        first, rest = (jax.tree.map(lambda x, at=at: x[at], batches) for at in _ENDS)
        carry, _ = jax.lax.scan(add, one_part(state.others, first), rest)
        others, (found, sums) = carry
        # The parts' losses are shares of one total.
        sums["loss"] = (sums["loss"][0], jnp.ones(()))
        return found, others, sums

    def _evaluate_step(self, state: State, batch: tuple) -> dict:
        with keras.StatelessScope(state_mapping=self._mapping(state)):
            _, sums = self.objective(batch, training=False)
        return jax.tree.map(jnp.asarray, sums)

    def _mapping(self, state: State) -> list[tuple[keras.Variable, Array]]:
        parts = zip(self.kept, state, strict=True)
        return [pair for part in parts for pair in zip(*part, strict=True)]

    def _index(self, variable: keras.Variable) -> int:
        return next(i for i, v in enumerate(self.kept.optimizer) if v is variable)

    def agree(self, stop: bool, step: int) -> bool:
        """Says whether any process was told to stop, the same to all of them."""
        if jax.process_count() == 1 or step % AGREE_EVERY:
            return stop and jax.process_count() == 1
        from jax.experimental.multihost_utils import process_allgather

        return bool(process_allgather(np.array([stop])).any())

    def shapes(self, batch: tuple) -> dict[str, tuple[int, ...]]:
        """Returns the shapes of a batch's features, over all devices."""
        return {name: x.shape for name, x in batch[0].items()}

    def lower(self, batch: tuple, platform: str = "tpu") -> Any:
        """Lowers the training step for a platform, which need not be here.

        Args:
            batch: of arrays, or of anything that has shape and dtype.
            platform: "tpu", "cuda", "rocm" or "cpu".

        Returns:
            A `jax.export.Exported`; `mlir_module()` is its program in StableHLO.
        """

        def shape_of(value: Any, place: NamedSharding) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(value.shape, value.dtype, sharding=place)

        state = jax.tree.map(shape_of, self._state, self._layout)
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
        """Places a batch that every process has; rows that do not divide, whole."""
        count = len(jax.tree.leaves(batch)[0])
        place = self._whole if count % self.mesh.shape["data"] else self._rows
        return jax.tree.map(lambda x: _global(x, place), batch)

    def _placed(self, source: Batches, numbers: range) -> Iterator[tuple]:
        size, shares = source.batch_size, self.mesh.shape["data"]
        if size % shares:
            raise ConfigError(
                f"Expected a batch size that the {shares} devices along the data axis "
                f"divide. Received: {size}."
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

        return ahead(place, numbers)

    # === State ===

    def state(self) -> dict[str, np.ndarray]:
        """Returns the values of all variables, which later steps do not change.

        Every process has to call it.
        """
        values = {
            id(v): value
            for part, now in zip(self.kept, self._state, strict=True)
            for v, value in zip(part, now, strict=True)
        }
        names = numbered(self.model, self.optimizer)
        return {name: self._gathered(values[id(v)]) for name, v in names.items()}

    def _gathered(self, value: Array) -> np.ndarray:
        if not value.is_fully_addressable:
            value = jax.jit(lambda x: x, out_shardings=self._whole)(value)
        # A copy: a later step takes the array's memory.
        return np.array(
            value.addressable_data(0)
            if len(value.devices()) > 1 and value.is_fully_replicated
            else value
        )

    def load(self, values: Mapping[str, np.ndarray]) -> None:
        """Sets all variables."""
        names = numbered(self.model, self.optimizer)
        by_variable = {id(names[n]): v for n, v in fitting(names, values).items()}
        self._state = self._on_devices(
            by_variable[id(v)] for part in self.kept for v in part
        )

    def take_values(self) -> None:
        """Takes over the values that the variables have."""
        self._state = self._on_devices(v.value for part in self.kept for v in part)

    def value(self, variable: keras.Variable) -> np.ndarray:
        """Returns the value of a variable of the optimizer.

        Every process has to call it.
        """
        return self._gathered(self._state.optimizer[self._index(variable)])

    def set_value(self, variable: keras.Variable, value: Any) -> None:
        """Sets a variable of the optimizer."""
        at = self._index(variable)
        value = np.asarray(value, variable.dtype)
        self._state.optimizer[at] = _global(value, self._layout.optimizer[at])

    def save_position(self, folder: Path) -> None:
        """Nothing: batches follow from their steps."""

    def load_position(self, folder: Path, source: Any) -> None:
        """Nothing, see `save_position`."""

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Has evaluation be of the averaged weights inside."""
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
        """Gives the variables of model and optimizer their trained values."""
        for part, values in zip(self.kept, self._state, strict=True):
            for variable, value in zip(part, values, strict=True):
                variable.assign(self._gathered(value))


_ENDS = (0, slice(1, None))


def _global(
    value: np.ndarray,
    place: NamedSharding,
    shape: tuple[int, ...] | None = None,
    start: int = 0,
) -> Array:
    """Makes one array over all processes from what this one has of it.

    Args:
        value: rows of the array, all that this process' devices hold.
        place: where the array lies.
        shape: of the whole array; None if `value` is all of it.
        start: the first row that `value` holds.
    """
    shape = value.shape if shape is None else shape

    def part(index: tuple[slice, ...]) -> np.ndarray:
        if not index:
            return value
        first, last, _ = index[0].indices(shape[0])
        return value[(slice(first - start, last - start), *index[1:])]

    return jax.make_array_from_callback(shape, place, part)
