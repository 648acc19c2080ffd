"""TensorFlow's checkpoint files: byte for byte as TensorFlow writes them."""

import contextlib
import re
import struct
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_bert import checksums
from keras_bert.checkpoints import bundle, snappy
from keras_bert.checkpoints.checkpoint import Tensor
from keras_bert.errors import CheckpointError
from keras_bert.protobuf import varint
from tests.checkpoints.fakes import assert_same_bits
from tests.paths import SHARED, shared

DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")


def _arrays(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Tensors of every dtype and of many shapes, under names with shared prefixes."""
    rng = np.random.default_rng(seed)
    dtypes = [*map(np.dtype, DTYPES), np.dtype(ml_dtypes.bfloat16)]
    shapes = [(), (0,), (7,), (3, 5), (2, 1, 3)]
    return {
        f"bert/encoder/layer_{i}/{'deep/' * (i % 5)}kernel": rng.normal(
            size=shapes[i % 5]
        ).astype(dtypes[i % len(dtypes)])
        for i in range(count)
    }


def _tensors(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: Tensor.of(array) for name, array in arrays.items()}


def _loaded(prefix: Path) -> dict[str, np.ndarray]:
    return {name: tensor.load() for name, tensor in bundle.read(prefix).items()}


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# === The checksum ===


@pytest.mark.parametrize(
    "message, expected",
    [  # RFC 3720, B.4
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(reversed(range(32))), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_the_checksum_of_the_standard(message, expected):
    assert checksums.crc32c(message) == expected


def _one_by_one(data: bytes) -> int:
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ 0x82F63B78 * (state & 1)
    return state ^ 0xFFFFFFFF


@pytest.mark.parametrize("size", [1, 7, 9, 8191, 65_537])
def test_any_buffer_has_the_checksum_of_its_bytes(size):
    data = np.random.default_rng(size).bytes(size)
    expected = _one_by_one(data)
    writable = np.frombuffer(data, "u1").copy()
    for buffer in (data, bytearray(data), memoryview(data), writable):
        assert checksums.crc32c(buffer) == expected
    assert writable.flags.writeable


@given(st.lists(st.binary(max_size=70), max_size=6))
@settings(max_examples=60, deadline=None)
def test_pieces_have_the_checksum_of_the_whole(pieces):
    assert checksums.crc32c_of(pieces) == _one_by_one(b"".join(pieces))


# === Against TensorFlow ===


@pytest.mark.parametrize("count", [1, 40, 5000])
def test_the_same_bytes_as_tensorflow_writes(count, tmp_path):
    import tensorflow as tf

    arrays = _arrays(count)
    names = sorted(arrays)
    (tmp_path / "theirs").mkdir()
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "theirs" / "ckpt"),
        tensor_names=names,
        shape_and_slices=[""] * count,
        tensors=[tf.constant(arrays[name]) for name in names],
    )
    (tmp_path / "ours").mkdir()
    bundle.write(tmp_path / "ours" / "ckpt", _tensors(arrays))
    assert _files(tmp_path / "ours") == _files(tmp_path / "theirs")
    assert_same_bits(arrays, _loaded(tmp_path / "theirs" / "ckpt"))


def test_shards_are_read_by_tensorflow_and_by_us(tmp_path):
    import tensorflow as tf

    arrays = _arrays(60)
    bundle.write(tmp_path / "ckpt", _tensors(arrays), max_shard_size=400)
    data = sorted(p for p in tmp_path.iterdir() if ".data-" in p.name)
    assert len(data) > 3 and data[0].name == f"ckpt.data-00000-of-{len(data):05d}"
    assert max(path.stat().st_size for path in data) <= 400
    reader = tf.train.load_checkpoint(str(tmp_path / "ckpt"))
    theirs = {n: np.asarray(reader.get_tensor(n)) for n in arrays}
    assert_same_bits(arrays, theirs)
    assert_same_bits(arrays, _loaded(tmp_path / "ckpt"))


def test_the_saver_of_tensorflow_restores_what_is_written(tmp_path):
    import tensorflow.compat.v1 as tf

    arrays = {"bert/a": np.ones((2, 3), "f4"), "global_step": np.array(7, "i8")}
    bundle.write(tmp_path / "ckpt", _tensors(arrays), max_shard_size=10)
    with tf.Graph().as_default(), tf.Session() as session:
        variables = {
            name: tf.get_variable(name, array.shape, array.dtype)
            for name, array in arrays.items()
        }
        tf.train.Saver().restore(session, str(tmp_path / "ckpt"))
        assert_same_bits(arrays, session.run(variables))


def test_strings_as_object_graphs_have_them(tmp_path):
    import tensorflow as tf

    saved = tf.train.Checkpoint(a=tf.Variable([1.0, 2.0])).write(str(tmp_path / "ckpt"))
    found = _loaded(Path(saved))
    reader = tf.train.load_checkpoint(saved)
    graph = "_CHECKPOINTABLE_OBJECT_GRAPH"
    assert found[graph].item() == reader.get_tensor(graph)
    texts = np.array([b"", b"word" * 50, "größer".encode()], object)
    bundle.write(tmp_path / "more", {**_tensors(found), "texts": Tensor.of(texts)})
    theirs = tf.train.load_checkpoint(str(tmp_path / "more"))
    assert theirs.get_tensor("texts").tolist() == texts.tolist()
    assert theirs.get_tensor(graph) == found[graph].item()
    assert _loaded(tmp_path / "more")["texts"].tolist() == texts.tolist()


def _prefixes() -> list[str]:
    found = [p for p in SHARED.rglob("*.index") if "index_only" not in str(p)]
    names = [str(p.relative_to(SHARED).with_suffix("")) for p in found]
    return sorted(names) or ["goldens/google_tf1_pretraining/bert_model.ckpt"]


@pytest.mark.parametrize("name", _prefixes())
def test_files_of_the_originals(name):
    import tensorflow as tf

    prefix = shared(f"{name}.index").with_suffix("")
    reader = tf.train.load_checkpoint(str(prefix))
    found = _loaded(prefix)
    assert found.keys() == reader.get_variable_to_shape_map().keys()
    for key, value in found.items():
        theirs = reader.get_tensor(key)
        same = value.item() == theirs if value.dtype == object else None
        assert same or value.tobytes() == theirs.tobytes(), key


# === Damage ===

NAMES = ("bert/a", "bert/b")


@pytest.fixture
def small(tmp_path) -> Path:
    arrays = {name: np.arange(6, dtype="f4") + i for i, name in enumerate(NAMES)}
    bundle.write(tmp_path / "ckpt", _tensors(arrays))
    return tmp_path / "ckpt"


def _rewrite(prefix: Path, name: str, **changes) -> None:
    shards, entries = bundle.read_index(Path(f"{prefix}.index"))
    values = {**vars(entries[name]), **changes}
    entries[name] = bundle.Entry(**values)
    bundle._write_index(Path(f"{prefix}.index"), shards, entries)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"offset": 48, "size": 24}, "bytes 48 to 72 of 48"),
        ({"offset": 2**62}, f"bytes {2**62} to"),
        ({"shape": (10**6, 10**6)}, "shape (1000000, 1000000) in 24 bytes"),
        ({"shape": (2**40, 2**40), "size": 2**82 % 2**62}, "shape"),
        ({"shape": (10**12,), "size": 4 * 10**12}, "bytes 24 to"),
        ({"offset": 20}, "shared with another tensor"),
        ({"size": 23}, "in 23 bytes"),
        ({"dtype": 7, "shape": (10**12,)}, "1000000000000 strings in 24 bytes"),
    ],
)
def test_an_index_that_lies(changes, words, small):
    _rewrite(small, "bert/b", **changes)
    with pytest.raises(CheckpointError, match=re.escape(words)) as error:
        bundle.read(small)
    assert "Expected" in str(error.value) and "\n" not in str(error.value)


def test_a_dtype_that_is_not_known_is_an_error_where_it_is_read(small):
    _rewrite(small, "bert/b", dtype=99)
    tensors = bundle.read(small)
    np.testing.assert_array_equal(tensors["bert/a"].load(), np.arange(6))
    with pytest.raises(CheckpointError, match="number 99"):
        tensors["bert/b"].load()


def test_a_tensor_in_a_file_that_is_not_there(small):
    _rewrite(small, "bert/b", shard=7)
    tensors = bundle.read(small)
    with pytest.raises(CheckpointError, match="missing, cut short or damaged"):
        tensors["bert/b"].load()
    np.testing.assert_array_equal(tensors["bert/a"].load(), np.arange(6))


@pytest.mark.parametrize("read", [lambda t: t.load(), lambda t: t.part(1, 2)])
def test_a_changed_byte(read, small):
    data = Path(f"{small}.data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:-1] + b"\x07")
    tensors = bundle.read(small)
    assert len(read(tensors["bert/a"]))
    with pytest.raises(CheckpointError, match=r"bert/b in .* a wrong checksum"):
        read(tensors["bert/b"])


@pytest.mark.parametrize("byte", range(0, 200, 7))
def test_a_changed_byte_in_the_index(byte, small):
    index = Path(f"{small}.index")
    data = bytearray(index.read_bytes())
    data[byte % len(data)] ^= 0x55
    index.write_bytes(bytes(data))
    try:
        found = bundle.read(small)
    except CheckpointError:
        return
    assert set(found) == set(NAMES)  # padding of the footer means nothing


@given(data=st.binary(max_size=200))
@settings(max_examples=80, deadline=None)
def test_noise_is_no_index(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("noise") / "ckpt.index"
    for end in (b"", struct.pack("<Q", bundle.MAGIC)):
        path.write_bytes(data + end)
        with pytest.raises(CheckpointError, match=r"damaged|a web page|Git LFS|gzip"):
            bundle.read(path.with_suffix(""))


def _table(path: Path, items: list[tuple[bytes, bytes]]) -> None:
    path.write_bytes(bundle._write_table(items))


def test_prefixes_cannot_hide_names_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "NAMES_LIMIT", 10_000)
    names = [b"a" * 900 + b"%03d" % i for i in range(20)]
    _table(tmp_path / "ckpt.index", [(b"", b""), *((name, b"") for name in names)])
    with pytest.raises(CheckpointError, match="too many"):
        bundle.read(tmp_path / "ckpt")


def test_a_name_twice(small):
    _, entries = bundle.read_index(Path(f"{small}.index"))
    value = bundle._entry_message(entries["bert/a"])
    _table(Path(f"{small}.index"), [(b"", b""), (b"bert/a", value), (b"bert/a", value)])
    with pytest.raises(CheckpointError, match="out of order"):
        bundle.read(small)


@pytest.mark.parametrize(
    "header, words", [(b"\x10\x01", "big-endian"), (b"\x08\x80", "damaged")]
)
def test_a_header_of_another_kind(header, words, small):
    _table(Path(f"{small}.index"), [(b"", header)])
    with pytest.raises(CheckpointError, match=words):
        bundle.read(small)


def test_slices_are_named(small):
    _table(Path(f"{small}.index"), [(b"", b""), (b"bert/a", b"\x3a\x00")])
    with pytest.raises(CheckpointError, match="bert/a in slices"):
        bundle.read(small)


def test_what_a_checkpoint_cannot_hold(tmp_path):
    with pytest.raises(CheckpointError, match="complex64"):
        bundle.write(tmp_path / "ckpt", {"a": Tensor.of(np.zeros(2, "c8"))})


# === Compressed indexes, which Snappy's description tells how to make ===


def _compressed(data: bytes) -> bytes:
    """Snappy's raw format: greedy copies of all three kinds, and literals."""
    out, at, begin, seen = bytearray(varint(len(data))), 0, 0, {}
    while at < len(data):
        key = data[at : at + 4]
        back = at - seen.get(key, at)
        seen[key] = at
        if len(key) < 4 or not back:
            at += 1
            continue
        out += _literal(data[begin:at])
        length = 4
        while (
            length < 64
            and data[at + length : at + length + 1]
            == (data[at + length - back : at + length - back + 1])
            and at + length < len(data)
        ):
            length += 1
        if length < 12 and back < 2048:
            out += bytes([1 | length - 4 << 2 | back >> 8 << 5, back & 255])
        elif back < 1 << 16:
            out += bytes([2 | length - 1 << 2]) + struct.pack("<H", back)
        else:
            out += bytes([3 | length - 1 << 2]) + struct.pack("<I", back)
        at = begin = at + length
    return bytes(out + _literal(data[begin:]))


def _literal(data: bytes) -> bytes:
    if not data:
        return b""
    size = len(data) - 1
    if size < 60:
        return bytes([size << 2]) + data
    width = (size.bit_length() + 7) // 8
    return bytes([59 + width << 2]) + size.to_bytes(width, "little") + data


def _compress_index(index: Path) -> int:
    """Rewrites an index with a compressed block; returns how much smaller that is."""
    block = b"".join(
        varint(0) + varint(len(key)) + varint(len(value)) + key + value
        for key, value in bundle._read_table(index.read_bytes())
    )
    end = struct.pack("<2I", 0, 1)  # one restart, at the begin
    data, handles = b"", []
    for content in (block + end, end):  # entries, and no metadata
        handles.append(varint(len(data)) + varint(len(_compressed(content))))
        data += _block(content)
    entry = varint(0) + varint(1) + varint(len(handles[0])) + b"\xff" + handles[0]
    handles.append(varint(len(data)) + varint(len(_compressed(entry + end))))
    data += _block(entry + end)
    index.write_bytes(
        data
        + (handles[1] + handles[2]).ljust(40, b"\0")
        + struct.pack("<Q", bundle.MAGIC)
    )
    return len(block) - len(_compressed(block))


def _block(content: bytes) -> bytes:
    data = _compressed(content) + b"\1"
    return data + checksums.masked_crc32c(data)


def test_a_compressed_index_is_read_as_tensorflow_reads_it(tmp_path):
    import tensorflow as tf

    arrays = _arrays(200)
    bundle.write(tmp_path / "it", _tensors(arrays))
    assert _compress_index(tmp_path / "it.index") > 1000
    assert_same_bits(arrays, _loaded(tmp_path / "it"))
    listed = {name: tuple(s) for name, s in tf.train.list_variables(tmp_path / "it")}
    assert listed == {name: array.shape for name, array in arrays.items()}


@given(data=st.binary(max_size=300) | st.text("ab", max_size=300).map(str.encode))
def test_what_is_compressed_comes_back(data):
    assert snappy.decompress(_compressed(data)) == data


def test_far_copies_come_back():
    noise = np.random.default_rng(0).bytes(70_000)
    data = noise + noise[:200] + b"x" * 5000 + noise[-3000:-2000]
    compressed = _compressed(data)
    assert len(compressed) < 71_500
    assert snappy.decompress(compressed) == data


@given(
    data=st.binary(max_size=60),
    at=st.integers(0, 10**4),
    value=st.integers(0, 255),
    cut=st.integers(0, 3),
)
def test_damaged_compressed_data_is_an_error_or_other_data(data, at, value, cut):
    changed = bytearray(_compressed(data * 3))
    changed[at % len(changed)] = value
    changed = changed[: len(changed) - cut]
    with contextlib.suppress(ValueError):
        assert len(snappy.decompress(bytes(changed))) < 64 * len(changed)


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"", "varint"),
        (b"\xff\xff\xff\x7f\x00a", "compressed to"),  # says 268 million bytes
        (b"\x04\x0cab", "ends early"),
        (b"\x04\x00a\x01\x02", "before its begin"),
        (b"\x04\x00a\x01\x00", "before its begin"),
        (b"\x04\x00a", "another size"),
        (b"\x01\x04ab", "another size"),
    ],
)
def test_compressed_data_that_lies(data, reason):
    with pytest.raises(ValueError, match=reason):
        snappy.decompress(data)
