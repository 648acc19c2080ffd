"""Warm-up requests, which TF Serving runs before it serves a version.

The first request to a signature compiles and allocates, and takes many times as long as
later ones.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import tensorflow as tf

PATH = Path("assets.extra", "tf_serving_warmup_requests")
WORD = "word "

Specs = Mapping[str, tf.TensorSpec]


def write(
    directory: Path, model_name: str, signatures: Mapping[str, Callable], length: int
) -> bool:
    """Writes requests for all signatures, with one token and with the full length.

    Args:
        directory: of the version.
        model_name: the name on the server.
        signatures: the concrete functions that are saved.
        length: of the longest row, in tokens.

    Returns:
        Whether they were written; this needs the extra `grpc`.
    """
    try:
        from tensorflow_serving.apis import prediction_log_pb2
    except ImportError:
        return False
    inputs_of = {name: _specs(function) for name, function in signatures.items()}
    path = directory / PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, inputs in requests(inputs_of, length):
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = model_name
            request.model_spec.signature_name = name
            for key, value in inputs.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
            writer.write(log.SerializeToString())
    return True


def requests(
    signatures: Mapping[str, Specs], length: int
) -> Iterator[tuple[str, dict[str, tf.Tensor]]]:
    """Yields names of signatures, each with inputs.

    Args:
        signatures: the inputs of each.
        length: of the longest row, in tokens.

    Example:
        >>> ids = {"input_ids": tf.TensorSpec([None, None], tf.int32)}
        >>> made = requests({"serving_default": ids}, 9)
        >>> [inputs["input_ids"].shape.as_list() for _, inputs in made]
        [[1, 1], [1, 9]]
    """
    texts = signatures["serving_default"]
    for name, specs in signatures.items():
        for tokens in (1, length):
            if set(specs) == {"inputs"}:
                yield name, {"inputs": [_serialized(_sample(texts, tokens))]}
            else:
                yield name, _sample(specs, tokens)


def _specs(function: Callable) -> Specs:
    specs = tf.nest.flatten(function.structured_input_signature)
    return {spec.name: spec for spec in specs}


def _sample(specs: Specs, tokens: int) -> dict[str, tf.Tensor]:
    return {name: _value(spec, tokens) for name, spec in specs.items()}


def _value(spec: tf.TensorSpec, tokens: int) -> tf.Tensor:
    rank = len(spec.shape)
    if spec.dtype == tf.string:
        return tf.fill([1] * rank, WORD * tokens)
    return tf.ones([1] * (rank - 1) + [tokens], spec.dtype)


def _serialized(inputs: Mapping[str, tf.Tensor]) -> bytes:
    features = {
        name: tf.train.Feature(
            bytes_list=tf.train.BytesList(value=value.numpy().ravel().tolist())
        )
        for name, value in inputs.items()
    }
    return tf.train.Example(
        features=tf.train.Features(feature=features)
    ).SerializeToString()
