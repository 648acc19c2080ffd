"""What a format's reader returns and a format's writer takes."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from keras_bert.checkpoints.sentence_modules import SentenceModules
from keras_bert.config import Config

PIECE = 1 << 23  # bytes read at once from a tensor that is not needed whole
STRIP = 1 << 20  # of a matrix being transposed: fits into the processor's cache


@dataclass(frozen=True)
class Tensor:
    """An array that is read when it is asked for.

    Args:
        shape: its shape.
        dtype: its NumPy dtype (bfloat16 through `ml_dtypes`).
        load: reads it whole.
        part: reads rows `start` to `stop` of its first axis; None if the file has to
            be read whole.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    load: Callable[[], np.ndarray]
    part: Callable[[int, int], np.ndarray] | None = None

    @classmethod
    def of(cls, array: np.ndarray) -> "Tensor":
        """Wraps an array in memory."""
        part = None if array.ndim == 0 else lambda start, stop: array[start:stop]
        return cls(tuple(array.shape), array.dtype, lambda: array, part)

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def pieces(self, size: int = PIECE) -> Iterator[np.ndarray]:
        """Reads it in consecutive runs of rows.

        Args:
            size: approximate bytes of a piece; a single row may be larger.

        Yields:
            Arrays whose concatenation is the tensor; one, if it is small or cannot
            be read in parts.
        """
        if self.part is None or self.nbytes <= size:
            yield self.load()
            return
        rows = self.shape[0]
        step = max(1, size * rows // self.nbytes)
        for start in range(0, rows, step):
            yield self.part(start, min(start + step, rows))

    def transposed(self) -> "Tensor":
        """Returns the transposed matrix, which can be read in parts as well.

        A part is filled from strips of the original, so that neither matrix is ever
        whole in memory.
        """
        rows, columns = self.shape

        def part(start: int, stop: int) -> np.ndarray:
            turned = np.empty((stop - start, rows), self.dtype)
            at = 0
            for strip in self.pieces(STRIP):
                turned[:, at : at + len(strip)] = strip[:, start:stop].T
                at += len(strip)
            return turned

        return Tensor((columns, rows), self.dtype, lambda: part(0, columns), part)

    def rows(self, indices: np.ndarray) -> np.ndarray:
        """Reads some rows of a table.

        Args:
            indices: integers of any shape.

        Returns:
            An array of the shape of `indices`, then that of a row.
        """
        if self.part is None:
            return self.load()[indices]
        wanted, where = np.unique(indices, return_inverse=True)
        found = [self.part(i, i + 1) for i in wanted.tolist()]
        return np.concatenate(found)[where].reshape(*indices.shape, *self.shape[1:])


@dataclass
class Checkpoint:
    """A checkpoint as it is in its files, under its own format's names.

    Args:
        path: what was opened.
        format: a name of `keras_bert.checkpoints.formats.FORMATS`.
        config: the model's config.
        tensors: the weights, by the format's current names.
        head: the model class that the files name, if they name one.
        ignored: tensors that are not weights: the reason by name.
        files: the files the tensors are in.
        tokenizer_files: vocabulary and tokenizer settings next to them.
        tokenizer_settings: how the tokenizer treats case and accents, and how long its
            rows are, where other files say so.
        optimizer: the optimizer's slots, as `<weight>/<slot>`, and its counters.
        copies: tensors that may only repeat a weight, see `Family.ties`.
        strict: whether tensors that belong to no part are an error.
        sentence_modules: of a folder of sentence-transformers.
    """

    path: Path
    format: str
    config: Config
    tensors: dict[str, Tensor]
    head: str | None = None
    ignored: dict[str, str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    tokenizer_files: list[Path] = field(default_factory=list)
    tokenizer_settings: dict[str, bool | int] = field(default_factory=dict)
    optimizer: dict[str, Tensor] = field(default_factory=dict)
    copies: dict[str, Tensor] = field(default_factory=dict)
    strict: bool = False
    sentence_modules: SentenceModules | None = None
