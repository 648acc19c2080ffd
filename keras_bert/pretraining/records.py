"""TFRecords of pretraining examples: written without TensorFlow, read with it.

An example is a `tf.train.Example` in Google's form, see
`keras_bert.features.PRETRAINING_RECORD`.
"""

import glob
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_bert.errors import ExistingOutputError, InputError, MissingFileError
from keras_bert.features import INPUTS, PRETRAINING_RECORD, RecordField

if TYPE_CHECKING:
    import tensorflow as tf

_FEATURE_NAMES = {
    feature.google: name for name, feature in INPUTS.items() if feature.google
}
OUTPUTS = ("prediction_logits", "seq_relationship_logits")


def dataset(
    pattern: str | Path | Sequence[str | Path],
    batch_size: int,
    *,
    seed: int = 0,
    shuffle: bool = True,
    repeat: bool = False,
    shuffle_buffer: int = 10_000,
    drop_remainder: bool = True,
) -> "tf.data.Dataset":
    """Reads records into batches as the pretraining model takes them.

    Equal files and seed give equal batches in equal order.

    Args:
        pattern: the files: names, glob patterns, comma-separated lists of them.
        batch_size: examples per batch.
        seed: of the order of files and of examples.
        shuffle: shuffle files, and examples within a buffer, anew in each pass.
        repeat: begin again after the last example.
        shuffle_buffer: examples held for shuffling.
        drop_remainder: leave out a last batch that is not full, so that shapes
            are static.

    Returns:
        A dataset of `(features, labels, weights)`. Features, int32: `input_ids`,
        `attention_mask`, `token_type_ids` `(batch, seq)`, `masked_lm_positions`
        `(batch, predictions)`. Labels: `prediction_logits` `(batch, predictions)`
        token ids, `seq_relationship_logits` `(batch,)`, 1 for a random second
        text. Weights, float32, by the same names.

    Raises:
        MissingFileError: no file matches.
        InputError: a file is not a TFRecord of pretraining examples.

    Example:
        >>> data = dataset("records/*.tfrecord", 32, seed=1)  # doctest: +SKIP
        >>> model.fit(data)  # doctest: +SKIP

    Source: `input_fn_builder` in google-research/bert, run_pretraining.py.
    """
    import tensorflow as tf

    files = [str(file) for file in record_files(pattern)]
    spec = _parsing_spec(record_lengths(files[0]))
    data = tf.data.Dataset.from_tensor_slices(files)
    if shuffle:
        data = data.shuffle(len(files), seed=seed, reshuffle_each_iteration=True)
    data = data.interleave(
        tf.data.TFRecordDataset,
        cycle_length=4,
        block_length=16,
        num_parallel_calls=4,
        deterministic=True,
    )
    if shuffle:
        data = data.shuffle(shuffle_buffer, seed=seed, reshuffle_each_iteration=True)
    data = data.repeat() if repeat else data
    data = data.batch(batch_size, drop_remainder=drop_remainder)
    data = data.map(
        lambda rows: as_model_batch(tf.io.parse_example(rows, spec)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    return data.prefetch(tf.data.AUTOTUNE)


def as_model_batch(fields: Mapping[str, Any]) -> tuple[dict, dict, dict]:
    """Sorts the fields of parsed records into features, labels and weights."""
    import tensorflow as tf

    integers = {name: tf.cast(value, tf.int32) for name, value in fields.items()}
    features = {ours: integers[theirs] for theirs, ours in _FEATURE_NAMES.items()}
    next_sentence = integers["next_sentence_labels"]
    labels = (integers["masked_lm_ids"], next_sentence)
    weights = fields["masked_lm_weights"], tf.ones_like(next_sentence, tf.float32)
    by_output = (
        dict(zip(OUTPUTS, values, strict=True)) for values in (labels, weights)
    )
    return features, *by_output


def record_files(pattern: str | Path | Sequence[str | Path]) -> list[Path]:
    """Lists record files, sorted within each pattern.

    Raises:
        MissingFileError: a name or pattern matches nothing.
    """
    patterns = [pattern] if isinstance(pattern, str | Path) else pattern
    files: list[Path] = []
    for name in (name for item in patterns for name in str(item).split(",")):
        found = sorted(glob.glob(name.strip()))
        if not found:
            raise MissingFileError(
                f"Expected record files at {name!r}, found none. Make them with "
                "`keras-bert data`."
            )
        files += map(Path, found)
    return files


def record_lengths(file: str | Path) -> dict[str, int]:
    """Reads how many values each field of a file's first record holds.

    Raises:
        InputError: the file holds no pretraining example.
    """
    import tensorflow as tf

    example = tf.train.Example()
    try:
        for record in tf.data.TFRecordDataset(str(file)).take(1):
            example.ParseFromString(record.numpy())
    except Exception as error:  # TensorFlow's and protobuf's own classes
        raise InputError(f"{file} is not a TFRecord of examples: {error}.") from error
    found = {
        name: len(value.float_list.value or value.int64_list.value)
        for name, value in example.features.feature.items()
    }
    missing = [field.name for field in PRETRAINING_RECORD if field.name not in found]
    if missing:
        raise InputError(
            f"Expected pretraining records in {file}; its first lacks "
            f"{', '.join(missing)}. Make them with `keras-bert data`."
        )
    return found


def _parsing_spec(lengths: Mapping[str, int]) -> dict[str, Any]:
    import tensorflow as tf

    return {
        field.name: tf.io.FixedLenFeature(
            [] if field.axis is None else [lengths[field.name]], field.dtype
        )
        for field in PRETRAINING_RECORD
    }


# Writing


def encode_examples(columns: Mapping[str, np.ndarray]) -> list[bytes]:
    """Serializes many examples at once, as `tf.train.Example` messages.

    Args:
        columns: for each field of `PRETRAINING_RECORD` an array with one row per
            example; integers are not negative.

    Returns:
        One message per row. Fields stand in the order of their names, as in
        TensorFlow's deterministic form.
    """
    fields = sorted(PRETRAINING_RECORD)
    encoded = [
        _encode_feature(field, np.asarray(columns[field.name])) for field in fields
    ]
    return [_message(1, b"".join(features)) for features in zip(*encoded, strict=True)]


def _encode_feature(field: RecordField, values: np.ndarray) -> list[bytes]:
    """One map entry per row: the name, and a list of floats or integers."""
    values = values.reshape(len(values), math.prod(values.shape[1:]))
    if field.dtype == "float32":
        packed = [row.tobytes() for row in values.astype("<f4")]
    else:
        packed = _varints(values)
    return [_head(field, len(row)) + row for row in packed]


@cache
def _head(field: RecordField, size: int) -> bytes:
    """What stands before `size` bytes of packed values, in a map entry."""
    list_kind = 2 if field.dtype == "float32" else 3
    values = b"\0" * size  # only their number matters
    feature = _message(list_kind, _message(1, values))
    entry = _message(1, _message(1, field.name.encode()) + _message(2, feature))
    return entry[: len(entry) - size]


def _varints(values: np.ndarray) -> list[bytes]:
    """Encodes rows of small non-negative integers as varints, 7 bits a byte."""
    values = values.astype(np.uint32)
    octets_needed = max(1, -(-int(values.max(initial=0)).bit_length() // 7))
    if octets_needed == 1:
        return [row.tobytes() for row in values.astype(np.uint8)]
    shifts = np.arange(0, 7 * octets_needed, 7, dtype=np.uint32)
    parts = values[..., None] >> shifts  # (rows, values, octets)
    used = parts > 0
    used[..., 0] = True
    more = np.zeros_like(used)
    more[..., :-1] = used[..., 1:]
    octets = ((parts & 0x7F) | (more * np.uint32(0x80))).astype(np.uint8)
    ends = used.sum((1, 2)).cumsum()
    flat = octets[used].tobytes()
    return [flat[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]


def _message(field: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return bytes([field << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    octets = []
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*octets, number])


class RecordWriter:
    """Writes records into files that appear whole, or not at all.

    Records go round over the files. They can come in several parts at once;
    a file holds its records of part 0, then those of part 1, and so on.

    Args:
        paths: the files; their directories are made.
        parts: how many parts.
        overwrite: replace files that are there already.

    Raises:
        ExistingOutputError: a file is there and `overwrite` is False.

    Example:
        >>> with RecordWriter(["a.tfrecord"]) as writer:  # doctest: +SKIP
        ...     writer.write(encode_examples(columns))
    """

    def __init__(
        self, paths: Sequence[str | Path], parts: int = 1, overwrite: bool = False
    ) -> None:
        self.paths = [Path(path) for path in paths]
        existing = [path for path in self.paths if path.exists()]
        if existing and not overwrite:
            raise ExistingOutputError(
                f"{existing[0]} exists already; choose another name or pass "
                "overwrite=True (--overwrite)."
            )
        self._next = [count() for _ in range(parts)]
        self._writers: dict[Path, tf.io.TFRecordWriter] = {}

    def __enter__(self) -> "RecordWriter":
        return self

    def write(self, examples: Sequence[bytes], part: int = 0) -> None:
        """Appends serialized examples to a part."""
        for example in examples:
            path = self.paths[next(self._next[part]) % len(self.paths)]
            self._writer(path, part).write(example)

    def __exit__(self, error: type | None, *_: object) -> None:
        for writer in self._writers.values():
            writer.close()
        try:
            if error is None:
                self._publish()
        finally:
            for path in self._writers:
                path.unlink(missing_ok=True)

    def _partial(self, path: Path, part: int) -> Path:
        return path.with_name(f".{path.name}.partial-{part}")

    def _writer(self, path: Path, part: int) -> "tf.io.TFRecordWriter":
        partial = self._partial(path, part)
        if partial not in self._writers:
            import tensorflow as tf

            partial.parent.mkdir(parents=True, exist_ok=True)
            self._writers[partial] = tf.io.TFRecordWriter(str(partial))
        return self._writers[partial]

    def _publish(self) -> None:
        for path in self.paths:
            self._writer(path, 0).close()  # a file without records is there, empty
            for part in range(1, len(self._next)):
                _append(self._partial(path, 0), self._partial(path, part))
        for path in self.paths:
            os.replace(self._partial(path, 0), path)


def _append(file: Path, more: Path) -> None:
    """Moves the content of `more` behind that of `file`."""
    if more.exists():
        with file.open("ab") as target, more.open("rb") as source:
            shutil.copyfileobj(source, target)
        more.unlink()
