"""Weights in the dtype in which they are used.

Under a mixed policy variables are float32, and every call casts every kernel to 16 bits
before use. Rounding once gives the same bits at half the size.
"""

from collections.abc import Iterable

import keras
import tensorflow as tf

Tensor = tf.Tensor

# Weights, each with its replacement.
Replacements = list[tuple[keras.Variable, tf.Variable]]

# Operations that pass values on unchanged.
_PASSING = {"ReadVariableOp", "Reshape", "GatherV2", "Identity"}


def replacements(
    weights: Iterable[keras.Variable],
    function: tf.types.experimental.ConcreteFunction,
) -> Replacements:
    """Copies the weights that a function uses only after casting to fewer bits.

    Args:
        weights: of a model.
        function: that uses them.

    Returns:
        Pairs of a weight and its copy, for `keras.StatelessScope.add_update`.

    Example:
        >>> weights = [keras.Variable([0.1, 0.2]), keras.Variable([0.3, 0.4])]
        >>> @tf.function
        ... def function():
        ...     halves = [tf.cast(weight.value, tf.float16) for weight in weights]
        ...     return halves[0] * halves[1], 2 * weights[1].value
        >>> copies = replacements(weights, function.get_concrete_function())
        >>> [(weight is weights[0], copy.dtype.name) for weight, copy in copies]
        [(True, 'float16')]
    """
    captured = function.captured_inputs
    inside = function.inputs[len(function.inputs) - len(captured) :]
    handles = {id(x): y for x, y in zip(captured, inside, strict=True)}
    copies = []
    for weight in weights:
        handle = handles.get(id(weight.value.handle))
        dtypes = set() if handle is None else _used_in(handle)
        if len(dtypes) == 1 and _is_narrower(*dtypes, weight.value.dtype):
            copies.append((weight, _copy(weight, *dtypes)))
    return copies


def _used_in(values: Tensor) -> set[tf.DType]:
    """Returns the dtypes in which values are used."""
    found = set()
    for operation in values.consumers():
        if operation.type == "Cast":
            found.add(operation.outputs[0].dtype)
        elif operation.type in _PASSING:
            found |= _used_in(operation.outputs[0])
        else:
            found.add(values.dtype)
    return found


def _is_narrower(dtype: tf.DType, than: tf.DType) -> bool:
    return dtype.is_floating and than.is_floating and dtype.size < than.size


def _copy(weight: keras.Variable, dtype: tf.DType) -> tf.Variable:
    return tf.Variable(
        tf.cast(weight.value, dtype), trainable=weight.trainable, name=weight.name
    )
