"""Damaged files are one readable sentence, whatever library noticed."""

import json
import shutil
import struct

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_bert.checkpoints import convert, formats
from keras_bert.errors import CheckpointError, KerasBertError, MissingFileError
from tests.checkpoints.fakes import tiny_config, values, write_fake

FILES = {
    "google": "bert_model.ckpt.data-00000-of-00001",
    "huggingface": "model.safetensors",
    "keras": "model.weights.h5",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A good checkpoint of every format, by format."""
    folder = tmp_path_factory.mktemp("whole")
    return {name: write_fake(folder / name, name) for name in FILES}


def _sentence(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert "Expected" in text
    return text


@pytest.mark.parametrize("share", [0, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_short(name, share, whole, tmp_path):
    source = shutil.copytree(whole[name], tmp_path / "cut")
    data = (source / FILES[name]).read_bytes()
    (source / FILES[name]).write_bytes(data[: int(share * len(data))])
    to = "keras" if name != "keras" else "google"
    with pytest.raises(CheckpointError) as error:
        convert(source, tmp_path / "out", to)
    assert "damaged" in _sentence(error)
    assert [p.name for p in tmp_path.iterdir()] == ["cut"]


def test_a_changed_byte_in_googles_data_is_noticed(whole, tmp_path):
    source = shutil.copytree(whole["google"], tmp_path / "changed")
    data = bytearray((source / FILES["google"]).read_bytes())
    data[len(data) // 2] ^= 1
    (source / FILES["google"]).write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        convert(source, tmp_path / "out", "keras")


@pytest.mark.parametrize("share", [0, 0.5, 0.95])
def test_a_cut_index(share, whole, tmp_path):
    source = shutil.copytree(whole["google"], tmp_path / "cut")
    index = source / "bert_model.ckpt.index"
    index.write_bytes(index.read_bytes()[: int(share * index.stat().st_size)])
    with pytest.raises(CheckpointError) as error:
        formats.read(source)
    assert "damaged" in _sentence(error)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@given(data=st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_noise_is_never_weights(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("noise")
    (folder / "config.json").write_text(tiny_config().to_json_string())
    for name in ("model.safetensors", "noise.pt", "noise.weights.h5"):
        (folder / name).write_bytes(data)
        with pytest.raises(KerasBertError):
            formats.read(folder / name)


# === Hostile files ===


def _safetensors(folder, header, data=b"\0" * 24):
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(
        struct.pack("<Q", len(text)) + text + data
    )


def _entry(shape, start, end):
    return {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}


WORDS = "bert.embeddings.word_embeddings.weight"


@pytest.mark.parametrize(
    "header",
    [
        {WORDS: _entry([2**40, 2**40], 0, 24)},
        {WORDS: _entry([2**20, 2**20], 0, 24)},
        {WORDS: _entry([6], 0, 24), "b": _entry([3], 12, 24)},
        {WORDS: _entry([60], 0, 240)},
        {WORDS: _entry([-6], 0, 24)},
        {WORDS: {"dtype": "F128", "shape": [6], "data_offsets": [0, 24]}},
        [WORDS],
        {},
    ],
    ids=["overflow", "huge", "overlap", "beyond", "negative", "dtype", "list", "empty"],
)
def test_a_header_that_lies(header, whole, tmp_path):
    source = shutil.copytree(whole["huggingface"], tmp_path / "lie")
    _safetensors(source, header)
    with pytest.raises(CheckpointError) as error:
        formats.read(source)
    _sentence(error)


def test_a_header_of_absurd_length(whole, tmp_path):
    source = shutil.copytree(whole["huggingface"], tmp_path / "long")
    (source / "model.safetensors").write_bytes(struct.pack("<Q", 2**60) + b"{}")
    with pytest.raises(CheckpointError):
        formats.read(source)


@pytest.mark.parametrize(
    "name", ["../secret.safetensors", "/etc/passwd", "..", "a/b.safetensors", "n" * 256]
)
def test_an_index_stays_in_its_directory(name, whole, tmp_path):
    source = shutil.copytree(whole["huggingface"], tmp_path / "index")
    (source / "model.safetensors").rename(tmp_path / "secret.safetensors")
    index = {"weight_map": {WORDS: name}}
    (source / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="plain file names"):
        formats.read(source)


def test_an_index_names_a_missing_shard(whole, tmp_path):
    source = shutil.copytree(whole["huggingface"], tmp_path / "index")
    (source / "model.safetensors").unlink()
    index = {"weight_map": {WORDS: "model-00001-of-00002.safetensors"}}
    (source / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="Missing: model-00001"):
        formats.read(source)


def test_an_index_and_its_shards_disagree(whole, tmp_path):
    source = shutil.copytree(whole["huggingface"], tmp_path / "index")
    file = "model-00001-of-00001.safetensors"
    (source / "model.safetensors").rename(source / file)
    index = {"weight_map": dict.fromkeys([WORDS, "ghost.weight"], file)}
    (source / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"ghost\.weight"):
        formats.read(source)


def test_a_pickle_is_never_run(whole, tmp_path):
    import torch

    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    source = shutil.copytree(whole["huggingface"], tmp_path / "bomb")
    (source / "model.safetensors").unlink()
    torch.save({"a": Bomb()}, source / "pytorch_model.bin")
    with pytest.raises(CheckpointError) as error:
        formats.read(source)
    _sentence(error)
    assert not (tmp_path / "exploded").exists()


def test_an_archive_that_unpacks_to_anything_is_not_opened(whole, tmp_path):
    import zipfile

    path = tmp_path / "bomb.bin"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", bytes(10**7))
    config = whole["huggingface"] / "config.json"
    with pytest.raises(CheckpointError, match="10000000 bytes in an archive of"):
        formats.read(path, config_file=config)


def test_a_tensor_of_more_than_its_storage(whole, tmp_path):
    import torch

    path = tmp_path / "wide.bin"
    torch.save({WORDS: torch.zeros(1).expand(10**6, 10**6)}, path)
    config = whole["huggingface"] / "config.json"
    with pytest.raises(CheckpointError, match="4000000000000 bytes for 4"):
        formats.read(path, config_file=config)


def test_expanded_tensors_are_read(whole, tmp_path):
    """They repeat a row, a column or a single number."""
    import torch

    source = shutil.copytree(whole["huggingface"], tmp_path / "expanded")
    weights = formats.read(source).tensors
    (source / "model.safetensors").unlink()
    state = {
        name: torch.full((1,) * len(t.shape), float(i)).expand(t.shape)
        for i, (name, t) in enumerate(weights.items())
    }
    size = state[WORDS].shape
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        column, row = (torch.arange(n, dtype=dtype) for n in size)
        for words in (row.expand(size), column[:, None].expand(size)):
            torch.save({**state, WORDS: words}, source / "pytorch_model.bin")
            found = formats.read(source).tensors
            pieces = np.concatenate([*found[WORDS].pieces(64)])
            for array in (found[WORDS].load(), pieces):
                np.testing.assert_array_equal(array.astype("f4"), words.float())
            for name in state.keys() - {WORDS}:
                np.testing.assert_array_equal(found[name].load(), state[name])
    convert(source, tmp_path / "out", "keras")


def test_a_dataset_that_is_not_stored(whole, tmp_path):
    source = shutil.copytree(whole["keras"], tmp_path / "unreal")
    with h5py.File(source / "model.weights.h5", "a") as file:
        del file["encoder/pooler/dense/vars/1"]
        file.create_dataset("encoder/pooler/dense/vars/1", (10**12,), "f4")
    with pytest.raises(CheckpointError, match=r"0 of its 4000000000000 bytes"):
        formats.read(source)


def test_json_without_end(whole, tmp_path):
    source = shutil.copytree(whole["huggingface"], tmp_path / "deep")
    (source / "model.safetensors").unlink()
    (source / "model.safetensors.index.json").write_text("[" * 10**5)
    with pytest.raises(CheckpointError, match="Expected JSON"):
        formats.read(source)


@pytest.mark.parametrize("content", [[1, 2], {"a": 3}])
def test_a_torch_file_of_something_else(content, whole, tmp_path):
    import torch

    path = whole["huggingface"] / "other.pt"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="state dict"):
        formats.read(path)
    path.unlink()


def test_torch_is_asked_for_by_its_extra(whole, tmp_path, monkeypatch):
    import sys

    source = shutil.copytree(whole["huggingface"], tmp_path / "bin")
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(KerasBertError, match=r"bert-for-keras\[torch\]"):
        formats.read(source)


def test_an_external_link_in_hdf5_is_not_followed(whole, tmp_path):
    source = shutil.copytree(whole["keras"], tmp_path / "link")
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["bias"] = np.ones(15, "float32")
    with h5py.File(source / "model.weights.h5", "a") as file:
        del file["encoder/pooler/dense/vars/1"]
        file["encoder/pooler/dense/vars/1"] = h5py.ExternalLink(str(secret), "bias")
    with pytest.raises(CheckpointError, match="Missing: pooler/dense/bias"):
        convert(source, tmp_path / "out", "google")


def test_a_config_of_a_billion_layers(whole, tmp_path):
    source = shutil.copytree(whole["google"], tmp_path / "many")
    config = json.loads((source / "bert_config.json").read_text())
    config["num_hidden_layers"] = 10**9
    (source / "bert_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="at most 1000 layers"):
        formats.read(source)


# === Nothing there, or too much ===


def test_nothing_there(tmp_path):
    with pytest.raises(MissingFileError, match="nothing is there"):
        formats.read(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        formats.read(tmp_path)


def test_no_config(whole, tmp_path):
    source = shutil.copytree(whole["google"], tmp_path / "bare")
    config = (source / "bert_config.json").rename(tmp_path.parent / "elsewhere.json")
    with pytest.raises(
        CheckpointError, match=r"Expected bert_config\.json or albert_config\.json in"
    ):
        formats.read(source)
    assert formats.read(source, config_file=config).config.vocab_size == 37


@pytest.mark.parametrize("text", ["", "[]", "{", "\udc80", '{"vocab_size": "many"}'])
def test_a_config_that_is_none(text, whole, tmp_path):
    source = shutil.copytree(whole["google"], tmp_path / "broken")
    data = text.encode("utf-8", "surrogateescape")
    (source / "bert_config.json").write_bytes(data)
    with pytest.raises(KerasBertError):
        formats.read(source)


def test_two_formats_in_one_directory(whole, tmp_path):
    both = shutil.copytree(whole["google"], tmp_path / "both")
    shutil.copytree(whole["huggingface"], both, dirs_exist_ok=True)
    with pytest.raises(CheckpointError, match="google, huggingface"):
        formats.read(both)
    assert formats.read(both / "bert_model.ckpt").format == "google"
    assert formats.read(both / "model.safetensors").format == "huggingface"


def test_two_google_checkpoints_need_a_name(whole, tmp_path):
    source = shutil.copytree(whole["google"], tmp_path / "two")
    for suffix in ("index", "data-00000-of-00001"):
        shutil.copy(
            source / f"bert_model.ckpt.{suffix}", source / f"model.ckpt-7.{suffix}"
        )
    assert formats.read(source).files[-1].name == "bert_model.ckpt.index"
    (source / "checkpoint").write_text('model_checkpoint_path: "/gone/model.ckpt-7"\n')
    assert formats.read(source).files[-1].name == "model.ckpt-7.index"
    (source / "checkpoint").unlink()
    with pytest.raises(CheckpointError, match=r"bert_model\.ckpt, model\.ckpt-7"):
        formats.read(source)
    assert values(source / "model.ckpt-7").keys() == values(whole["google"]).keys()
