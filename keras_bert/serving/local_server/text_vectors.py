"""Vectors of texts, from the models of a store that make them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from tensorflow.core.framework import types_pb2

from keras_bert.serving.local_server.errors import ServingError, invalid
from keras_bert.serving.local_server.json_format import tensor_of
from keras_bert.serving.local_server.metrics import Metrics
from keras_bert.serving.local_server.model_store import ModelStore

SIGNATURE = "serve_embeddings"


class Vectors(NamedTuple):
    """What a model makes of texts.

    Attributes:
        embeddings: float32 `(texts, width)`.
        tokens: how many each text has, int32 `(texts,)`.
    """

    embeddings: np.ndarray
    tokens: np.ndarray


def only_model(store: ModelStore) -> str:
    """Returns the name of the one model that makes vectors.

    Raises:
        ServingError: there is none, or there are several.
    """
    found = [name for name in store.names if _makes_vectors(store, name)]
    if len(found) != 1:
        raise ServingError(
            "FAILED_PRECONDITION",
            "Expected one served model that makes vectors of texts. Received: "
            f"{', '.join(found) or 'none'}. Export one from a folder of "
            "sentence-transformers, or with --embeddings.",
        )
    return found[0]


def _makes_vectors(store: ModelStore, name: str) -> bool:
    with store.use(name) as model:
        return SIGNATURE in model.signatures


def vectors(
    store: ModelStore, metrics: Metrics, name: str, texts: Sequence[str]
) -> Vectors:
    """Returns the vectors of texts.

    Args:
        store: the models.
        metrics: count the request.
        name: of the model.
        texts: strings, at least one.

    Raises:
        ServingError: there is no such model, or it makes no vectors; or a text is over
            a limit.
    """
    with (
        metrics.observed(name if store.knows(name) else "", "Predict", "REST"),
        store.use(name) as model,
    ):
        if SIGNATURE not in model.signatures:
            raise invalid(
                f"Expected a model that makes vectors of texts. Received: {name}, "
                f"which has no signature {SIGNATURE}."
            )
        given = {"text": tensor_of(list(texts), types_pb2.DT_STRING)}
        found = model.predict(given, SIGNATURE)
    return Vectors(found["embeddings"], found["tokens"])
