"""TF Serving's REST API in front of a `ModelStore`: JSON in, JSON out, no HTTP.

Source of paths, body forms and messages: TF Serving's `api_rest.md`,
`http_rest_api_util.cc`, `http_rest_api_handler.cc` and `json_tensor.cc`.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import unquote

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import meta_graph_pb2

from keras_bert.serving.model_store import (
    Arrays,
    LoadedModel,
    ModelStore,
    ServingError,
    invalid,
)

HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}

_MODEL = (
    r"/v1/models/(?P<name>[^/:]+)"
    r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
)
PATHS = {
    "POST": re.compile(_MODEL + r":(?P<method>classify|regress|predict)", re.I),
    "GET": re.compile(_MODEL + r"(?:/(?P<method>metadata))?", re.I),
}

TensorInfos = Mapping[str, meta_graph_pb2.TensorInfo]


class Target(NamedTuple):
    """The model a path names."""

    name: str
    version: int | None
    label: str | None


def handle(store: ModelStore, method: str, path: str, body: bytes) -> tuple[int, Any]:
    """Answers one request.

    Args:
        store: the models.
        method: `"GET"` or `"POST"`.
        path: for instance `"/v1/models/bert:predict"`.
        body: the JSON text of a POST.

    Returns:
        The HTTP status and the answer, ready for `json.dumps`.
    """
    try:
        found = path_of(method, path)
        name = found["method"] or "status"
        version = found["version"] and int(found["version"])
        label = found["label"] and unquote(found["label"])
        target = Target(unquote(found["name"]), version, label)
        return 200, METHODS[name.lower()](store, target, body)
    except ServingError as error:
        return HTTP_STATUS.get(error.code, 500), {"error": str(error)}


def path_of(method: str, path: str) -> re.Match:
    """Returns the parts of a request's path: name, version, label, method."""
    match = PATHS[method].fullmatch(path) if method in PATHS else None
    if match is None:
        raise invalid(f"Malformed request: {method} {path}")
    return match


# === The five methods ===


