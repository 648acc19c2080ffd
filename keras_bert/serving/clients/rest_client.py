"""Client for TF Serving's REST API, with the standard library."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from keras_bert.serving.clients.transport import RequestError, with_port

PORT = 8501


class RestTransport:
    """Sends the requests of `Client` over REST.

    Args:
        host: as `Client` takes it.
        model: the model's name.
        version: of the model, or None.
        label: of a version, or None.
        timeout: seconds to wait for each response.
    """

    def __init__(
        self,
        host: str,
        model: str,
        version: int | None,
        label: str | None,
        timeout: float | None,
    ):
        part = "" if version is None else f"/versions/{version}"
        part = part if label is None else f"/labels/{quote(label, safe='')}"
        self.url = f"{_base(host)}/v1/models/{quote(model, safe='')}{part}"
        self.timeout = timeout

    def predict(self, signature_name: str, inputs: Mapping[str, list]) -> dict:
        """Returns the outputs of a signature, by name."""
        body = {"inputs": dict(inputs)}
        if signature_name:
            body["signature_name"] = signature_name
        outputs = self.request(":predict", body)["outputs"]
        if isinstance(outputs, dict):
            return outputs
        # The API omits the name of a single output.
        signature = self.metadata()[signature_name or "serving_default"]
        return {next(iter(signature["outputs"])): outputs}

    def status(self) -> dict[str, str]:
        """Returns the state of each version."""
        found = self.request("")["model_version_status"]
        return {entry["version"]: entry["state"] for entry in found}

    def metadata(self) -> dict:
        """Returns the signatures."""
        return self.request("/metadata")["metadata"]["signature_def"]["signature_def"]

    def request(self, suffix: str, body: Any = None) -> dict:
        """Sends one request and returns the JSON of the response.

        Args:
            suffix: what follows the model in the path, for instance `":classify"`.
            body: the JSON of a POST; None sends a GET.

        Raises:
            RequestError: there is no response, or it is an error.
        """
        data = None if body is None else json.dumps(body).encode("utf-8")
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + suffix, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                raise RequestError(_message(error), error.code) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise RequestError(
                f"Expected a response from {request.full_url}. Received: {error}. Is "
                "the server running there?",
                code=_code(error),
            ) from error

    def close(self) -> None:
        """Does nothing: every request closes its connection."""


def _base(host: str) -> str:
    address = with_port(host, PORT, ("http", "https"))
    return address.rstrip("/") if "://" in address else f"http://{address}"


def _code(error: Exception) -> str:
    # A request that timed out may still be running; a retry would add to the load.
    late = isinstance(error, TimeoutError) or isinstance(
        getattr(error, "reason", None), TimeoutError
    )
    return "DEADLINE_EXCEEDED" if late else "UNAVAILABLE"


def _message(error: urllib.error.HTTPError) -> str:
    body = error.read().decode("utf-8", "replace")
    try:
        said = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        said = body[:200]
    return f"The server answered {error.code}: {said}"
