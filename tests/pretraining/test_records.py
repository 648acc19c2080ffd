"""Records: their bytes, both forms, files that appear whole."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_bert.errors import ExistingOutputError
from keras_bert.features import NAMINGS, PRETRAINING_RECORD, record_fields
from keras_bert.pretraining.examples import Ragged, encode_examples
from keras_bert.pretraining.hashed_random import mix
from keras_bert.pretraining.masking import MaskedRows
from keras_bert.pretraining.packing import Places, pack
from keras_bert.pretraining.records import (
    COMPACT_IDS,
    decode_compact,
    encode_compact,
    encode_static,
)
from keras_bert.pretraining.rows import (
    ModelRows,
    Pieces,
    SpecialIds,
    lay_out,
    piece_lengths,
)
from keras_bert.pretraining.tfrecords import RecordWriter, write_records

WIDTH, PREDICTIONS, SLOTS = 37, 7, 3


def random_pieces(
    count: int, seed: int, vocab_size: int = 199
) -> tuple[np.ndarray, np.ndarray, Pieces]:
    """Tokens, which of them continue words, and short pieces, a third without B."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 13, (count, 2))
    sizes[rng.random(count) < 0.3, 1] = 0
    starts = rng.integers(0, 400, (count, 2))
    spans = np.stack([starts, starts + sizes], axis=2).reshape(count, 4)
    labels = rng.integers(0, 2, count).astype(np.int32)
    tokens = rng.integers(5, vocab_size, 500).astype(np.int32)
    pieces = Pieces(spans, labels, mix(seed, np.arange(count)))
    return tokens, rng.random(500) < 0.3, pieces


def random_rows(packed: bool, seed: int = 1) -> tuple[ModelRows, MaskedRows]:
    """Rows, and numbers in the places of what masking gives."""
    tokens, continues, pieces = random_pieces(29, seed)
    slots = SLOTS if packed else 1
    places = pack(piece_lengths(pieces.spans), WIDTH, slots)
    rows = lay_out(tokens, continues, pieces, WIDTH, SpecialIds(2, 3), places, slots)
    rng = np.random.default_rng(seed)
    shape = len(rows.input_ids), PREDICTIONS
    return rows, MaskedRows(
        rows.input_ids + 1,
        rng.integers(0, WIDTH, shape).astype(np.int32),
        rng.integers(0, 40_000, shape).astype(np.int32),
        rng.integers(0, 2, shape).astype(np.float32),
    )


def feature(values: np.ndarray | bytes) -> tf.train.Feature:
    if isinstance(values, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[values]))
    if values.dtype.kind == "f":
        return tf.train.Feature(float_list=tf.train.FloatList(value=values.tolist()))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values.tolist()))


def serialized(columns: dict[str, np.ndarray | bytes]) -> bytes:
    """What TensorFlow writes for one example."""
    features = {key: feature(values) for key, values in columns.items()}
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


# Bytes


@pytest.mark.parametrize("largest", [1, 127, 128, 16383, 16384, 30521, 2**31 - 1])
def test_examples_are_what_tensorflow_writes(largest):
    rng = np.random.default_rng(largest)
    sizes = {"seq": 37, "predictions": 7, "pieces": 3}
    columns = {
        field.name: rng.random((5, sizes[field.axis]), np.float32)
        if field.dtype == "float32"
        else rng.integers(0, largest + 1, (5, sizes[field.axis]))
        for field in PRETRAINING_RECORD
    }
    for row, encoded in enumerate(encode_examples(columns)):
        expected = {name: values[row] for name, values in columns.items()}
        assert encoded == serialized(expected)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_examples_of_rows_of_different_lengths(data):
    integers = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=300)
    rows = data.draw(st.lists(st.tuples(integers, st.binary(min_size=1)), min_size=1))
    numbers = [np.array(row[0]) for row in rows]
    texts = [row[1] for row in rows]
    ends = np.cumsum([len(row) for row in numbers])
    columns = {"numbers": Ragged(np.concatenate(numbers), ends), "a text": texts}
    expected = [
        serialized({"numbers": number, "a text": text})
        for number, text in zip(numbers, texts, strict=True)
    ]
    assert encode_examples(columns) == expected


