"""Counters and histograms under TF Serving's names, as text for Prometheus.

Prometheus' own Python client appends `_total` to the name of every counter, which
TF Serving's exporter does not; dashboards made for the one would miss the other.

Source of names, labels and buckets: TF Serving's `servables/tensorflow/util.cc`,
`batching_session.cc`, `batching_util.h` and `prometheus_exporter.cc`.
"""

import contextlib
import threading
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence

from keras_bert.serving.double.errors import ServingError

PATH = "/monitoring/prometheus/metrics"
CONTENT_TYPE = "text/plain"

MICROSECONDS = [10 * 1.8**i for i in range(33)]  # to about 20 minutes
ROWS = [2.0**i for i in range(14)]


class Counter:
    """A number that grows, for each combination of labels."""

    kind = "counter"

    def __init__(self, name: str, *labels: str):
        self.name, self.labels = name, labels
        self._values: dict[tuple, int] = defaultdict(int)
        self._lock = threading.Lock()

    def add(self, amount: int, *labels: str) -> None:
        """Adds to the number that belongs to these labels."""
        with self._lock:
            self._values[labels] += amount

    def lines(self) -> Iterator[str]:
        """Yields samples in Prometheus' text format."""
        with self._lock:
            values = dict(self._values)
        for labels, value in values.items():
            yield f"{self.name}{_braces(self.labels, labels)} {value}"


class Histogram:
    """A distribution, for each combination of labels.

    Args:
        name: of the metric.
        labels: their names.
        limits: upper ends of the buckets; the last one is open.
    """

    kind = "histogram"

    def __init__(self, name: str, *labels: str, limits: Sequence[float]):
        self.name, self.labels, self.limits = name, labels, limits
        self._counts: dict[tuple, list[int]] = {}
        self._sums: dict[tuple, float] = defaultdict(float)
        self._lock = threading.Lock()

    def add(self, value: float, *labels: str) -> None:
        """Counts one value."""
        with self._lock:
            counts = self._counts.setdefault(labels, [0] * (len(self.limits) + 1))
            counts[bisect_left(self.limits, value)] += 1
            self._sums[labels] += value

    def lines(self) -> Iterator[str]:
        """Yields samples in Prometheus' text format: cumulative, sum, count."""
        with self._lock:
            all_counts = {labels: list(c) for labels, c in self._counts.items()}
            sums = dict(self._sums)
        ends = [*(f"{limit:g}" for limit in self.limits), "+Inf"]
        for labels, counts in all_counts.items():
            total = 0
            for end, count in zip(ends, counts, strict=True):
                total += count
                braces = _braces((*self.labels, "le"), (*labels, end))
                yield f"{self.name}_bucket{braces} {total}"
            braces = _braces(self.labels, labels)
            yield f"{self.name}_sum{braces} {sums[labels]}"
            yield f"{self.name}_count{braces} {total}"


class Metrics:
    """Everything a server counts.

    Example:
        >>> metrics = Metrics()
        >>> with metrics.observed("bert", "Predict", "REST"):
        ...     pass
        >>> print(metrics.text().splitlines()[1])
        :tensorflow:serving:request_count{model_name="bert",status="OK"} 1
    """

    def __init__(self) -> None:
        prefix = ":tensorflow:serving:"
        batching = f"{prefix}batching_session:"
        self.requests = Counter(f"{prefix}request_count", "model_name", "status")
        self.latency = Histogram(
            f"{prefix}request_latency",
            *("model_name", "API", "entrypoint"),
            limits=MICROSECONDS,
        )
        self.runtime = Histogram(
            f"{prefix}runtime_latency",
            *("model_name", "API", "runtime"),
            limits=MICROSECONDS,
        )
        self.examples = Counter(f"{prefix}request_example_count_total", "model")
        self.batches = Counter(f"{batching}wrapped_run_count")
        self.batch_size = Histogram(f"{batching}processed_batch_size", limits=ROWS)
        self._all = list(vars(self).values())

    @contextlib.contextmanager
    def observed(self, model: str, api: str, entrypoint: str) -> Iterator[None]:
        """Counts the request that is answered inside, and times it if it succeeds.

        Args:
            model: its name; empty where the request named none that is served.
            api: for instance `"Predict"`.
            entrypoint: `"REST"` or `"GRPC"`.
        """
        start = time.monotonic()
        status = "OK"
        try:
            yield
            self.latency.add(_microseconds_since(start), model, api, entrypoint)
        except ServingError as error:
            status = error.code
            raise
        except Exception:
            status = "INTERNAL"
            raise
        finally:
            self.requests.add(1, model, status)

    @contextlib.contextmanager
    def running(self, model: str, api: str) -> Iterator[None]:
        """Times TensorFlow's part of a request."""
        start = time.monotonic()
        yield
        self.runtime.add(_microseconds_since(start), model, api, "TF1")

    def text(self) -> str:
        """Returns the page that Prometheus reads."""
        lines = []
        for metric in self._all:
            lines += [f"# TYPE {metric.name} {metric.kind}", *metric.lines()]
        return "\n".join(lines) + "\n"


def _microseconds_since(start: float) -> float:
    return (time.monotonic() - start) * 1e6


def _braces(names: Sequence[str], values: Sequence[str]) -> str:
    pairs = zip(names, map(_escaped, values), strict=True)
    return "{" + ",".join(f'{name}="{value}"' for name, value in pairs) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
