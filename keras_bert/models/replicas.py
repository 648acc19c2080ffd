"""The replicas of a `tf.distribute` strategy, seen from inside a step.

Everywhere else, and on other backends, there is one replica and nothing to do: on
JAX a step is written for the whole batch, whatever devices compute it.
"""

from typing import Any

import keras
from keras import ops

from keras_bert.layers import DropoutSeed

Tensor = Any

# Two to the 32nd by the golden ratio: its multiples stay far apart, for 1024 replicas
# at least a million draws.
APART = 0x9E3779B9


def _context() -> Any:
    """Returns the context of this replica; None where it is the only one."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    alone = context is None or context.num_replicas_in_sync == 1
    return None if alone else context


def sum_over_replicas(values: Any) -> Any:
    """Sums tensors, one or a list, over the replicas."""
    context = _context()
    if context is None:
        return values
    import tensorflow as tf

    return context.all_reduce(tf.distribute.ReduceOp.SUM, values)


@keras.saving.register_keras_serializable(package="keras_bert")
class ReplicaDropoutSeed(DropoutSeed):
    """Draws another seed on each replica; the first one's is that of one device.

    The state is the same on all of them, and so one checkpoint holds it.
    """

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        seed, context = super().call(inputs, training), _context()
        if context is None or not training:
            return seed
        number = ops.cast(context.replica_id_in_sync_group, seed.dtype)
        # The second number counts draws: every replica begins elsewhere in them.
        return seed + ops.stack([ops.zeros_like(number), number * APART])