# Static records


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("labeled", [False, True])
@pytest.mark.parametrize("naming", NAMINGS)
def test_static_records(naming, packed, labeled):
    rows, masked = random_rows(packed)
    values = {
        "input_ids": masked.input_ids,
        "attention_mask": rows.attention_mask,
        "token_type_ids": rows.token_type_ids,
        "position_ids": rows.position_ids,
        "cls_positions": rows.cls_positions,
        "masked_lm_positions": masked.positions,
        "masked_lm_ids": masked.ids,
        "masked_lm_weights": masked.weights,
        "next_sentence_labels": rows.labels,
        "next_sentence_weights": rows.label_weights,
    }
    fields = record_fields(packed, labeled)
    made = encode_static(rows, masked, naming=naming, packed=packed, labeled=labeled)
    assert len(made) == len(rows.input_ids)
    for row, record in enumerate(made):
        expected = {field.key(naming): values[field.name][row] for field in fields}
        assert record == serialized(expected)


def test_names_of_google():
    """The features of run_pretraining.py in google-research/bert."""
    assert {field.key("google") for field in record_fields()} == {
        "input_ids",
        "input_mask",
        "segment_ids",
        "masked_lm_positions",
        "masked_lm_ids",
        "masked_lm_weights",
        "next_sentence_labels",
    }


@pytest.mark.parametrize("v2_feature_names", [False, True])
@pytest.mark.parametrize("position_id", [False, True])
def test_what_the_model_gardens_loader_asks_for(v2_feature_names, position_id):
    """By its options `use_v2_feature_names` and `use_position_id`."""
    naming = "model_garden" if v2_feature_names else "google"
    ids, types = (
        ("input_word_ids", "input_type_ids")
        if v2_feature_names
        else ("input_ids", "segment_ids")
    )
    seq = tf.io.FixedLenFeature([WIDTH], tf.int64)
    predictions = tf.io.FixedLenFeature([PREDICTIONS], tf.int64)
    spec = {
        "input_mask": seq,
        ids: seq,
        types: seq,
        "masked_lm_positions": predictions,
        "masked_lm_ids": predictions,
        "masked_lm_weights": tf.io.FixedLenFeature([PREDICTIONS], tf.float32),
    }
    if position_id:
        spec["position_ids"] = seq
    else:
        spec["next_sentence_labels"] = tf.io.FixedLenFeature([1], tf.int64)
    rows, masked = random_rows(packed=position_id)
    records = encode_static(rows, masked, naming=naming, packed=position_id)
    parsed = [tf.io.parse_single_example(record, spec) for record in records]
    np.testing.assert_array_equal([one[ids] for one in parsed], masked.input_ids)
    np.testing.assert_array_equal([one[types] for one in parsed], rows.token_type_ids)


