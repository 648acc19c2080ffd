"""Gradients that replace those of automatic differentiation, without leaking graphs.

In a graph, `tf.custom_gradient` and `tf.recompute_grad` register every gradient under a
new global name. The gradient refers to the graph, so each traced training step stays in
memory until the process ends. Here the graph's own operation holds the gradient, and
both are freed together.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras

Tensor = Any
Gradient = Callable[..., Any]


def custom_gradient(
    function: Callable[..., tuple[Tensor, Gradient]],
) -> Callable[..., Tensor]:
    """Makes an operation of a function that returns a value and its gradient.

    Args:
        function: takes tensors; returns a value, and a function from the gradient with
            respect to the value to those with respect to the arguments (None for
            integers). It must not read variables.

    Returns:
        The operation. On JAX and PyTorch, which fuse operations themselves, only the
        value is used.

    Example:
        >>> double = custom_gradient(lambda x: (x + x, lambda upstream: upstream * 2))
        >>> float(double(keras.ops.convert_to_tensor(3.0)))
        6.0
    """
    on_tensorflow = keras.backend.backend() == "tensorflow"
    call = _on_tensorflow(function) if on_tensorflow else _value_of(function)
    made: Any = functools.update_wrapper(call, function)
    del made.__wrapped__  # AutoGraph would call that instead
    return made


def recompute(function: Callable[..., Any]) -> Callable[..., Any]:
    """Does what `keras.remat` does: keeps a function's arguments, not what it computes.

    Args:
        function: takes tensors, returns one or a tuple; it may read variables. Its
            randomness must come from its arguments.

    Returns:
        The function with the same values and gradients, computed again for the latter.
    """
    again = keras.remat(function)
    if keras.backend.backend() != "tensorflow":
        return again
    import tensorflow as tf

    def call(*arguments: Tensor) -> Any:
        if tf.executing_eagerly():
            return again(*arguments)
        return _recomputed_in_graph(function, arguments)

    return call


def _value_of(function: Callable) -> Callable:
    return lambda *arguments: function(*arguments)[0]


def _on_tensorflow(function: Callable) -> Callable:
    import tensorflow as tf

    eager = tf.custom_gradient(function)

    def call(*arguments: Tensor) -> Tensor:
        if tf.executing_eagerly():
            return eager(*arguments)
        inputs = [tf.convert_to_tensor(argument) for argument in arguments]
        value, gradient = function(*inputs)
        return _with_gradient([value], inputs, gradient)[0]

    return call


def _with_gradient(
    values: Sequence[Tensor], inputs: Sequence[Tensor], gradient: Gradient
) -> list[Tensor]:
    """Returns the values, as the outputs of one operation that has the gradient.

    A copy of the graph, as in a SavedModel, is differentiated by TensorFlow.
    """
    import tensorflow as tf
    from tensorflow.python.eager import record

    count, everything = len(values), [*values, *inputs]

    def backward(*upstreams: Tensor) -> list[Tensor | None]:
        return [None] * count + tf.nest.flatten(gradient(*upstreams[:count]))

    # The operation's gradient is for `tf.gradients` and for functions called under a
    # tape, the record is for tapes within the graph.
    gradients = {"IdentityN": lambda operation, *upstreams: backward(*upstreams)}
    with tf.compat.v1.get_default_graph()._override_gradient_function(gradients):
        outputs = tf.identity_n(everything)
    record.record_operation("CustomGradient", outputs, everything, backward)
    return outputs[:count]


def _recomputed_in_graph(function: Callable, arguments: Sequence[Tensor]) -> Any:
    import tensorflow as tf
    from tensorflow.python.eager import record

    arguments = [tf.convert_to_tensor(argument) for argument in arguments]
    with record.VariableWatcher() as watcher, record.stop_recording():
        value = function(*arguments)
    variables = list(watcher.watched_variables())

    def gradient(*upstreams: Tensor) -> list[Tensor | None]:
        with tf.GradientTape() as tape:
            again = [_after(upstreams[0], argument) for argument in arguments]
            tape.watch([x for x in again if x.dtype.is_floating])
            values = tf.nest.flatten(function(*again))
        sources = again + variables
        return tape.gradient(values, sources, upstreams, unconnected_gradients="zero")

    inputs = arguments + [tf.convert_to_tensor(variable) for variable in variables]
    outputs = _with_gradient(tf.nest.flatten(value), inputs, gradient)
    return tf.nest.pack_sequence_as(value, outputs)


def _after(earlier: Tensor, tensor: Tensor) -> Tensor:
    """Returns the tensor, in a way that it is not computed before another one.

    A control dependency would do but for XLA. Neither compiler may know this zero.
    """
    import tensorflow as tf

    first = tf.cast(tf.reduce_max(tf.reshape(earlier, [-1])[:1]), tf.bool)
    zero = tf.where(first == first, 0.0, float("nan"))
    return tensor + tf.cast(zero, tensor.dtype)