def status(store: ModelStore, target: Target, body: bytes) -> dict:
    """Every loaded version and its state."""
    if target.label is not None:
        store.find(*target)
    return {
        "model_version_status": [
            {
                "version": str(version),  # int64 is a string in protobuf's JSON
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
            for version in store.available(target.name, target.version)
        ]
    }


def metadata(store: ModelStore, target: Target, body: bytes) -> dict:
    """Every signature with the names, types and shapes of its tensors."""
    model = store.find(*target)
    to_dict = partial(
        json_format.MessageToDict,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )
    signatures = {name: to_dict(s) for name, s in model.signatures.items()}
    spec = {"name": model.name, "signature_name": "", "version": str(model.version)}
    nested = {"signature_def": {"signature_def": signatures}}
    return {"model_spec": spec, "metadata": nested}


def predict(store: ModelStore, target: Target, body: bytes) -> dict:
    """Runs a signature on tensors in row or columnar form."""
    document = parse(body)
    signature = signature_name(document)
    model = store.find(*target)
    infos = model.inputs_of(signature)
    read, write = format_of(document)
    return write(model.predict(read(document, infos), signature))


def classify(store: ModelStore, target: Target, body: bytes) -> dict:
    """Labels and scores of Examples."""
    return _on_examples(LoadedModel.classify, store, target, body)


def regress(store: ModelStore, target: Target, body: bytes) -> dict:
    """One value per Example."""
    return _on_examples(LoadedModel.regress, store, target, body)


def _on_examples(run: Callable, store: ModelStore, target: Target, body: bytes) -> dict:
    document = parse(body)
    examples = examples_of(document)
    model = store.find(*target)
    # The API's page says "result"; the server writes "results" (json_tensor.cc).
    return {"results": run(model, examples, signature_name(document))}


METHODS: dict[str, Callable[[ModelStore, Target, bytes], dict]] = {
    "status": status,
    "metadata": metadata,
    "predict": predict,
    "classify": classify,
    "regress": regress,
}


# === Bodies ===


def parse(body: bytes) -> dict:
    """Returns the JSON object of a body; what follows it is ignored."""
    try:
        text = body.decode("utf-8")
        text = text[len(text) - len(text.lstrip()) :]
        if not text:
            raise invalid("JSON Parse error: The document is empty")
        document, _ = json.JSONDecoder().raw_decode(text)
    except UnicodeDecodeError as error:
        message = "Invalid encoding in string."
        raise invalid(
            f"JSON Parse error: {message} at offset: {error.start}"
        ) from error
    except json.JSONDecodeError as error:
        raise invalid(
            f"JSON Parse error: {error.msg} at offset: {error.pos}"
        ) from error
    except (RecursionError, ValueError) as error:  # too deep, or a number too long
        raise invalid(f"JSON Parse error: {error} at offset: 0") from error
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {shown(document)} Is not object")
    return document


def signature_name(document: dict) -> str:
    """Returns the signature asked for; empty for the default."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {shown(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return name


def format_of(document: dict) -> tuple[Callable, Callable]:
    """Returns the reader and the writer of the form a body is in."""
    given = [key for key in FORMATS if key in document]
    if len(given) > 1:
        raise invalid(
            f"JSON Value: {shown(document)} Not formatted correctly expecting only "
            "one of 'inputs' or 'instances' keys to exist "
        )
    if not given:
        raise invalid("Missing 'inputs' or 'instances' key")
    return FORMATS[given[0]]


def read_rows(document: dict, infos: TensorInfos) -> Arrays:
    """Reads `instances`: one value, or one object of values, per row."""
    rows = document["instances"]
    if not isinstance(rows, list):
        message = "Expecting 'instances' to be an list/array"
        raise invalid(f"JSON Value: {shown(document)} {message}")
    if not rows:
        message = "No values in 'instances' array"
        raise invalid(f"JSON Value: {shown(document)} {message}")
    if not isinstance(rows[0], dict) and len(infos) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    read = _read_objects if _is_object(rows[0]) else _read_values
    return read(rows, infos)


def _read_objects(rows: list, infos: TensorInfos) -> Arrays:
    columns: dict[str, list[np.ndarray]] = {name: [] for name in infos}
    for index, row in enumerate(rows):
        if not _is_object(row):
            raise invalid(
                f"Expecting object but got list at item {index} of input list"
            )
        for name, value in row.items():
            where = f"Failed to process element: {index} key: {name}"
            _add_item(columns, name, value, infos, where)
        if set(row) != set(infos):
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. JSON object: "
                f"{shown(row)} keys must be equal to: {','.join(infos)}"
            )
    return {name: np.stack(items) for name, items in columns.items()}


def _read_values(rows: list, infos: TensorInfos) -> Arrays:
    name = next(iter(infos))
    columns: dict[str, list[np.ndarray]] = {name: []}
    for index, row in enumerate(rows):
        if _is_object(row):
            raise invalid(
                f"Expecting value/list but got object at item {index} of input list"
            )
        where = f"Failed to process element: {index}"
        _add_item(columns, name, row, infos, where)
    return {name: np.stack(columns[name])}


def _add_item(columns: dict, name: str, value, infos: TensorInfos, where: str) -> None:
    try:
        if name not in infos:
            raise invalid(f"JSON object: does not have named input: {name}")
        item = tensor_of(value, infos[name].dtype)
        _check_alike(columns[name], item)
        columns[name].append(item)
    except ServingError as error:
        message = f"{where} of 'instances' list. Error: {error.code}: {error}"
        raise invalid(message) from error


def _check_alike(items: list[np.ndarray], item: np.ndarray) -> None:
    if not items or items[0].shape == item.shape:
        return
    if items[0].size != item.size:
        raise invalid(f"Expecting tensor size: {items[0].size} but got: {item.size}")
    first, other = (f"[{','.join(map(str, a.shape))}]" for a in (items[0], item))
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
        name = next(iter(infos))
        return {name: tensor_of(value, infos[name].dtype)}
    for name in infos:
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: tensor_of(value[name], info.dtype) for name, info in infos.items()}


def write_rows(outputs: Arrays) -> dict:
    """Writes `predictions`: one value, or one object of values, per row."""
    sizes = {name: _rows_of(name, array) for name, array in outputs.items()}
    size = next(iter(sizes.values()))
    for name, other in sizes.items():
        if other != size:
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {other} "
                f"expecting: {size}"
            )
    columns = {name: to_json(name, array) for name, array in outputs.items()}
    if len(columns) == 1:
        return {"predictions": next(iter(columns.values()))}
    rows = zip(*columns.values(), strict=True)
    return {"predictions": [dict(zip(columns, row, strict=True)) for row in rows]}


def _rows_of(name: str, array: np.ndarray) -> int:
    if not array.ndim:
        raise invalid(f"Tensor name: {name} has no shape information ")
    return len(array)


def write_columns(outputs: Arrays) -> dict:
    """Writes `outputs`: one tensor, or an object of tensors by name."""
    columns = {name: to_json(name, array) for name, array in outputs.items()}
    single = len(columns) == 1
    return {"outputs": next(iter(columns.values())) if single else columns}


FORMATS = {
    "instances": (read_rows, write_rows),
    "inputs": (read_columns, write_columns),
}


# === Tensors ===


def tensor_of(value: Any, dtype: int) -> np.ndarray:
    """Returns the dense tensor of a JSON value.

    Args:
        value: a number, string, boolean, `{"b64": …}`, or nested lists of them.
        dtype: the `DataType` of the signature's input.

    Raises:
        ServingError: a value of another type, or lists of unequal length or depth.
    """
    kind = tf.as_dtype(dtype)
    shape = _shape_of(value)
    flat: list = []
    _flatten(value, 0, shape, partial(_scalar, kind=kind), flat)
    array = np.empty(len(flat), kind.as_numpy_dtype)
    try:
        array[:] = flat
    except OverflowError as error:
        raise invalid(f"JSON Value: a number is too big for {kind.name}") from error
    return array.reshape(shape)


def _shape_of(value: Any) -> tuple[int, ...]:
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return tuple(shape)


def _flatten(value, level: int, shape: tuple, scalar: Callable, flat: list) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {shown(value)} found at incorrect level: {level + 1} "
                f"in the JSON DOM. Expected at level: {len(shape)}"
            )
        flat.append(scalar(value))
        return
    if level >= len(shape):
        raise invalid(
            f"Encountered list at unexpected level: {level} expected < {len(shape)}"
        )
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for item in value:
        _flatten(item, level + 1, shape, scalar, flat)


def _scalar(value: Any, kind: tf.DType) -> Any:
    if kind == tf.string:
        return _string(value)
    if type(value) not in _accepted(kind) or not _fits(value, kind):
        raise _type_error(value, kind)
    return value


def _accepted(kind: tf.DType) -> tuple[type, ...]:
    # By exact type: bool is an int in Python and not in JSON.
    if kind.is_floating:
        return (int, float)
    return (bool,) if kind.is_bool else (int,)


def _fits(value: Any, kind: tf.DType) -> bool:
    return not kind.is_integer or kind.min <= value <= kind.max


def _string(value: Any) -> bytes:
    if isinstance(value, str):
        return _utf8(value)
    if isinstance(value, dict):
        return decode_base64(value)
    raise _type_error(value, tf.string)


def _utf8(value: str) -> bytes:
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError as error:  # half of a pair, as in "\ud83d" alone
        message = "The surrogate pair in string is invalid."
        raise invalid(f"JSON Parse error: {message}") from error


def decode_base64(value: dict) -> bytes:
    """Returns the bytes of `{"b64": "…"}`."""
    if not _is_base64(value):
        raise invalid(
            f"JSON Value: {shown(value)} not formatted correctly for base64 data"
        )
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("Unable to base64 decode") from error


def _type_error(value: Any, kind: tf.DType) -> ServingError:
    name = {"float32": "float", "float64": "double"}.get(kind.name, kind.name)
    return invalid(
        f"JSON Value: {shown(value)} Type: {json_type(value)} is not of expected "
        f"type: {name}"
    )


def to_json(name: str, array: np.ndarray) -> Any:
    """Returns a tensor as nested lists.

    Strings are UTF-8, or base64 objects in a tensor whose name ends in `_bytes`.
    """
    if array.dtype != object:
        return array.tolist()
    encode = (
        _base64 if name.endswith("_bytes") else partial(bytes.decode, errors="replace")
    )
    texts = np.empty(array.shape, object)
    texts.flat = [encode(value) for value in array.flat]
    return texts.tolist()


def _base64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode("ascii")}


def _is_base64(value: Any) -> bool:
    single = isinstance(value, dict) and list(value) == ["b64"]
    return single and isinstance(value["b64"], str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def shown(value: Any) -> str:
    """Returns a JSON value for an error message, cut off where it is long."""
    return json.dumps(value, ensure_ascii=False)[:256]


def json_type(value: Any) -> str:
    """Returns the name of a JSON value's type."""
    singles = {None: "Null", True: "True", False: "False"}
    if value is None or isinstance(value, bool):
        return singles[value]
    names = {dict: "Object", list: "Array", str: "String"}
    return names.get(type(value), "Number")


# === Examples ===


def examples_of(document: dict) -> list[bytes]:
    """Returns the serialized tf.Examples of a classify or regress body."""
    shared = _example_of(document.get("context", {}))
    if "examples" not in document:
        raise invalid(
            f"JSON Value: {shown(document)} When method is classify, key 'examples' is "
            "expected and was not found"
        )
    values = document["examples"]
    if not isinstance(values, list):
        message = "Expecting 'examples' value to be an list/array"
        raise invalid(f"JSON Value: {shown(document)} {message}")
    if not values:
        message = "'examples' value is an empty array"
        raise invalid(f"JSON Value: {shown(document)} {message}")
    return [_with_context(_example_of(value), shared) for value in values]


def _with_context(example: tf.train.Example, shared: tf.train.Example) -> bytes:
    example.MergeFrom(shared)
    return example.SerializeToString()


def _example_of(value: Any) -> tf.train.Example:
    if not isinstance(value, dict):
        message = f"Example must be JSON object but got JSON {json_type(value)}"
        raise invalid(message)
    example = tf.train.Example()
    for name, content in value.items():
        items = content if isinstance(content, list) else [content]
        for item in items:
            _add_to_feature(example.features.feature[name], name, item)
    return example


def _add_to_feature(feature: tf.train.Feature, name: str, item: Any) -> None:
    kind, item = _feature_value(name, item)
    existing = feature.WhichOneof("kind")
    if existing not in (None, kind):
        expected = existing.removesuffix("_list")
        message = (
            f"Unexpected element type in feature: {name} expecting type: {expected}"
        )
        raise invalid(message)
    getattr(feature, kind).value.append(item)


def _feature_value(name: str, item: Any) -> tuple[str, Any]:
    if isinstance(item, str):
        return "bytes_list", _utf8(item)
    if _is_base64(item):
        return "bytes_list", decode_base64(item)
    if isinstance(item, float):
        return "float_list", item
    if isinstance(item, int):
        return "int64_list", int(item)
    raise invalid(
        f"Feature: {name} has element with unexpected JSON type: {json_type(item)}"
    )
