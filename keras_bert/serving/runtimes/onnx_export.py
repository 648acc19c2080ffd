"""A model as ONNX, by way of the graph TensorFlow makes of its forward pass.

Nothing here knows a model: its forward pass is traced, without padding where
`keras_bert.serving.graph.unpadded` can do that, and written operation by operation.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_bert.axes import names
from keras_bert.errors import ConfigError
from keras_bert.features import SERVED_INPUTS
from keras_bert.models import PreTrainedModel
from keras_bert.models.quantization import has_adapters, mode_of
from keras_bert.serving.graph import unpadded
from keras_bert.serving.runtimes import onnx_patterns
from keras_bert.serving.runtimes.onnx_graph import (
    TYPES,
    Graph,
    Value,
    constant,
    type_of,
)
from keras_bert.serving.runtimes.onnx_operations import FORMS
from keras_bert.serving.runtimes.policies import in_policy

if TYPE_CHECKING:
    import onnx

Tensor = tf.Tensor
Function = tf.types.experimental.ConcreteFunction

LARGEST_FILE = 2**31 - 2**20  # a protocol buffer is smaller than 2 GiB


def onnx_model(model: PreTrainedModel) -> "onnx.ModelProto":
    """Returns a model as ONNX.

    Args:
        model: any model of this package; it is exported in float32.

    Returns:
        A graph from `input_ids`, `attention_mask` and `token_type_ids`, int32
        `(batch, seq)` or `(batch, choices, seq)` of any size, to the model's outputs
        by name, float32. Without hidden states and attentions among them, they are
        computed without padding, see `keras_bert.serving.graph.unpadded.forward`.

    Raises:
        ConfigError: the model is quantized, or computes by an operation that is not
            in the table.

    Example:
        >>> import keras_bert
        >>> config = keras_bert.BertConfig.preset("tiny", vocab_size=7)
        >>> onnx_model(keras_bert.BertForMaskedLM(config)).graph.output[0].name
        'logits'
    """
    if mode_of(model):
        raise ConfigError(
            f"Expected weights in floats for ONNX. Received: {mode_of(model)}. Export "
            "the model before it is quantized, and quantize for the runtime."
        )
    if model.compute_dtype != "float32" or has_adapters(model):
        model = in_policy(model, "float32")
    axes = names("batch choices seq" if model.choices else "batch seq")
    metadata = {
        "model": model.architecture,
        "config": json.dumps(model.config.to_dict(), sort_keys=True),
    }
    weights = {weight.path: weight.value for weight in model.weights}
    return onnx_function(_trace(model, len(axes)), axes, weights, metadata)


def save_onnx(model: PreTrainedModel, file: str | Path) -> None:
    """Writes a model as ONNX, its weights to a second file if they are too large.

    Args:
        model: see `onnx_model`.
        file: to write.
    """
    import onnx

    proto, file = onnx_model(model), Path(file)
    onnx.save_model(
        proto,
        file,
        save_as_external_data=proto.ByteSize() > LARGEST_FILE,
        location=f"{file.name}.data",
        size_threshold=1024,
    )
    # By path: a graph above 2 GiB cannot be checked in memory.
    onnx.checker.check_model(str(file), full_check=True)


def _trace(model: PreTrainedModel, rank: int) -> Function:
    from keras_bert.serving.graph.servable import named_outputs

    def forward(*ids: Tensor) -> dict[str, Tensor]:
        inputs = dict(zip(SERVED_INPUTS, ids, strict=True))
        if unpadded.supports(model):
            return named_outputs(unpadded.forward(model, inputs, multiple=1))
        return named_outputs(model(inputs, training=False))

    specs = [tf.TensorSpec([None] * rank, tf.int32, name) for name in SERVED_INPUTS]
    return tf.function(forward, autograph=False).get_concrete_function(*specs)


# === From functions to models ===


def onnx_function(
    function: Function,
    axes: Sequence[str],
    variables: Mapping[str, tf.Variable],
    metadata: Mapping[str, str],
) -> "onnx.ModelProto":
    """Returns a function of TensorFlow as ONNX.

    Args:
        function: returns a dict of float32 tensors.
        axes: names of free axes: the first, the second and so on; the last name is
            that of all further ones.
        variables: by the names they get in ONNX; others keep their own.
        metadata: properties to store in the file.

    Raises:
        ConfigError: an operation is not in the table.

    Example:
        >>> spec = tf.TensorSpec([None, 2], tf.float32, "x")
        >>> double = tf.function(lambda x: {"y": x + x}).get_concrete_function(spec)
        >>> model = onnx_function(double, ["rows"], {}, {})
        >>> [node.op_type for node in model.graph.node]
        ['Add', 'Identity']
    """
    graph, outputs = Graph(), function.structured_outputs
    inputs = function.inputs[: len(function.inputs) - len(function.captured_inputs)]
    values = [*_given(graph, inputs), *_captured(graph, function, variables)]
    written = _write(graph, function.graph, values, [*outputs.values()])
    return graph.model(
        [_declared(tensor, axes) for tensor in inputs],
        {
            name: (value, _named(tensor.shape, axes))
            for (name, tensor), value in zip(outputs.items(), written, strict=True)
        },
        metadata,
    )


def _given(graph: Graph, inputs: Sequence[Tensor]) -> Iterator[Value]:
    """Yields inputs in the types of the graph."""
    for tensor in inputs:
        name, dtype = tensor.op.name, tensor.dtype.as_numpy_dtype
        same = type_of(dtype) == np.dtype(dtype).name
        yield name if same else graph("Cast", name, to=TYPES[type_of(dtype)])


def _captured(
    graph: Graph, function: Function, variables: Mapping[str, tf.Variable]
) -> Iterator[Value]:
    """Yields the values of variables and tensors from outside a function."""
    known = {id(v.handle): (v.name, v) for v in function.variables}
    known |= {id(v.handle): (name, v) for name, v in variables.items()}
    for tensor in function.captured_inputs:
        if id(tensor) in known:
            name, variable = known[id(tensor)]
            yield graph.weight(name, constant(variable.numpy()))
        else:
            yield constant(tensor.numpy())


def _declared(tensor: Tensor, axes: Sequence[str]) -> "onnx.ValueInfoProto":
    from onnx import helper

    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype.as_numpy_dtype))
    shape = _named(tensor.shape, axes)
    return helper.make_tensor_value_info(tensor.op.name, dtype, shape)


def _named(shape: tf.TensorShape, axes: Sequence[str]) -> list[int | str]:
    """Returns the sizes of axes, and names of those that are free."""
    return [
        axes[min(i, len(axes) - 1)] if size is None else size
        for i, size in enumerate(shape)
    ]


# === From graphs to graphs ===


class _Step(NamedTuple):
    """Writes the outputs of an operation, from the values of some tensors."""

    operation: tf.Operation
    form: Callable[..., Any]
    inputs: Sequence[Tensor]

    @classmethod
    def of(cls, op: tf.Operation) -> "_Step":
        found = onnx_patterns.find(op.outputs[0])
        if found:
            return cls(op, *found)
        form = _CALLS.get(op.type) or FORMS.get(op.type)
        if form is None:
            raise ConfigError(
                "Expected operations of TensorFlow that have a form in ONNX. Received: "
                f"{op.type}, as {op.name}. Compute it by other operations, or add a "
                "form to keras_bert/serving/runtimes/onnx_operations.py."
            )
        return cls(op, lambda g, *values: form(g, op, *values), op.inputs)

    def write(self, graph: Graph, values: dict[str, Value]) -> None:
        """Adds the values of the outputs, by the names of tensors."""
        graph.within(self.operation.name.rpartition("/")[0])
        written = self.form(graph, *(values[x.name] for x in self.inputs))
        written = written if isinstance(written, list) else [written]
        names = [x.name for x in self.operation.outputs]
        values |= zip(names, written, strict=False)


def _write(
    graph: Graph, traced: tf.Graph, inputs: Iterable[Value], outputs: Sequence[Tensor]
) -> list[Value]:
    """Writes what a function computes.

    Args:
        graph: to write to.
        traced: the graph of the function.
        inputs: values of the function's inputs.
        outputs: tensors of the traced graph.

    Returns:
        The values of the outputs.
    """
    names = [x.name for x in traced.inputs]
    values = {**dict(zip(names, inputs, strict=True)), **_constants(traced)}
    for step in _steps(traced, outputs, values):
        step.write(graph, values)
    return [values[x.name] for x in outputs]


def _constants(traced: tf.Graph) -> dict[str, Value]:
    """Computes what depends on no input, by the names of tensors."""
    found = set()
    for op in traced.get_operations():
        pure = op.type == "Const" or (op.inputs and op.type in FORMS)
        if pure and all(x.op in found for x in op.inputs):
            found.add(op)
    tensors = {x.name: x for op in found for x in op.outputs}
    with tf.compat.v1.Session(graph=traced) as session:
        return {name: constant(x) for name, x in session.run(tensors).items()}


def _steps(
    traced: tf.Graph, outputs: Iterable[Tensor], values: Mapping[str, Value]
) -> Iterator[_Step]:
    """Yields the steps that outputs take beyond some values, in order."""
    steps, left = {}, list(outputs)
    while left:
        tensor = left.pop()
        if tensor.name not in values and tensor.op not in steps:
            steps[tensor.op] = _Step.of(tensor.op)
            left.extend(steps[tensor.op].inputs)
    return (steps[op] for op in traced.get_operations() if op in steps)


def _call(graph: Graph, op: tf.Operation, *inputs: Value) -> list[Value]:
    """Writes the body of a function that is called."""
    body = op.graph._get_function(op.get_attr("f").name).graph
    return _write(graph, body, inputs, body.outputs)


_CALLS = {"PartitionedCall": _call, "StatefulPartitionedCall": _call}


if __name__ == "__main__":
    save_onnx(keras.saving.load_model(sys.argv[1], compile=False), sys.argv[2])
