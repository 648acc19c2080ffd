"""A local server for development and tests, not TF Serving.

It speaks TF Serving's REST and gRPC APIs over SavedModels on this machine, with the
same paths, messages, statuses and errors, in one Python process. It has no
authentication, no encryption and no bound on memory: production runs
`tensorflow/serving`.
"""

import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from keras_bert.errors import ConfigError, MissingExtraError

try:
    from keras_bert.serving.local_server.grpc_server import GrpcServer, Services
    from keras_bert.serving.local_server.http_server import RestServer
    from keras_bert.serving.local_server.metrics import Metrics
    from keras_bert.serving.local_server.model import LoadedModel
except ImportError as error:
    raise MissingExtraError(
        f"Expected the packages of the local server. Received: {error}. Install them "
        "with `pip install 'bert-for-keras[serve]'`."
    ) from error
from keras_bert.serving.local_server.batching import Batcher
from keras_bert.serving.local_server.model_store import ModelStore
from keras_bert.serving.local_server.settings import (
    BatchingParameters,
    Limits,
    ModelConfig,
)

BATCHING = BatchingParameters()
LIMITS = Limits()
HIGHEST_PORT = 65535
LONGEST_WAIT = 2_147_483  # seconds, which milliseconds in 32 bits can hold


class Server:
    """Serves models over REST, and gRPC, from background threads.

    Args:
        model_dirs: directory of each model by name, as `keras-bert export` wrote it.
        port: of REST; 0 takes a free one.
        host: the address listened on; only this machine by default.
        grpc_port: of gRPC; 0 takes a free one, None leaves gRPC out.
        versions: those served: `"latest"`, `"latest:N"`, `"all"`, or numbers such as
            `"1,4"`.
        labels: of each model, names for versions.
        batching: when requests share a batch; None computes each alone.
        limits: how large a request may be.
        file_system_poll_wait_seconds: how often the server looks for new and deleted
            versions; 0 for once, at the start.
        allow_reload: lets gRPC clients change which of these models and versions are
            served, and their labels.

    Raises:
        ConfigError: a port or the interval is out of range.
        MissingFileError: a directory holds no version.
        CheckpointError: a version cannot be loaded.
        AddressError: a port is taken.

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
        grpc_port: int | None = None,
        versions: str = "latest",
        labels: Mapping[str, Mapping[str, int]] | None = None,
        batching: BatchingParameters | None = BATCHING,
        limits: Limits = LIMITS,
        file_system_poll_wait_seconds: float = 1.0,
        allow_reload: bool = False,
    ):
        _check_number("port", port, HIGHEST_PORT)
        _check_number("grpc_port", 0 if grpc_port is None else grpc_port, HIGHEST_PORT)
        seconds = file_system_poll_wait_seconds
        _check_number("file_system_poll_wait_seconds", seconds, LONGEST_WAIT)
        directories = {name: Path(path) for name, path in model_dirs.items()}
        configs = [
            ModelConfig(name, path, versions, (labels or {}).get(name, {}))
            for name, path in directories.items()
        ]
        self.metrics = Metrics()
        self._closed = threading.Event()
        self._batcher = batching and Batcher(batching, self.metrics)
        self._store: ModelStore | None = None
        self._rest: RestServer | None = None
        self._grpc: GrpcServer | None = None
        running = {"limits": limits, "metrics": self.metrics, "batcher": self._batcher}
        try:
            self._store = ModelStore(
                configs,
                load=partial(LoadedModel, **running),
                poll_seconds=file_system_poll_wait_seconds,
            )
            shared = (self._store, self.metrics, limits)
            self._rest = RestServer((host, port), *shared)
            if grpc_port is not None:
                reloadable = directories if allow_reload else {}
                services = Services(*shared, reloadable)
                self._grpc = GrpcServer(f"{host}:{grpc_port}", services, limits)
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """Where REST listens, for instance `http://127.0.0.1:8501`."""
        host, port = self._rest.address
        return f"http://{host}:{port}"

    @property
    def grpc_address(self) -> str | None:
        """Where gRPC listens, for instance `127.0.0.1:8500`; None where it does not."""
        return self._grpc and ":".join(map(str, self._grpc.address))

    def refresh(self) -> None:
        """Looks for new and deleted versions now."""
        self._store.refresh()

    def start(self) -> "Server":
        """Begins to answer; returns at once."""
        for front in self._fronts:
            front.start()
        return self

    def wait(self) -> None:
        """Blocks until `stop` or `close` is called elsewhere or Ctrl-C is pressed."""
        self._closed.wait()

    def stop(self) -> None:
        """Ends `wait`; fit for a signal handler."""
        self._closed.set()

    def close(self, grace: float = 30.0) -> None:
        """Answers the requests in hand, refuses others, frees ports and models.

        Args:
            grace: seconds that requests in hand have.
        """
        end = time.monotonic() + grace
        if self._store:
            self._store.close(grace)
        for front in self._fronts:
            front.close(max(end - time.monotonic(), 0))
        if self._batcher:
            self._batcher.close()
        self._closed.set()

    @property
    def _fronts(self) -> list[RestServer | GrpcServer]:
        return [front for front in (self._rest, self._grpc) if front]

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.close()


def _check_number(name: str, value: float, most: int) -> None:
    if not 0 <= value <= most:  # nor is NaN
        raise ConfigError(f"Expected {name} from 0 to {most}. Received: {value!r}.")
