"""Records to batches in NumPy, where a batch is a function of the seed and the step.

A run resumes on any backend without an iterator's state, and every process of a cluster
reads only its own rows of a batch.
"""

from collections.abc import Mapping

import numpy as np

from keras_bert.errors import InputError, check_counts
from keras_bert.pretraining.examples import Column, Ragged, decode_examples
from keras_bert.pretraining.hashed_random import mix
from keras_bert.pretraining.masking import MaskingSettings
from keras_bert.pretraining.model_batch import CompactDecoder, split_fields
from keras_bert.pretraining.record_form import Pattern, record_files, record_form
from keras_bert.pretraining.records import COMPACT_IDS, decode_compact
from keras_bert.pretraining.tfrecords import RecordFile
from keras_bert.tokenization import BertTokenizer

Arrays = dict[str, np.ndarray] | np.ndarray

_ROUNDS = 6


class RecordBatches:
    """The batches of a training run, or of an evaluation, by number.

    Every pass visits each record once, in its own order; a batch may begin in one pass
    and end in the next. A batch does not depend on those before it, nor its rows on
    each other.

    Args:
        pattern: the files: names, glob patterns, comma-separated lists of them. Those
            that end in `.gz` are decompressed into temporary files.
        batch_size: rows per batch, over all devices.
        seed: for shuffling and masking.
        shuffle: each pass has its own order and its own masks. If False, all passes are
            equal.
        repeat: start over after the last record. If False, the last batch is padded
            with rows of weight zero, so that all batches have one shape.
        limit: the most batches of a pass.
        tokenizer: the one that compact records were made with.
        masking: how compact records are masked; ignored for static ones.

    Raises:
        MissingFileError: no file matches.
        InputError: a file is not a TFRecord of pretraining examples, or compact
            records come without a tokenizer.

    Example:
        >>> batches = RecordBatches("records/*", 32, seed=1)  # doctest: +SKIP
        >>> features, labels, weights = batches(1000)  # doctest: +SKIP
    """

    def __init__(
        self,
        pattern: Pattern,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        repeat: bool = True,
        limit: int | None = None,
        tokenizer: BertTokenizer | None = None,
        masking: MaskingSettings | None = None,
    ) -> None:
        check_counts(batch_size=batch_size)
        paths = record_files(pattern)
        self.batch_size, self.seed = batch_size, seed
        self.shuffle, self.repeat = shuffle, repeat
        self.form = record_form(paths)
        self._decode = (
            CompactDecoder(self.form, tokenizer, masking) if self.form.compact else None
        )
        self._files = [RecordFile(path) for path in paths]
        self._ends = np.cumsum([len(file) for file in self._files])
        self._limit = limit

    def __len__(self) -> int:
        """Returns the number of batches per pass."""
        batches = -(-self.records // self.batch_size)
        return batches if self._limit is None else min(batches, self._limit)

    @property
    def records(self) -> int:
        """The number of records."""
        return int(self._ends[-1])

    def __call__(
        self, step: int, rows: slice = slice(None)
    ) -> tuple[dict[str, np.ndarray], Arrays, Arrays]:
        """Reads a batch.

        Args:
            step: its number, from 1.
            rows: which of its rows to read.

        Returns:
            `(features, labels, weights)` as from `keras_bert.pretraining.reading`.

        Raises:
            InputError: the step is beyond the last batch.
        """
        passes, numbers, real = self._places(step, rows)
        records = [self._read(number) for number in numbers.tolist()]
        columns = decode_examples(records)
        fields = self._fields(columns, mix(self.seed, passes, numbers))
        labels = fields.get("next_sentence_labels")
        if labels is not None and "next_sentence_weights" not in fields:
            fields["next_sentence_weights"] = np.ones(labels.shape, "float32")
        weights = {k: _scaled(v, real) for k, v in fields.items() if "weights" in k}
        return split_fields(fields | weights)

    def describe(self, step: int) -> list[str]:
        """Lists the records of a batch, each as its file and its number there."""
        _, numbers, real = self._places(step, slice(None))
        places = map(self._place, numbers[real].tolist())
        return [f"{self._files[file].path}#{record}" for file, record in places]

    # === Positions ===

    def _places(
        self, step: int, rows: slice
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns for each row the pass, the record, and whether it is real."""
        if step < 1 or not (self.repeat or step <= len(self)):
            raise InputError(
                f"Expected a step from 1 to {len(self)}, the number of batches. "
                f"Received: {step}."
            )
        start = (step - 1) * self.batch_size
        passes, places = np.divmod(
            np.arange(start, start + self.batch_size)[rows], self.records
        )
        real = np.full(len(places), True) if self.repeat else passes == 0
        if not self.shuffle:
            return np.zeros_like(passes), places, real
        return passes, permuted(places, self.records, mix(self.seed, passes)), real

    def _place(self, number: int) -> tuple[int, int]:
        file = int(np.searchsorted(self._ends, number, "right"))
        return file, number - (int(self._ends[file - 1]) if file else 0)

    def _read(self, number: int) -> bytes:
        file, record = self._place(number)
        return self._files[file][record]

    # === Fields ===

    def _fields(
        self, columns: Mapping[str, Column], keys: np.ndarray
    ) -> dict[str, np.ndarray]:
        read = self._compact if self._decode else self._static
        return {
            name: value.astype("int32") if value.dtype.kind in "iu" else value
            for name, value in read(columns, keys).items()
        }

    def _static(
        self, columns: Mapping[str, Column], keys: np.ndarray
    ) -> dict[str, np.ndarray]:
        found = {}
        for field in self.form.fields():
            key, shape = field.key(self.form.naming), self.form.shape(field)
            column = columns.get(key)
            sizes = np.diff(getattr(column, "ends", np.zeros(1)), prepend=0)
            size = int(np.prod(shape))
            kinds = "f" if field.dtype.startswith("float") else "iu"
            if (
                not isinstance(column, Ragged)
                or column.values.dtype.kind not in kinds
                or len(sizes) != len(keys)
                or (sizes != size).any()
            ):
                raise InputError(
                    f"Expected {size} values of {key} in every record, as in the "
                    "first one. Received other numbers. Give records made together."
                )
            found[field.name] = column.values.reshape(-1, *shape)
        return found

    def _compact(
        self, columns: Mapping[str, Column], keys: np.ndarray
    ) -> dict[str, np.ndarray]:
        texts = [b""] * len(keys)
        none = Ragged(np.zeros(0, np.int64), np.zeros(len(keys), np.int64))
        fields = {
            **dict.fromkeys((*COMPACT_IDS, "continues"), texts),
            **dict.fromkeys(("pieces", "labels"), none),
        }
        for key, absent in fields.items():
            fields[key] = _alike(key, columns.get(key, absent), absent)
        compact = decode_compact(fields, fields["continues"], fields["pieces"])
        labels = fields["labels"].values
        made = self._decode(compact, labels, keys[compact.places.rows])
        return {f.name: v for f, v in zip(self.form.fields(), made, strict=True)}


def _alike(key: str, column: Column, other: Column) -> Column:
    """Returns a column of a compact record if it has the type that it should have."""
    types = [
        (type(c), getattr(getattr(c, "values", None), "dtype", 0))
        for c in (column, other)
    ]
    if types[0] != types[1]:
        raise InputError(
            f"Expected compact records of `keras-bert data`. Received: {key} of "
            "another type. Make them again."
        )
    return column


def _scaled(weights: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Sets the weights of rows that only pad a batch to zero."""
    shape = (-1,) + (1,) * (weights.ndim - 1)
    return weights * real.reshape(shape).astype("float32")


def permuted(places: np.ndarray, size: int, keys: np.ndarray | int) -> np.ndarray:
    """Evaluates a pseudorandom permutation at some places, without a table.

    A Feistel network permutes the numbers of an even number of bits; it is applied
    again to results that are too large.

    Args:
        places: integers from 0 to `size - 1`.
        size: of the permutation.
        keys: which permutation; one key, or one per place.

    Example:
        >>> sorted(permuted(np.arange(5), 5, 7).tolist())
        [0, 1, 2, 3, 4]

    Source: Black and Rogaway 2002, "Ciphers with arbitrary finite domains", section 3.
    """
    places, keys = np.broadcast_arrays(places, mix(keys))
    half = max(1, (int(size - 1).bit_length() + 1) // 2)
    numbers = _feistel(places, half, keys)
    while (outside := np.flatnonzero(numbers >= size)).size:
        numbers[outside] = _feistel(numbers[outside], half, keys[outside])
    return numbers.astype(np.int64)


def _feistel(numbers: np.ndarray, half: int, keys: np.ndarray) -> np.ndarray:
    bits, low = np.uint64(half), np.uint64((1 << half) - 1)
    left, right = numbers.astype(np.uint64) >> bits, numbers.astype(np.uint64) & low
    for turn in range(_ROUNDS):
        left, right = right, left ^ (mix(keys, turn, right) & low)
    return left << bits | right
