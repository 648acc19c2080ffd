"""What both protocols tell of models, as TF Serving's messages; REST prints them."""

from tensorflow.core.protobuf import error_codes_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from keras_bert.serving.local_server.model import LoadedModel
from keras_bert.serving.local_server.model_store import ModelStore


def status_of(
    store: ModelStore, name: str, number: int | None
) -> get_model_status_pb2.GetModelStatusResponse:
    """Returns the states of one version, or of every one."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for version in store.statuses(name, number):
        entry = response.model_version_status.add(
            version=version.number, state=version.state
        )
        code = version.error.code if version.error else "OK"
        entry.status.error_code = error_codes_pb2.Code.Value(code)
        entry.status.error_message = str(version.error or "")
    return response


def signatures_of(model: LoadedModel) -> get_model_metadata_pb2.SignatureDefMap:
    """Returns every signature with the names, types and shapes of its tensors."""
    message = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in model.signatures.items():
        message.signature_def[name].CopyFrom(signature)
    return message
