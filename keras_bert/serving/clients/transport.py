"""What the clients of both protocols share."""

from collections.abc import Mapping
from typing import Protocol

from keras_bert.errors import KerasBertError

RETRIED_STATUSES = (502, 503)

Columns = dict[str, list]


class Transport(Protocol):
    """What a protocol implements for the client; each call is one request."""

    url: str

    def predict(self, signature_name: str, inputs: Mapping[str, list]) -> Columns:
        """Returns the outputs of a signature, by name."""
        ...

    def status(self) -> dict[str, str]:
        """Returns the state of each version."""
        ...

    def metadata(self) -> dict:
        """Returns the signatures."""
        ...

    def close(self) -> None:
        """Closes open connections."""
        ...


class RequestError(KerasBertError, OSError):
    """The server could not be reached, or rejected the request.

    Attributes:
        status: the HTTP status; None over gRPC, or without a response.
        code: the gRPC status, for instance `"NOT_FOUND"`; over REST only without a
            response: `"UNAVAILABLE"` or `"DEADLINE_EXCEEDED"`.
    """

    def __init__(
        self, message: str, status: int | None = None, code: str | None = None
    ):
        super().__init__(message)
        self.status, self.code = status, code

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed a moment later."""
        return self.code == "UNAVAILABLE" or self.status in RETRIED_STATUSES


def with_port(host: str, port: int) -> str:
    """Returns an address with a port.

    Example:
        >>> with_port("bert", 8501), with_port("bert:80", 8501)
        ('bert:8501', 'bert:80')
    """
    return host if ":" in host else f"{host}:{port}"
