"""How large a request may be. TF Serving itself has no such limits."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from keras_bert.serving.double.errors import invalid


@dataclass(frozen=True)
class Limits:
    """What is refused before anything is computed.

    Args:
        max_request_bytes: of one HTTP body or gRPC message.
        max_rows: along the first axis of an input.
        max_text_bytes: of one string, in UTF-8. The graph cuts longer texts than the
            model takes, so this bounds the work of cutting.

    Example:
        >>> Limits(max_rows=2).check({"text": np.array([b"a", b"b"], object)})
    """

    max_request_bytes: int = 32 << 20
    max_rows: int = 16_384
    max_text_bytes: int = 1 << 20

    def check(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Raises `ServingError` where an input is over a limit."""
        for name, array in inputs.items():
            rows = len(array) if array.ndim else 1
            if rows > self.max_rows:
                raise invalid(
                    f"Expected at most {self.max_rows} rows in a request. Received: "
                    f"{rows} in {name}."
                )
            if array.dtype == object:
                self._check_texts(name, array)

    def _check_texts(self, name: str, array: np.ndarray) -> None:
        longest = max(map(len, array.flat), default=0)
        if longest > self.max_text_bytes:
            raise invalid(
                f"Expected texts of at most {self.max_text_bytes} bytes. Received: "
                f"{longest} in {name}."
            )
