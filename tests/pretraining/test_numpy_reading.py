"""Batches by number: every record once a pass, from any step, by any process."""

import gzip
import struct
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from keras_bert.errors import ConfigError, InputError, MissingFileError
from keras_bert.features import record_fields
from keras_bert.pretraining.examples import Ragged, decode_examples, encode_examples
from keras_bert.pretraining.masking import MaskingSettings
from keras_bert.pretraining.numpy_reading import RecordBatches, permuted
from keras_bert.pretraining.reading import dataset
from keras_bert.pretraining.tfrecords import RecordFile, write_records
from tests.pretraining.cases import SEQ, WORDS, compact_records
from tests.vocabulary import SPECIAL

MASKED, RECORDS = 4, 37
VOCAB = SPECIAL + WORDS


def _static(count, first=0):
    """Records whose second token is their number."""
    rng = np.random.default_rng(count)
    sizes = {"seq": SEQ, "predictions": MASKED, "pieces": 1}
    columns = {}
    for field in record_fields():
        shape = (count, sizes[field.axis])
        values = rng.integers(0, 300, shape)
        is_float = field.dtype == "float32"
        columns[field.key("google")] = rng.random(shape, "f4") if is_float else values
    columns["input_ids"][:, 1] = first + np.arange(count)
    columns["next_sentence_labels"] %= 2
    return encode_examples(columns)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    write_records(folder / "static-0.tfrecord", [_static(30)])
    write_records(folder / "static-1.tfrecord", [_static(7, first=30)])
    write_records(folder / "zipped.tfrecord.gz", [_static(RECORDS)])
    write_records(folder / "compact.tfrecord", [compact_records(RECORDS)])
    return folder


def _numbers(batches, steps):
    return np.concatenate([batches(s)[0]["input_ids"][:, 1] for s in steps]).tolist()


def _assert_equal(one, other):
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)
            assert np.asarray(a[key]).dtype == np.asarray(b[key]).dtype


# === Order ===


@given(size=st.integers(1, 5000), key=st.integers(0, 2**64 - 1))
def test_a_permutation_meets_every_number_once(size, key):
    assert sorted(permuted(np.arange(size), size, key)) == list(range(size))


def test_permutations_are_of_their_keys_and_shuffle():
    places = np.arange(1000)
    one, other = permuted(places, 1000, 1), permuted(places, 1000, 2)
    assert (one == other).mean() < 0.02
    np.testing.assert_array_equal(permuted(places[400:], 1000, 1), one[400:])
    mixed = permuted(places, 1000, np.where(places < 500, 1, 2))
    np.testing.assert_array_equal(mixed, np.where(places < 500, one, other))
    # As far from order as chance has it: a mean distance of a third.
    assert np.abs(one - places).mean() == pytest.approx(333, abs=30)
    assert np.abs(np.diff(one)).mean() == pytest.approx(333, abs=30)


def test_every_record_is_met_once_a_pass(folder):
    batches = RecordBatches(folder / "static-*", 5, seed=3)
    assert (batches.records, len(batches)) == (RECORDS, 8)
    seen = _numbers(batches, range(1, 1 + RECORDS))  # five passes, as 5 rows a step
    passes = np.reshape(seen, (5, RECORDS))
    assert all(sorted(each) == list(range(RECORDS)) for each in passes.tolist())
    assert len({tuple(each) for each in passes.tolist()}) == 5


def test_a_batch_is_of_its_seed_and_step_alone(folder):
    batches = RecordBatches(folder / "static-*", 5, seed=3)
    late = batches(1000)
    _assert_equal(RecordBatches(folder / "static-*", 5, seed=3)(1000), late)
    other = RecordBatches(folder / "static-*", 5, seed=4)
    assert _numbers(other, [1, 2]) != _numbers(batches, [1, 2])


@pytest.mark.parametrize("name", ["static-*", "compact*"])
def test_rows_are_those_of_the_whole_batch(name, folder, tokenizer):
    batches = RecordBatches(folder / name, 6, seed=3, tokenizer=tokenizer)
    for step in (1, 7):  # the seventh ends in the second pass
        whole, parts = (
            batches(step),
            [batches(step, slice(i, i + 2)) for i in (0, 2, 4)],
        )
        joined = [
            {key: np.concatenate([part[place][key] for part in parts]) for key in whole}
            for place, whole in enumerate(whole)
        ]
        _assert_equal(joined, whole)


def test_masks_are_of_the_record_and_the_pass(folder, tokenizer):
    def texts(batch_size, steps):
        batches = RecordBatches(
            folder / "compact*", batch_size, seed=3, tokenizer=tokenizer
        )
        rows = [row for s in range(1, steps + 1) for row in batches(s)[0]["input_ids"]]
        return [tuple(row.tolist()) for row in rows]

    first = texts(RECORDS, 1)
    assert sorted(texts(1, RECORDS)) == sorted(first)
    assert len(set(texts(RECORDS, 2)) - set(first)) > RECORDS // 2


# === Content ===


@pytest.mark.parametrize("name", ["static-*", "zipped*"])
def test_rows_are_those_that_tensorflow_reads(name, folder):
    expected = dataset(folder / name, 6, shuffle=False, drop_remainder=False)
    if name == "static-*":  # which it mixes from several files
        expected = dataset(folder / "static-0*", 6, shuffle=False)
        name = "static-0*"
    batches = RecordBatches(folder / name, 6, shuffle=False, repeat=False)
    found = [batches(step) for step in range(1, len(batches) + 1)]
    for one, other in zip(found, expected.as_numpy_iterator(), strict=True):
        rows = len(other[0]["input_ids"])
        cut = [{k: v[:rows] for k, v in part.items()} for part in one]
        _assert_equal(cut, other)


