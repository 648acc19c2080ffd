"""An ONNX graph that grows by being called."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_bert.errors import ConfigError
from keras_bert.version import __version__

if TYPE_CHECKING:
    import onnx

OPSET = 20  # the first with Gelu
IR_VERSION = 10  # the file format of the time of that set
LARGEST = 2**31  # bytes of a protocol buffer

# The name of a value that is computed when the graph runs, or a constant.
Value = str | np.ndarray

# The types of values in a graph, by their numbers in ONNX. Shapes and indices have to
# be int64, so all integers are.
TYPES = {"float32": 1, "int64": 7, "bool": 9}

# Operations that constants are put through at once.
_ON_CONSTANTS = {
    "Concat": lambda *arrays, axis: np.concatenate(arrays, axis),
    "Gather": lambda x, indices, axis=0: np.take(x, indices, axis),
    "Reshape": lambda x, shape, **_: np.reshape(x, shape),
    "Unsqueeze": lambda x, axes: np.expand_dims(x, tuple(axes)),
}


class Graph:
    """An ONNX graph under construction.

    Example:
        >>> graph = Graph()
        >>> graph("Add", "x", 1.0)
        'Add_0'
        >>> graph("Add", "x", 1.0)  # is there already
        'Add_0'
    """

    def __init__(self):
        import onnx

        self._onnx = onnx
        self._nodes: list[onnx.NodeProto] = []
        self._arrays: dict[str, np.ndarray] = {}
        self._names: dict[Any, Any] = {}  # of operations and constants
        self._scope = ""

    def within(self, scope: str) -> None:
        """Sets the prefix of the names of operations to come.

        Args:
            scope: such as "layer_0/attention"; "" for none.
        """
        self._scope = f"{scope}/" if scope else ""

    def __call__(
        self, operation: str, *inputs: Any, outputs: int = 1, **attributes: Any
    ) -> Any:
        """Adds an operation, if it is not there yet, and returns its output.

        Args:
            operation: its name in ONNX, such as "MatMul".
            *inputs: names of values, or constants.
            outputs: their number; a list is returned if there are several.
            **attributes: of the operation.
        """
        if operation in _ON_CONSTANTS and not any(isinstance(x, str) for x in inputs):
            return _ON_CONSTANTS[operation](*inputs, **attributes)
        inputs = [self._name(value) for value in inputs]
        key = (operation, *inputs, repr(sorted(attributes.items())))
        if key not in self._names:
            name = f"{self._scope}{operation}_{len(self._nodes)}"
            names = [name, *(f"{name}_{i}" for i in range(1, outputs))]
            make = self._onnx.helper.make_node
            self._nodes.append(make(operation, inputs, names, name=name, **attributes))
            self._names[key] = names if outputs > 1 else name
        return self._names[key]

    def weight(self, name: str, array: np.ndarray) -> str:
        """Adds an initializer, once, and returns its name.

        Raises:
            ConfigError: it is larger than a protocol buffer can be.
        """
        if array.nbytes >= LARGEST:
            raise ConfigError(
                f"Expected weights below 2 GiB each for ONNX. Received: {name} of "
                f"{array.nbytes / 2**30:.1f} GiB."
            )
        self._arrays.setdefault(name, array)
        return name

    def _name(self, value: Any) -> str:
        if isinstance(value, str):
            return value
        array = constant(value)
        key = (array.dtype, array.shape, array.tobytes())
        name = self._names.setdefault(key, f"constant_{len(self._arrays)}")
        return self.weight(name, array)

    def model(
        self,
        inputs: Sequence["onnx.ValueInfoProto"],
        outputs: Mapping[str, tuple[Value, Sequence[int | str]]],
        metadata: Mapping[str, str],
    ) -> "onnx.ModelProto":
        """Returns the model, without operations that no output needs.

        Args:
            inputs: the model's inputs.
            outputs: by name, a float32 value and its shape, with names of free axes.
            metadata: properties to store in the file.
        """
        make = self._onnx.helper
        ends = [
            make.make_node("Identity", [self._name(value)], [name], name=name)
            for name, (value, _) in outputs.items()
        ]
        nodes, used = self._needed(ends)
        graph = make.make_graph(
            nodes,
            "keras_bert",
            inputs,
            [
                make.make_tensor_value_info(name, TYPES["float32"], shape)
                for name, (_, shape) in outputs.items()
            ],
            [
                self._onnx.numpy_helper.from_array(array, name)
                for name, array in self._arrays.items()
                if name in used
            ],
        )
        proto = make.make_model(
            graph,
            opset_imports=[make.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="keras_bert",
            producer_version=__version__,
        )
        make.set_model_props(proto, dict(metadata))
        return proto

    def _needed(self, ends: list) -> tuple[list, set[str]]:
        """Returns the last operations with those they need, and all values used."""
        nodes, used = list(ends), {x for node in ends for x in node.input}
        for node in reversed(self._nodes):
            if not used.isdisjoint(node.output):
                nodes.append(node)
                used.update(node.input)
        return nodes[::-1], used


def type_of(dtype: Any) -> str:
    """Returns the type in which a graph holds values of a dtype.

    Example:
        >>> type_of("int32"), type_of("float16"), type_of(bool)
        ('int64', 'float32', 'bool')
    """
    kind = np.dtype(dtype).kind
    return {"b": "bool", "i": "int64", "u": "int64"}.get(kind, "float32")


def constant(value: Any) -> np.ndarray:
    """Returns numbers in the type in which a graph holds them."""
    array = np.asarray(value)
    return np.asarray(array, type_of(array.dtype), order="C")
