"""What operations of TensorFlow are in ONNX: one table, `FORMS`.

A form is called with the graph to write to, the operation, and the values of its
inputs. It returns the value of the output, or a list if there are several.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_bert.serving.runtimes.onnx_graph import TYPES, Graph, Value, type_of

Form = Callable[..., Any]

END = np.iinfo(np.int64).max  # of an axis of any length

# Operations with the same inputs and no attributes.
SAME = {
    **{
        name: name
        for name in (
            "Abs Ceil Cos Elu Equal Erf Exp Floor Greater Less Log LogSoftmax Mul Neg "
            "Pow Range Reciprocal Relu Selu Shape Sigmoid Sign Sin Size Softmax "
            "Softplus Softsign Sqrt Sub Tanh Tile"
        ).split()
    },
    "AddV2": "Add",
    "BiasAdd": "Add",
    "BroadcastTo": "Expand",
    "GatherNd": "GatherND",
    "GreaterEqual": "GreaterOrEqual",
    "LessEqual": "LessOrEqual",
    "LogicalAnd": "And",
    "LogicalNot": "Not",
    "LogicalOr": "Or",
    "Maximum": "Max",
    "Minimum": "Min",
    "RealDiv": "Div",
    "ResourceGather": "Gather",
    "SelectV2": "Where",
    "TensorScatterUpdate": "ScatterND",
}

# Operations that return what they are given. Variables are known by their values.
PASSING = {
    "CheckNumerics",
    "EnsureShape",
    "Identity",
    "IdentityN",
    "PreventGradient",
    "ReadVariableOp",
    "StopGradient",
}


def _same(operation: str) -> Form:
    return lambda g, op, *values: g(operation, *values)


# === Numbers ===


def _cast(g: Graph, op: tf.Operation, x: Value) -> Value:
    old, new = (type_of(t.dtype.as_numpy_dtype) for t in (*op.inputs, *op.outputs))
    return x if old == new else g("Cast", x, to=TYPES[new])


def _filled(g: Graph, op: tf.Operation, number: int, shape: Value) -> Value:
    number = np.array(number, op.outputs[0].dtype.as_numpy_dtype)
    return g("Expand", number, shape)


def _floor_div(g: Graph, op: tf.Operation, x: Value, y: Value) -> Value:
    if op.inputs[0].dtype.is_floating:
        return g("Floor", g("Div", x, y))
    return g("Div", g("Sub", x, g("Mod", x, y)), y)  # Div alone rounds to zero


def _floor_mod(g: Graph, op: tf.Operation, x: Value, y: Value) -> Value:
    if op.inputs[0].dtype.is_floating:
        return g("Sub", x, g("Mul", g("Floor", g("Div", x, y)), y))
    return g("Mod", x, y)


def _squared_difference(g: Graph, op: tf.Operation, x: Value, y: Value) -> Value:
    difference = g("Sub", x, y)
    return g("Mul", difference, difference)


def _reduction(operation: str) -> Form:
    def form(g: Graph, op: tf.Operation, x: Value, axes: Value) -> Value:
        keepdims = int(op.get_attr("keep_dims"))
        return g(operation, x, np.reshape(axes, [-1]), keepdims=keepdims)

    return form


def _cumsum(g: Graph, op: tf.Operation, x: Value, axis: Value) -> Value:
    flags = {name: int(op.get_attr(name)) for name in ("exclusive", "reverse")}
    return g("CumSum", x, axis, **flags)


def _matmul(*transposed: str) -> Form:
    """Multiplies matrices; attributes of these names say which are transposed."""

    def form(g: Graph, op: tf.Operation, *values: Value) -> Value:
        factors = [
            _swapped(g, value, tensor.shape.rank) if op.get_attr(name) else value
            for value, tensor, name in zip(values, op.inputs, transposed, strict=True)
        ]
        return g("MatMul", *factors)

    return form


def _swapped(g: Graph, x: Value, rank: int) -> Value:
    return g("Transpose", x, perm=[*range(rank - 2), rank - 1, rank - 2])


def _einsum(g: Graph, op: tf.Operation, *values: Value) -> Value:
    return g("Einsum", *values, equation=op.get_attr("equation").decode())


# === Shapes ===


def _transpose(g: Graph, op: tf.Operation, x: Value, order: Value) -> Value:
    order = [int(axis) for axis in order]
    return x if order == sorted(order) else g("Transpose", x, perm=order)


def _squeeze(g: Graph, op: tf.Operation, x: Value) -> Value:
    axes = op.get_attr("squeeze_dims")
    return g("Squeeze", x, *([axes] if axes else []))


def _pack(g: Graph, op: tf.Operation, *values: Value) -> Value:
    axis = op.get_attr("axis")
    return _joined(g, [g("Unsqueeze", x, [axis]) for x in values], axis)


def _joined(g: Graph, values: Sequence[Value], axis: int) -> Value:
    return g("Concat", *values, axis=axis) if len(values) > 1 else values[0]


def _unpack(g: Graph, op: tf.Operation, x: Value) -> list[Value]:
    axis = op.get_attr("axis")
    return [g("Gather", x, i, axis=axis) for i in range(op.get_attr("num"))]


def _split(g: Graph, op: tf.Operation, axis: Value, x: Value) -> list[Value]:
    count = len(op.outputs)
    return g("Split", x, outputs=count, axis=int(axis), num_outputs=count)


def _pad(g: Graph, op: tf.Operation, x: Value, paddings: Value, *value: Value) -> Value:
    # (axes, 2) -> all beginnings, then all ends
    paddings = g("Reshape", g("Transpose", paddings, perm=[1, 0]), [-1])
    return g("Pad", x, paddings, *value)


# === Indices ===


def _gather(g: Graph, op: tf.Operation, x: Value, indices: Value, axis: Value) -> Value:
    batch_dims = op.get_attr("batch_dims")
    if not batch_dims:
        return g("Gather", x, indices, axis=int(axis))
    return g("GatherND", x, g("Unsqueeze", indices, [-1]), batch_dims=batch_dims)


def _scatter(
    g: Graph, op: tf.Operation, indices: Value, updates: Value, shape: Value
) -> Value:
    zeros = _filled(g, op, 0, shape)
    return g("ScatterND", zeros, indices, updates, reduction="add")


def _one_hot(
    g: Graph, op: tf.Operation, indices: Value, depth: Value, on: Value, off: Value
) -> Value:
    values = g("Concat", g("Reshape", off, [1]), g("Reshape", on, [1]), axis=0)
    return g("OneHot", indices, depth, values, axis=op.get_attr("axis"))


def _strided_slice(
    g: Graph, op: tf.Operation, x: Value, begin: Value, end: Value, strides: Value
) -> Value:
    entries = list(enumerate(_entries(op)))  # new axes are added first
    new = [axis for axis, (kind, _) in entries if kind == "new_axis"]
    x = g("Unsqueeze", x, new) if new else x
    cuts = [
        (*_bounds(g, op, i, begin, end, strides), [axis], strides[i : i + 1])
        for axis, (kind, i) in entries
        if kind == "slice" and not _takes_all(op, i, strides)
    ]
    if cuts:
        x = g("Slice", x, *(_joined(g, part, 0) for part in zip(*cuts, strict=True)))
    for axis, (kind, i) in reversed(entries):
        if kind == "shrink_axis":
            x = g("Gather", x, g("Gather", begin, i), axis=axis)
    return x


def _entries(op: tf.Operation) -> Iterator[tuple[str, int]]:
    """Yields the kind of each entry of `x[...]`, and its number, axis by axis."""
    kinds = [_kind(op, i) for i in range(op.inputs[1].shape[0])]
    given = sum(kind not in ("ellipsis", "new_axis") for kind in kinds)
    for i, kind in enumerate(kinds):
        count = op.inputs[0].shape.rank - given if kind == "ellipsis" else 1
        yield from [(kind, i)] * count


def _kind(op: tf.Operation, i: int) -> str:
    kinds = ("ellipsis", "new_axis", "shrink_axis")
    found = (kind for kind in kinds if _masked(op, kind, i))
    return next(found, "slice")


def _masked(op: tf.Operation, name: str, i: int) -> bool:
    return bool(op.get_attr(f"{name}_mask") >> i & 1)


def _takes_all(op: tf.Operation, i: int, strides: Value) -> bool:
    return _masked(op, "begin", i) and _masked(op, "end", i) and strides[i] == 1


def _bounds(
    g: Graph, op: tf.Operation, i: int, begin: Value, end: Value, strides: Value
) -> list[Value]:
    """Returns where an entry begins and ends, as vectors of one element."""
    bounds = [(0, END), (END, -END)][int(strides[i] < 0)]
    several = op.inputs[1].shape[0] > 1
    return [
        [bound] if _masked(op, name, i) else g("Gather", x, [i]) if several else x
        for name, x, bound in zip(("begin", "end"), (begin, end), bounds, strict=True)
    ]


# === The table ===

FORMS: dict[str, Form] = {
    **{name: _same(operation) for name, operation in SAME.items()},
    **dict.fromkeys(PASSING, lambda g, op, *values: list(values)),
    "BatchMatMulV2": _matmul("adj_x", "adj_y"),
    "Cast": _cast,
    "ConcatV2": lambda g, op, *values: _joined(g, values[:-1], int(values[-1])),
    "Cumsum": _cumsum,
    "Einsum": _einsum,
    "Erfc": lambda g, op, x: g("Sub", 1.0, g("Erf", x)),
    "ExpandDims": lambda g, op, x, axis: g("Unsqueeze", x, np.reshape(axis, [1])),
    "Fill": lambda g, op, shape, value: g("Expand", value, shape),
    "FloorDiv": _floor_div,
    "FloorMod": _floor_mod,
    "GatherV2": _gather,
    "MatMul": _matmul("transpose_a", "transpose_b"),
    "Max": _reduction("ReduceMax"),
    "Mean": _reduction("ReduceMean"),
    "Min": _reduction("ReduceMin"),
    "NotEqual": lambda g, op, x, y: g("Not", g("Equal", x, y)),
    "OneHot": _one_hot,
    "OnesLike": lambda g, op, x: _filled(g, op, 1, g("Shape", x)),
    "Pack": _pack,
    "Pad": _pad,
    "PadV2": _pad,
    "Prod": _reduction("ReduceProd"),
    "Reshape": lambda g, op, x, shape: g("Reshape", x, shape, allowzero=1),
    "Rsqrt": lambda g, op, x: g("Reciprocal", g("Sqrt", x)),
    "ScatterNd": _scatter,
    "Split": _split,
    "Square": lambda g, op, x: g("Mul", x, x),
    "SquaredDifference": _squared_difference,
    "Squeeze": _squeeze,
    "StridedSlice": _strided_slice,
    "Sum": _reduction("ReduceSum"),
    "TopKV2": lambda g, op, x, k: g("TopK", x, g("Reshape", k, [1]), outputs=2),
    "Transpose": _transpose,
    "Unpack": _unpack,
    "Where": lambda g, op, x: g("Transpose", g("NonZero", x), perm=[1, 0]),
    "ZerosLike": lambda g, op, x: _filled(g, op, 0, g("Shape", x)),
}
