"""Client for TF Serving's gRPC API, without TensorFlow."""

from collections.abc import Mapping
from typing import Any

from keras_bert.errors import InputError
from keras_bert.extras import require
from keras_bert.serving.clients import wire
from keras_bert.serving.clients.transport import RequestError, with_port

grpc = require("grpc")

PORT = 8500
OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # The client itself waits between retries, and expects the channel to be ready.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
SERVICES = {
    "Predict": "PredictionService",
    "GetModelMetadata": "PredictionService",
    "GetModelStatus": "ModelService",
}


class GrpcTransport:
    """Sends the requests of `Client` over gRPC.

    Args:
        host: `"host"` or `"host:port"`; connections are not encrypted.
        model: the model's name.
        version: of the model, or None.
        label: of a version, or None.
        timeout: seconds to wait for each response.
    """

    def __init__(
        self,
        host: str,
        model: str,
        version: int | None,
        label: str | None,
        timeout: float | None,
    ):
        address = with_port(host, PORT)
        self.url = f"{address}/{model}"
        self.timeout = timeout
        self._spec = wire.Message["ModelSpec"](name=model, version_label=label)
        if version is not None:
            self._spec.version.value = version
        self._channel = grpc.insecure_channel(address, OPTIONS)
        self._methods = {
            name: self._channel.unary_unary(
                f"/tensorflow.serving.{service}/{name}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=wire.Message[f"{name}Response"].FromString,
            )
            for name, service in SERVICES.items()
        }

    def predict(self, signature_name: str, inputs: Mapping[str, list]) -> dict:
        """Returns the outputs of a signature, by name."""
        request = self._request("Predict")
        request.model_spec.signature_name = signature_name
        for name, values in inputs.items():
            request.inputs.add(key=name, value=_tensor(name, values))
        response = self._ask("Predict", request)
        return {
            entry.key: _values(wire.to_array(entry.value))
            for entry in sorted(response.outputs, key=lambda entry: entry.key)
        }

    def status(self) -> dict[str, str]:
        """Returns the state of each version."""
        response = self._ask("GetModelStatus", self._request("GetModelStatus"))
        return {
            str(entry.version): wire.STATES[entry.state]
            for entry in response.model_version_status
        }

    def metadata(self) -> dict:
        """Returns the signatures."""
        request = self._request("GetModelMetadata")
        request.metadata_field.append("signature_def")
        response = self._ask("GetModelMetadata", request)
        packed = {entry.key: entry.value for entry in response.metadata}
        found = wire.Message["SignatureDefMap"].FromString(
            packed["signature_def"].value
        )
        return {
            entry.key: {
                "inputs": _infos(entry.value.inputs),
                "outputs": _infos(entry.value.outputs),
                "method_name": entry.value.method_name,
                "defaults": {},
            }
            for entry in found.signature_def
        }

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def _request(self, method: str):
        return wire.Message[f"{method}Request"](model_spec=self._spec)

    def _ask(self, method: str, request) -> Any:
        try:
            return self._methods[method](request, timeout=self.timeout)
        except grpc.RpcError as error:
            code = error.code().name
            raise RequestError(
                f"{self.url} answered {code}: {error.details()}", code=code
            ) from error


def _tensor(name: str, values: list):
    try:
        return wire.to_tensor(values)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"Expected strings or whole numbers of 32 bits in rows of equal length for "
            f"{name}. Received: {error}."
        ) from error


def _values(array) -> list:
    """Returns the values as JSON represents them."""
    if array.dtype != object:
        return array.tolist()
    texts = [value.decode("utf-8", "replace") for value in array.flat]
    array = array.copy()
    array.flat = texts
    return array.tolist()


def _infos(entries) -> dict:
    return {
        entry.key: {
            "dtype": wire.TYPE_NAMES.get(entry.value.dtype, "DT_INVALID"),
            "tensor_shape": {
                "dim": [
                    {"size": str(dim.size), "name": dim.name}
                    for dim in entry.value.tensor_shape.dim
                ],
                "unknown_rank": entry.value.tensor_shape.unknown_rank,
            },
            "name": entry.value.name,
        }
        for entry in entries
    }
