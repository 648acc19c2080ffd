"""The request form of bert-as-service over HTTP, for its clients.

Its own server speaks ZeroMQ too, which this one does not.

Source: `server/bert_serving/server/http.py` and `client/bert_serving/client` of
hanxiao/bert-as-service 1.10; Flask-JSON, which adds the status.
"""

from typing import Any

from keras_bert.serving.local_server.errors import HTTP_STATUS, ServingError, invalid
from keras_bert.serving.local_server.json_format import parse
from keras_bert.serving.local_server.metrics import Metrics
from keras_bert.serving.local_server.model_store import ModelStore
from keras_bert.serving.local_server.text_vectors import only_model, vectors

PATH = "/encode"


def answer(store: ModelStore, metrics: Metrics, body: bytes) -> tuple[int, dict]:
    """Answers `{"id": …, "texts": […], "is_tokenized": false}`.

    Args:
        store: the models, of which one makes vectors.
        metrics: count the request.
        body: JSON.

    Returns:
        The HTTP status, and `{"id": …, "result": [[…], …], "status": 200}`.
    """
    try:
        document = parse(body)
        texts = _texts(document)
        found = vectors(store, metrics, only_model(store), texts)
    except ServingError as error:
        status = HTTP_STATUS.get(error.code, 500)
        told = {"description": str(error), "type": "ValueError"}
        return status, {**told, "status": status}
    result = found.embeddings.tolist()
    return 200, {"id": document.get("id"), "result": result, "status": 200}


def _texts(document: dict[str, Any]) -> list[str]:
    texts, tokenized = document.get("texts"), bool(document.get("is_tokenized"))
    if not isinstance(texts, list) or not texts:
        raise invalid('"texts" must be a list that is not empty')
    if tokenized:
        texts = [_joined(number, tokens) for number, tokens in enumerate(texts)]
    for number, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise invalid(
                "all elements in the list must be non-empty string, but element "
                f"{number} is {str(text)[:40]!r}"
            )
    return texts


def _joined(number: int, tokens: Any) -> str:
    """Returns a text that is cut into these tokens again."""
    if not isinstance(tokens, list) or not all(isinstance(t, str) for t in tokens):
        raise invalid(f"element {number} must be a list of tokens if is_tokenized")
    return " ".join(tokens).replace(" ##", "")