def test_compact_rows_are_masked_as_told(folder, tokenizer):
    masking = MaskingSettings(max_predictions=3)
    features, labels, weights = RecordBatches(
        folder / "compact*", RECORDS, seed=1, tokenizer=tokenizer, masking=masking
    )(1)
    assert features["masked_lm_positions"].shape == (RECORDS, 3)
    assert 0 < weights["prediction_logits"].sum() < RECORDS * 3
    assert (labels["prediction_logits"] >= 5)[weights["prediction_logits"] > 0].all()
    with pytest.raises(InputError, match="Expected a tokenizer"):
        RecordBatches(folder / "compact*", 4)


def test_the_last_batch_is_filled_with_rows_that_weigh_nothing(folder):
    batches = RecordBatches(folder / "static-*", 8, shuffle=False, repeat=False)
    assert len(batches) == 5
    _, _, weights = batches(5)
    for values in weights.values():
        assert values.shape[0] == 8
        assert (values[:5] > 0).any() and not values[5:].any()
    assert len(batches.describe(5)) == 5
    assert len(RecordBatches(folder / "static-*", 8, repeat=False, limit=2)) == 2
    with pytest.raises(InputError, match="from 1 to 5"):
        batches(6)


def test_a_batch_names_its_records(folder):
    batches = RecordBatches(folder / "static-*", 5, seed=3)
    names = batches.describe(4)
    for name, number in zip(names, _numbers(batches, [4]), strict=True):
        file, record = name.split("#")
        first = 30 if file.endswith("static-1.tfrecord") else 0
        assert first + int(record) == number


# === Messages ===


@given(st.lists(st.lists(st.integers(0, 2**40), max_size=5), min_size=1, max_size=6))
def test_messages_are_read_as_protobuf_writes_them(rows):
    messages = []
    for row in rows:
        example = tf.train.Example()
        example.features.feature["a"].int64_list.value.extend(row)
        example.features.feature["b"].float_list.value.extend(x / 7 for x in row)
        if row:
            example.features.feature["c"].bytes_list.value.append(bytes(row[0] % 9))
        messages.append(example.SerializeToString())
    found = decode_examples(messages)
    flat = [value for row in rows for value in row]
    ends = np.cumsum([len(row) for row in rows]).tolist()
    for key, expected in (("a", flat), ("b", np.array(flat) / 7)):
        column = found.get(key, Ragged(np.zeros(0), np.array(ends)))
        np.testing.assert_allclose(column.values, expected, rtol=1e-6)
        if flat:
            assert column.ends.tolist() == ends
    if flat:
        assert found["c"] == [bytes(row[0] % 9) if row else b"" for row in rows]


UNKNOWN_KIND = b"\n\t\n\x07\n\x01a\x12\x02J\x00"  # a feature with a field 9


@pytest.mark.parametrize(
    "message",
    [
        b"\x08\x01",
        b"\n\x05abc",
        b"\n\x03\n\x01x",
        b"\xff\xff\xff",
        b"junk!",
        UNKNOWN_KIND,
    ],
)
def test_what_is_no_message_is_an_error(message):
    with pytest.raises(InputError, match=r"serialized tf.train.Example"):
        decode_examples([message])


# === Files ===


def test_any_record_at_any_time(folder):
    path = folder / "static-0.tfrecord"
    expected = [bytes(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]
    file = RecordFile(path)
    assert len(file) == 30 and file.first() == expected[0]
    assert [file[number] for number in (29, 3, 14)] == [
        expected[number] for number in (29, 3, 14)
    ]
    zipped = RecordFile(folder / "zipped.tfrecord.gz")
    assert len(zipped) == RECORDS and zipped[5] == _static(RECORDS)[5]


def test_damaged_files_are_named(folder, tmp_path):
    data = (folder / "static-1.tfrecord").read_bytes()
    path = tmp_path / "bad.tfrecord"
    flipped = bytearray(data)
    flipped[20] ^= 4
    path.write_bytes(flipped)
    with pytest.raises(InputError, match=r"Record 0 of .*bad.tfrecord is damaged"):
        RecordBatches(path, 2)
    path.write_bytes(data[:-3])
    with pytest.raises(InputError, match="cut off in record 6"):
        RecordBatches(path, 2)
    path.write_bytes(struct.pack("<Q", 2**63) + data)
    with pytest.raises(InputError, match="not a TFRecord"):
        RecordBatches(path, 2)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="holds none"):
        RecordBatches(path, 2)
    path.with_suffix(".gz").write_bytes(gzip.compress(data)[:-9])
    with pytest.raises(InputError, match="not a TFRecord"):
        RecordBatches(path.with_suffix(".gz"), 2)
    with pytest.raises(MissingFileError):
        RecordBatches(tmp_path / "none*", 2)
    with pytest.raises(ConfigError, match="batch_size of 1 or more"):
        RecordBatches(folder / "static-*", 0)


def test_records_of_other_lengths_are_refused(folder, tmp_path):
    columns = decode_examples(_static(3))
    short = {k: c.values.reshape(3, -1)[:, :2] for k, c in columns.items()}
    write_records(tmp_path / "b.tfrecord", [encode_examples(short)])
    mixed = [folder / "static-1.tfrecord", tmp_path / "b.tfrecord"]
    batches = RecordBatches(mixed, 10, shuffle=False)
    with pytest.raises(InputError, match="made together"):
        batches(1)


def test_no_framework_is_loaded(folder):
    code = (
        "import sys\n"
        "from keras_bert.pretraining.numpy_reading import RecordBatches\n"
        f"print(len(RecordBatches({str(folder / 'static-*')!r}, 5)(1)[0]))\n"
        "print({'tensorflow', 'keras', 'jax', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["4", "set()"], done.stderr
