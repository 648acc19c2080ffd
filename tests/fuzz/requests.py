"""Bodies of requests, and servers around a model that computes nothing."""

import contextlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import classification_pb2, predict_pb2

from keras_bert.errors import KerasBertError
from keras_bert.serving.local_server.grpc_server import Services
from keras_bert.serving.local_server.metrics import Metrics
from keras_bert.serving.local_server.model import LoadedModel
from keras_bert.serving.local_server.rest import handle
from keras_bert.serving.local_server.settings import Limits
from tests.fuzz.mutations import mutated


class _Model(LoadedModel):
    """A model that has signatures and computes nothing."""

    name, version = "m", 1

    def __init__(self) -> None:
        def info(dtype: Any, *shape: int) -> Any:
            return meta_graph_pb2.TensorInfo(
                dtype=dtype.as_datatype_enum,
                tensor_shape=tf.TensorShape(shape).as_proto(),
            )

        self.infos = {"text": info(tf.string, None), "ids": info(tf.int32, None, None)}
        outputs = SimpleNamespace(outputs={"scores": info(tf.float32, None, None)})
        self.signatures = dict.fromkeys(("serving_default", "ids", ""), outputs)

    def inputs_of(self, signature: str) -> Any:
        return {"ids": self.infos["ids"]} if signature == "ids" else self.infos

    def predict(self, inputs: Any, signature: str, names: Any = ()) -> Any:
        return {"scores": np.ones((2, 2), "f4")}

    def _on_examples(self, signature: str) -> Any:
        return signature, {"scores": None}

    def _run_examples(self, api: str, name: str, examples: Any, wanted: Any) -> Any:
        return {"scores": np.ones((len(examples), 2), "f4")}


class _Store:
    def __init__(self) -> None:
        self.model = _Model()

    def knows(self, name: str) -> bool:
        return name == "m"

    @contextlib.contextmanager
    def use(self, *target: Any) -> Iterator[_Model]:
        yield self.model


class _Refused(KerasBertError):
    """What a client of gRPC is told."""


class _Context:
    def abort(self, code: Any, message: str) -> None:
        if code.name == "INTERNAL":
            raise AssertionError(message)
        raise _Refused(f"{code}: {message}")


BODIES = {
    "rows.json": {"instances": [{"text": "a", "ids": [1, 2]}] * 2},
    "columns.json": {"inputs": {"text": ["a", {"b64": "YQ=="}], "ids": [[1], [2]]}},
    "plain.json": {"signature_name": "ids", "instances": [[1, 2], [3, 4]]},
    "examples.json": {"examples": [{"x": "a", "y": [1, 2], "z": 0.5}], "context": {}},
}


def make_http(folder: Path) -> None:
    for name, body in BODIES.items():
        (folder / name).write_text(json.dumps(body))


def read_http(folder: Path) -> None:
    store, metrics = _Store(), Metrics()
    for file in folder.iterdir():
        kind = "classify" if file.name == "examples.json" else "predict"
        body = file.read_bytes()
        status, answer = handle(store, metrics, "POST", f"/v1/models/m:{kind}", body)
        if status == 400:
            raise _Refused(answer.decode())
        if status >= 500:
            raise AssertionError(answer)


def make_grpc(folder: Path) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.inputs["text"].CopyFrom(tf.make_tensor_proto([b"a", b"b"]))
    request.inputs["ids"].CopyFrom(tf.make_tensor_proto([[1, 2], [3, 4]], tf.int32))
    (folder / "predict.pb").write_bytes(request.SerializeToString())
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "m"
    example = tf.train.Example()
    example.features.feature["x"].bytes_list.value.append(b"a")
    request.input.example_list.examples.append(example)
    (folder / "classify.pb").write_bytes(request.SerializeToString())


def in_message(data: bytes, rng: random.Random) -> bytes:
    """Changes a tensor of a request; other requests are changed as bytes."""
    request = predict_pb2.PredictRequest()
    try:
        request.ParseFromString(data)
        tensor = request.inputs[rng.choice(("text", "ids"))]
    except DecodeError:
        return mutated(data, rng)
    sizes = (0, 1, 3, 2**31, 2**62, -1)
    change = rng.randrange(6)
    if change == 0:
        tensor.dtype = rng.randrange(130)
    elif change == 1:
        tensor.tensor_shape.dim.add(size=rng.choice(sizes))
    elif change == 2 and tensor.tensor_shape.dim:
        tensor.tensor_shape.dim[0].size = rng.choice(sizes)
    elif change == 3:
        tensor.tensor_content = rng.randbytes(rng.choice((1, 4, 8, 16)))
    elif change == 4:
        tensor.ClearField(rng.choice(("string_val", "int_val", "tensor_shape")))
    else:
        tensor.tensor_shape.unknown_rank = True
    return request.SerializeToString()


def read_grpc(folder: Path) -> None:
    services = Services(_Store(), Metrics(), Limits(), {})
    calls = {
        "predict": (predict_pb2.PredictRequest, services.Predict),
        "classify": (classification_pb2.ClassificationRequest, services.Classify),
    }
    for file in folder.iterdir():
        message, call = calls[file.stem]
        try:
            request = message.FromString(file.read_bytes())
        except DecodeError as error:  # grpcio answers
            raise _Refused(str(error)) from error
        call(request, _Context())
