"""TF Serving's gRPC services in front of a `ModelStore`: messages in, messages out.

Source of checks and messages: TF Serving's `prediction_service_impl.cc`,
`get_model_metadata_impl.cc`, `model_service_impl.cc`, `grpc_status_util.cc`.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)
from tensorflow_serving.apis.model_service_pb2_grpc import (
    ModelServiceServicer,
    add_ModelServiceServicer_to_server,
)
from tensorflow_serving.apis.prediction_service_pb2_grpc import (
    PredictionServiceServicer,
    add_PredictionServiceServicer_to_server,
)

from keras_bert.errors import ConfigError
from keras_bert.serving.local_server.errors import AddressError, ServingError, invalid
from keras_bert.serving.local_server.messages import signatures_of, status_of
from keras_bert.serving.local_server.metrics import Metrics
from keras_bert.serving.local_server.model import DEFAULT_SIGNATURE, LoadedModel
from keras_bert.serving.local_server.model_store import ModelStore
from keras_bert.serving.local_server.settings import Limits, ModelConfig

THREADS = 64  # requests at once; most of them wait for their batch
MESSAGE_LIMIT = 1024  # of an error, in characters


class GrpcServer:
    """Answers gRPC on threads of its own.

    Args:
        address: `"host:port"`; port 0 takes a free one.
        services: answer.
        limits: of a message's size.

    Raises:
        AddressError: the port is taken.
    """

    def __init__(self, address: str, services: "Services", limits: Limits):
        self._server = grpc.server(
            ThreadPoolExecutor(THREADS, "grpc"),
            options=[
                ("grpc.so_reuseport", 0),  # two servers on one port would go unnoticed
                ("grpc.max_receive_message_length", limits.max_request_bytes),
                ("grpc.max_send_message_length", -1),
            ],
        )
        add_PredictionServiceServicer_to_server(services, self._server)
        add_ModelServiceServicer_to_server(services, self._server)
        self._health = health.HealthServicer()
        for name in ("", "PredictionService", "ModelService"):
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise AddressError(address, error) from error
        self.address = (address.rpartition(":")[0], port)

    def start(self) -> None:
        """Begins to answer; returns at once."""
        self._server.start()

    def close(self, grace: float) -> None:
        """Refuses new requests as UNAVAILABLE and waits for those in hand.

        Args:
            grace: seconds to wait at most.
        """
        self._health.enter_graceful_shutdown()
        self._server.stop(grace).wait()


def _answering(method: Callable) -> Callable:
    """Turns errors into gRPC statuses, and counts."""

    @wraps(method)
    def answer(self, request, context: grpc.ServicerContext):
        name = _model_name(request)
        known = name if self.store.knows(name) else ""
        try:
            with self.metrics.observed(known, method.__name__, "GRPC"):
                return method(self, request)
        except ServingError as error:
            code, message = grpc.StatusCode[error.code], str(error)
        if len(message) > MESSAGE_LIMIT:
            message = message[:MESSAGE_LIMIT] + "...TRUNCATED"
        context.abort(code, message)

    return answer


def _model_name(request) -> str:
    if hasattr(request, "model_spec"):
        return request.model_spec.name
    return request.tasks[0].model_spec.name if getattr(request, "tasks", ()) else ""


class Services(PredictionServiceServicer, ModelServiceServicer):
    """The methods of TF Serving's two services.

    Args:
        store: the models.
        metrics: counts requests.
        limits: of the arrays that a message may claim to hold.
        reloadable: directories of the models that a client may configure.
    """

    def __init__(
        self,
        store: ModelStore,
        metrics: Metrics,
        limits: Limits,
        reloadable: Mapping[str, Path],
    ):
        self.store, self.metrics, self.limits = store, metrics, limits
        self.reloadable = reloadable

    @_answering
    def Predict(self, request: predict_pb2.PredictRequest):
        """Runs a signature on tensors."""
        with _model_of(self.store, request) as model:
            most = self.limits.max_request_bytes
            inputs = {
                name: _array_of(name, proto, most)
                for name, proto in request.inputs.items()
            }
            signature = request.model_spec.signature_name
            outputs = model.predict(inputs, signature, list(request.output_filter))
            infos = model.signatures[signature or DEFAULT_SIGNATURE].outputs
            response = predict_pb2.PredictResponse(model_spec=_spec(request, model))
            for name, array in outputs.items():
                proto = tf.make_tensor_proto(array, infos[name].dtype)
                response.outputs[name].CopyFrom(proto)
        return response

    @_answering
    def Classify(self, request: classification_pb2.ClassificationRequest):
        """Labels and scores of Examples."""
        answer = classification_pb2.ClassificationResponse
        return self._on_examples(request, answer, LoadedModel.classify, _classification)

    @_answering
    def Regress(self, request: regression_pb2.RegressionRequest):
        """One value per Example."""
        answer = regression_pb2.RegressionResponse
        return self._on_examples(request, answer, LoadedModel.regress, _regression)

    def _on_examples(self, request, answer: type, run: Callable, write: Callable):
        with _model_of(self.store, request) as model:
            examples = _examples_of(request)
            result = write(run(model, examples, request.model_spec.signature_name))
            return answer(result=result, model_spec=_spec(request, model))

    @_answering
    def MultiInference(self, request: inference_pb2.MultiInferenceRequest):
        """Several signatures on the same Examples."""
        names = {task.model_spec.name for task in request.tasks}
        if "" in names:
            raise invalid("Found ModelSpec with an empty model name.")
        if len(names) > 1:
            raise invalid(
                "All ModelSpecs in a MultiInferenceRequest must access the same "
                "model name."
            )
        if not names:
            raise invalid("MultiInferenceRequest must have at least one task.")
        tasks = [(t.model_spec.signature_name, t.method_name) for t in request.tasks]
        response = inference_pb2.MultiInferenceResponse()
        with _model_of(self.store, request.tasks[0]) as model:
            answers = model.multi_inference(_examples_of(request), tasks)
            for task, answer in zip(request.tasks, answers, strict=True):
                result = response.results.add(model_spec=_spec(task, model))
                if task.method_name.endswith("classify"):
                    result.classification_result.CopyFrom(_classification(answer))
                else:
                    result.regression_result.CopyFrom(_regression(answer))
        return response

    @_answering
    def GetModelMetadata(self, request: get_model_metadata_pb2.GetModelMetadataRequest):
        """Every signature with the names, types and shapes of its tensors."""
        _check_spec(request)
        if not request.metadata_field:
            raise invalid(
                "GetModelMetadataRequest must specify at least one metadata_field"
            )
        for name in request.metadata_field:
            if name != "signature_def":
                raise invalid(f"Metadata field {name} is not supported")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        with _model_of(self.store, request) as model:
            response.model_spec.name = model.name
            response.model_spec.version.value = model.version
            response.metadata["signature_def"].Pack(signatures_of(model))
        return response

    @_answering
    def GetModelStatus(self, request: get_model_status_pb2.GetModelStatusRequest):
        """Every version of a model and its state."""
        _check_spec(request)
        spec = request.model_spec
        number = spec.version.value if spec.HasField("version") else None
        return status_of(self.store, spec.name, number)

    @_answering
    def HandleReloadConfigRequest(
        self, request: model_management_pb2.ReloadConfigRequest
    ):
        """Serves other versions and labels of the models known, or fewer models."""
        if not self.reloadable:
            raise ServingError(
                "PERMISSION_DENIED",
                "Expected a server started with --allow-reload, which lets clients "
                "change what is served.",
            )
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        entries = request.config.model_config_list.config
        self.store.configure([self._config_of(entry) for entry in entries])
        return model_management_pb2.ReloadConfigResponse()

    def _config_of(self, entry) -> ModelConfig:
        directory = self.reloadable.get(entry.name)
        if directory is None or entry.base_path not in ("", str(directory)):
            raise ServingError(
                "PERMISSION_DENIED",
                f"Expected a model that the server was started with, under its own "
                f"directory or none. Received: {entry.name!r}.",
            )
        chosen = entry.model_version_policy
        policies = {
            "all": "all",
            "specific": ",".join(map(str, chosen.specific.versions)),
            "latest": f"latest:{chosen.latest.num_versions or 1}",
        }
        policy = policies.get(chosen.WhichOneof("policy_choice"), "latest")
        try:
            return ModelConfig(
                entry.name, directory, policy, dict(entry.version_labels)
            )
        except ConfigError as error:
            raise invalid(str(error)) from error


# === Parts of messages ===


def _check_spec(request) -> None:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")


@contextlib.contextmanager
def _model_of(store: ModelStore, request) -> Iterator[LoadedModel]:
    """Lends the model that a request names."""
    _check_spec(request)
    spec = request.model_spec
    choice = spec.WhichOneof("version_choice")
    number = spec.version.value if choice == "version" else None
    label = spec.version_label if choice == "version_label" else None
    with store.use(spec.name, number, label) as model:
        yield model


def _spec(request, model: LoadedModel) -> model_pb2.ModelSpec:
    """Returns the model that answered: version and signature filled in."""
    spec = model_pb2.ModelSpec(
        name=model.name,
        signature_name=request.model_spec.signature_name or DEFAULT_SIGNATURE,
    )
    spec.version.value = model.version
    return spec


def _array_of(name: str, proto, most: int) -> np.ndarray:
    """Returns the array of a tensor message, of at most so many values."""
    sizes = [dim.size for dim in proto.tensor_shape.dim]
    claimed = int(np.prod(sizes, dtype=object)) if sizes else 1
    # A few values may stand for a tensor of any shape: the last one is repeated.
    if min(sizes, default=0) < 0 or claimed > most:
        raise invalid(f"tensor parsing error: {name}")
    try:
        return tf.make_ndarray(proto)
    except (KeyError, TypeError, ValueError) as error:  # no such type, or no such shape
        raise invalid(f"tensor parsing error: {name}") from error


def _examples_of(request) -> list[bytes]:
    """Returns the serialized Examples of a request, each with their context."""
    kind = request.input.WhichOneof("kind")
    content = kind and getattr(request.input, kind)
    shared = hasattr(content, "context")
    context = content.context.SerializeToString() if shared else b""
    # Serialized messages after one another are one merged message.
    examples = content.examples if content else ()
    return [context + example.SerializeToString() for example in examples]


def _classification(rows) -> classification_pb2.ClassificationResult:
    result = classification_pb2.ClassificationResult()
    for row in rows:
        classes = result.classifications.add().classes
        for label, score in row:
            classes.add(label=label, score=score)
    return result


def _regression(values: Sequence[float]) -> regression_pb2.RegressionResult:
    result = regression_pb2.RegressionResult()
    for value in values:
        result.regressions.add(value=value)
    return result
