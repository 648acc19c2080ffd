"""A double of TF Serving for development and tests, not TF Serving.

It speaks TF Serving's REST and gRPC APIs over SavedModels on this machine, with the
same paths, messages, statuses and errors, in one Python process. It has no
authentication, no encryption and no bound on memory: production runs
`tensorflow/serving`.
"""

import importlib.util
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from keras_bert.errors import MissingExtraError
from keras_bert.serving.double.batching import Batcher, BatchingParameters
from keras_bert.serving.double.http_server import RestServer
from keras_bert.serving.double.limits import Limits
from keras_bert.serving.double.metrics import Metrics
from keras_bert.serving.double.model import LoadedModel, Running
from keras_bert.serving.double.model_store import ModelStore
from keras_bert.serving.double.versions import ModelConfig, policy_of

BATCHING = BatchingParameters()
LIMITS = Limits()


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

    Raises:
        MissingFileError: a directory holds no version.
        CheckpointError: a version cannot be loaded.
        AddressError: a port is taken.
        MissingExtraError: gRPC is asked for and the extra `grpc` is not installed.

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
    ):
        if grpc_port is not None:
            check_grpc_extra()
        policy = policy_of(versions)
        configs = [
            ModelConfig(name, Path(directory), policy, (labels or {}).get(name, {}))
            for name, directory in model_dirs.items()
        ]
        self.metrics = Metrics()
        self._batcher = batching and Batcher(batching, self.metrics)
        self._closed = threading.Event()
        self._fronts: list = []
        self._store: ModelStore | None = None
        try:
            running = Running(limits, self.metrics, self._batcher)
            self._store = ModelStore(
                configs,
                load=partial(LoadedModel, running=running),
                poll_seconds=file_system_poll_wait_seconds,
            )
            shared = (self._store, self.metrics, limits)
            self._rest = RestServer((host, port), *shared)
            self._fronts.append(self._rest)
            self._grpc = None
            if grpc_port is not None:
                from keras_bert.serving.double.grpc_server import GrpcServer

                self._grpc = GrpcServer(f"{host}:{grpc_port}", *shared)
                self._fronts.append(self._grpc)
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
        threads = [
            threading.Thread(target=front.close, args=[grace]) for front in self._fronts
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._store:
            self._store.close()
        if self._batcher:
            self._batcher.close()
        self._closed.set()

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.close()


def check_grpc_extra() -> None:
    """Raises `MissingExtraError` unless the extra `grpc` is installed."""
    for module in ("grpc", "tensorflow_serving"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(
                f"Expected the package {module} for gRPC; it is not installed. Install "
                "the extra: pip install 'bert-for-keras[grpc]', or serve REST alone."
            )
