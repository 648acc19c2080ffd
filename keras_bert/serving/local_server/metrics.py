"""What a server counts, under TF Serving's names, for Prometheus.

Source of names, labels and buckets: TF Serving's `servables/tensorflow/util.cc`,
`batching_session.cc` and `batching_util.h`.
"""

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Gauge,
    Histogram,
    generate_latest,
)

from keras_bert.serving.local_server.errors import ServingError

logger = logging.getLogger(__name__)

CONTENT_TYPE = CONTENT_TYPE_LATEST
PREFIX = ":tensorflow:serving:"
MICROSECONDS = [10 * 1.8**i for i in range(33)]  # to about 20 minutes
ROWS = [2.0**i for i in range(14)]


class Metrics:
    """Everything a server counts.

    Example:
        >>> metrics = Metrics()
        >>> with metrics.observed("bert", "Predict", "REST"):
        ...     pass
        >>> b'request_count{model_name="bert",status="OK"} 1' in metrics.page()
        True
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = self._count("request_count", "model_name", "status")
        self.latency = self._spread(
            "request_latency", MICROSECONDS, "model_name", "API", "entrypoint"
        )
        self.runtime = self._spread(
            "runtime_latency", MICROSECONDS, "model_name", "API", "runtime"
        )
        self.examples = self._count("request_example_count_total", "model")
        self.batches = self._count("batching_session:wrapped_run_count")
        self.batch_size = self._spread("batching_session:processed_batch_size", ROWS)

    def _count(self, name: str, *labels: str) -> Gauge:
        # A Counter's name would get the ending `_total`, and match no dashboard.
        return Gauge(PREFIX + name, name, labels, registry=self._registry)

    def _spread(self, name: str, ends: Sequence[float], *labels: str) -> Histogram:
        return Histogram(
            PREFIX + name, name, labels, buckets=ends, registry=self._registry
        )

    @contextlib.contextmanager
    def observed(self, model: str, api: str, entrypoint: str) -> Iterator[None]:
        """Counts the request that is answered inside, and times it if it succeeds.

        Args:
            model: its name; empty where the request named none that is served.
            api: for instance `"Predict"`.
            entrypoint: `"REST"` or `"GRPC"`.

        Raises:
            ServingError: whatever is raised inside; INTERNAL for what nobody expected.
        """
        start, status = time.monotonic(), "OK"
        try:
            yield
            self.latency.labels(model, api, entrypoint).observe(_micros_since(start))
        except ServingError as error:
            status = error.code
            raise
        except Exception as error:
            logger.exception("%s over %s failed", api, entrypoint)
            status, what = "INTERNAL", f"{type(error).__name__} in the server"
            raise ServingError(status, f"{what}; its log has the details.") from error
        finally:
            self.requests.labels(model, status).inc()

    @contextlib.contextmanager
    def running(self, model: str, api: str) -> Iterator[None]:
        """Times TensorFlow's part of a request."""
        start = time.monotonic()
        yield
        self.runtime.labels(model, api, "TF1").observe(_micros_since(start))

    def page(self) -> bytes:
        """Returns the page that Prometheus reads."""
        return generate_latest(self._registry)


def _micros_since(start: float) -> float:
    return (time.monotonic() - start) * 1e6
