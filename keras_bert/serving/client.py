"""A client of TF Serving, over REST or gRPC, that needs no TensorFlow.

REST needs only the standard library; gRPC needs `grpcio`, of the extra `grpc`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras_bert.errors import InputError, choose
from keras_bert.serving.clients.rest_client import RestTransport
from keras_bert.serving.clients.transport import Columns, RequestError, Transport

__all__ = ["Client", "RequestError"]


def _grpc_transport(*args: Any) -> Transport:
    from keras_bert.serving.clients.grpc_client import GrpcTransport

    return GrpcTransport(*args)


PROTOCOLS: dict[str, Callable[..., Transport]] = {
    "rest": RestTransport,
    "grpc": _grpc_transport,
}


class Client:
    """Sends requests to a served model.

    Args:
        host: `"host"`, `"host:8501"`, or for REST `"http://host:8501"`. The default
            port is 8501 for REST and 8500 for gRPC.
        model: the model's name on the server.
        protocol: `"rest"` or `"grpc"`; responses are the same.
        version: a version; None for the latest.
        label: a version's label, instead of its number.
        timeout: seconds to wait for each response.
        retries: how often to retry if the server is unreachable or unavailable; other
            errors are not retried.
        wait: seconds before the first retry, doubled for each further one.

    Raises:
        InputError: both a version and a label are given.
        MissingExtraError: gRPC is requested and not installed.
        UnknownNameError: there is no such protocol.

    Example:
        >>> client = Client("localhost", "sentiment")
        >>> client.predict(["What a film."])  # doctest: +SKIP
        [{'label': 'positive', 'logits': [...], 'probabilities': [...]}]
    """

    def __init__(
        self,
        host: str,
        model: str,
        *,
        protocol: str = "rest",
        version: int | None = None,
        label: str | None = None,
        timeout: float = 30.0,
        retries: int = 2,
        wait: float = 0.5,
    ):
        if version is not None and label is not None:
            raise InputError("Expected a version or a label. Received: both.")
        make = PROTOCOLS[choose("protocol", protocol, PROTOCOLS)]
        self.transport = make(host, model, version, label, timeout)
        self.retries, self.wait = retries, wait

    @property
    def url(self) -> str:
        """The address, for instance `http://localhost:8501/v1/models/bert`."""
        return self.transport.url

    def predict(
        self,
        texts: Sequence[str],
        text_pairs: Sequence[str] | None = None,
        *,
        signature_name: str | None = None,
    ) -> list[dict[str, Any]]:
        """Returns the model's answer to each text, or pair of texts.

        Args:
            texts: one string per row.
            text_pairs: as many second strings; uses `serve_pairs`.
            signature_name: another signature with the same inputs.

        Returns:
            For each row its outputs by name: strings, numbers, nested lists.

        Raises:
            InputError: a string is given instead of a list, or the lengths differ.
            RequestError: there is no response, or it is an error.
        """
        inputs = {"text": _listed(texts)}
        if text_pairs is not None:
            inputs["text_pair"] = _listed(text_pairs)
            signature_name = signature_name or "serve_pairs"
        if len(set(map(len, inputs.values()))) > 1:
            raise InputError(
                "Expected as many text_pairs as texts. Received: "
                f"{len(texts)} texts and {len(inputs['text_pair'])} text_pairs."
            )
        if not inputs["text"]:
            return []
        columns = self._retried(self.transport.predict, signature_name or "", inputs)
        rows = zip(*columns.values(), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def predict_ids(self, features: Mapping[str, Any]) -> Columns:
        """Returns the outputs of `serve_ids` by name, as nested lists.

        Args:
            features: `input_ids`, `attention_mask` and `token_type_ids`, arrays or
                nested lists of (batch, seq).

        Raises:
            RequestError: there is no response, or it is an error.
        """
        inputs = {
            name: value.tolist() if hasattr(value, "tolist") else value
            for name, value in features.items()
        }
        return self._retried(self.transport.predict, "serve_ids", inputs)

    def status(self) -> dict[str, str]:
        """Returns the state of each version, for instance `{"1": "AVAILABLE"}`."""
        return self._retried(self.transport.status)

    def metadata(self) -> dict:
        """Returns the signatures, as TF Serving describes them in JSON."""
        return self._retried(self.transport.metadata)

    def close(self) -> None:
        """Closes open connections."""
        self.transport.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _retried(self, ask: Callable, *args: Any) -> Any:
        for attempt in range(self.retries):
            try:
                return ask(*args)
            except RequestError as error:
                if not error.may_pass:
                    raise
            time.sleep(self.wait * 2**attempt)
        return ask(*args)


def _listed(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, (str, bytes)):
        raise InputError("Expected a list of strings. Received: one string.")
    return list(texts)
