"""Tensors read and written in parts: the same bytes, and memory for a part alone."""

import json
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from keras_bert.checkpoints import (
    bundle,
    checkpoint,
    convert,
    files,
    formats,
    reference,
    safetensors,
)
from keras_bert.checkpoints.checkpoint import Tensor
from keras_bert.checkpoints.conversion import save
from keras_bert.errors import CheckpointError, InputError
from tests.checkpoints.fakes import (
    assert_same_bits,
    fake_tensors,
    tiny_config,
    values,
    write_fake,
)

# === Tensors ===


@given(
    array=arrays.arrays("f4", arrays.array_shapes(min_dims=1, max_dims=3, max_side=9)),
    size=st.integers(1, 200),
)
def test_pieces_are_the_whole(array, size):
    pieces = list(Tensor.of(array).pieces(size))
    assert np.concatenate(pieces).tobytes() == array.tobytes()
    row = array.nbytes // len(array)
    assert all(piece.nbytes <= max(size, row) for piece in pieces)


@given(
    array=arrays.arrays("i8", st.tuples(st.integers(1, 40), st.integers(1, 30))),
    cut=st.integers(0, 30),
)
def test_a_turned_matrix_can_be_read_in_parts(array, cut):
    turned = Tensor.of(array).transposed()
    assert turned.shape == array.T.shape
    assert turned.load().tobytes() == np.ascontiguousarray(array.T).tobytes()
    cut = min(cut, len(array.T))
    np.testing.assert_array_equal(turned.part(0, cut), array.T[:cut])
    again = turned.transposed().load()
    assert again.tobytes() == array.tobytes()


@pytest.mark.parametrize("ids", [[[3, 3], [0, 6]], [5]])
def test_rows_of_a_table(ids):
    table = np.arange(21.0).reshape(7, 3)
    whole = Tensor.of(table)
    without_parts = Tensor(whole.shape, whole.dtype, whole.load)
    for tensor in (whole, without_parts):
        np.testing.assert_array_equal(tensor.rows(np.array(ids)), table[ids])


# === Memory ===


TABLE = 20_000 * 60 * 4  # bytes


def _wide():
    """A model whose table of words is most of it, and no piece of it fits."""
    return tiny_config(vocab_size=20_000, hidden_size=60, intermediate_size=1_000)


def _peak(action) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "source, target",
    [("google", "huggingface"), ("huggingface", "google"), ("huggingface", "keras")],
)
def test_memory_is_for_a_part_alone(source, target, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "PIECE", 1 << 16)
    monkeypatch.setattr(bundle, "PIECE", 1 << 16)
    monkeypatch.setattr(Tensor.pieces, "__defaults__", (1 << 16,))
    config = _wide()
    first = write_fake(tmp_path / "first", source, "BertForMaskedLM", config)
    convert(first, tmp_path / "warm", target)  # imports and caches
    peak = _peak(lambda: convert(first, tmp_path / "out", target, verify=False))
    assert peak < TABLE / 4
    assert_same_bits(values(tmp_path / "warm"), values(tmp_path / "out"))


def test_lookups_read_a_few_rows(tmp_path):
    path = write_fake(tmp_path / "first", "huggingface", "BertModel", _wide())
    opened = formats.read(path)
    reference.outputs(opened, "BertModel", reference.probe(opened.config))
    probe = reference.probe(opened.config)
    peak = _peak(lambda: reference.outputs(opened, "BertModel", probe))
    assert peak < TABLE / 4


# === Safetensors, against the library ===


def _mixed() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    dtypes = [*map(np.dtype, ("f2", "f4", "f8", "i8", "u1", "?")), ml_dtypes.bfloat16]
    return {
        f"name.{i}": rng.normal(size=[(), (3,), (0, 2), (2, 5)][i % 4]).astype(dtype)
        for i, dtype in enumerate(dtypes)
    }


def test_the_library_reads_what_is_written(tmp_path):
    from safetensors.numpy import load_file, save_file

    mixed = _mixed()
    path = tmp_path / "ours.safetensors"
    safetensors.write(path, {name: Tensor.of(a) for name, a in mixed.items()})
    assert_same_bits(mixed, load_file(path))
    save_file(mixed, tmp_path / "theirs.safetensors", metadata={"format": "pt"})
    theirs = safetensors.read(tmp_path / "theirs.safetensors")
    assert_same_bits(mixed, {name: tensor.load() for name, tensor in theirs.items()})
    assert path.stat().st_size == (tmp_path / "theirs.safetensors").stat().st_size


def test_a_part_is_read_from_its_place(tmp_path):
    path = tmp_path / "x.safetensors"
    array = np.arange(35.0, dtype="f4").reshape(7, 5)
    safetensors.write(path, {"a": Tensor.of(array + 1), "b": Tensor.of(array)})
    np.testing.assert_array_equal(safetensors.read(path)["b"].part(2, 4), array[2:4])


def test_a_dtype_no_safetensors_file_can_hold(tmp_path):
    with pytest.raises(CheckpointError, match="complex64"):
        safetensors.write(tmp_path / "x", {"a": Tensor.of(np.zeros(2, "c8"))})


