"""The embeddings API of OpenAI, for its clients: `POST /v1/embeddings`.

Source: the API reference of OpenAI, "Create embeddings", and `CreateEmbeddingResponse`
in its OpenAPI description.
"""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_bert.serving.local_server.errors import HTTP_STATUS, ServingError
from keras_bert.serving.local_server.json_format import parse
from keras_bert.serving.local_server.metrics import Metrics
from keras_bert.serving.local_server.model_store import ModelStore
from keras_bert.serving.local_server.text_vectors import vectors

PATH = "/v1/embeddings"
# How the numbers of a vector are written, by `encoding_format`.
WRITTEN = {
    "float": np.ndarray.tolist,
    "base64": lambda v: base64.b64encode(v.astype("<f4").tobytes()).decode("ascii"),
}


# What `type` and `code` of an error are, other than invalid_request_error and none.
SERVER_ERRORS = ("INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED")
CODES = {"NOT_FOUND": "model_not_found"}


class _Refused(ServingError):
    """A request that is wrong in one of its parameters."""

    def __init__(self, param: str, message: str, code: str = "INVALID_ARGUMENT"):
        super().__init__(code, message)
        self.param = param


def answer(store: ModelStore, metrics: Metrics, body: bytes) -> tuple[int, dict]:
    """Answers a request for embeddings.

    Args:
        store: the models; `model` names one of them.
        metrics: count the request.
        body: JSON: `model`; `input`, a string or a list; `encoding_format`, "float" or
            "base64"; `dimensions`, to which vectors are cut, at their length.

    Returns:
        The HTTP status, and the answer or the error in the API's form.
    """
    try:
        document = parse(body)
        name, texts = _model(store, document), _input(document)
        write = _choice(document, "encoding_format", "float", WRITTEN)
        found = vectors(store, metrics, name, texts)
        cut = _cut(found.embeddings, document.get("dimensions"))
    except ServingError as error:
        return HTTP_STATUS.get(error.code, 500), _told(error)
    tokens = int(found.tokens.sum())
    data = [
        {"object": "embedding", "index": index, "embedding": write(vector)}
        for index, vector in enumerate(cut)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return 200, {"object": "list", "data": data, "model": name, "usage": usage}


def _told(error: ServingError) -> dict:
    ours = error.code in SERVER_ERRORS
    told = {
        "message": str(error),
        "type": "server_error" if ours else "invalid_request_error",
        "param": getattr(error, "param", None),
        "code": CODES.get(error.code),
    }
    return {"error": told}


def _model(store: ModelStore, document: Mapping[str, Any]) -> str:
    name = document.get("model")
    if not isinstance(name, str):
        raise _Refused("model", "you must provide a model parameter")
    if not store.knows(name):
        known = ", ".join(store.names)
        raise _Refused(
            "model",
            f"The model `{name}` does not exist. Served: {known}.",
            "NOT_FOUND",
        )
    return name


def _input(document: Mapping[str, Any]) -> list[str]:
    given = document.get("input")
    texts = [given] if isinstance(given, str) else given
    strings = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
    if not strings or not texts:
        raise _Refused(
            "input",
            "Expected input as a string, or a list of strings that is not empty. "
            f"Received: {str(given)[:40]}. Ids of tokens are those of another "
            "tokenizer.",
        )
    return texts


def _choice(
    document: Mapping[str, Any], name: str, default: str, choices: Mapping[str, Any]
) -> Any:
    value = document.get(name, default)
    if not isinstance(value, str) or value not in choices:
        known = ", ".join(choices)
        raise _Refused(name, f"Expected {name} among {known}. Received: {value!r}.")
    return choices[value]


def _cut(found: np.ndarray, dimensions: Any) -> np.ndarray:
    """Returns the first numbers of vectors, scaled to the length they had."""
    if dimensions is None:
        return found
    width = found.shape[1]
    if type(dimensions) is not int or not 1 <= dimensions <= width:
        raise _Refused(
            "dimensions",
            f"Expected dimensions from 1 to {width}. Received: {dimensions!r}.",
        )
    cut = found[:, :dimensions]
    lengths = [np.linalg.norm(x, axis=1, keepdims=True) for x in (found, cut)]
    return cut * (lengths[0] / np.maximum(lengths[1], 1e-12))
