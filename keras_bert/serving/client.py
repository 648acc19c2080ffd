"""A client of TF Serving, over REST or gRPC, that needs no TensorFlow.

REST needs only the standard library; gRPC needs `grpcio`, of the extra `grpc`.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from keras_bert.errors import InputError, KerasBertError, choose
from keras_bert.serving.clients.rest_client import RestTransport
from keras_bert.serving.clients.transport import Columns, RequestError, Transport
from keras_bert.strings import is_text

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
        timeout: seconds to wait for each response; None waits for ever.
        retries: how often to retry if the server is unreachable or unavailable; other
            errors are not retried.
        wait: seconds before the first retry, doubled for each further one.

    Raises:
        InputError: both a version and a label are given, or an argument is no such
            address, name or number.
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
        timeout: float | None = 30.0,
        retries: int = 2,
        wait: float = 0.5,
    ):
        if version is not None and label is not None:
            raise InputError("Expected a version or a label. Received: both.")
        given = locals()
        for name, (expected, holds) in _ARGUMENTS.items():
            if not holds(given[name]):
                raise InputError(
                    f"Expected {expected} as {name}. Received: {given[name]!r}."
                )
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
            InputError: a string is given instead of a list, an item is no string, or
                the lengths differ.
            RequestError: there is no response, or it is an error.
        """
        inputs = {"text": _strings(texts, "texts")}
        if text_pairs is not None:
            inputs["text_pair"] = _strings(text_pairs, "text_pairs")
            signature_name = signature_name or "serve_pairs"
        if len(set(map(len, inputs.values()))) > 1:
            raise InputError(
                "Expected as many text_pairs as texts. Received: "
                f"{len(texts)} texts and {len(inputs['text_pair'])} text_pairs."
            )
        if not inputs["text"]:
            return []
        return self._retried(self._rows, signature_name or "", inputs)

    def _rows(self, signature_name: str, inputs: Mapping[str, list]) -> list[dict]:
        columns = self.transport.predict(signature_name, inputs)
        rows = [
            dict(zip(columns, row, strict=True))
            for row in zip(*columns.values(), strict=True)
        ]
        if len(rows) != len(inputs["text"]):
            raise ValueError(f"{len(rows)} rows for {len(inputs['text'])} texts")
        return rows

    def predict_ids(self, features: Mapping[str, Any]) -> Columns:
        """Returns the outputs of `serve_ids` by name, as nested lists.

        Args:
            features: `input_ids`, `attention_mask` and `token_type_ids`, arrays or
                nested lists of (batch, seq).

        Raises:
            InputError: a value is not a whole number of 32 bits, or rows differ in
                length.
            RequestError: there is no response, or it is an error.
        """
        inputs = {name: _numbers(value, name) for name, value in features.items()}
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
                return self._asked(ask, *args)
            except RequestError as error:
                if not error.may_pass:
                    raise
            time.sleep(self.wait * 2**attempt)
        return self._asked(ask, *args)

    def _asked(self, ask: Callable, *args: Any) -> Any:
        try:
            return ask(*args)
        except KerasBertError:
            raise
        except (
            AttributeError,
            LookupError,
            RecursionError,
            TypeError,
            ValueError,
        ) as e:
            raise RequestError(
                f"Expected an answer as TF Serving gives it from {self.url}. Received "
                f"another: {type(e).__name__}: {str(e)[:200]}."
            ) from e


# === What can be sent, the same over both protocols ===

LONGEST_WAIT = 2_147_483  # seconds that a socket can count in milliseconds


def _is_seconds(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value <= LONGEST_WAIT  # NaN is not


def _is_count(value: Any) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole and 0 <= value < 2**63


# Arguments of the client: what they are to be.
_ARGUMENTS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "model": ("the name of a model", lambda x: is_text(x) and bool(x)),
    "version": ("a version number", lambda x: x is None or _is_count(x)),
    "label": ("the label of a version", lambda x: x is None or is_text(x)),
    "timeout": (
        f"seconds above 0, at most {LONGEST_WAIT}, or None,",
        lambda x: x is None or (_is_seconds(x) and x > 0),
    ),
    "retries": ("a number of 0 or more", _is_count),
    "wait": ("seconds, 0 or more,", _is_seconds),
}


def _strings(texts: Sequence, name: str) -> list:
    """Returns a list of strings, or of lists of strings of one length."""
    if isinstance(texts, str | bytes | Mapping) or not isinstance(texts, Iterable):
        one = "string" if isinstance(texts, str) else type(texts).__name__
        raise InputError(f"Expected a list of strings as {name}. Received: one {one}.")
    rows = [r.tolist() if hasattr(r, "tolist") else r for r in texts]
    width = _width(rows[0]) if rows else None
    for number, row in enumerate(rows):
        items = row if isinstance(row, list | tuple) else [row]
        if _width(row) != width or not all(map(is_text, items)):
            raise InputError(
                f"Expected strings as {name}, or lists of strings of one length. "
                f"Received: {str(row)[:40]!r} of type {type(row).__name__} as item "
                f"{number}."
            )
    return [list(row) if isinstance(row, tuple) else row for row in rows]


def _width(row: Any) -> int | None:
    return len(row) if isinstance(row, list | tuple) else None


def _numbers(values: Any, name: str) -> list:
    """Returns nested lists of whole numbers, of one shape."""
    dtype = getattr(values, "dtype", None)
    values = values.tolist() if hasattr(values, "tolist") else values
    if str(dtype) == "int32":
        return values  # nothing else can be in there
    try:
        _shape(values)
    except ValueError as error:
        raise InputError(
            f"Expected whole numbers of 32 bits in rows of equal length for {name}. "
            f"Received: {error}."
        ) from error
    return values


def _shape(values: Any) -> tuple[int, ...]:
    if isinstance(values, list | tuple):
        shapes = [_shape(item) for item in values]
        for item, shape in zip(values, shapes, strict=True):
            if shape != shapes[0]:
                raise ValueError(f"{values[0]!r} and {item!r}"[:200])
        return (len(values), *(shapes[0] if shapes else ()))
    if isinstance(values, bool) or not isinstance(values, int):
        raise ValueError(f"{values!r} of type {type(values).__name__}"[:200])
    if not -(2**31) <= values < 2**31:
        raise ValueError(f"{str(values)[:40]}")
    return ()
