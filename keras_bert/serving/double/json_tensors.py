"""JSON values as tensors, and back, as TF Serving's REST API writes them.

Source of forms and messages: TF Serving's `json_tensor.cc`.
"""

import base64
import binascii
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from keras_bert.serving.double.errors import ServingError, invalid
from keras_bert.serving.double.model import type_name


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
        return utf8(value)
    if isinstance(value, dict):
        return decode_base64(value)
    raise _type_error(value, tf.string)


def utf8(value: str) -> bytes:
    """Returns the bytes of a JSON string."""
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError as error:  # half of a pair, as in "\ud83d" alone
        message = "The surrogate pair in string is invalid."
        raise invalid(f"JSON Parse error: {message}") from error


def decode_base64(value: dict) -> bytes:
    """Returns the bytes of `{"b64": "…"}`."""
    if not is_base64(value):
        raise invalid(
            f"JSON Value: {shown(value)} not formatted correctly for base64 data"
        )
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("Unable to base64 decode") from error


def _type_error(value: Any, kind: tf.DType) -> ServingError:
    return invalid(
        f"JSON Value: {shown(value)} Type: {json_type(value)} is not of expected "
        f"type: {type_name(kind)}"
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


def is_base64(value: Any) -> bool:
    """Whether a JSON value is `{"b64": "…"}`."""
    single = isinstance(value, dict) and list(value) == ["b64"]
    return single and isinstance(value["b64"], str)


def is_object(value: Any) -> bool:
    """Whether a JSON value is an object that does not stand for bytes."""
    return isinstance(value, dict) and not is_base64(value)


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
