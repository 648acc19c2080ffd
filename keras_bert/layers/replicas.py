"""The replicas of a `tf.distribute` strategy, seen from inside a training step.

Outside a strategy, and on other backends, there is one replica and nothing to do: a
JAX step is written for the whole batch, whatever devices compute it.
"""

from typing import Any

import keras
from keras import ops

from keras_bert.layers.dropout import DropoutSeed

Tensor = Any

# 2**32 divided by the golden ratio: its multiples stay far apart, so that at least
# 1024 replicas have a million draws each before their sequences overlap.
REPLICA_STRIDE = 0x9E3779B9


def _replica_context() -> Any:
    """Returns the context of this replica, or None if there is only one."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    alone = context is None or context.num_replicas_in_sync == 1
    return None if alone else context


def sum_over_replicas(values: Any) -> Any:
    """Sums a tensor, or each tensor of a list, over the replicas."""
    context = _replica_context()
    if context is None:
        return values
    import tensorflow as tf

    return context.all_reduce(tf.distribute.ReduceOp.SUM, values)


@keras.saving.register_keras_serializable(package="keras_bert")
class ReplicaDropoutSeed(DropoutSeed):
    """Draws a different seed on each replica; replica 0 draws as a single device does.

    The state is the same on all replicas, so one checkpoint holds it.
    """

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        seed, context = super().call(inputs, training), _replica_context()
        if context is None or not training:
            return seed
        number = ops.cast(context.replica_id_in_sync_group, seed.dtype)
        # The second integer counts draws: each replica starts at its own offset.
        return seed + ops.stack([ops.zeros_like(number), number * REPLICA_STRIDE])
