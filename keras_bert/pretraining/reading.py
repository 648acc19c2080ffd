"""Records to batches for the pretraining models, in tf.data."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_bert.errors import check_counts
from keras_bert.pretraining.examples import Ragged
from keras_bert.pretraining.hashed_random import mix
from keras_bert.pretraining.interpreter_gate import GATE
from keras_bert.pretraining.masking import MaskingSettings
from keras_bert.pretraining.model_batch import CompactDecoder, split_fields
from keras_bert.pretraining.record_form import (
    Pattern,
    RecordForm,
    record_files,
    record_form,
)
from keras_bert.pretraining.records import COMPACT_IDS, decode_compact
from keras_bert.tokenization import BertTokenizer

if TYPE_CHECKING:
    import tensorflow as tf


def dataset(
    pattern: Pattern,
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

    The first record tells the form. Equal files and seed give equal batches in equal
    order, and an iterator in a `tf.train.Checkpoint` resumes exactly.

    Args:
        pattern: the files: names, glob patterns, comma-separated lists of them;
            compressed if the name ends in `.gz`.
        batch_size: examples per batch.
        seed: for shuffling and masking.
        shuffle: shuffle files, and examples within a buffer, and draw new masks in
            each pass. If False, every pass gives the same batches.
        repeat: start over after the last example.
        shuffle_buffer: examples held for shuffling.
        drop_remainder: drop a last batch that is not full, so that shapes are static.
        tokenizer: the one that compact records were made with.
        masking: how compact records are masked; ignored for static ones.

    Returns:
        A dataset of `(features, labels, weights)`. Features, int32: `input_ids`,
        `attention_mask`, `token_type_ids` `(batch, seq)`, `masked_lm_positions`
        `(batch, predictions)`; for packed rows also `position_ids` `(batch, seq)` and
        `cls_positions` `(batch, pieces)`. Labels: `prediction_logits`
        `(batch, predictions)` token ids, `seq_relationship_logits` `(batch,)`, or
        `(batch, pieces)` for packed rows, 1 for a random or swapped second text.
        Weights, float32, have the same names. Without sentence labels, labels and
        weights are single arrays, those of the masked tokens.

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

    check_counts(batch_size=batch_size)
    files = [str(file) for file in record_files(pattern)]
    form = record_form(files)
    data = _examples(files, seed, shuffle_buffer if shuffle else 0)
    data = data.repeat() if repeat else data
    data = data.batch(batch_size, drop_remainder=drop_remainder)
    if form.compact:
        # One number per batch is all that its masks depend on.
        draws = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=shuffle)
        data = tf.data.Dataset.zip(data, draws)
        parse = _compact_parser(form, CompactDecoder(form, tokenizer, masking), seed)
    else:
        parse = _static_parser(form)
    data = data.map(
        lambda *batch: _model_batch(parse(*batch)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    return data.prefetch(tf.data.AUTOTUNE)


def _examples(files: list[str], seed: int, shuffle_buffer: int) -> "tf.data.Dataset":
    """Returns the serialized examples of all files, shuffled if there is a buffer."""
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices(files)
    if shuffle_buffer:
        data = data.shuffle(len(files), seed=seed, reshuffle_each_iteration=True)
    data = data.interleave(
        _records_of,
        cycle_length=4,
        block_length=16,
        num_parallel_calls=4,
        deterministic=True,
    )
    if shuffle_buffer:
        data = data.shuffle(shuffle_buffer, seed=seed, reshuffle_each_iteration=True)
    return data


def _records_of(file: "tf.Tensor") -> "tf.data.Dataset":
    import tensorflow as tf

    zipped = tf.strings.regex_full_match(file, r".*\.gz")
    return tf.data.TFRecordDataset(file, tf.where(zipped, "GZIP", ""))


def _model_batch(fields: Mapping[str, Any]) -> tuple[dict, Any, Any]:
    import tensorflow as tf

    fields = {
        name: tf.cast(value, tf.int32) if value.dtype.is_integer else value
        for name, value in fields.items()
    }
    if "next_sentence_labels" in fields:
        ones = tf.ones_like(fields["next_sentence_labels"], tf.float32)
        fields = {"next_sentence_weights": ones, **fields}
    return split_fields(fields)


# === Parsing ===


def _static_parser(form: RecordForm) -> Any:
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


def _compact_parser(form: RecordForm, decode: CompactDecoder, seed: int) -> Any:
    import tensorflow as tf

    text = tf.io.FixedLenFeature([], tf.string, "")
    spec = dict.fromkeys((*COMPACT_IDS, "continues"), text)
    spec |= dict.fromkeys(("pieces", "labels"), tf.io.RaggedFeature(tf.int64))
    types = [tf.as_dtype(field.dtype) for field in form.fields()]
    function = GATE.guarded(partial(_decoded, decode, seed))

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
        # Declared stateless, which it is, since others cannot be checkpointed.
        made = tf.numpy_function(function, inputs, types, stateful=False)
        for field, value in zip(form.fields(), made, strict=True):
            value.set_shape([*examples.shape, *form.shape(field)])
        return {f.name: value for f, value in zip(form.fields(), made, strict=True)}

    return parse


def _decoded(
    decode: CompactDecoder,
    seed: int,
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
    return decode(compact, labels, mix(seed, draw, compact.places.rows))
