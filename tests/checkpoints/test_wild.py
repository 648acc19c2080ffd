"""Checkpoints as they are published: what belongs to none of ours, and odd names."""

import json
import logging
import shutil
import zipfile

import h5py
import numpy as np
import pytest

import keras_bert
from keras_bert.checkpoints import convert, formats, inspect, safetensors, state_dicts
from keras_bert.checkpoints.checkpoint import Tensor
from keras_bert.checkpoints.conversion import strip
from keras_bert.checkpoints.matching import resolve_contents
from keras_bert.errors import (
    CheckpointError,
    InputError,
    KerasBertError,
    MissingFileError,
)
from keras_bert.families.bert import BERT
from tests.bounds import assert_close
from tests.checkpoints.fakes import (
    assert_same_bits,
    fake_tensors,
    tiny_config,
    values,
    write_fake,
)

WORDS = "bert.embeddings.word_embeddings.weight"
DECODER = "cls.predictions.decoder.weight"
DECODER_BIAS = "cls.predictions.decoder.bias"


def of(*shape, dtype="float32"):
    return Tensor.of(np.full(shape, 0.25, dtype))


def added(**tensors):
    """A `change` for `write_fake` that adds tensors; "__" is written for a dot."""
    return lambda found: found.update(
        {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    )


def hub_folder(folder, config, tensors):
    """A Hugging Face folder with any config and any tensors."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    safetensors.write(folder / "model.safetensors", tensors)
    return folder


def renamed(rename, config=None, head="BertForPreTraining"):
    tensors = fake_tensors(config or tiny_config(), head, "huggingface")
    return {rename(name): tensor for name, tensor in tensors.items()}


def outputs(model, ids=((2, 3, 4, 5), (6, 7, 8, 9))):
    return model({"input_ids": np.array(ids)})


# === What belongs to no part ===


def test_weights_outside_what_is_asked_for_are_left_behind(tmp_path, caplog):
    change = added(linear__weight=of(3, 15), crf__transitions=of(3, 3))
    path = write_fake(tmp_path / "first", "huggingface", change=change)
    with caplog.at_level(logging.WARNING):
        keras_bert.BertModel.from_pretrained(path)
    assert "crf.transitions; linear.weight" in caplog.text
    report = convert(path, tmp_path / "out", "google")
    assert {*report.ignored} == {"crf.transitions", "linear.weight"}
    assert inspect(path).unexpected == ["crf.transitions", "linear.weight"]


@pytest.mark.parametrize("how", ["model", "convert", "strip", "inspect"])
def test_strict_and_drop_mean_the_same_everywhere(how, tmp_path):
    def change(tensors):
        tensors |= {"head/weight": of(3), "bert/embeddings/word_embeddings/m": of(37)}

    path = write_fake(tmp_path / "first", "google", change=change)
    config = (path / "bert_config.json").rename(tmp_path / "elsewhere.json")
    run = {
        "model": lambda **options: keras_bert.BertModel.from_pretrained(
            path, **options
        ),
        "convert": lambda **options: convert(
            path, tmp_path / "out", "keras", overwrite=True, **options
        ),
        "strip": lambda **options: strip(
            path, tmp_path / "out", overwrite=True, **options
        ),
        "inspect": lambda **options: inspect(path, **options),
    }[how]
    with pytest.raises(CheckpointError, match="config_file="):
        run()
    run(config_file=config)
    with pytest.raises(CheckpointError, match="Unexpected: head/weight"):
        run(config_file=config, strict=True)
    run(config_file=config, strict=True, drop=["head/weight", "next_sentence"])
    with pytest.raises(CheckpointError, match="a tensor or a part 'tail/weight'"):
        run(config_file=config, drop=["tail/weight"])


def test_weights_among_those_asked_for_are_never_left_behind(tmp_path):
    path = write_fake(
        tmp_path / "first", "huggingface", change=added(cls__more__weight=of(3))
    )
    keras_bert.BertModel.from_pretrained(path)
    with pytest.raises(CheckpointError, match=r"Unexpected: cls\.more\.weight"):
        keras_bert.BertForMaskedLM.from_pretrained(path)
    with pytest.raises(CheckpointError, match=r"Unexpected: cls\.more\.weight"):
        convert(path, tmp_path / "out", "keras")
    keras_bert.BertForMaskedLM.from_pretrained(path, drop=["cls.more.weight"])


@pytest.mark.parametrize("format", ["google", "huggingface", "keras"])
def test_fewer_layers_are_the_first_ones(format, tmp_path, caplog):
    config = tiny_config(num_hidden_layers=3)
    path = write_fake(tmp_path / "first", format, "BertModel", config)
    with caplog.at_level(logging.WARNING):
        short = keras_bert.BertModel.from_pretrained(path, num_hidden_layers=2)
    assert "and 6 more" in caplog.text
    whole = keras_bert.BertModel.from_pretrained(path, output_hidden_states=True)
    expected = outputs(whole)["hidden_states"][2]
    assert_close(outputs(short)["last_hidden_state"], expected)
    with pytest.raises(CheckpointError, match="Unexpected"):
        keras_bert.BertModel.from_pretrained(path, num_hidden_layers=2, strict=True)


def test_what_is_no_float_is_no_weight(tmp_path):
    change = added(
        bert__embeddings__position_ids=of(1, 11, dtype="float16"),
        bert__embeddings__token_type_ids=of(1, 11, dtype="int64"),
        bert__step=of(dtype="int32"),
    )
    path = write_fake(tmp_path / "first", "huggingface", change=change)
    report = convert(path, tmp_path / "out", "google", strict=True)
    assert report.ignored["bert.step"] == "int32, not a weight"


def test_what_training_with_tensorflow_1_leaves_is_no_weight(tmp_path):
    kernel = "bert/encoder/layer_0/intermediate/dense/kernel"

    def change(tensors):
        for name in [*tensors]:
            tensors[f"{name}/ExponentialMovingAverage"] = tensors[name]
        tensors |= {
            f"{kernel}/adam_m": of(15, 22),
            f"{kernel}/Momentum/extra": of(3),
            "signal_early_stopping/STOP": of(dtype="bool"),
            "loss_scale": of(),
            "loss_scale/good_steps": of(dtype="int64"),
            "global_step": of(dtype="int64"),
        }

    path = write_fake(tmp_path / "first", "google", change=change)
    checkpoint = formats.read(path)
    assert {*checkpoint.optimizer} == {f"{kernel}/adam_m", "global_step"}
    assert inspect(path, strict=True).unexpected == []
    strip(path, tmp_path / "out", strict=True)
    assert_same_bits(values(path), values(tmp_path / "out"))
    assert formats.read(tmp_path / "out").ignored == {}


# === Names ===


@pytest.mark.parametrize(
    "wrapper",
    ["_orig_mod.", "model.", "encoder.", "bert.", "0.auto_model.", "a.module.b."],
)
@pytest.mark.parametrize("base", ["bert.", ""])
def test_whatever_precedes_the_weights_is_a_prefix(wrapper, base, tmp_path):
    tensors = {
        wrapper + base + name.removeprefix("bert."): tensor
        for name, tensor in renamed(str, head="BertModel").items()
    }
    tensors["pooler.weight"] = of(4)  # of the wrapper, not of the encoder
    path = hub_folder(tmp_path / "first", tiny_config().to_dict(), tensors)
    expected = {n: t.load() for n, t in renamed(str, head="BertModel").items()}
    checkpoint = formats.read(path)
    resolve_contents(checkpoint)
    assert_same_bits(expected, {n: t.load() for n, t in checkpoint.tensors.items()})


def test_weights_of_an_adapter_are_to_be_merged(tmp_path):
    name = "bert.encoder.layer.0.attention.self.query.lora_A.default.weight"
    tensors = renamed(str, head="BertModel") | {name: of(2, 4)}
    path = hub_folder(tmp_path / "first", tiny_config().to_dict(), tensors)
    with pytest.raises(CheckpointError, match=r"merge_and_unload\(\) of peft"):
        resolve_contents(formats.read(path))


@pytest.mark.parametrize("path", ["", None, b"x", "https://huggingface.co/org/name"])
@pytest.mark.parametrize(
    "read", [formats.read, keras_bert.BertTokenizer.from_pretrained]
)
def test_what_is_no_local_path(read, path):
    with pytest.raises(InputError, match="hf://org/name"):
        read(path)


def test_a_prefix_in_a_tensorflow_checkpoint(tmp_path):
    path = write_fake(
        tmp_path / "first",
        "google",
        change=lambda found: [
            found.update({f"module/{name}": found.pop(name)}) for name in [*found]
        ],
    )
    assert_same_bits(values(path), values(write_fake(tmp_path / "plain", "google")))


def test_two_models_in_one_file_are_named(tmp_path):
    tensors = renamed(lambda n: f"one.{n}") | renamed(lambda n: f"two.{n}")
    path = hub_folder(tmp_path / "two", tiny_config().to_dict(), tensors)
    with pytest.raises(CheckpointError, match=r"of several: one\.bert\., two\.bert\."):
        formats.read(path)
    tensors = renamed(str) | renamed(lambda n: f"teacher.{n}")
    path = hub_folder(tmp_path / "usual", tiny_config().to_dict(), tensors)
    assert len(keras_bert.BertModel.from_pretrained(path).weights) == 39


@pytest.mark.parametrize(
    "mine, other", [("roberta", "bert."), ("bert", "roberta."), ("distilbert", "bert.")]
)
def test_names_of_another_family_than_the_config_says(mine, other, tmp_path):
    config = {**tiny_config().to_dict(), "model_type": mine, "type_vocab_size": 0}
    config |= {} if mine == "distilbert" else {"type_vocab_size": 2}
    tensors = renamed(lambda n: n.replace("bert.", other, 1))
    path = hub_folder(tmp_path / "first", config, tensors)
    with pytest.raises(CheckpointError, match=f"model_type '{other[:-1]}'"):
        formats.read(path)


def test_nvidias_names(tmp_path):
    def rename(name):
        fused = ("intermediate.dense.", "pooler.dense.", "transform.dense.")
        found = next((f for f in fused if f in name), "dense.")
        return name.replace(found, found.replace("dense.", "dense_act.")) * (
            found != "dense."
        ) or (name)

    path = hub_folder(tmp_path / "first", tiny_config().to_dict(), renamed(rename))
    assert "bert.pooler.dense_act.weight" in safetensors.read(
        path / "model.safetensors"
    )
    assert_same_bits({n: t.load() for n, t in renamed(str).items()}, values(path))


# === Untied output matrices ===


def untied(config, **changes):
    tensors = fake_tensors(config, "BertForPreTraining", "huggingface")
    tensors[DECODER] = Tensor.of(tensors[WORDS].load() + 1)
    return tensors | changes


@pytest.mark.parametrize("said", [True, False])
def test_an_untied_decoder_is_held(said, tmp_path, caplog):
    import torch
    import transformers

    config = tiny_config(tie_word_embeddings=said, hidden_act="gelu")
    values = {**config.to_dict(), "architectures": ["BertForPreTraining"]}
    bias = Tensor.of(np.linspace(0, 1, 37, dtype="float32"))
    tensors = untied(config, **{DECODER_BIAS: bias})
    path = hub_folder(tmp_path / "first", values, tensors)
    with caplog.at_level(logging.WARNING):
        model = keras_bert.BertForPreTraining.from_pretrained(path)
    assert ("although the config ties them" in caplog.text) == said
    assert not model.config.tie_word_embeddings

    report = convert(path, tmp_path / "ours", "keras", verifiers=None)
    assert report.largest_difference < 1e-5
    convert(tmp_path / "ours", tmp_path / "back", "huggingface")
    again = keras_bert.BertForPreTraining.from_pretrained(tmp_path / "ours")
    ids = np.array([[2, 3, 4, 5]])
    found = outputs(model, ids)["prediction_logits"]
    assert_close(outputs(again, ids)["prediction_logits"], found)
    for folder in (path, tmp_path / "back"):
        theirs = transformers.BertForPreTraining.from_pretrained(folder).eval()
        with torch.no_grad():
            expected = theirs(torch.from_numpy(ids)).prediction_logits.numpy()
        assert_close(found, expected)


@pytest.mark.parametrize("rows", [37, 30])
def test_only_who_asks_for_the_decoder_meets_it(rows, tmp_path, monkeypatch):
    config = tiny_config()
    tensors = untied(config, **{DECODER: of(rows, 15)})
    path = hub_folder(tmp_path / "first", config.to_dict(), tensors)
    with monkeypatch.context() as patched:
        patched.setattr("keras_bert.checkpoints.matching.equal", None)
        keras_bert.BertModel.from_pretrained(path)
        report = convert(path, tmp_path / "out", "google", drop=["masked_lm"])
    assert DECODER in report.ignored
    assert inspect(path).incomplete == ({"masked_lm": [DECODER]} if rows != 37 else {})
    with pytest.raises(CheckpointError, match=r"decoder.*\(masked_lm\)|vocab_size=37"):
        convert(path, tmp_path / "no", "google")


def test_a_format_that_cannot_hold_an_untied_decoder_says_so(tmp_path):
    model = keras_bert.BertForMaskedLM(tiny_config(tie_word_embeddings=False))
    for format in ("google", "model_garden", "keras_hub"):
        with pytest.raises(CheckpointError, match="masked_lm_decoder"):
            model.save_pretrained(tmp_path / "out", format=format)
    assert not (tmp_path / "out").exists()


def test_an_untied_model_survives_its_own_files(tmp_path):
    import keras

    model = keras_bert.BertForMaskedLM(tiny_config(tie_word_embeddings=False), seed=1)
    assert (
        len(model.weights) == len(keras_bert.BertForMaskedLM(tiny_config()).weights) + 1
    )
    model.save(tmp_path / "model.keras")
    model.save_pretrained(tmp_path / "folder")
    for again in (
        keras.saving.load_model(tmp_path / "model.keras"),
        keras_bert.BertForMaskedLM.from_pretrained(tmp_path / "folder"),
        model.resize_token_embeddings(40).resize_token_embeddings(37),
    ):
        assert_close(outputs(again), outputs(model))


# === Configs ===


def test_ids_of_labels_that_are_not_counted_from_zero(tmp_path, caplog):
    head = "BertForSequenceClassification"
    config = {**tiny_config().to_dict(), "id2label": {"1": "a", "2": "b"}}
    tensors = renamed(str, tiny_config(num_labels=2), head)
    path = hub_folder(tmp_path / "first", config, tensors)
    with caplog.at_level(logging.WARNING):
        model = keras_bert.BertForSequenceClassification.from_pretrained(path)
    assert "id2label names the ids 1, 2" in caplog.text
    assert model.config.labels == ["LABEL_0", "LABEL_1"]
    named = keras_bert.BertForSequenceClassification.from_pretrained(
        path, id2label={0: "a", 1: "b"}
    )
    assert named.config.labels == ["a", "b"]


def test_names_of_labels_by_name():
    config = keras_bert.BertConfig.from_dict({"label2id": {"no": 0, "yes": 1}})
    assert config.labels == ["no", "yes"]
    both = {"label2id": {"a": 0}, "id2label": {"0": "b"}}
    assert keras_bert.BertConfig.from_dict(both).labels == ["b"]
    assert keras_bert.BertConfig.from_dict({"label2id": {}}).id2label is None


def test_an_adapter_is_named(tmp_path):
    tensors = {"base_model.model.bert.pooler.dense.lora_A.weight": of(3, 15)}
    path = hub_folder(tmp_path / "first", tiny_config().to_dict(), tensors)
    with pytest.raises(CheckpointError, match="an adapter: merge it"):
        formats.read(path)


def test_a_config_without_model_type_is_that_of_its_class(tmp_path):
    config = keras_bert.DistilBertConfig(dim=8, n_heads=2, hidden_dim=9, n_layers=1)
    model = keras_bert.DistilBertModel(config)
    path = model.save_pretrained(tmp_path / "first", format="huggingface")
    stored = json.loads((path / "config.json").read_text())
    del stored["model_type"]
    (path / "config.json").write_text(json.dumps(stored))
    again = keras_bert.DistilBertModel.from_pretrained(path)
    ids = np.array([[1, 2, 3]])
    (one, other) = (m(ids)["last_hidden_state"] for m in (model, again))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("act", ["gelu", "relu"])
@pytest.mark.parametrize("use", [True, False])
def test_ernie_is_read_as_what_it_computes(use, act, tmp_path):
    import torch
    import transformers

    torch.manual_seed(1)
    config = transformers.ErnieConfig(
        vocab_size=37,
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=22,
        max_position_embeddings=11,
        use_task_id=use,
        hidden_act=act,
    )
    theirs = transformers.ErnieForTokenClassification(config).eval()
    with torch.no_grad():
        for value in theirs.parameters():
            value.normal_()
    theirs.save_pretrained(tmp_path / "first")
    checkpoint = formats.read(tmp_path / "first")
    assert checkpoint.config.model_type == BERT.model_type
    assert checkpoint.head == "BertForTokenClassification"
    convert(tmp_path / "first", tmp_path / "out", "huggingface")
    model = keras_bert.BertForTokenClassification.from_pretrained(tmp_path / "out")
    ids = np.array([[2, 3, 4, 5]])
    with torch.no_grad():
        expected = theirs(torch.from_numpy(ids)).logits.numpy()
    assert_close(outputs(model, ids), expected)


# === Arguments ===


@pytest.mark.parametrize(
    "argument", ["torch_dtype", "from_pt", "from_tf", "device_map", "use_auth_token"]
)
def test_arguments_of_transformers_are_told_what_they_are_here(argument, tmp_path):
    path = write_fake(tmp_path / "first", "google")
    with pytest.raises(InputError, match=f"Received: {argument}="):
        keras_bert.BertModel.from_pretrained(path, **{argument: "x"})
    with pytest.raises(InputError, match=f"Received: {argument}="):
        keras_bert.BertConfig.from_pretrained(path, **{argument: "x"})


# === Files ===


@pytest.mark.parametrize("ending", [".bin", ".pt", ".pth", ".ckpt", ".safetensors"])
def test_a_single_file_of_weights_is_found(ending, tmp_path):
    path = write_fake(tmp_path / "first", "huggingface")
    expected = values(path)
    name = path / f"my_weights{ending}"
    if ending == ".safetensors":
        (path / "model.safetensors").rename(name)
    else:
        (path / "model.safetensors").unlink()
        state_dicts.write(name, {n: Tensor.of(a) for n, a in expected.items()})
    for other in ("training_args.bin", "optimizer.pt", "rng_state_0.pth"):
        (path / other).write_bytes(b"anything")
    assert_same_bits(expected, values(path))
    (path / "more.pt").write_bytes(b"anything")
    with pytest.raises(CheckpointError, match=rf"more\.pt.*my_weights\{ending}|my_w"):
        formats.read(path)
    assert_same_bits(expected, values(name))


def test_shards_without_their_index_are_told_so(tmp_path):
    path = write_fake(tmp_path / "first", "huggingface")
    for i in (1, 2):
        shutil.copy(path / "model.safetensors", path / f"m-0000{i}-of-00002.bin")
    (path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"index.* is missing"):
        formats.read(path)


@pytest.mark.parametrize("shards", [False, True])
def test_safetensors_with_the_names_of_tensorflow(shards, tmp_path):
    config = tiny_config()
    tensors = fake_tensors(config, "BertForPreTraining", "huggingface_tf")
    stored = {f"{name}:0": tensor for name, tensor in tensors.items()}
    path = hub_folder(tmp_path / "first", config.to_dict(), stored)
    if shards:
        (path / "model.safetensors").rename(path / "one.safetensors")
        index = {"weight_map": dict.fromkeys(stored, "one.safetensors")}
        (path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert formats.detect(path) == "huggingface_tf"
    convert(path, tmp_path / "out", "huggingface")
    expected = fake_tensors(config, "BertForPreTraining", "huggingface_tf")
    checkpoint = formats.read(path)
    resolve_contents(checkpoint)
    assert_same_bits(
        {n: t.load() for n, t in expected.items()},
        {n: t.load() for n, t in checkpoint.tensors.items()},
    )


@pytest.mark.parametrize(
    "content, what",
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "LFS"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"\x1f\x8b\x08\0\0\0", "gzip"),
    ],
)
@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "pytorch_model.bin",
        "tf_model.h5",
        "bert_model.ckpt.index",
        "bert_model.ckpt.data-00000-of-00001",
        "best_model.weights",
    ],
)
def test_what_is_there_in_place_of_weights_is_named(name, content, what, tmp_path):
    path = write_fake(tmp_path / "first", "google")
    (path / "config.json").write_text(json.dumps(tiny_config().to_dict()))
    if not name.startswith("bert_model"):
        (path / "bert_model.ckpt.index").unlink()
    (path / name).write_bytes(content)
    where = path / name if name.endswith("weights") else path
    with pytest.raises(CheckpointError, match=what):
        formats.read(where)


@pytest.mark.parametrize(
    "name, what",
    [
        ("model.pdparams", "PaddlePaddle"),
        ("best_model.weights", "bert4keras"),
        ("model.tar", "unpack"),
        ("notes.txt", r"notes\.txt"),
    ],
)
def test_other_files_are_named(name, what, tmp_path):
    (tmp_path / name).write_bytes(b"anything")
    for path in (tmp_path / name, tmp_path):
        with pytest.raises(CheckpointError, match=what):
            formats.read(path)


def test_the_name_of_a_model_of_the_hub_is_told_how_to_be_written(monkeypatch):
    for name in ("bert-base-uncased", "google-bert/bert-base-uncased"):
        with pytest.raises(MissingFileError, match=f"Hub, write hf://{name}"):
            keras_bert.BertModel.from_pretrained(name)
    with pytest.raises(MissingFileError) as error:
        formats.read("/no/such/place")
    assert "hf://" not in str(error.value)


def test_every_entry_reads_from_the_hub(tmp_path, monkeypatch):
    path = write_fake(tmp_path / "first", "google")
    asked = []
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download",
        lambda name, **_: asked.append(name) or str(path),
    )
    inspect("hf://org/name")
    convert("hf://org/name", tmp_path / "out", "keras")
    assert {*asked} == {"org/name"}


def test_missing_positions_are_explained(tmp_path):
    name = "bert/embeddings/position_embeddings"
    path = write_fake(
        tmp_path / "first", "google", change=lambda tensors: tensors.pop(name)
    )
    with pytest.raises(CheckpointError, match="NEZHA and other models"):
        convert(path, tmp_path / "out", "keras")


# === Files of PyTorch ===


def _bin(tmp_path, state):
    import torch

    (tmp_path / "config.json").write_text(json.dumps(tiny_config().to_dict()))
    torch.save(state, tmp_path / "pytorch_model.bin")
    return tmp_path / "pytorch_model.bin"


def _state():
    import torch

    tensors = fake_tensors(tiny_config(), "BertModel", "huggingface")
    return {name: torch.from_numpy(t.load()) for name, t in tensors.items()}


def _change_a_bit(path, entry):
    with zipfile.ZipFile(path) as archive:
        info = next(i for i in archive.infolist() if i.filename.endswith(entry))
        content = archive.read(info)
    data = bytearray(path.read_bytes())
    at = data.index(content)
    data[at + len(content) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("entry", ["/data/0", "/data/7", "data.pkl"])
def test_a_changed_bit_in_a_bin_file_is_noticed(entry, tmp_path):
    path = _bin(tmp_path, _state())
    _change_a_bit(path, entry)
    with pytest.raises(CheckpointError, match=r"CRC-32.*damaged"):
        convert(path, tmp_path / "out", "google")


def test_a_bin_file_without_checksums_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    if not hasattr(torch.serialization, "set_crc32_options"):
        pytest.skip("this PyTorch always writes them")
    torch.serialization.set_crc32_options(False)
    try:
        path = _bin(tmp_path, _state())
    finally:
        torch.serialization.set_crc32_options(True)
    convert(path, tmp_path / "out", "google")


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor", "ignore:TypedStorage")
def test_what_a_bin_file_is_instead_of_a_state_dict(tmp_path):
    import torch

    words = torch.zeros(37, 15)
    cases = {
        "Python objects": torch.nn.Linear(2, 2),
        "by name.*: 0": {0: words},
        "plain tensor.*sparse_coo": {WORDS: words.to_sparse()},
        "plain tensor.*quantize|dequantize": {
            WORDS: torch.quantize_per_tensor(words, 1.0, 0, torch.qint8)
        },
        "tensor without values": {WORDS: torch.zeros(37, 15, device="meta")},
        "float8": {WORDS: words.to(torch.float8_e4m3fn)},
        "by name.*'step'": {"step": 3},
    }
    for message, state in cases.items():
        path = _bin(tmp_path, state)
        with pytest.raises(CheckpointError, match=message) as error:
            formats.read(path)
        assert "damaged" not in str(error.value)


@pytest.mark.parametrize(
    ("data", "message"), [(b"", "an empty file"), (b"pytorch\0" * 90, "no state dict")]
)
def test_a_bin_file_that_is_nothing_of_the_kind(data, message, tmp_path):
    path = _bin(tmp_path, _state())
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=message) as error:
        convert(path, tmp_path / "out", "google")
    assert "weights_only" not in str(error.value)


def test_what_a_training_program_adds_to_a_state_dict_is_left_out(tmp_path):
    state = {"epoch": 3, "model": {**_state(), "best": 0.5}, "args": {"rate": 1e-5}}
    path = _bin(tmp_path, state)
    assert values(path).keys() == _state().keys()


# === HDF5 and JSON ===


def test_odd_things_in_hdf5(tmp_path):
    path = write_fake(tmp_path / "first", "keras") / "model.weights.h5"
    expected = values(path.parent)
    with h5py.File(path, "a") as file:
        item = file["encoder/pooler/dense/vars/0"]
        item.attrs["dtype"] = np.array(["bfloat16", "x"], "S8")
        file["encoder"].attrs["name"] = h5py.Empty("f4")
    assert_same_bits(expected, values(path.parent))
    with h5py.File(path, "a") as file:
        file["encoder/pooler/dense/vars/0"].attrs["dtype"] = "bfloat16"  # of float32
    assert_same_bits(expected, values(path.parent))
    with h5py.File(path, "a") as file:
        file.create_dataset("nothing", data=h5py.Empty("f4"))
    with pytest.raises(CheckpointError, match="empty dataspace"):
        formats.read(path)


@pytest.mark.parametrize(
    "change",
    [
        {"architectures": 5},
        {"architectures": "BertModel"},
        {"architectures": [5]},
        {"architectures": {"a": 1}},
        {"model_type": ["bert"]},
        {"layer_norm_eps": float("inf")},
        {"layer_norm_eps": float("nan")},
        {"layer_norm_eps": 10**400},
        {"initializer_range": float("inf")},
        {"vocab_size": 10**30},
        {"num_labels": 10**9},
        {"extra": "\ud800"},
        {"tie_word_embeddings": "no"},
        {"hidden_act": ["gelu"]},
    ],
    ids=str,
)
def test_odd_values_in_configs(change, tmp_path):
    path = write_fake(tmp_path / "first", "huggingface")
    config = json.loads((path / "config.json").read_text()) | change
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(KerasBertError) as error:
        formats.read(path)
    assert len(str(error.value)) < 700


@pytest.mark.parametrize(
    "text",
    ['{"a": ' * 60 + "1" + "}" * 60, '{"a": ' * 10**5, '{"a": ' + "9" * 5000 + "}"],
    ids=["deep", "deeper", "digits"],
)
@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json"])
def test_deep_json_and_numbers_of_many_digits(name, text, tmp_path):
    path = write_fake(tmp_path / "first", "huggingface")
    if name != "config.json":
        (path / "model.safetensors").unlink()
    (path / name).write_text(text)
    with pytest.raises(KerasBertError, match="Expected"):
        formats.read(path)


def test_a_huge_config_is_not_read(tmp_path):
    path = write_fake(tmp_path / "first", "huggingface")
    with open(path / "config.json", "w") as file:
        file.truncate(1 << 33)  # a sparse file
    with pytest.raises(KerasBertError, match="bytes of JSON"):
        formats.read(path)


def test_one_field_under_two_names_in_a_config():
    values = {"dim": 24, "n_heads": 2}
    assert keras_bert.DistilBertConfig.from_dict({**values, "hidden_size": 24})
    with pytest.raises(KerasBertError, match="hidden_size once"):
        keras_bert.DistilBertConfig.from_dict({**values, "hidden_size": 48})


# === The form of gelu ===


def test_the_form_of_gelu_can_be_changed_and_is_measured(tmp_path):
    config = tiny_config(hidden_act="gelu")
    path = write_fake(tmp_path / "first", "huggingface", "BertModel", config)
    with pytest.raises(CheckpointError, match=r"up to about 1e-3.*"):
        convert(path, tmp_path / "out", "keras_hub")
    report = convert(path, tmp_path / "out", "keras_hub", gelu="tanh")
    [warning] = [text for text in report.warnings if "gelu is written" in text]
    apart = float(warning.split("up to ")[1].split()[0])
    erf = keras_bert.BertModel.from_pretrained(path)
    tanh = keras_bert.BertModel.from_pretrained(tmp_path / "out")
    found = np.abs(
        outputs(erf)["last_hidden_state"] - outputs(tanh)["last_hidden_state"]
    ).max()
    assert found / 10 < apart < found * 10 and apart > 1e-5
    assert convert(path, tmp_path / "same", "keras", gelu="erf").warnings == []
    other = write_fake(
        tmp_path / "relu", "keras", "BertModel", tiny_config(hidden_act="relu")
    )
    with pytest.raises(CheckpointError, match="a model with gelu"):
        convert(other, tmp_path / "no", "google", gelu="tanh")


def test_weights_that_are_no_numbers_are_said(tmp_path, caplog):
    bias = "bert.pooler.dense.bias"
    nan = Tensor.of(np.full(15, np.nan, "float32"))
    path = write_fake(
        tmp_path / "first",
        "huggingface",
        change=lambda found: found.update({bias: nan}),
    )
    keras_bert.BertModel.from_pretrained(path)
    assert "NaN or infinite: pooler/dense/bias" in caplog.text


def test_there_may_be_no_state_to_strip(tmp_path):
    path = write_fake(tmp_path / "first", "huggingface")
    with pytest.raises(CheckpointError, match="holds weights alone"):
        strip(path, tmp_path / "out")
