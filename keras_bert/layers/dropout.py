"""Dropout whose seed comes from outside.

One layer draws one seed per step, and every place that drops derives its own from it.
So a block computed twice (activation checkpointing) drops the same units both times,
and the whole model's randomness is one small variable that a checkpoint can hold.
"""

import zlib
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_bert.layers.replicas import replica_number

Tensor = Any

# Two to the 32nd by the golden ratio: its multiples stay far apart, for 1024 replicas
# at least a million draws.
REPLICA_STRIDE = 0x9E3779B9


class _GivenSeed(keras.random.SeedGenerator):
    """A generator that hands out the seed tensor it was given."""

    _initial_seed = 0  # read by the torch backend

    def __init__(self, seed: Tensor):
        self._seed = seed  # and no state of its own, hence no super().__init__

    def next(self, ordered: bool = True) -> Tensor:
        return self._seed


@keras.saving.register_keras_serializable(package="keras_bert")
class DropoutSeed(keras.layers.Layer):
    """Draws the seed of one forward pass, another one on each replica.

    The first replica's seed is that of a single device, and the state is the same on
    all of them, so one checkpoint holds it.

    Args:
        seed: where the sequence of seeds starts; None takes Keras' global one.

    Call arguments:
        inputs: any tensor; its value is not used.
        training: draw a new seed; otherwise zeros.

    Returns:
        Integers `(2,)`.
    """

    def __init__(self, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: Any = None) -> None:
        self.built = True

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if not training:
            return ops.zeros((2,), dtype=self.seed_generator.state.dtype)
        seed, number = self.seed_generator.next(), replica_number()
        if number is None:
            return seed
        number = ops.cast(number, seed.dtype)
        # The second number counts draws: every replica begins elsewhere in them.
        return seed + ops.stack([ops.zeros_like(number), number * REPLICA_STRIDE])

    def get_config(self) -> dict:
        return {**super().get_config(), "seed": self.seed}


def drop(inputs: Tensor, rate: float, seed: Tensor, place: str) -> Tensor:
    """Zeroes a fraction of the inputs and scales the rest up.

    Args:
        inputs: floats of any shape.
        rate: fraction set to zero, in [0, 1).
        seed: what `DropoutSeed` returned.
        place: tells its draws from those of other places.
    """
    if not rate:
        return inputs
    # In float32: narrower draws are slower on CPUs, and coarser than most rates.
    own = _seed_of(place, seed)
    kept = keras.random.uniform(ops.shape(inputs), dtype="float32", seed=own) >= rate
    return ops.where(kept, inputs * (1.0 / (1.0 - rate)), 0.0)


def seed_at(seed: Tensor, number: int) -> Tensor:
    """Returns another seed for each layer that is the same block.

    Args:
        seed: what `DropoutSeed` returned.
        number: of the layer, from 0.
    """
    own = np.array([number * REPLICA_STRIDE % 2**32, 0], dtype="uint32")
    dtype = keras.backend.standardize_dtype(seed.dtype)
    return seed + ops.convert_to_tensor(own.astype(dtype), dtype)


def _seed_of(place: str, seed: Tensor) -> _GivenSeed:
    # The counter is in the second number, so the place goes to the first.
    own = np.array([zlib.crc32(place.encode()), 0], dtype="uint32")
    dtype = keras.backend.standardize_dtype(seed.dtype)
    return _GivenSeed(seed + ops.convert_to_tensor(own.astype(dtype), dtype))


@keras.saving.register_keras_serializable(package="keras_bert")
class Dropout(keras.layers.Layer):
    """Zeroes a fraction of its input and scales the rest up.

    Its path in the model tells its draws from those of other places.

    Args:
        rate: fraction set to zero, in [0, 1).

    Call arguments:
        inputs: floats of any shape.
        seed: what `DropoutSeed` returned.
        training: drop; otherwise pass the inputs on.
    """

    def __init__(self, rate: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.rate = rate

    def build(self, input_shape: Any = None) -> None:
        self.built = True

    def call(self, inputs: Tensor, seed: Tensor, training: bool = False) -> Tensor:
        return drop(inputs, self.rate, seed, self.path) if training else inputs

    def get_config(self) -> dict:
        return {**super().get_config(), "rate": self.rate}
