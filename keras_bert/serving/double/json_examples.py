"""JSON objects as tf.Examples, as TF Serving's REST API writes them.

Source of forms and messages: TF Serving's `json_tensor.cc`.
"""

from typing import Any

import tensorflow as tf

from keras_bert.serving.double.errors import invalid
from keras_bert.serving.double.json_tensors import (
    decode_base64,
    is_base64,
    json_type,
    shown,
    utf8,
)


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
        return "bytes_list", utf8(item)
    if is_base64(item):
        return "bytes_list", decode_base64(item)
    if isinstance(item, float):
        return "float_list", item
    if isinstance(item, int):
        return "int64_list", int(item)
    raise invalid(
        f"Feature: {name} has element with unexpected JSON type: {json_type(item)}"
    )
