"""Parts of TF Serving's messages as arrays, lists and configs, and back."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2
from tensorflow_serving.config import model_server_config_pb2

from keras_bert.serving.double.errors import invalid
from keras_bert.serving.double.limits import Limits
from keras_bert.serving.double.model import Classes
from keras_bert.serving.double.versions import All, Latest, ModelConfig, Specific


def array_of(name: str, proto: tensor_pb2.TensorProto, limits: Limits) -> np.ndarray:
    """Returns the array of a tensor message.

    Args:
        name: of the input, for the error.
        proto: the message.
        limits: bound what its shape may claim.

    Raises:
        ServingError: the values do not fill the shape.
    """
    sizes = [dim.size for dim in proto.tensor_shape.dim]
    claimed = int(np.prod(sizes, dtype=object)) if sizes else 1
    # A few values may stand for a tensor of any shape: the last one is repeated.
    if min(sizes, default=0) < 0 or claimed > limits.max_request_bytes:
        raise invalid(f"tensor parsing error: {name}")
    try:
        return tf.make_ndarray(proto)
    except (TypeError, ValueError) as error:
        raise invalid(f"tensor parsing error: {name}") from error


def examples_of(message: input_pb2.Input) -> list[bytes]:
    """Returns the serialized Examples of a request, each with their context."""
    kind = message.WhichOneof("kind")
    if kind is None:
        return []
    content = getattr(message, kind)
    # Serialized messages after one another are one merged message.
    context = (
        content.context.SerializeToString()
        if kind == "example_list_with_context"
        else b""
    )
    return [context + example.SerializeToString() for example in content.examples]


def classification_of(rows: Classes) -> classification_pb2.ClassificationResult:
    """Returns the message of labels and scores."""
    result = classification_pb2.ClassificationResult()
    for row in rows:
        classes = result.classifications.add().classes
        for label, score in row:
            classes.add(label=label, score=score)
    return result


def regression_of(values: Sequence[float]) -> regression_pb2.RegressionResult:
    """Returns the message of values."""
    result = regression_pb2.RegressionResult()
    for value in values:
        result.regressions.add(value=value)
    return result


POLICIES: dict[str | None, Callable[[Any], Any]] = {
    None: lambda policy: Latest(),
    "latest": lambda policy: Latest(policy.latest.num_versions or 1),
    "all": lambda policy: All(),
    "specific": lambda policy: Specific(tuple(policy.specific.versions)),
}


def config_of(entry: model_server_config_pb2.ModelConfig) -> ModelConfig:
    """Returns what a server is told about one model."""
    if not entry.name or not entry.base_path:
        raise invalid("Expected model in config list to have a name and a base_path.")
    policy = entry.model_version_policy
    return ModelConfig(
        entry.name,
        Path(entry.base_path),
        POLICIES[policy.WhichOneof("policy_choice")](policy),
        dict(entry.version_labels),
    )
