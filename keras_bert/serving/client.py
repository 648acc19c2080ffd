"""A client of TF Serving's REST API, on the standard library alone."""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from keras_bert.errors import InputError, KerasBertError

REST_PORT = 8501
RETRIED_STATUSES = (429, 502, 503, 504)


class RequestError(KerasBertError, OSError):
    """The server could not be reached, or refused the request.

    Attributes:
        status: the HTTP status, or None where no answer came.
    """

    def __init__(self, message: str, status: int | None = None):
        super().__init__(message)
        self.status = status


class Client:
    """Asks a served model.

    Args:
        url_or_host: `"http://host:8501"`, `"host:8501"` or `"host"`.
        model: the model's name on the server.
        version: a version; None for the latest.
        timeout: seconds to wait for each answer.
        retries: further attempts when the server is unreachable or overloaded.
        wait: seconds before the first further attempt, doubled for each next one.

    Example:
        >>> client = Client("localhost", "sentiment")
        >>> client.predict(["What a film."])  # doctest: +SKIP
        [{'label': 'positive', 'logits': [...], 'probabilities': [...]}]
    """

    def __init__(
        self,
        url_or_host: str,
        model: str,
        *,
        version: int | None = None,
        timeout: float = 30.0,
        retries: int = 2,
        wait: float = 0.5,
    ):
        part = "" if version is None else f"/versions/{version}"
        self.url = f"{_base(url_or_host)}/v1/models/{model}{part}"
        self.timeout, self.retries, self.wait = timeout, retries, wait

    def predict(
        self,
        texts: Sequence[str],
        text_pairs: Sequence[str] | None = None,
        *,
        signature_name: str | None = None,
    ) -> list[Any]:
        """Returns the model's answer to each text, or pair of texts.

        Args:
            texts: one string per row.
            text_pairs: as many second strings; asks `serve_pairs`.
            signature_name: another signature on the same inputs.

        Raises:
            InputError: a string where a list was expected, or unequal lengths.
            RequestError: no answer, or the server's error.
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
        rows = zip(*inputs.values(), strict=True)
        body = {"instances": [dict(zip(inputs, row, strict=True)) for row in rows]}
        if not body["instances"]:
            return []
        if signature_name:
            body["signature_name"] = signature_name
        return self.request(":predict", body)["predictions"]

    def predict_ids(self, features: Mapping[str, Any]) -> Any:
        """Returns the outputs of `serve_ids`, in columnar form.

        Args:
            features: `input_ids`, `attention_mask` and `token_type_ids`, arrays or
                nested lists of (batch, seq).
        """
        inputs = {
            name: value.tolist() if hasattr(value, "tolist") else value
            for name, value in features.items()
        }
        body = {"signature_name": "serve_ids", "inputs": inputs}
        return self.request(":predict", body)["outputs"]

    def status(self) -> dict[str, str]:
        """Returns the state of each version, for instance `{"1": "AVAILABLE"}`."""
        found = self.request("")["model_version_status"]
        return {entry["version"]: entry["state"] for entry in found}

    def metadata(self) -> dict:
        """Returns the signatures, as TF Serving describes them."""
        return self.request("/metadata")["metadata"]["signature_def"]["signature_def"]

    def request(self, suffix: str, body: Any = None) -> dict:
        """Sends one request and returns the JSON of the answer.

        Args:
            suffix: what follows the model in the path, for instance `":classify"`.
            body: the JSON of a POST; None sends a GET.

        Raises:
            RequestError: no answer after the retries, or the server's error.
        """
        data = None if body is None else json.dumps(body).encode("utf-8")
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + suffix, data, headers)
        for attempt in range(self.retries + 1):
            try:
                return self._send(request)
            except RequestError as error:
                final = error.status not in (None, *RETRIED_STATUSES)
                if final or attempt == self.retries:
                    raise
            time.sleep(self.wait * 2**attempt)
        raise AssertionError("unreachable")

    def _send(self, request: urllib.request.Request) -> dict:
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                raise RequestError(_message(error), error.code) from error
        except (OSError, http.client.HTTPException, json.JSONDecodeError) as error:
            raise RequestError(
                f"Expected an answer from {request.full_url}. Received: {error}. Is "
                "the server running there?"
            ) from error


def _base(url_or_host: str) -> str:
    if "://" in url_or_host:
        return url_or_host.rstrip("/")
    port = "" if ":" in url_or_host else f":{REST_PORT}"
    return f"http://{url_or_host}{port}"


def _listed(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, (str, bytes)):
        raise InputError("Expected a list of strings. Received: one string.")
    return list(texts)


def _message(error: urllib.error.HTTPError) -> str:
    body = error.read().decode("utf-8", "replace")
    try:
        said = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        said = body[:200]
    return f"The server answered {error.code}: {said}"
