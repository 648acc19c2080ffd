"""What the clients of both protocols share."""

import re
from collections.abc import Mapping, Sequence
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

from keras_bert.errors import InputError, KerasBertError

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


def with_port(host: str, port: int, schemes: Sequence[str] = ()) -> str:
    """Returns an address with a port.

    Args:
        host: `"host"`, `"host:80"`, or with one of the schemes `"http://host"`, which
            is returned as it is.
        port: to add where there is none.
        schemes: those that may be given.

    Raises:
        InputError: it is no such address.

    Example:
        >>> with_port("bert", 8501), with_port("bert:80", 8501)
        ('bert:8501', 'bert:80')
    """
    parts = _parts(host)
    if parts is None or parts.scheme not in ("", *schemes):
        forms = ["HOST", "HOST:PORT", *(f"{scheme}://HOST:PORT" for scheme in schemes)]
        raise InputError(
            f"Expected the address of a server: {' or '.join(forms)}. Received: "
            f"{host!r}."
        )
    return host if parts.scheme or parts.port else f"{host}:{port}"


def _parts(host: str) -> SplitResult | None:
    """Returns the parts of an address, or None if it is none."""
    if not isinstance(host, str) or re.search(r"\s", host):
        return None
    try:
        parts = urlsplit(host if "://" in host else f"//{host}")
        numbered = parts.port != 0
    except ValueError:  # the port is no number, or a bracket does not close
        return None
    below = not parts.scheme and (parts.path or parts.query or parts.fragment)
    return parts if parts.hostname and numbered and not below else None
