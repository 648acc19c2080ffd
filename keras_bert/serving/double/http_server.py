"""HTTP in front of the REST API: connections, limits, health, and an orderly end."""

import json
import logging
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from keras_bert.serving.double import metrics as metrics_page
from keras_bert.serving.double.errors import AddressError
from keras_bert.serving.double.limits import Limits
from keras_bert.serving.double.metrics import Metrics
from keras_bert.serving.double.model_store import ModelStore
from keras_bert.serving.double.rest import handle
from keras_bert.version import __version__

logger = logging.getLogger(__name__)

HEALTH_PATH = "/healthz"
STOPPING = "The server is shutting down."
UNREAD = 8  # times the limit of a body: what is read of a larger one, to refuse it


class RestServer:
    """Answers HTTP on a background thread, one further thread per connection.

    Args:
        address: host and port; port 0 takes a free one.
        store: the models.
        metrics: counts requests.
        limits: of a body's size.

    Raises:
        AddressError: the port is taken.
    """

    def __init__(
        self,
        address: tuple[str, int],
        store: ModelStore,
        metrics: Metrics,
        limits: Limits,
    ):
        try:
            self._http = _HTTPServer(address, _Handler)
        except (OSError, OverflowError) as error:
            raise AddressError(":".join(map(str, address)), error) from error
        self._http.store, self._http.metrics = store, metrics
        self._http.limits = limits
        self._thread = threading.Thread(
            target=self._http.serve_forever,
            kwargs={"poll_interval": 0.1},
            name="rest",
            daemon=True,
        )

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that it listens on."""
        return self._http.server_address[:2]

    def start(self) -> None:
        """Begins to answer; returns at once."""
        self._thread.start()

    def close(self, grace: float) -> None:
        """Refuses new requests with 503, waits for those in hand, frees the port.

        Args:
            grace: seconds to wait at most.
        """
        self._http.in_hand.refuse(grace)
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()


class InHand:
    """Counts the requests that are being answered, and can let in no more.

    Example:
        >>> requests = InHand()
        >>> requests.enter(), requests.leave()
        (True, None)
        >>> requests.refuse(grace=1), requests.enter()
        (True, False)
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._open = True

    def enter(self) -> bool:
        """Counts a request in, unless none are let in any more."""
        with self._changed:
            self._count += self._open
            return self._open

    def leave(self) -> None:
        """Counts a request out."""
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def refuse(self, grace: float) -> bool:
        """Lets in no more; whether all others left within the grace, in seconds."""
        with self._changed:
            self._open = False
            return self._changed.wait_for(lambda: not self._count, grace)


class _HTTPServer(ThreadingHTTPServer):
    # A client that keeps its connection open must not hold up the shutdown.
    daemon_threads = True
    request_queue_size = 128
    store: ModelStore
    metrics: Metrics
    limits: Limits

    def __init__(self, *args: Any):
        self.in_hand = InHand()
        super().__init__(*args)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Clients may leave at any time; that is worth no traceback on the console.
        logger.info("The connection with %s broke", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _HTTPServer
    server_version = f"keras_bert-double-of-TF-Serving/{__version__}"
    protocol_version = "HTTP/1.1"  # connections stay open between requests
    timeout = 60  # seconds a silent client may hold a thread
    wbufsize = -1  # headers and body leave together
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._in_hand(self._get)

    def do_POST(self) -> None:
        self._in_hand(self._post)

    do_PUT = do_DELETE = do_PATCH = do_POST

    def _in_hand(self, answer) -> None:
        if not self.server.in_hand.enter():
            return self._refuse(503, STOPPING)
        try:
            answer()
        finally:
            self.server.in_hand.leave()

    def _get(self) -> None:
        path = self.path.partition("?")[0]
        if path == metrics_page.PATH:
            page = self.server.metrics.text().encode()
            return self._send(200, page, metrics_page.CONTENT_TYPE)
        if path == HEALTH_PATH:
            return self._send_json(200, {"status": "SERVING"})
        self._answer(b"")

    def _post(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            return self._refuse(411, "Expected a Content-Length header.")
        limit = self.server.limits.max_request_bytes
        if int(length) > limit:
            self._discard(min(int(length), UNREAD * limit))
            return self._refuse(413, f"Expected a body of at most {limit} bytes.")
        self._answer(self.rfile.read(int(length)))

    def _answer(self, body: bytes) -> None:
        path = self.path.partition("?")[0]
        server = self.server
        try:
            answer = handle(server.store, server.metrics, self.command, path, body)
        except Exception as error:
            # The thread would die silently and the client wait for its timeout.
            logger.exception("%s %s failed", self.command, self.path)
            answer = (500, {"error": f"{type(error).__name__}: {error}"})
        self._send_json(*answer)

    def _discard(self, length: int) -> None:
        # A client that is still sending would find the connection broken, not why.
        while length > 0 and (part := self.rfile.read(min(length, 1 << 16))):
            length -= len(part)

    def _refuse(self, status: int, message: str) -> None:
        self.close_connection = True  # the body is left unread
        self._send_json(status, {"error": message})

    def _send_json(self, status: int, answer: Any) -> None:
        body = json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace")
        self._send(status, body, "application/json")

    def _send(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()  # counted as answered only when it is on its way

    def send_error(
        self, code: int, message: str | None = None, explain: str | None = None
    ) -> None:
        """Refuses what is no HTTP, or an unknown method, in JSON as all else."""
        self._refuse(int(code), message or HTTPStatus(code).phrase)

    def log_message(self, format: str, *args: Any) -> None:
        logger.info("%s %s", self.address_string(), format % args)