# Compact records


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(0, 99),
    st.sampled_from([1, SLOTS]),
    st.booleans(),
    st.sampled_from([100, 1 << 16, 1 << 20]),
)
def test_compact_records_give_rows_back(count, seed, slots, says, vocab_size):
    tokens, continues, pieces = random_pieces(count, seed, vocab_size)
    places = pack(piece_lengths(pieces.spans), WIDTH, slots)
    records = encode_compact(
        tokens, continues if says else None, pieces, places, width=WIDTH, slots=slots
    )
    found = [tf.train.Example.FromString(record).features.feature for record in records]
    in_records = np.concatenate([one["labels"].int64_list.value for one in found])
    lengths = [one["pieces"].int64_list.value for one in found]
    key = next(name for name in COMPACT_IDS if name in found[0])
    ids, flags = (
        [b"".join(one[name].bytes_list.value) for one in found]
        for name in (key, "continues")
    )
    given_ids = {name: [b""] * len(found) for name in COMPACT_IDS} | {key: ids}
    ends = np.cumsum([len(one) for one in lengths])
    got = decode_compact(given_ids, flags, Ragged(np.concatenate(lengths), ends))
    assert (got.continues is None) == (not says)
    shape = [WIDTH] if slots == 1 else [WIDTH, slots]
    assert all(one["shape"].int64_list.value == shape for one in found)
    no_keys = np.zeros(count, np.uint64)
    ours = lay_out(
        got.tokens,
        np.zeros(len(got.tokens), bool) if got.continues is None else got.continues,
        Pieces(got.spans, in_records.astype(np.int32), no_keys),
        WIDTH,
        SpecialIds(2, 3),
        got.places,
        slots,
    )
    expected = lay_out(
        tokens,
        continues & says,
        pieces._replace(keys=no_keys),
        WIDTH,
        SpecialIds(2, 3),
        places,
        slots,
    )
    for name, column in expected._asdict().items():
        np.testing.assert_array_equal(getattr(ours, name), column, name)


def test_compact_records_are_small():
    tokens, _, pieces = random_pieces(50, 3)
    spans = np.tile([0, 60, 100, 165], (50, 1))
    places = Places(np.arange(50), np.zeros(50, np.int64))
    full = pieces._replace(spans=spans)
    compact = encode_compact(tokens, None, full, places, width=128)
    assert max(map(len, compact)) < 2 * 125 + 80
    unlabeled = encode_compact(tokens, None, full, places, width=128, labeled=False)
    assert b"labels" not in unlabeled[0]


# Files


def records_of(path: Path, kind: str = "") -> list[bytes]:
    return [record.numpy() for record in tf.data.TFRecordDataset(str(path), kind)]


def test_files_are_what_tensorflow_writes(tmp_path):
    rng = np.random.default_rng(5)
    records = [rng.bytes(size) for size in (0, 1, 7, 37, 900, 900, 70_000)]
    with tf.io.TFRecordWriter(str(tmp_path / "expected")) as file:
        for record in records:
            file.write(record)
    assert write_records(tmp_path / "ours", [records[:3], [], records[3:]]) == 7
    expected = (tmp_path / "expected").read_bytes()
    assert (tmp_path / "ours").read_bytes() == expected
    write_records(tmp_path / "ours.gz", [records])
    assert gzip.decompress((tmp_path / "ours.gz").read_bytes()) == expected
    assert records_of(tmp_path / "ours.gz", "GZIP") == records


def test_equal_records_make_equal_compressed_files(tmp_path):
    for name in ("a.gz", "b.gz"):
        write_records(tmp_path / name, [[b"x" * 100]])
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_records_go_round(tmp_path):
    paths = [tmp_path / "deep" / name for name in ("a", "b.gz", "c")]
    with RecordWriter(paths) as writer:
        writer.write([b"1", b"2"])
        writer.write([b"3", b"4", b"5"])
        assert not any(path.exists() for path in paths)
    assert [records_of(path, "GZIP" * (path.suffix == ".gz")) for path in paths] == [
        [b"1", b"4"],
        [b"2", b"5"],
        [b"3"],
    ]
    assert sorted(paths[0].parent.iterdir()) == paths


def test_files_that_are_there_stay(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"mine")
    with pytest.raises(ExistingOutputError, match="overwrite"):
        write_records(path, [[b"x"]])
    assert path.read_bytes() == b"mine"
    assert write_records(path, [[b"x"]], overwrite=True) == 1
    assert records_of(path) == [b"x"]


def test_interrupted_writing_leaves_what_was(tmp_path):
    (tmp_path / "a").write_bytes(b"mine")
    paths = [tmp_path / "a", tmp_path / "b.gz"]
    with (
        pytest.raises(KeyboardInterrupt),
        RecordWriter(paths, overwrite=True) as writer,
    ):
        writer.write([b"x"] * 5)
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"mine"
