"""What a format's reader returns and a format's writer takes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from keras_bert.config import BertConfig


@dataclass(frozen=True)
class Tensor:
    """An array that is read when it is asked for.

    Args:
        shape: its shape.
        dtype: its NumPy dtype (bfloat16 through `ml_dtypes`).
        load: reads it.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    load: Callable[[], np.ndarray]

    @classmethod
    def of(cls, array: np.ndarray) -> "Tensor":
        """Wraps an array that is in memory already."""
        return cls(tuple(array.shape), array.dtype, lambda: array)


@dataclass
class Checkpoint:
    """A checkpoint as found in files, in its own format's names.

    Args:
        path: what was opened.
        format: "google", "huggingface" or "keras".
        config: the model's config.
        tensors: every tensor, in the format's current spelling.
        head: the model class the files name, if they name one.
        ignored: tensors that are no weights, by name, with the reason.
        files: the files the tensors are in.
        tokenizer_files: vocabulary and tokenizer settings beside them.
    """

    path: Path
    format: str
    config: BertConfig
    tensors: dict[str, Tensor]
    head: str | None = None
    ignored: dict[str, str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    tokenizer_files: list[Path] = field(default_factory=list)
