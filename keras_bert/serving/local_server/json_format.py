"""Tensors and Examples in JSON, as TF Serving's REST API writes them.

Source of forms and messages: TF Serving's `api_rest.md` and `json_tensor.cc`.
"""

import base64
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from keras_bert.serving.local_server.batching import Arrays
from keras_bert.serving.local_server.errors import ServingError, invalid
from keras_bert.serving.local_server.model import type_name
from keras_bert.strings import each_key_once

DEEPEST = 32  # lists in one another; NumPy's arrays take 64

_DECODER = json.JSONDecoder(object_pairs_hook=each_key_once)
TensorInfos = Mapping[str, meta_graph_pb2.TensorInfo]


def parse(body: bytes) -> dict:
    """Returns the JSON object of a body; what follows it is ignored."""
    try:
        text = body.decode("utf-8").lstrip()
        document, _ = _DECODER.raw_decode(text)
    except UnicodeDecodeError as error:
        message = "Invalid encoding in string."
        raise _unreadable(f"{message} at offset: {error.start}") from error
    except json.JSONDecodeError as error:
        message = f"{error.msg} at offset: {error.pos}"
        raise _unreadable(message if text else "The document is empty") from error
    except (RecursionError, ValueError) as error:  # too deep, or a number too long
        raise _unreadable(str(error)) from error
    if not isinstance(document, dict):
        raise _malformed(document, "Is not object")
    return document


