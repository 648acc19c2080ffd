"""TF Serving's REST API in front of a `ModelStore`: JSON in, JSON out, no HTTP.

Source of paths and messages: TF Serving's `api_rest.md`, `http_rest_api_util.cc` and
`http_rest_api_handler.cc`.
"""

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import unquote

from google.protobuf import json_format

from keras_bert.serving.double.errors import ServingError, invalid
from keras_bert.serving.double.json_bodies import format_of
from keras_bert.serving.double.json_examples import examples_of
from keras_bert.serving.double.json_tensors import shown
from keras_bert.serving.double.metrics import Metrics
from keras_bert.serving.double.model import LoadedModel
from keras_bert.serving.double.model_store import ModelStore

HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}

_MODEL = (
    r"/v1/models/(?P<name>[^/:]+)"
    r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
)
PATHS = {
    "POST": re.compile(_MODEL + r":(?P<method>classify|regress|predict)", re.I),
    "GET": re.compile(_MODEL + r"(?:/(?P<method>metadata))?", re.I),
}
HIGHEST_VERSION = 2**63 - 1


class Target(NamedTuple):
    """The model a path names."""

    name: str
    version: int | None
    label: str | None


def handle(
    store: ModelStore, metrics: Metrics, method: str, path: str, body: bytes
) -> tuple[int, Any]:
    """Answers one request.

    Args:
        store: the models.
        metrics: count it.
        method: `"GET"` or `"POST"`.
        path: for instance `"/v1/models/bert:predict"`.
        body: the JSON text of a POST.

    Returns:
        The HTTP status and the answer, ready for `json.dumps`.
    """
    try:
        found = path_of(method, path)
        target = target_of(found)
        api = (found["method"] or "").lower()
        # Names that clients make up would be kept forever.
        known = target.name if store.knows(target.name) else ""
        with metrics.observed(known, api, "REST"):
            return 200, METHODS[api or "status"](store, target, body)
    except ServingError as error:
        return HTTP_STATUS.get(error.code, 500), {"error": str(error)}


def path_of(method: str, path: str) -> re.Match:
    """Returns the parts of a request's path: name, version, label, method."""
    match = PATHS[method].fullmatch(path) if method in PATHS else None
    if match is None:
        raise invalid(f"Malformed request: {method} {path}")
    return match


def target_of(path: re.Match) -> Target:
    """Returns the model that the parts of a path name."""
    version = path["version"] and int(path["version"][:20])
    if version and version > HIGHEST_VERSION:
        raise invalid(f"Failed to convert version: {path['version']} to numeric.")
    return Target(
        unquote(path["name"]), version, path["label"] and unquote(path["label"])
    )


# === The five methods ===


def status(store: ModelStore, target: Target, body: bytes) -> dict:
    """Every version and its state; a label narrows nothing, as in TF Serving."""
    return {
        "model_version_status": [
            {
                "version": str(version.number),  # a string in protobuf's JSON
                "state": version.state,
                "status": {
                    "error_code": version.error.code if version.error else "OK",
                    "error_message": str(version.error or ""),
                },
            }
            for version in store.statuses(target.name, target.version)
        ]
    }


def metadata(store: ModelStore, target: Target, body: bytes) -> dict:
    """Every signature with the names, types and shapes of its tensors."""
    to_dict = partial(
        json_format.MessageToDict,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )
    with store.use(*target) as model:
        signatures = {name: to_dict(s) for name, s in model.signatures.items()}
        version = str(model.version)
    spec = {"name": target.name, "signature_name": "", "version": version}
    nested = {"signature_def": {"signature_def": signatures}}
    return {"model_spec": spec, "metadata": nested}


def predict(store: ModelStore, target: Target, body: bytes) -> dict:
    """Runs a signature on tensors in row or columnar form."""
    document = parse(body)
    signature = signature_name(document)
    with store.use(*target) as model:
        infos = model.inputs_of(signature)
        read, write = format_of(document)
        return write(model.predict(read(document, infos), signature))


def classify(store: ModelStore, target: Target, body: bytes) -> dict:
    """Labels and scores of Examples."""
    return _on_examples(LoadedModel.classify, store, target, body)


def regress(store: ModelStore, target: Target, body: bytes) -> dict:
    """One value per Example."""
    return _on_examples(LoadedModel.regress, store, target, body)


def _on_examples(run: Callable, store: ModelStore, target: Target, body: bytes) -> dict:
    document = parse(body)
    examples = examples_of(document)
    with store.use(*target) as model:
        # The API's page says "result"; the server writes "results" (json_tensor.cc).
        return {"results": run(model, examples, signature_name(document))}


METHODS: dict[str, Callable[[ModelStore, Target, bytes], dict]] = {
    "status": status,
    "metadata": metadata,
    "predict": predict,
    "classify": classify,
    "regress": regress,
}


# === Bodies ===


def parse(body: bytes) -> dict:
    """Returns the JSON object of a body; what follows it is ignored."""
    try:
        text = body.decode("utf-8")
        text = text[len(text) - len(text.lstrip()) :]
        if not text:
            raise invalid("JSON Parse error: The document is empty")
        document, _ = json.JSONDecoder().raw_decode(text)
    except UnicodeDecodeError as error:
        message = "Invalid encoding in string."
        raise invalid(
            f"JSON Parse error: {message} at offset: {error.start}"
        ) from error
    except json.JSONDecodeError as error:
        raise invalid(
            f"JSON Parse error: {error.msg} at offset: {error.pos}"
        ) from error
    except (RecursionError, ValueError) as error:  # too deep, or a number too long
        raise invalid(f"JSON Parse error: {error} at offset: 0") from error
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {shown(document)} Is not object")
    return document


def signature_name(document: dict) -> str:
    """Returns the signature asked for; empty for the default."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {shown(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return name
