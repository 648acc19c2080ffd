"""Records that are damaged, huge, or of something else are refused in one sentence."""

import gzip

import numpy as np
import pytest

from keras_bert import BertTokenizer
from keras_bert.errors import ConfigError, DiskFullError, InputError
from keras_bert.pretraining import tfrecords
from keras_bert.pretraining.examples import Ragged, decode_examples, encode_examples
from keras_bert.pretraining.names import output_names
from keras_bert.pretraining.numpy_reading import RecordBatches
from keras_bert.pretraining.tfrecords import RecordFile, write_records
from tests.pretraining.cases import WORDS, compact_records
from tests.vocabulary import SPECIAL


def _read(path):
    tokenizer = BertTokenizer(SPECIAL + WORDS)
    batches = RecordBatches(path, 4, repeat=False, tokenizer=tokenizer)
    return [batches(step) for step in range(1, len(batches) + 1)]


# === Compressed ===


def _flipped(data, place):
    return data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-3],
        lambda data: _flipped(data, len(data) // 2),
        lambda data: _flipped(data, len(data) - 6),
        lambda data: data + b"more",
        lambda data: b"not gzip",
    ],
)
def test_damaged_gzip(damage, tmp_path):
    path = tmp_path / "a.gz"
    write_records(path, [compact_records(40)])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r"a\.gz is not a TFRecord of examples"):
        len(RecordFile(path))


def test_gzip_that_decompresses_to_anything(tmp_path, monkeypatch):
    monkeypatch.setattr(tfrecords, "_SMALL", 1 << 16)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(10**7)))
    with pytest.raises(InputError, match="at most 200 times their size"):
        RecordFile(path)


def test_gzip_needs_room_for_what_is_in_it(tmp_path, monkeypatch):
    path = tmp_path / "a.gz"
    write_records(path, [compact_records(4)])

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tfrecords.tempfile, "TemporaryFile", full)
    with pytest.raises(DiskFullError):
        RecordFile(path)


def test_empty_gzip(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b""))
    assert len(RecordFile(path)) == 0


@pytest.mark.parametrize("names", ["a,b,a", "a-00001-of-00002,a@2", ","])
def test_an_output_twice_or_none(names):
    with pytest.raises(ConfigError, match="each once"):
        output_names(names)


@pytest.mark.parametrize("name", ["a@0", "a@100000", "a@00.gz", "a@" + "9" * 5000])
def test_a_number_of_shards_that_cannot_be(name):
    with pytest.raises(ConfigError, match="1 to 99,999 shards"):
        output_names(name)


# === Compact records of something else ===


def _integers(*rows):
    return Ragged(np.concatenate(rows), np.cumsum([len(row) for row in rows]))


def _foreign(**changes):
    """Two records, of which fields of the second are changed; None takes one away."""
    first, second = (decode_examples([r]) for r in compact_records(2))
    second |= changes
    second = {key: column for key, column in second.items() if column is not None}
    return [*encode_examples(first), *encode_examples(second)]


FOREIGN = {
    "no ids": dict(ids_u16=None),
    "half an id": dict(ids_u16=[b"abc"]),
    "ids twice": dict(ids_u32=[b"abcd"]),
    "ids as integers": dict(ids_u16=_integers([5, 6])),
    "an id above all": dict(ids_u16=None, ids_u32=[b"\xff" * 4]),
    "no lengths": dict(pieces=None),
    "lengths as bytes": dict(pieces=[b"ab"]),
    "half a piece": dict(pieces=_integers([3])),
    "lengths of more tokens": dict(pieces=_integers([30, 1])),
    "a negative length": dict(pieces=_integers([2**63 - 1, 2])),
    "a piece too many": dict(pieces=_integers([1, 1, 1, 1]), ids_u16=[b"\5\0" * 4]),
    "a row that is too long": dict(pieces=_integers([9, 9]), ids_u16=[b"\5\0" * 18]),
    "a label too many": dict(labels=_integers([0, 1])),
    "flags of other tokens": dict(continues=[b"\1\1\1\1\1"]),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_content(name, tmp_path):
    write_records(tmp_path / "a", [_foreign()])
    _read(tmp_path / "a")  # only the change is wrong
    write_records(tmp_path / "b", [_foreign(**FOREIGN[name])])
    with pytest.raises(InputError) as error:
        _read(tmp_path / "b")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("shape", [None, [0], [10**9], [13, 10**6], [13, 1, 1]])
def test_a_shape_that_cannot_be(shape, tmp_path):
    (record,) = compact_records(1)
    columns = decode_examples([record])
    del columns["shape"]
    columns |= {"shape": _integers(shape)} if shape else {}
    write_records(tmp_path / "a", [encode_examples(columns)])
    with pytest.raises(InputError, match="a `shape` of at most"):
        _read(tmp_path / "a")


@pytest.mark.parametrize("octets", [b"\x80", b"\xff" * 11 + b"\1"])
def test_numbers_without_an_end(octets):
    good = encode_examples({"a": np.array([[5, 6]])})[0]
    head = good[: -len(b"\5\6")]
    record = bytearray(head + octets)
    for place in (1, 3, len(head) - 3, len(head) - 1):  # the sizes around them
        record[place] += len(octets) - 2
    with pytest.raises(InputError, match=r"tf\.train\.Example"):
        decode_examples([bytes(record)])
