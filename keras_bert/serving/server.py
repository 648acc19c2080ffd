"""A double of TF Serving for development and tests, not TF Serving.

It speaks TF Serving's REST API over SavedModels on this machine, with the same
paths, bodies, statuses and messages, in one Python process. It does not batch,
reload, limit memory or authenticate: production runs `tensorflow/serving`.
"""

import json
import logging
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from keras_bert.serving.model_store import ModelStore
from keras_bert.serving.rest import handle
from keras_bert.version import __version__

logger = logging.getLogger(__name__)


class Server:
    """Serves models over REST from a background thread.

    Args:
        model_dirs: directory of each model by name, as `keras-bert export` wrote it.
        port: 0 takes a free one.
        host: the address listened on; only this machine by default.
        all_versions: load every version instead of the highest.
        max_request_bytes: a longer body is refused with status 413.

    Raises:
        MissingFileError: a directory holds no version.

    Example:
        >>> with Server({"sentiment": "saved_models/sentiment"}) as server:
        ...     print(server.url)  # doctest: +SKIP
        http://127.0.0.1:40213
    """

    def __init__(
        self,
        model_dirs: Mapping[str, str | Path],
        port: int = 0,
        host: str = "127.0.0.1",
        *,
        all_versions: bool = False,
        max_request_bytes: int = 32 << 20,
    ):
        self.store = ModelStore(model_dirs, all_versions)
        self._http = _HTTPServer((host, port), _Handler)
        self._http.store = self.store
        self._http.max_request_bytes = max_request_bytes
        self._thread = threading.Thread(
            target=self._http.serve_forever, name="keras_bert-server", daemon=True
        )

    @property
    def url(self) -> str:
        """Where it listens, for instance `http://127.0.0.1:8501`."""
        host, port = self._http.server_address[:2]
        return f"http://{host}:{port}"

    def start(self) -> "Server":
        """Begins to answer; returns at once."""
        self._thread.start()
        return self

    def wait(self) -> None:
        """Blocks until `close` is called elsewhere or Ctrl-C is pressed."""
        self._thread.join()

    def close(self) -> None:
        """Stops answering and frees the port and the models."""
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()
        self.store.close()

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.close()


class _HTTPServer(ThreadingHTTPServer):
    # A client that keeps its connection open must not hold up the shutdown.
    daemon_threads = True
    request_queue_size = 128
    store: ModelStore
    max_request_bytes: int


class _Handler(BaseHTTPRequestHandler):
    server: _HTTPServer
    server_version = f"keras_bert-double-of-TF-Serving/{__version__}"
    protocol_version = "HTTP/1.1"  # connections stay open between requests
    timeout = 60  # seconds a silent client may hold a thread
    wbufsize = -1  # headers and body leave together
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            return self._refuse(411, "Expected a Content-Length header.")
        if int(length) > self.server.max_request_bytes:
            limit = self.server.max_request_bytes
            return self._refuse(413, f"Expected a body of at most {limit} bytes.")
        self._answer(self.rfile.read(int(length)))

    do_PUT = do_DELETE = do_PATCH = do_POST

    def _answer(self, body: bytes) -> None:
        path = self.path.partition("?")[0]
        try:
            answer = handle(self.server.store, self.command, path, body)
        except Exception as error:
            # The thread would die silently and the client wait for its timeout.
            logger.exception("%s %s failed", self.command, self.path)
            answer = (500, {"error": f"{type(error).__name__}: {error}"})
        self._send(*answer)

    def _refuse(self, status: int, message: str) -> None:
        self.close_connection = True  # the body is left unread
        self._send(status, {"error": message})

    def _send(self, status: int, answer: Any) -> None:
        body = json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        logger.info("%s %s", self.address_string(), format % args)
