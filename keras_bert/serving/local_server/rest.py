"""TF Serving's REST API in front of a `ModelStore`: JSON in, JSON out, no HTTP.

Source of paths and messages: TF Serving's `api_rest.md`, `http_rest_api_util.cc` and
`http_rest_api_handler.cc`.
"""

import json
import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple
from urllib.parse import unquote

from google.protobuf.json_format import MessageToDict

from keras_bert.serving.local_server import bert_as_service, openai_embeddings
from keras_bert.serving.local_server.errors import HTTP_STATUS, ServingError, invalid
from keras_bert.serving.local_server.json_format import (
    examples_of,
    format_of,
    parse,
    signature_name,
)
from keras_bert.serving.local_server.messages import signatures_of, status_of
from keras_bert.serving.local_server.metrics import Metrics
from keras_bert.serving.local_server.model import LoadedModel
from keras_bert.serving.local_server.model_store import ModelStore
from keras_bert.serving.local_server.settings import whole_number

_MODEL = (
    r"/v1/models/(?P<name>[^/:]+)"
    r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
)
PATHS = {
    "POST": re.compile(_MODEL + r":(?P<method>classify|regress|predict)", re.I),
    "GET": re.compile(_MODEL + r"(?:/(?P<method>metadata))?", re.I),
}
# What other servers of vectors answer, by the path of a POST.
OTHER_SERVERS = {
    bert_as_service.PATH: bert_as_service.answer,
    openai_embeddings.PATH: openai_embeddings.answer,
}


class Target(NamedTuple):
    """The model a path names."""

    name: str
    version: int | None
    label: str | None


def handle(
    store: ModelStore, metrics: Metrics, method: str, path: str, body: bytes
) -> tuple[int, bytes]:
    """Answers one request.

    Args:
        store: the models.
        metrics: count it.
        method: for instance `"POST"`.
        path: for instance `"/v1/models/bert:predict"`.
        body: the JSON text of a POST.

    Returns:
        The HTTP status and the JSON text of the answer.
    """
    if method == "POST" and path in OTHER_SERVERS:
        status, answer = OTHER_SERVERS[path](store, metrics, body)
        return status, written(answer)
    try:
        target, api = target_of(method, path)
        # Names that clients make up would be kept forever.
        known = target.name if store.knows(target.name) else ""
        with metrics.observed(known, api, "REST"):
            return 200, written(METHODS[api or "status"](store, target, body))
    except ServingError as error:
        return refusal(error)


def refusal(error: ServingError) -> tuple[int, bytes]:
    """Returns the HTTP status and the JSON text of an error."""
    return HTTP_STATUS.get(error.code, 500), written({"error": str(error)})


def written(answer: dict) -> bytes:
    """Returns the JSON text of an answer."""
    return json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace")


def target_of(method: str, path: str) -> tuple[Target, str]:
    """Returns the model that a path names, and the method asked of it."""
    match = PATHS[method].fullmatch(path) if method in PATHS else None
    if match is None:
        raise invalid(f"Malformed request: {method} {path}")
    name, version, label, api = match.group("name", "version", "label", "method")
    number = version and whole_number(version)
    if version and number is None:
        raise invalid(f"Failed to convert version: {version} to numeric.")
    return Target(unquote(name), number, label and unquote(label)), (api or "").lower()


# === The five methods ===

_as_json = partial(
    MessageToDict,
    preserving_proto_field_name=True,
    always_print_fields_with_no_presence=True,
)


def status(store: ModelStore, target: Target, body: bytes) -> dict:
    """Every version and its state; a label narrows nothing, as in TF Serving."""
    return _as_json(status_of(store, target.name, target.version))


def metadata(store: ModelStore, target: Target, body: bytes) -> dict:
    """Every signature with the names, types and shapes of its tensors."""
    with store.use(*target) as model:
        spec = {"name": model.name, "signature_name": "", "version": str(model.version)}
        signatures = _as_json(signatures_of(model))
    return {"model_spec": spec, "metadata": {"signature_def": signatures}}


def predict(store: ModelStore, target: Target, body: bytes) -> dict:
    """Runs a signature on tensors in row or columnar form."""
    document = parse(body)
    signature = signature_name(document)
    with store.use(*target) as model:
        infos = model.inputs_of(signature)
        read, write = format_of(document)
        return write(model.predict(read(document, infos), signature))


def _on_examples(run: Callable, store: ModelStore, target: Target, body: bytes) -> dict:
    """Labels and scores, or one value, of each Example."""
    document = parse(body)
    examples = examples_of(document)
    with store.use(*target) as model:
        # The API's page says "result"; the server writes "results" (json_tensor.cc).
        return {"results": run(model, examples, signature_name(document))}


METHODS: dict[str, Callable[[ModelStore, Target, bytes], dict]] = {
    "status": status,
    "metadata": metadata,
    "predict": predict,
    "classify": partial(_on_examples, LoadedModel.classify),
    "regress": partial(_on_examples, LoadedModel.regress),
}
