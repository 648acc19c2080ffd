"""Operations on gradients: sparse to dense, and their squared norms."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

Tensor = Any


def dense(gradient: Tensor) -> Tensor:
    """Adds up the rows of a sparse gradient; a dense one is returned as it is."""
    if hasattr(gradient, "dense_shape"):  # tf.IndexedSlices
        import tensorflow as tf

        return tf.convert_to_tensor(gradient)
    return gradient


def squared_norms(gradients: Sequence[Tensor]) -> Tensor:
    """Returns the squared norm of each gradient, `(weights,)`, in float32."""
    return ops.stack([_squared_norm(gradient) for gradient in gradients])


def _squared_norm(gradient: Tensor) -> Tensor:
    gradient = ops.cast(gradient, "float32")
    if keras.backend.backend() != "tensorflow":
        return ops.sum(ops.square(gradient))
    import tensorflow as tf

    return 2.0 * tf.nn.l2_loss(gradient)  # one pass over memory instead of two
