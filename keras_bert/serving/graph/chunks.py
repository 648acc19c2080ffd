"""Processing a large batch in chunks of rows, in bounded memory."""

from collections.abc import Sequence

import tensorflow as tf

Tensors = dict[str, tf.Tensor]

# Tokens per chunk, padding included: 64 rows of 512.
POSITIONS = 2**15


def in_chunks(
    compute: tf.types.experimental.ConcreteFunction,
    inputs: Sequence[tf.Tensor],
    positions: int = POSITIONS,
) -> Tensors:
    """Applies a function to a batch, chunk by chunk, inside a graph.

    Args:
        compute: from tensors to named tensors; the first axis of all is the batch, and
            rows are independent.
        inputs: its inputs, `(batch, …)`, all of the same shape.
        positions: the most elements of an input per chunk; a row is never split.

    Returns:
        The outputs of the whole batch.

    Example:
        >>> spec = tf.TensorSpec([None, None], tf.int32, name="x")
        >>> double = tf.function(lambda x: {"y": 2 * x}).get_concrete_function(spec)
        >>> in_chunks(double, [tf.constant([[1], [2], [3]])], positions=2)["y"]
        <tf.Tensor: shape=(3, 1), dtype=int32, numpy=
        array([[2],
               [4],
               [6]], dtype=int32)>
    """
    shape = tf.shape(inputs[0])
    size = tf.maximum(positions // tf.maximum(tf.reduce_prod(shape[1:]), 1), 1)
    # At least one chunk, so that an empty batch has outputs too.
    count = tf.maximum(-(-shape[0] // size), 1)
    names = sorted(compute.structured_outputs)
    arrays = [_array(compute.structured_outputs[name], count) for name in names]

    def step(index: tf.Tensor, arrays: list[tf.TensorArray]):
        begin = index * size
        outputs = compute(*(x[begin : begin + size] for x in inputs))
        return index + 1, [
            array.write(index, outputs[name])
            for name, array in zip(names, arrays, strict=True)
        ]

    # Parallel iterations would need more memory.
    _, arrays = tf.while_loop(
        lambda index, _: index < count, step, (0, arrays), parallel_iterations=1
    )
    return {name: a.concat() for name, a in zip(names, arrays, strict=True)}


def _array(spec: tf.TensorSpec, count: tf.Tensor) -> tf.TensorArray:
    return tf.TensorArray(
        spec.dtype, count, element_shape=spec.shape, infer_shape=False
    )
