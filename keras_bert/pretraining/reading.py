"""Records to batches as the pretraining models take them, in tf.data."""

import atexit
import glob
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from keras_bert.errors import InputError, MissingFileError
from keras_bert.features import INPUTS, NAMINGS, RecordField, record_fields
from keras_bert.pretraining.examples import Ragged, decode_examples
from keras_bert.pretraining.hashed_random import mix
from keras_bert.pretraining.masking import MaskingSettings, Vocabulary, mask_rows
from keras_bert.pretraining.records import (
    COMPACT_IDS,
    CompactRows,
    decode_compact,
    static_columns,
)
from keras_bert.pretraining.rows import Pieces, SpecialIds, lay_out
from keras_bert.pretraining.tfrecords import RecordFile
from keras_bert.tokenization import BertTokenizer

if TYPE_CHECKING:
    import tensorflow as tf

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
    tokenizer: BertTokenizer | None = None,
    masking: MaskingSettings | None = None,
) -> "tf.data.Dataset":
    """Reads records of any form into batches.

    What the first record holds says which form it is: static in Google's or Model
    Garden's names or compact, packed or not, with labels of sentences or without.
    Equal files and seed give equal batches in equal order, and an iterator in a
    `tf.train.Checkpoint` goes on exactly where it was.

    Args:
        pattern: the files: names, glob patterns, comma-separated lists of them;
            compressed if the name ends in `.gz`.
        batch_size: examples per batch.
        seed: of the order of files and of examples, and of masks.
        shuffle: shuffle files, and examples within a buffer, and draw masks, anew
            in each pass. If False, every iteration gives the same batches.
        repeat: begin again after the last example.
        shuffle_buffer: examples held for shuffling.
        drop_remainder: leave out a last batch that is not full, so that shapes
            are static.
        tokenizer: compact records need the one they were made with.
        masking: how compact records are masked; static ones are masked already.

    Returns:
        A dataset of `(features, labels, weights)`. Features, int32: `input_ids`,
        `attention_mask`, `token_type_ids` `(batch, seq)`, `masked_lm_positions`
        `(batch, predictions)`; of packed rows also `position_ids` `(batch, seq)` and
        `cls_positions` `(batch, pieces)`. Labels: `prediction_logits`
        `(batch, predictions)` token ids, `seq_relationship_logits` `(batch,)`, or
        `(batch, pieces)` of packed rows, 1 for a random or swapped second text.
        Weights, float32, by the same names. Records without labels of sentences
        give labels and weights of masked tokens alone, two arrays, as
        `BertForMaskedLM` takes them.

    Raises:
        MissingFileError: no file matches.
        InputError: a file is not a TFRecord of pretraining examples, or compact
            records come without a tokenizer.

    Example:
        >>> data = dataset("records/*.tfrecord", 32, seed=1)  # doctest: +SKIP
        >>> model.fit(data)  # doctest: +SKIP

    Source: `input_fn_builder` in google-research/bert, run_pretraining.py.
    """
    import tensorflow as tf

    files = [str(file) for file in record_files(pattern)]
    form = record_form(files)
    data = tf.data.Dataset.from_tensor_slices(files)
    if shuffle:
        data = data.shuffle(len(files), seed=seed, reshuffle_each_iteration=True)
    data = data.interleave(
        _records_of,
        cycle_length=4,
        block_length=16,
        num_parallel_calls=4,
        deterministic=True,
    )
    if shuffle:
        data = data.shuffle(shuffle_buffer, seed=seed, reshuffle_each_iteration=True)
    data = data.repeat() if repeat else data
    data = data.batch(batch_size, drop_remainder=drop_remainder)
    if form.compact:
        # One number a batch is all that its masks depend on.
        draws = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=shuffle)
        data = tf.data.Dataset.zip(data, draws)
        parse = _parse_compact(form, tokenizer, masking or MaskingSettings(), seed)
    else:
        parse = _parse_static(form)
    data = data.map(
        lambda *batch: as_model_batch(parse(*batch)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    return data.prefetch(tf.data.AUTOTUNE)


def as_model_batch(fields: Mapping[str, Any]) -> tuple[dict, Any, Any]:
    """Sorts the fields of records into features, labels and weights.

    Args:
        fields: by the names of `keras_bert.features.PRETRAINING_RECORD`.
    """
    import tensorflow as tf

    fields = {
        name: tf.cast(value, tf.int32) if value.dtype.is_integer else value
        for name, value in fields.items()
    }
    if "next_sentence_labels" in fields:
        ones = tf.ones_like(fields["next_sentence_labels"], tf.float32)
        fields = {"next_sentence_weights": ones, **fields}
    return sort_fields(fields)


def sort_fields(fields: Mapping[str, Any]) -> tuple[dict, Any, Any]:
    """Sorts fields of the right types, weights of sentences included."""
    features = {name: value for name, value in fields.items() if name in INPUTS}
    tokens = fields["masked_lm_ids"], fields["masked_lm_weights"]
    if "next_sentence_labels" not in fields:
        return features, *tokens
    sentences = fields["next_sentence_labels"], fields["next_sentence_weights"]
    by_output = (
        dict(zip(OUTPUTS, values, strict=True))
        for values in zip(tokens, sentences, strict=True)
    )
    return features, *by_output


# Files and what they hold


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


class RecordForm(NamedTuple):
    """What records look like.

    Attributes:
        compact: tokens alone, to be masked when they are read.
        naming: of a static record's fields, "google" or "model_garden".
        packed: rows hold several pieces.
        labeled: pieces have labels.
        sizes: values on the axes "seq", "predictions" (static) and "pieces".
    """

    compact: bool
    naming: str
    packed: bool
    labeled: bool
    sizes: dict[str, int]

    def fields(self) -> list[RecordField]:
        """Lists the fields that batches are made of."""
        return record_fields(self.packed, self.labeled)

    def shape(self, field: RecordField) -> list[int]:
        """Returns the shape of a field in one example."""
        scalar = field.axis == "pieces" and not self.packed
        return [] if scalar else [self.sizes[field.axis]]


def record_form(files: Sequence[str | Path]) -> RecordForm:
    """Reads from the first record of files what form they have.

    Raises:
        InputError: there is no record, or it is not a pretraining example.
    """
    found = _first_example(files)
    if found.keys() & COMPACT_IDS.keys():
        seq, *pieces = found["shape"]
        sizes = {"seq": seq, "pieces": pieces[0] if pieces else 1}
        return RecordForm(True, "google", bool(pieces), "labels" in found, sizes)
    naming = NAMINGS["input_word_ids" in found]
    packed, labeled = "cls_positions" in found, "next_sentence_labels" in found
    fields = record_fields(packed, labeled)
    missing = [f.key(naming) for f in fields if f.key(naming) not in found]
    if missing:
        raise InputError(
            f"Expected pretraining records in {files[0]}; its first lacks "
            f"{', '.join(missing)}. Make them with `keras-bert data`."
        )
    sizes = {f.axis: len(found[f.key(naming)]) for f in fields}
    return RecordForm(False, naming, packed, labeled, {"pieces": 1, **sizes})


def _first_example(files: Sequence[str | Path]) -> dict[str, list]:
    firsts = (RecordFile(file).first() for file in files)
    record = next((first for first in firsts if first is not None), None)
    if record is None:
        raise InputError(
            f"{files[0]} is not a TFRecord of examples: it holds none. Make records "
            "with `keras-bert data`."
        )
    columns = decode_examples([record]).items()
    return {k: list(c if isinstance(c, list) else c.values) for k, c in columns}


def _records_of(file: "tf.Tensor") -> "tf.data.Dataset":
    import tensorflow as tf

    zipped = tf.strings.regex_full_match(file, r".*\.gz")
    return tf.data.TFRecordDataset(file, tf.where(zipped, "GZIP", ""))


# Forms to fields


def _parse_static(form: RecordForm) -> Any:
    import tensorflow as tf

    fields = {field.key(form.naming): field for field in form.fields()}
    spec = {
        key: tf.io.FixedLenFeature(form.shape(field), field.dtype)
        for key, field in fields.items()
    }

    def parse(examples: "tf.Tensor") -> dict[str, "tf.Tensor"]:
        parsed = tf.io.parse_example(examples, spec)
        return {field.name: parsed[key] for key, field in fields.items()}

    return parse


def _parse_compact(
    form: RecordForm,
    tokenizer: BertTokenizer | None,
    masking: MaskingSettings,
    seed: int,
) -> Any:
    import tensorflow as tf

    if tokenizer is None:
        raise InputError(
            "Expected a tokenizer, received none: compact records are masked when "
            "they are read. Pass the one they were made with."
        )
    form.sizes["predictions"] = masking.max_predictions
    make = RowMaker(form, tokenizer, masking, seed)
    text = tf.io.FixedLenFeature([], tf.string, "")
    spec = dict.fromkeys((*COMPACT_IDS, "continues"), text)
    spec |= dict.fromkeys(("pieces", "labels"), tf.io.RaggedFeature(tf.int64))
    types = [tf.as_dtype(field.dtype) for field in form.fields()]

    def parse(examples: "tf.Tensor", draw: "tf.Tensor") -> dict[str, "tf.Tensor"]:
        parsed = tf.io.parse_example(examples, spec)
        inputs = [
            *(parsed[key] for key in COMPACT_IDS),
            parsed["continues"],
            parsed["pieces"].values,
            parsed["pieces"].row_limits(),
            parsed["labels"].values,
            draw,
        ]
        # Said to be stateless, which it is, since others cannot be checkpointed.
        made = tf.numpy_function(_GATE.guarded(make), inputs, types, stateful=False)
        for field, value in zip(form.fields(), made, strict=True):
            value.set_shape([*examples.shape, *form.shape(field)])
        return {f.name: value for f, value in zip(form.fields(), made, strict=True)}

    return parse


class RowMaker:
    """Lays compact rows out and masks them: the fields of static records."""

    def __init__(
        self,
        form: RecordForm,
        tokenizer: BertTokenizer,
        masking: MaskingSettings,
        seed: int,
    ) -> None:
        self.form, self.masking, self.seed = form, masking, seed
        self.special = SpecialIds.of(tokenizer)
        self.vocabulary = Vocabulary.of(tokenizer)

    def __call__(
        self,
        ids_u16: np.ndarray,
        ids_u32: np.ndarray,
        continues: np.ndarray,
        pieces: np.ndarray,
        piece_ends: np.ndarray,
        labels: np.ndarray,
        draw: np.ndarray,
    ) -> list[np.ndarray]:
        ids = dict(zip(COMPACT_IDS, (ids_u16, ids_u32), strict=True))
        compact = decode_compact(ids, continues, Ragged(pieces, piece_ends))
        return self.make(compact, labels, mix(self.seed, draw, compact.places.rows))

    def make(
        self, compact: CompactRows, labels: np.ndarray, keys: np.ndarray
    ) -> list[np.ndarray]:
        """Makes the fields of a batch, in the order of `RecordForm.fields`.

        Args:
            compact: the rows.
            labels: of each piece; not used if records have none.
            keys: of each piece, uint64; all masks follow from them.
        """
        self._check(compact.tokens)
        labels = labels if self.form.labeled else np.zeros(len(keys), np.int64)
        rows = lay_out(
            compact.tokens,
            self._continues(compact.tokens, compact.continues),
            Pieces(compact.spans, labels, keys),
            self.form.sizes["seq"],
            self.special,
            compact.places,
            self.form.sizes["pieces"],
        )
        masked = mask_rows(
            rows.input_ids,
            rows.lengths,
            rows.continues,
            rows.keys,
            self.vocabulary,
            self.masking,
        )
        columns = static_columns(rows, masked)
        return [
            columns[field.name]
            .reshape(-1, *self.form.shape(field))
            .astype(field.dtype, copy=False)
            for field in self.form.fields()
        ]

    def _check(self, tokens: np.ndarray) -> None:
        size = len(self.vocabulary.maskable)
        if tokens.max(initial=0) >= size:
            raise InputError(
                f"Expected ids below {size}, the size of the vocabulary, received "
                f"{tokens.max()}. Use the tokenizer the records were made with."
            )

    def _continues(self, tokens: np.ndarray, given: np.ndarray | None) -> np.ndarray:
        return self.vocabulary.continues[tokens] if given is None else given


class Gate:
    """Lets TensorFlow's threads into Python until Python ends.

    A thread that waits for the interpreter while that shuts down never comes back,
    and the destructor of the data pipeline waits for the thread. So calls are turned
    away before, and the shutdown waits until none is left.
    """

    PAUSE = 0.05  # seconds without a call after which none is on its way

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._last = -self.PAUSE
        self._closed = False

    def guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns a function that ends the data instead once the gate is closed."""

        def call(*args: Any) -> Any:
            self._count(1)
            try:
                if self._closed:
                    raise StopIteration  # which ends a dataset
                return function(*args)
            finally:
                self._count(-1)

        return call

    def close(self) -> None:
        """Turns calls away, and waits for those inside or about to come in."""
        self._closed = True
        while self._inside or time.monotonic() - self._last < self.PAUSE:
            time.sleep(self.PAUSE / 5)

    def _count(self, change: int) -> None:
        with self._lock:
            self._inside += change
            self._last = time.monotonic()


_GATE = Gate()
atexit.register(_GATE.close)
