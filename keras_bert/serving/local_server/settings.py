"""What a server is told: models and their versions, batching, limits."""

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from keras_bert.errors import ConfigError
from keras_bert.serving.local_server.errors import invalid

POLICY = re.compile(r"all|latest(:[1-9][0-9]{0,8})?|[0-9]+(,[0-9]+)*")
MOST = 2**31 - 1  # for longer than that nobody waits
HIGHEST = 2**63 - 1  # that a message over gRPC holds


def whole_number(text: str) -> int | None:
    """Returns the number that digits write; None for a larger one, and for no number.

    Example:
        >>> whole_number("007"), whole_number("9" * 5000), whole_number("one")
        (7, None, None)
    """
    match = re.fullmatch(r"0*([0-9]{1,19})", text)
    number = int(match[1]) if match else HIGHEST + 1
    return number if number <= HIGHEST else None


@dataclass(frozen=True)
class ModelConfig:
    """A model to serve.

    Args:
        name: in requests.
        directory: `<directory>/<version>/` holds the SavedModels.
        versions: which of them: `latest`, `latest:3`, `all`, or numbers such as `1,4`.
        labels: names for versions, which requests may use instead of numbers.

    Raises:
        ConfigError: `versions` is none of these.

    Example:
        >>> ModelConfig("bert", Path("saved_models/bert"), "latest:2").choose([9, 1, 3])
        [3, 9]
    """

    name: str
    directory: Path
    versions: str = "latest"
    labels: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not POLICY.fullmatch(self.versions):
            raise ConfigError(
                "Expected versions as `latest`, `latest:N`, `all` or numbers such as "
                f"`1,4`. Received: {self.versions!r}."
            )

    def choose(self, found: Iterable[int]) -> list[int]:
        """Returns the versions to serve, of those found, ascending."""
        found = sorted(found)
        kind, _, count = self.versions.partition(":")
        if kind in ("all", "latest"):
            return found if kind == "all" else found[-int(count or 1) :]
        named = set(map(whole_number, kind.split(",")))
        return [number for number in found if number in named]


@dataclass(frozen=True)
class BatchingParameters:
    """When requests become a batch; named as in TF Serving's `batching_parameters`.

    Args:
        max_batch_size: rows; a larger request runs alone.
        batch_timeout_micros: how long the first request waits for others,
            microseconds. With 0 a batch is what arrived while all threads were busy.
        max_enqueued_batches: batches of one kind that may wait; further requests are
            refused as UNAVAILABLE.
        num_batch_threads: batches computed at once; 0 takes the number of CPUs.

    Raises:
        ConfigError: a number is out of range.
    """

    max_batch_size: int = 64
    batch_timeout_micros: int = 1000
    max_enqueued_batches: int = 100
    num_batch_threads: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            lowest = int(name.startswith("max_"))
            if not lowest <= value <= MOST:
                raise ConfigError(
                    f"Expected {name} of at least {lowest}, and at most {MOST}. "
                    f"Received: {value}."
                )

    @property
    def threads(self) -> int:
        """Threads that compute."""
        return self.num_batch_threads or os.cpu_count() or 1


@dataclass(frozen=True)
class Limits:
    """What is refused before anything is computed. TF Serving has no such limits.

    Args:
        max_request_bytes: of one HTTP body or gRPC message.
        max_request_seconds: for an HTTP request to arrive; also how long a connection
            may be idle.
        max_rows: along the first axis of an input.
        max_text_bytes: of one string. The graph cuts longer texts than the model
            takes, so this bounds the work of cutting.

    Raises:
        ConfigError: a number is not above 0.
    """

    max_request_bytes: int = 32 << 20
    max_request_seconds: float = 60.0
    max_rows: int = 16_384
    max_text_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < math.inf:
                raise ConfigError(f"Expected {name} above 0. Received: {value}.")

    def check(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Raises `ServingError` where an input is over a limit."""
        for name, array in inputs.items():
            rows = len(array) if array.ndim else 1
            if rows > self.max_rows:
                raise invalid(
                    f"Expected at most {self.max_rows} rows in a request. Received: "
                    f"{rows} in {name}."
                )
            texts = array.flat if array.dtype == object else ()
            longest = max(map(len, texts), default=0)
            if longest > self.max_text_bytes:
                raise invalid(
                    f"Expected texts of at most {self.max_text_bytes} bytes. Received: "
                    f"{longest} in {name}."
                )