def signature_name(document: dict) -> str:
    """Returns the signature asked for; empty for the default."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        message = (
            "not formatted correctly. 'signature_name' key must be a string value."
        )
        raise _malformed(document, message)
    return name


def format_of(document: dict) -> tuple[Callable, Callable]:
    """Returns the reader and the writer of the form a predict body is in."""
    given = [key for key in FORMATS if key in document]
    if not given:
        raise invalid("Missing 'inputs' or 'instances' key")
    if len(given) > 1:
        message = "expecting only one of 'inputs' or 'instances' keys to exist "
        raise _malformed(document, f"Not formatted correctly {message}")
    return FORMATS[given[0]]


# === Predict: rows and columns ===


def read_rows(document: dict, infos: TensorInfos) -> Arrays:
    """Reads `instances`: one value, or one object of values, per row."""
    rows = _nonempty_list(document, "instances", "No values in 'instances' array")
    if not isinstance(rows[0], dict) and len(infos) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    named = _is_object(rows[0])
    columns: dict[str, list] = {name: [] for name in infos}
    for index, row in enumerate(rows):
        if _is_object(row) != named:
            kinds = "object but got list" if named else "value/list but got object"
            raise invalid(f"Expecting {kinds} at item {index} of input list")
        items = row if named else {next(iter(infos)): row}
        _check_names(items, infos, f"Failed to process element: {index}")
        for name, value in items.items():
            columns[name].append(value)
    for values in columns.values():
        _check_alike([_shape_of(value) for value in values])
    return {name: tensor_of(columns[name], info.dtype) for name, info in infos.items()}


def _check_names(row: Mapping, infos: TensorInfos, where: str) -> None:
    for name in row:
        if name not in infos:
            raise invalid(
                f"{where} key: {name} of 'instances' list. Error: INVALID_ARGUMENT: "
                f"JSON object: does not have named input: {name}"
            )
    if len(row) != len(infos):
        raise invalid(
            f"{where} of 'instances' list. JSON object: {_shown(row)} keys must be "
            f"equal to: {','.join(infos)}"
        )


def _check_alike(shapes: Sequence[tuple[int, ...]]) -> None:
    for shape in shapes:
        sizes = [int(np.prod(s)) for s in (shapes[0], shape)]
        if sizes[0] != sizes[1]:
            raise invalid(f"Expecting tensor size: {sizes[0]} but got: {sizes[1]}")
        if shape != shapes[0]:
            first, other = (f"[{','.join(map(str, s))}]" for s in (shapes[0], shape))
            raise invalid(f"Expecting shape {first} but got: {other}")


def read_columns(document: dict, infos: TensorInfos) -> Arrays:
    """Reads `inputs`: one tensor, or an object of tensors by name."""
    value = document["inputs"]
    if not _is_object(value):
        if len(infos) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple "
                "input tensors required as per tensorinfo_map"
            )
        value = {next(iter(infos)): value}
    for name in infos:
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: tensor_of(value[name], info.dtype) for name, info in infos.items()}


def write_rows(outputs: Arrays) -> dict:
    """Writes `predictions`: one value, or one object of values, per row."""
    first = next(iter(outputs.values()))
    for name, array in outputs.items():
        if not array.ndim:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if len(array) != len(first):
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} "
                f"expecting: {len(first)}"
            )
    columns = {name: to_json(name, array) for name, array in outputs.items()}
    if len(columns) == 1:
        return {"predictions": next(iter(columns.values()))}
    rows = zip(*columns.values(), strict=True)
    return {"predictions": [dict(zip(columns, row, strict=True)) for row in rows]}


def write_columns(outputs: Arrays) -> dict:
    """Writes `outputs`: one tensor, or an object of tensors by name."""
    columns = {name: to_json(name, array) for name, array in outputs.items()}
    single = len(columns) == 1
    return {"outputs": next(iter(columns.values())) if single else columns}


FORMATS = {
    "instances": (read_rows, write_rows),
    "inputs": (read_columns, write_columns),
}


# === Classify and regress: Examples ===


def examples_of(document: dict) -> list[bytes]:
    """Returns the serialized tf.Examples of a classify or regress body."""
    if "examples" not in document:
        message = (
            "When method is classify, key 'examples' is expected and was not found"
        )
        raise _malformed(document, message)
    message = "'examples' value is an empty array"
    values = _nonempty_list(document, "examples", message)
    # Serialized messages after one another are one merged message.
    context = _example_of(document.get("context", {}))
    return [_example_of(value) + context for value in values]


def _example_of(value: Any) -> bytes:
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {_type_of(value)}")
    example = tf.train.Example()
    for name, content in value.items():
        feature = example.features.feature[_utf8(name)]
        for item in content if isinstance(content, list) else [content]:
            kind, item = _feature_value(name, item)
            existing = feature.WhichOneof("kind") or kind
            if existing != kind:
                raise invalid(
                    f"Unexpected element type in feature: {name} expecting type: "
                    f"{existing.removesuffix('_list')}"
                )
            getattr(feature, kind).value.append(item)
    return example.SerializeToString()


def _feature_value(name: str, item: Any) -> tuple[str, Any]:
    if isinstance(item, str) or _is_base64(item):
        return "bytes_list", _bytes(item)
    if isinstance(item, float):
        return "float_list", item
    if isinstance(item, int) and -(2**63) <= item < 2**63:
        return "int64_list", int(item)
    raise invalid(
        f"Feature: {name} has element with unexpected JSON type: {_type_of(item)}"
    )


# === Tensors ===


def tensor_of(value: Any, dtype: int) -> np.ndarray:
    """Returns the dense tensor of a JSON value.

    Args:
        value: a number, string, boolean, `{"b64": …}`, or nested lists of them.
        dtype: the `DataType` of the signature's input.

    Raises:
        ServingError: a value of another type, or lists of unequal length or depth.
    """
    kind, shape = tf.as_dtype(dtype), _shape_of(value)
    flat = _flat(value, shape)
    values = [_bytes(v) for v in flat] if kind == tf.string else _checked(flat, kind)
    array = np.empty(len(flat), kind.as_numpy_dtype)
    try:
        array[:] = values
    except OverflowError as error:
        raise invalid(f"JSON Value: a number is too big for {kind.name}") from error
    return array.reshape(shape)


def to_json(name: str, array: np.ndarray) -> Any:
    """Returns a tensor as nested lists.

    Strings are UTF-8, or base64 objects in a tensor whose name ends in `_bytes`.
    """
    if array.dtype != object:
        return array.tolist()
    in_base64 = name.endswith("_bytes")
    texts = np.empty(array.shape, object)
    texts.flat = [
        {"b64": base64.b64encode(value).decode("ascii")}
        if in_base64
        else value.decode(errors="replace")
        for value in array.flat
    ]
    return texts.tolist()


def _shape_of(value: Any) -> tuple[int, ...]:
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
        if len(shape) > DEEPEST:
            raise invalid(f"JSON Value: more than {DEEPEST} lists in one another")
    return tuple(shape)


def _flat(value: Any, shape: tuple[int, ...]) -> list:
    items = [value]
    for level, size in enumerate(shape):
        for item in items:
            if not isinstance(item, list):
                message = f"found at incorrect level: {level + 1} in the JSON DOM. "
                raise _malformed(item, f"{message}Expected at level: {len(shape)}")
            if len(item) != size:
                raise invalid(
                    f"Encountered list at unexpected size: {len(item)} at level: "
                    f"{level} expected size: {size}"
                )
        items = list(itertools.chain.from_iterable(items))
    if any(isinstance(item, list) for item in items):
        where = f"{len(shape)} expected < {len(shape)}"
        raise invalid(f"Encountered list at unexpected level: {where}")
    return items


def _checked(values: list, kind: tf.DType) -> list:
    # By exact type: bool is an int in Python and not in JSON.
    accepted = {bool} if kind.is_bool else {int, float} if kind.is_floating else {int}
    low, high = (kind.min, kind.max) if kind.is_integer else (-np.inf, np.inf)
    for value in values:
        if type(value) not in accepted or value < low or value > high:
            raise _wrong_type(value, kind)
    return values


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return _utf8(value)
    if not isinstance(value, dict):
        raise _wrong_type(value, tf.string)
    if not _is_base64(value):
        raise _malformed(value, "not formatted correctly for base64 data")
    try:
        return base64.b64decode(value["b64"], validate=True)
    except ValueError as error:
        raise invalid("Unable to base64 decode") from error


def _utf8(value: str) -> bytes:
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError as error:  # half of a pair, as in "\ud83d" alone
        raise _unreadable("The surrogate pair in string is invalid.") from error


# === Values and errors ===


def _is_base64(value: Any) -> bool:
    single = isinstance(value, dict) and list(value) == ["b64"]
    return single and isinstance(value["b64"], str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _nonempty_list(document: dict, key: str, if_empty: str) -> list:
    value = document[key]
    if not isinstance(value, list):
        of = "" if key == "instances" else " value"
        raise _malformed(document, f"Expecting '{key}'{of} to be an list/array")
    if not value:
        raise _malformed(document, if_empty)
    return value


def _unreadable(message: str) -> ServingError:
    return invalid(f"JSON Parse error: {message}")


def _malformed(value: Any, message: str) -> ServingError:
    return invalid(f"JSON Value: {_shown(value)} {message}")


def _wrong_type(value: Any, kind: tf.DType) -> ServingError:
    message = f"is not of expected type: {type_name(kind)}"
    return _malformed(value, f"Type: {_type_of(value)} {message}")


def _shown(value: Any) -> str:
    """Returns a JSON value for an error message, cut off where it is long or deep."""
    pieces = json.JSONEncoder(ensure_ascii=False).iterencode(value)
    return "".join(itertools.islice(pieces, 256))[:256]


def _type_of(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "Null", True: "True", False: "False"}[value]
    names = {dict: "Object", list: "Array", str: "String"}
    return names.get(type(value), "Number")
