"""Operations of TensorFlow that are one operation in ONNX.

What to look for is not written down: the function that computes it is traced, and its
graph is the pattern. So a pattern follows the code.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_bert.layers import LayerNorm
from keras_bert.layers.fused import gelu, gelu_new
from keras_bert.serving.runtimes.onnx_graph import Graph, Value
from keras_bert.serving.runtimes.onnx_operations import PASSING

Tensor = tf.Tensor


class Pattern(NamedTuple):
    """A piece of a graph.

    Attributes:
        inputs: stand for tensors of a compatible shape.
        output: what is computed from them.
        form: writes it to a graph, from the values of the inputs.
        fits: tells whether it may be written for these inputs.
    """

    inputs: Sequence[Tensor]
    output: Tensor
    form: Callable[..., Value]
    fits: Callable[..., bool] = lambda *inputs: True

    @classmethod
    def of(
        cls, function: Callable[..., Tensor], specs: Sequence[tf.TensorSpec], *how: Any
    ) -> "Pattern":
        """Traces a function.

        Args:
            function: computes what to look for.
            specs: of its inputs.
            *how: `form` and `fits`, see `Pattern`.
        """
        traced = tf.function(function, autograph=False).get_concrete_function(*specs)
        return cls(traced.inputs, source(traced.outputs[0]), *how)

    def match(self, tensor: Tensor) -> list[Tensor] | None:
        """Returns the inputs if a tensor is computed by this piece of a graph."""
        found: dict[str, Tensor] = {}
        if not _same(self.output, source(tensor), found):
            return None
        inputs = [found[x.name] for x in self.inputs]
        return inputs if self.fits(*inputs) else None


def source(tensor: Tensor) -> Tensor:
    """Goes back to where a tensor is computed."""
    while tensor.op.type in PASSING - {"ReadVariableOp"}:
        tensor = tensor.op.inputs[tensor.value_index]
    return tensor


def _same(pattern: Tensor, tensor: Tensor, found: dict[str, Tensor]) -> bool:
    """Compares what two tensors are computed by; notes what inputs stand for."""
    if pattern.op.type == "Placeholder":
        fits = pattern.shape.is_compatible_with(tensor.shape)
        fits = fits and pattern.dtype == tensor.dtype
        return fits and found.setdefault(pattern.name, tensor).name == tensor.name
    if pattern.op.type == "Const":
        value = tf.get_static_value(tensor)
        return value is not None and np.array_equal(value, tf.get_static_value(pattern))
    return (
        _attributes(pattern) == _attributes(tensor)
        and len(pattern.op.inputs) == len(tensor.op.inputs)
        and all(
            _same(source(one), source(other), found)
            for one, other in zip(pattern.op.inputs, tensor.op.inputs, strict=True)
        )
    )


def _attributes(tensor: Tensor) -> tuple:
    operation = tensor.op
    attributes = operation.node_def.attr
    known = {k: attributes[k] for k in attributes if not k.startswith("_")}
    return operation.type, tensor.value_index, known


# === What is looked for ===

ANY, ROWS, ROW, NUMBER = (
    tf.TensorSpec(shape) for shape in (None, [None, None], [None], [])
)
COUNT, PLACES, SHAPE = (tf.TensorSpec(shape, tf.int32) for shape in ([], None, [None]))


def find(tensor: Tensor) -> tuple[Callable[..., Value], list[Tensor]] | None:
    """Finds the larger operation whose output a tensor is.

    Args:
        tensor: computed by TensorFlow's operations.

    Returns:
        What writes the operation, and its inputs; None if there is no such operation.
    """
    for pattern in _patterns().get(tensor.op.type, ()):
        inputs = pattern.match(tensor)
        if inputs is not None:
            return pattern.form, inputs
    return None


@functools.cache
def _patterns() -> dict[str, list[Pattern]]:
    """Returns all patterns by their last operation, larger ones first."""
    found: dict[str, list[Pattern]] = {}
    for pattern in (_norm(), *_gelus(), *_dense(), *_products(), _take()):
        found.setdefault(pattern.output.op.type, []).append(pattern)
    return found


def _norm() -> Pattern:
    def function(x: Tensor, gamma: Tensor, beta: Tensor, epsilon: Tensor) -> Tensor:
        layer = SimpleNamespace(
            gamma=gamma,
            beta=beta,
            config=SimpleNamespace(value=epsilon),
            epsilon="value",
            compute_dtype="float32",
        )
        return LayerNorm.call(layer, x)

    def form(g: Graph, x: Value, gamma: Value, beta: Value, epsilon: Value) -> Value:
        settings = {"axis": -1, "epsilon": float(epsilon)}
        return g("LayerNormalization", x, gamma, beta, **settings)

    return Pattern.of(function, [ANY, ROW, ROW, NUMBER], form)


def _gelus() -> Iterator[Pattern]:
    for own, approximate in ((gelu, False), (gelu_new, True)):
        kind = "tanh" if approximate else "none"
        for function in (own, partial(tf.nn.gelu, approximate=approximate)):
            yield Pattern.of(function, [ANY], partial(_gelu, kind))


def _gelu(kind: str, g: Graph, x: Value) -> Value:
    return g("Gelu", x, approximate=kind)


# Products of matrices, and whether the second one is given transposed.
_PRODUCTS = (
    (tf.matmul, False),
    (partial(tf.matmul, transpose_b=True), True),
    (lambda x, w: tf.matmul(x, tf.transpose(w)), True),
)


def _dense() -> Iterator[Pattern]:
    """Products with a bias, and those that get another shape before it."""
    for add, (multiply, transposed), reshaped in itertools.product(
        (tf.add, tf.nn.bias_add), _PRODUCTS, (False, True)
    ):
        function = partial(_dense_function, add, multiply)
        specs = [ROWS, ROWS, ROW, *([SHAPE] if reshaped else [])]
        how = partial(_gemm, transposed), partial(_is_as_wide, transposed)
        yield Pattern.of(function, specs, *how)


def _dense_function(
    add: Callable, multiply: Callable, x: Tensor, w: Tensor, b: Tensor, *shape: Tensor
) -> Tensor:
    product = multiply(x, w)
    return add(tf.reshape(product, *shape) if shape else product, b)


def _is_as_wide(transposed: bool, x: Tensor, w: Tensor, b: Tensor, *_: Tensor) -> bool:
    """Tells whether a bias can be added before the product gets another shape."""
    width = w.shape[0 if transposed else 1]
    return width is not None and width == b.shape[0]


def _products() -> Iterator[Pattern]:
    for multiply, transposed in _PRODUCTS[1:]:
        yield Pattern.of(multiply, [ROWS, ROWS], partial(_gemm, transposed))


def _gemm(transposed: bool, g: Graph, x: Value, w: Value, *rest: Value) -> Value:
    bias, shape = rest[:1], rest[1:]
    product = g("Gemm", x, w, *bias, transB=int(transposed))
    return g("Reshape", product, *shape, allowzero=1) if shape else product


def _take() -> Pattern:
    """Keras' lookup, which counts negative places from the end, as ONNX does itself."""

    def function(x: Tensor, places: Tensor, size: Tensor) -> Tensor:
        return tf.gather(x, tf.where(places < 0, places + size, places))

    def form(g: Graph, x: Value, places: Value, size: Value) -> Value:
        return g("Gather", x, places)

    return Pattern.of(function, [ANY, PLACES, COUNT], form)