def test_a_name_twice_in_a_header(tmp_path):
    path = tmp_path / "x.safetensors"
    entry = '"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
    text = ("{" + entry + "," + entry + "}").encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"\0")
    with pytest.raises(CheckpointError, match="the key 'a' twice"):
        safetensors.read(path)


# === Shards ===


def _sharded(tmp_path, to, limit, **options):
    config = tiny_config()
    tensors = fake_tensors(config, "BertForPreTraining", to)
    tmp_path.mkdir()
    limits = {"max_shard_size": limit, **options}
    save(tmp_path, to, config, "BertForPreTraining", tensors, **limits)
    return {name: tensor.load() for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    "to, options, pattern",
    [
        ("google", {}, "bert_model.ckpt.data-*"),
        ("huggingface", {}, "model-*.safetensors"),
        ("huggingface", {"file_format": "bin"}, "pytorch_model-*.bin"),
        ("keras", {}, "model_*.weights.h5"),
    ],
)
def test_shards_hold_what_one_file_holds(to, options, pattern, tmp_path):
    weights = _sharded(tmp_path / "out", to, 4_000, **options)
    assert_same_bits(weights, values(tmp_path / "out"))
    shards = sorted((tmp_path / "out").glob(pattern))
    assert len(shards) >= 4
    assert formats.read(tmp_path / "out").files[: len(shards)] == shards
    report = convert(tmp_path / "out", tmp_path / "whole", to)
    assert report.largest_difference == 0.0
    assert_same_bits(weights, values(tmp_path / "whole"))
    back = convert(tmp_path / "whole", tmp_path / "back", to, max_shard_size="4KB")
    assert sum(name.count("0000") > 0 for name in back.sha256) > 4


@pytest.mark.parametrize("head", ["BertForPreTraining", "BertForTokenClassification"])
def test_keras_reads_our_shards_and_we_read_keras(head, tmp_path):
    import keras_bert

    model = getattr(keras_bert, head)(tiny_config(), seed=3)
    ours = model.save_pretrained(tmp_path / "ours", max_shard_size=4_000)
    assert (ours / "model.weights.json").is_file()
    other = type(model)(tiny_config(), seed=4)
    other.load_weights(ours / "model.weights.json")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    model.save_weights(theirs / "model.weights.json", max_shard_size=4e-6)
    (theirs / "config.json").write_bytes((ours / "config.json").read_bytes())
    again = type(model).from_pretrained(theirs)
    expected = {v.path: v.numpy() for v in model.weights}
    for loaded in (other, again):
        assert_same_bits(expected, {v.path: v.numpy() for v in loaded.weights})


def test_a_projection_is_kept_apart_from_the_head(tmp_path):
    import keras_bert

    config = tiny_config(embedding_size=13)
    model = keras_bert.BertForNextSentencePrediction(config, seed=3)
    model.save_pretrained(tmp_path / "ours")
    other = type(model)(config, seed=4)
    other.load_weights(tmp_path / "ours" / "model.weights.h5")
    again = type(model).from_pretrained(tmp_path / "ours")
    expected = {v.path: v.numpy() for v in model.weights}
    for loaded in (other, again):
        assert_same_bits(expected, {v.path: v.numpy() for v in loaded.weights})


def test_keras_shards_stay_in_their_directory(tmp_path):
    _sharded(tmp_path / "out", "keras", 4_000)
    index = tmp_path / "out" / "model.weights.json"
    lie = json.loads(index.read_text())
    lie["weight_map"] = dict.fromkeys(lie["weight_map"], "../secret.weights.h5")
    index.write_text(json.dumps(lie))
    with pytest.raises(CheckpointError, match="plain file names"):
        formats.read(tmp_path / "out")


@pytest.mark.parametrize(
    "size, expected",
    [(None, None), (7, 7), ("7", 7), ("2GB", 2 * 10**9), ("3 mb", 3 * 10**6)],
)
def test_sizes(size, expected):
    assert files.parse_size(size) == expected


@pytest.mark.parametrize("size", ["", "many", "0GB", "-1", "5TBs"])
def test_sizes_that_are_none(size):
    with pytest.raises(InputError, match="5GB"):
        files.parse_size(size)


@settings(max_examples=50)
@given(
    sizes=st.dictionaries(st.text(max_size=3), st.integers(0, 9)),
    limit=st.integers(1, 20),
)
def test_every_tensor_is_in_one_shard_in_order(sizes, limit):
    shards = files.shards(sizes, limit)
    assert [name for shard in shards for name in shard] == list(sizes)
    for shard in shards:
        assert len(shard) < 2 or sum(sizes[name] for name in shard) <= limit


def test_a_large_file_shows_a_bar(capsys):
    assert list(files.progress(["a", "b"], "writing", 10)) == ["a", "b"]
    assert list(files.progress(["a", "b"], "writing", files.LARGE)) == ["a", "b"]
    assert capsys.readouterr().err == ""  # not for a file
