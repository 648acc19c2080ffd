"""HTTP in front of the REST API: an ASGI application, and uvicorn that runs it."""

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from keras_bert.serving.local_server.errors import AddressError, ServingError
from keras_bert.serving.local_server.metrics import CONTENT_TYPE, Metrics
from keras_bert.serving.local_server.model_store import STOPPING, ModelStore
from keras_bert.serving.local_server.rest import handle, refusal, written
from keras_bert.serving.local_server.settings import Limits, whole_number

HEALTH_PATH = "/healthz"
METRICS_PATH = "/monitoring/prometheus/metrics"
HTTP_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
THREADS = 64  # requests at once; most of them wait for their batch
UNREAD = 8  # times the limit of a body: what is read of a larger one, to refuse it
LONGEST_HEAD = 1 << 16  # bytes of a request line and its headers


class RestServer:
    """Answers HTTP on a background thread.

    Args:
        address: host and port; port 0 takes a free one.
        store: the models.
        metrics: counts requests.
        limits: of a request's size and duration.

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
            self._socket = socket.create_server(address)
        except (OSError, OverflowError) as error:
            raise AddressError(":".join(map(str, address)), error) from error
        self.address = self._socket.getsockname()[:2]
        seconds = limits.max_request_seconds
        self._threads = ThreadPoolExecutor(THREADS, "rest")
        config = uvicorn.Config(
            application(store, metrics, limits, self._threads),
            http=partial(_Connection, seconds),
            timeout_keep_alive=seconds,
            ws="none",
            lifespan="off",
            proxy_headers=False,
            log_config=None,
            access_log=False,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=[[self._socket]], name="rest", daemon=True
        )

    def start(self) -> None:
        """Begins to answer; returns at once."""
        self._thread.start()

    def close(self, grace: float) -> None:
        """Takes no more connections, ends those that are idle, frees the port.

        Args:
            grace: seconds that requests in hand have, at most.
        """
        self._server.config.timeout_graceful_shutdown = grace
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()
        self._threads.shutdown(wait=False)


class _Connection(HttpToolsProtocol):
    """A connection that is closed where a request does not arrive whole in time.

    So nobody can hold it with a request that trickles in, or fill the memory with
    headers. All else, such as which lengths of a body are believed, is the parser's.
    """

    def __init__(self, seconds: float, **settings):
        super().__init__(**settings)
        self._seconds, self._timer, self._head = seconds, None, 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head += len(data)
        super().data_received(data)
        if self._head > LONGEST_HEAD and not self.transport.is_closing():
            self.send_400_response("Request head too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._wait()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._head = float("-inf")

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._head = 0
        if not self.cycle.response_complete:  # else nothing else ends the connection
            self._timer.cancel()

    def _wait(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self.loop.call_later(self._seconds, self.transport.abort)


def application(
    store: ModelStore, metrics: Metrics, limits: Limits, threads: ThreadPoolExecutor
) -> Starlette:
    """Returns the ASGI application: the API, health, metrics."""

    async def api(request: Request) -> Response:
        is_post = request.method == "POST"
        body = await _body_of(request, limits.max_request_bytes) if is_post else b""
        path = request.scope["raw_path"].decode("ascii")
        call = partial(handle, store, metrics, request.method, path, body)
        try:
            loop = asyncio.get_running_loop()
            status, answer = await loop.run_in_executor(threads, call)
        except asyncio.CancelledError:  # the end's grace is over
            raise ServingError("UNAVAILABLE", STOPPING) from None
        return _json(status, answer)

    async def health(request: Request) -> Response:
        store.check_open()
        return _json(200, written({"status": "SERVING"}))

    async def page(request: Request) -> Response:
        return Response(metrics.page(), media_type=CONTENT_TYPE)

    return Starlette(
        routes=[
            Route(HEALTH_PATH, health),
            Route(METRICS_PATH, page),
            Route("/{path:path}", api, methods=HTTP_METHODS),
        ],
        exception_handlers={
            HTTPException: _refused,
            ServingError: _failed,
            ClientDisconnect: _gone,
        },
    )


async def _refused(request: Request, error: HTTPException) -> Response:
    return _json(error.status_code, written({"error": error.detail}))


async def _failed(request: Request, error: ServingError) -> Response:
    return _json(*refusal(error))


async def _gone(request: Request, error: ClientDisconnect) -> Response:
    return Response()  # nobody reads it


async def _body_of(request: Request, limit: int) -> bytes:
    headers = request.headers
    if not {"content-length", "transfer-encoding"} & set(headers):
        raise HTTPException(411, "Expected a Content-Length header.")
    most = UNREAD * limit
    too_large = HTTPException(413, f"Expected a body of at most {limit} bytes.")
    announced = whole_number(headers.get("content-length", "0"))
    if announced is None or announced > most:
        raise too_large
    body, size = bytearray(), 0
    # A client that is still sending would find the connection broken, not why.
    async for part in request.stream():
        size += len(part)
        body += part if size <= limit else b""
        if size > most:
            break
    if size > limit:
        raise too_large
    return bytes(body)


def _json(status: int, content: bytes) -> Response:
    headers = {"Connection": "close"} if status == 503 else None
    return Response(content, status, headers, "application/json")
