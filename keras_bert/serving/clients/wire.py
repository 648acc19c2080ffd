"""TF Serving's messages for a client, without TensorFlow.

Those of the package `tensorflow-serving-api` need all of TensorFlow; a test compares
the table below with them. See `keras_bert.protobuf` for its notation.

Source of the numbers: TF Serving's `apis/*.proto`, TensorFlow's `tensor.proto`,
`tensor_shape.proto` and `meta_graph.proto`.
"""

import numpy as np

from keras_bert.protobuf import message_classes

MESSAGES = {
    "Dim": [(1, "size", "int64"), (2, "name", "string")],
    "Shape": [(2, "dim", "*Dim"), (3, "unknown_rank", "bool")],
    "Tensor": [
        (1, "dtype", "int32"),
        (2, "tensor_shape", "Shape"),
        (4, "tensor_content", "bytes"),
        (5, "float_val", "*float"),
        (6, "double_val", "*double"),
        (7, "int_val", "*int32"),
        (8, "string_val", "*bytes"),
        (10, "int64_val", "*int64"),
        (11, "bool_val", "*bool"),
    ],
    "TensorEntry": [(1, "key", "string"), (2, "value", "Tensor")],
    "Version": [(1, "value", "int64")],
    "ModelSpec": [
        (1, "name", "string"),
        (2, "version", "Version"),
        (3, "signature_name", "string"),
        (4, "version_label", "string"),
    ],
    "PredictRequest": [(1, "model_spec", "ModelSpec"), (2, "inputs", "*TensorEntry")],
    "PredictResponse": [(1, "outputs", "*TensorEntry")],
    "GetModelStatusRequest": [(1, "model_spec", "ModelSpec")],
    "ModelVersionStatus": [(1, "version", "int64"), (2, "state", "int32")],
    "GetModelStatusResponse": [(1, "model_version_status", "*ModelVersionStatus")],
    "GetModelMetadataRequest": [
        (1, "model_spec", "ModelSpec"),
        (2, "metadata_field", "*string"),
    ],
    "Any": [(1, "type_url", "string"), (2, "value", "bytes")],
    "AnyEntry": [(1, "key", "string"), (2, "value", "Any")],
    "GetModelMetadataResponse": [(2, "metadata", "*AnyEntry")],
    "TensorInfo": [
        (1, "name", "string"),
        (2, "dtype", "int32"),
        (3, "tensor_shape", "Shape"),
    ],
    "TensorInfoEntry": [(1, "key", "string"), (2, "value", "TensorInfo")],
    "SignatureDef": [
        (1, "inputs", "*TensorInfoEntry"),
        (2, "outputs", "*TensorInfoEntry"),
        (3, "method_name", "string"),
    ],
    "SignatureDefEntry": [(1, "key", "string"), (2, "value", "SignatureDef")],
    "SignatureDefMap": [(1, "signature_def", "*SignatureDefEntry")],
}
Message = message_classes(MESSAGES)

STATES = {10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}

# Of each type its number, its name in JSON, and where its values are.
DTYPES = {
    np.dtype(np.float32): (1, "DT_FLOAT", "float_val"),
    np.dtype(np.float64): (2, "DT_DOUBLE", "double_val"),
    np.dtype(np.int32): (3, "DT_INT32", "int_val"),
    np.dtype(object): (7, "DT_STRING", "string_val"),
    np.dtype(np.int64): (9, "DT_INT64", "int64_val"),
    np.dtype(np.bool_): (10, "DT_BOOL", "bool_val"),
}
TYPE_NAMES = {number: name for number, name, _ in DTYPES.values()}
FIELDS = {number: (dtype, field) for dtype, (number, _, field) in DTYPES.items()}


def to_tensor(values: list):
    """Returns a message with strings, or with integers as int32.

    Args:
        values: nested lists of equal lengths, or one value.

    Raises:
        TypeError: the lists are ragged, or a value has another type.
        ValueError: a number does not fit 32 bits.

    Example:
        >>> to_array(to_tensor([["a", "é"]])).tolist()
        [[b'a', b'\\xc3\\xa9']]
    """
    array = np.array(values, object)
    tensor = Message["Tensor"]()
    tensor.tensor_shape.SetInParent()
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    flat = array.ravel().tolist()
    others = [value for value in flat if not isinstance(value, str | bytes | int)]
    if others:  # among them the shorter ones of ragged lists
        raise TypeError(f"{others[0]!r} among them")
    if flat and isinstance(flat[0], str | bytes):
        tensor.dtype = 7
        tensor.string_val.extend(
            value.encode("utf-8") if isinstance(value, str) else value for value in flat
        )
    else:
        tensor.dtype = 3
        tensor.int_val.extend(flat)
    return tensor


def to_array(tensor) -> np.ndarray:
    """Returns the array in a message; strings are bytes."""
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    dtype, field = FIELDS[tensor.dtype]
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, dtype).reshape(shape)
    values = getattr(tensor, field)
    array = np.full(int(np.prod(shape)), b"" if field == "string_val" else 0, dtype)
    array[: len(values)] = values
    if values:
        array[len(values) :] = values[-1]  # the last one is repeated
    return array.reshape(shape)
