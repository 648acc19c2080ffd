"""TF Serving's gRPC services in front of a `ModelStore`: messages in, messages out.

Needs the extra `grpc`, which brings the messages themselves.

Source of checks and messages: TF Serving's `prediction_service_impl.cc`,
`get_model_metadata_impl.cc`, `model_service_impl.cc`, `grpc_status_util.cc`.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from functools import wraps

import grpc
import tensorflow as tf
from tensorflow.core.protobuf import error_codes_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from keras_bert.serving.double.errors import ServingError, invalid
from keras_bert.serving.double.grpc_messages import (
    array_of,
    classification_of,
    config_of,
    examples_of,
    regression_of,
)
from keras_bert.serving.double.limits import Limits
from keras_bert.serving.double.metrics import Metrics
from keras_bert.serving.double.model import DEFAULT_SIGNATURE, LoadedModel
from keras_bert.serving.double.model_store import ModelStore

logger = logging.getLogger(__name__)

RESULTS = {"classification": classification_of, "regression": regression_of}
MESSAGE_LIMIT = 1024  # of an error, in characters


def _answering(method: Callable) -> Callable:
    """Turns errors into gRPC statuses, and counts."""
    api = method.__name__

    @wraps(method)
    def answer(self, request, context: grpc.ServicerContext):
        try:
            name = _model_name(request)
            known = name if self.store.knows(name) else ""
            with self.metrics.observed(known, api, "GRPC"):
                return method(self, request)
        except ServingError as error:
            code, message = error.code, str(error)
        except Exception as error:
            logger.exception("%s failed", api)
            code, message = "INTERNAL", f"{type(error).__name__}: {error}"
        if len(message) > MESSAGE_LIMIT:
            message = message[:MESSAGE_LIMIT] + "...TRUNCATED"
        context.abort(grpc.StatusCode[code], message)

    return answer


def _model_name(request) -> str:
    if hasattr(request, "model_spec"):
        return request.model_spec.name
    return request.tasks[0].model_spec.name if getattr(request, "tasks", ()) else ""


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict, Classify, Regress, MultiInference and GetModelMetadata."""

    def __init__(self, store: ModelStore, metrics: Metrics, limits: Limits):
        self.store, self.metrics, self.limits = store, metrics, limits

    @_answering
    def Predict(self, request: predict_pb2.PredictRequest):
        """Runs a signature on tensors."""
        with _model_of(self.store, request) as model:
            inputs = {
                name: array_of(name, proto, self.limits)
                for name, proto in request.inputs.items()
            }
            signature, wanted = request.model_spec.signature_name, request.output_filter
            outputs = model.predict(inputs, signature, list(wanted))
            infos = model.signatures[signature or DEFAULT_SIGNATURE].outputs
            response = predict_pb2.PredictResponse(model_spec=_spec(request, model))
            for name, array in outputs.items():
                proto = tf.make_tensor_proto(array, infos[name].dtype)
                response.outputs[name].CopyFrom(proto)
        return response

    @_answering
    def Classify(self, request: classification_pb2.ClassificationRequest):
        """Labels and scores of Examples."""
        with _model_of(self.store, request) as model:
            signature = request.model_spec.signature_name
            rows = model.classify(examples_of(request.input), signature)
            return classification_pb2.ClassificationResponse(
                result=classification_of(rows), model_spec=_spec(request, model)
            )

    @_answering
    def Regress(self, request: regression_pb2.RegressionRequest):
        """One value per Example."""
        with _model_of(self.store, request) as model:
            signature = request.model_spec.signature_name
            values = model.regress(examples_of(request.input), signature)
            return regression_pb2.RegressionResponse(
                result=regression_of(values), model_spec=_spec(request, model)
            )

    @_answering
    def MultiInference(self, request: inference_pb2.MultiInferenceRequest):
        """Several signatures on the same Examples."""
        specs = [task.model_spec for task in request.tasks]
        if not all(spec.name for spec in specs):
            raise invalid("Found ModelSpec with an empty model name.")
        if len({spec.name for spec in specs}) > 1:
            raise invalid(
                "All ModelSpecs in a MultiInferenceRequest must access the same "
                "model name."
            )
        if not specs:
            raise invalid("MultiInferenceRequest must have at least one task.")
        tasks = [(t.model_spec.signature_name, t.method_name) for t in request.tasks]
        response = inference_pb2.MultiInferenceResponse()
        with _model_of(self.store, request.tasks[0]) as model:
            answers = model.multi_inference(examples_of(request.input), tasks)
            for task, (kind, answer) in zip(request.tasks, answers, strict=True):
                result = response.results.add(model_spec=_spec(task, model))
                getattr(result, f"{kind}_result").CopyFrom(RESULTS[kind](answer))
        return response

    @_answering
    def GetModelMetadata(self, request: get_model_metadata_pb2.GetModelMetadataRequest):
        """Every signature with the names, types and shapes of its tensors."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid(
                "GetModelMetadataRequest must specify at least one metadata_field"
            )
        for name in request.metadata_field:
            if name != "signature_def":
                raise invalid(f"Metadata field {name} is not supported")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        with _model_of(self.store, request) as model:
            signatures = get_model_metadata_pb2.SignatureDefMap()
            for name, signature in model.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
            response.model_spec.name = model.name
            response.model_spec.version.value = model.version
        response.metadata["signature_def"].Pack(signatures)
        return response


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus and HandleReloadConfigRequest."""

    def __init__(self, store: ModelStore, metrics: Metrics):
        self.store, self.metrics = store, metrics

    @_answering
    def GetModelStatus(self, request: get_model_status_pb2.GetModelStatusRequest):
        """Every version of a model and its state."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        spec = request.model_spec
        number = spec.version.value if spec.HasField("version") else None
        response = get_model_status_pb2.GetModelStatusResponse()
        for version in self.store.statuses(spec.name, number):
            entry = response.model_version_status.add(
                version=version.number, state=version.state
            )
            code = version.error.code if version.error else "OK"
            entry.status.error_code = error_codes_pb2.Code.Value(code)
            entry.status.error_message = str(version.error or "")
        return response

    @_answering
    def HandleReloadConfigRequest(
        self, request: model_management_pb2.ReloadConfigRequest
    ):
        """Serves the models of a `ModelServerConfig` instead of the present ones."""
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        entries = request.config.model_config_list.config
        self.store.configure([config_of(entry) for entry in entries])
        return model_management_pb2.ReloadConfigResponse()


# === Parts of messages ===


@contextlib.contextmanager
def _model_of(store: ModelStore, request) -> Iterator[LoadedModel]:
    """Lends the model that a request names."""
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
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
