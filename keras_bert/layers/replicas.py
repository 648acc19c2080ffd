"""The replicas of a `tf.distribute` strategy, seen from inside a step.

Everywhere else, and on other backends, there is one replica and nothing to do: on JAX a
step is written for the whole batch, whatever devices compute it.
"""

from typing import Any

import keras


def _context() -> Any:
    """Returns the context of this replica; None where it is the only one."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    alone = context is None or context.num_replicas_in_sync == 1
    return None if alone else context


def replica_number() -> Any:
    """Returns the number of this replica, a tensor; None where it is the only one."""
    context = _context()
    return None if context is None else context.replica_id_in_sync_group


def sum_over_replicas(values: Any) -> Any:
    """Sums tensors, one or a list, over the replicas."""
    context = _context()
    if context is None:
        return values
    import tensorflow as tf

    return context.all_reduce(tf.distribute.ReduceOp.SUM, values)
