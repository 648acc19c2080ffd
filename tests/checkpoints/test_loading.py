"""Models from checkpoints of any format, and back."""

import dataclasses
import logging

import h5py
import keras
import numpy as np
import pytest

import keras_bert
from keras_bert import families, loading
from keras_bert.checkpoints import formats
from keras_bert.checkpoints.formats import FORMATS
from keras_bert.checkpoints.formats import keras as keras_format
from keras_bert.errors import (
    CheckpointError,
    ExistingOutputError,
    MissingExtraError,
    UnknownNameError,
)
from keras_bert.families import bert
from tests.bounds import assert_close
from tests.checkpoints.fakes import (
    VOCABULARY,
    assert_same_bits,
    config_for,
    contents_of,
    holds,
    tiny_config,
    values,
    write_fake,
)
from tests.paths import shared

HEADS = sorted(bert.BERT.models)
ENCODER = ("encoder", "pooler")


def _datasets(path) -> dict[str, np.ndarray]:
    found = {}

    def collect(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(path) as file:
        file.visititems(collect)
    return found


def _assert_same_weights(one, other):
    left, right = ({v.path: v.numpy() for v in m.weights} for m in (one, other))
    assert_same_bits(left, right)


# === Models have the variables the table says ===


@pytest.mark.parametrize("embedding_size", [None, 9])
@pytest.mark.parametrize("head", HEADS)
def test_the_table_names_every_variable_of_a_model(head, embedding_size):
    config = tiny_config(embedding_size=embedding_size)
    model = getattr(keras_bert, head)(config)
    body = families.of(config).body(config)
    assert ("embedding_projection" in body) == (embedding_size is not None)
    rows = [
        row
        for part in dict.fromkeys((*body, *model.parts_held))
        for row in families.of(config).rows([part], config)
    ]
    assert set(model.parts_held) == set(bert.BERT.parts_of(head))
    assert {r.placements["keras"].name for r in rows} == {v.path for v in model.weights}


@pytest.mark.parametrize("embedding_size", [None, 9])
@pytest.mark.parametrize("head", HEADS)
def test_keras_own_weights_file_has_the_same_layout(head, embedding_size, tmp_path):
    config = tiny_config(embedding_size=embedding_size)
    model = getattr(keras_bert, head)(config, seed=3)
    model.save_pretrained(tmp_path / "ours")
    model.save_weights(tmp_path / "theirs.weights.h5")
    ours = _datasets(tmp_path / "ours" / keras_format.WEIGHTS)
    assert_same_bits(ours, _datasets(tmp_path / "theirs.weights.h5"))

    other = getattr(keras_bert, head)(config, seed=4)
    other.load_weights(tmp_path / "ours" / keras_format.WEIGHTS)
    _assert_same_weights(model, other)

    (tmp_path / "theirs.weights.h5").replace(tmp_path / "ours" / keras_format.WEIGHTS)
    _assert_same_weights(model, type(model).from_pretrained(tmp_path / "ours"))


def test_the_optimizer_in_keras_file_is_left_behind(tmp_path):
    model = keras_bert.BertForNextSentencePrediction(tiny_config())
    model.compile(optimizer=keras.optimizers.Adam())
    model.save_pretrained(tmp_path / "ours")
    model.optimizer.build(model.trainable_variables)
    model.save_weights(tmp_path / "ours" / keras_format.WEIGHTS)
    checkpoint = formats.read(tmp_path / "ours")
    assert set(checkpoint.ignored.values()) == {"optimizer state"}
    _assert_same_weights(model, type(model).from_pretrained(tmp_path / "ours"))


# === There and back ===


@pytest.mark.parametrize(
    "name, head", [(f, head) for f in FORMATS for head in HEADS if holds(f, head)]
)
def test_a_model_saved_and_loaded_is_the_same(name, head, tmp_path):
    gelu = "gelu_new" if name == "keras_hub" else "gelu"  # its only form
    config = config_for(head, name, hidden_act=gelu)
    model = getattr(keras_bert, head)(config, seed=3)
    folder = model.save_pretrained(tmp_path / "saved", format=name)
    again = type(model).from_pretrained(folder, seed=4)
    _assert_same_weights(model, again)
    for field in ("hidden_act", "layer_norm_eps", "transform_act", "transform_eps"):
        assert getattr(again.config, field) == getattr(config, field)


def test_bfloat16_models_keep_their_bits(tmp_path):
    model = keras_bert.BertModel(tiny_config(), dtype="bfloat16", seed=3)
    for name in FORMATS:
        model.save_pretrained(tmp_path / name, format=name)
        assert all(v.dtype.name == "bfloat16" for v in values(tmp_path / name).values())
        again = keras_bert.BertModel.from_pretrained(tmp_path / name, dtype="bfloat16")
        _assert_same_weights(model, again)


@pytest.mark.parametrize(
    "case, head, outputs",
    [
        ("google_tf1_classifier", "BertForSequenceClassification", ["logits"]),
        ("hf_bert_tokcls", "BertForTokenClassification", ["logits"]),
        ("hf_bert_lmhead", "BertLMHeadModel", ["logits"]),
        ("hf_bert_model_gelu", "BertModel", ["sequence_output", "pooled_output"]),
        ("hf457_bert_legacy_bin", "BertForMaskedLM", ["logits"]),
        (
            "google_tf1_squad",
            "BertForQuestionAnswering",
            ["start_logits", "end_logits"],
        ),
    ],
)
def test_a_loaded_model_computes_what_the_original_did(case, head, outputs):
    folder = shared("goldens", case)
    model = getattr(keras_bert, head).from_pretrained(folder)
    inputs, expected = (np.load(folder / f"{n}.npz") for n in ("inputs", "outputs"))
    names = ("input_ids", "attention_mask", "token_type_ids")
    results = model({name: inputs[name] for name in names})
    results = results if isinstance(results, dict) else {"logits": results}
    values = [keras.ops.convert_to_numpy(value) for value in results.values()]
    for name, value in zip(outputs, values, strict=True):
        assert_close(value, expected[name])


# === What is not there ===


def test_a_missing_head_is_new_and_said_so(tmp_path, caplog):
    path = write_fake(tmp_path / "first", "google", "BertModel")
    parts = (*ENCODER, "sequence_classifier")
    with caplog.at_level(logging.WARNING):
        loaded = loading.read_for(path, parts, num_labels=5)
    assert (loaded.newly_initialized, loaded.unused) == (["sequence_classifier"], [])
    assert "sequence_classifier" in caplog.text
    assert loaded.config.num_labels == 5
    cls = keras_bert.BertForSequenceClassification
    one, same, other = (
        cls.from_pretrained(path, num_labels=5, seed=seed) for seed in (3, 3, 4)
    )
    _assert_same_weights(one, same)
    drawn, again = (m.get_layer("classifier").kernel.numpy() for m in (one, other))
    assert drawn.shape == (15, 5) and not np.array_equal(drawn, again)


def test_a_missing_pooler_is_new_or_left_out(tmp_path):
    path = write_fake(tmp_path / "first", "huggingface", "BertForMaskedLM")
    loaded = loading.read_for(path, ENCODER)
    assert (loaded.newly_initialized, loaded.unused) == (["pooler"], ["masked_lm"])
    model = keras_bert.BertModel.from_pretrained(path, add_pooling_layer=False)
    assert not any(v.path.startswith("pooler") for v in model.weights)


@pytest.mark.parametrize("name", ["bert.pooler.dense.bias", "cls.predictions.bias"])
def test_half_a_part_is_an_error(name, tmp_path):
    path = write_fake(
        tmp_path / "first", "huggingface", change=lambda tensors: tensors.pop(name)
    )
    parts = bert.BERT.parts_of("BertForPreTraining")
    with pytest.raises(CheckpointError, match=f"Missing: {name}"):
        loading.read_for(path, parts)


def test_half_a_part_that_is_not_needed_is_none(tmp_path):
    def change(tensors):
        tensors.pop("cls.predictions.bias")

    path = write_fake(tmp_path / "first", "huggingface", change=change)
    assert loading.read_for(path, ENCODER).unused == ["masked_lm", "next_sentence"]


def test_an_unexpected_tensor_is_an_error(tmp_path):
    def change(tensors):
        tensors["bert.adapter.weight"] = tensors["bert.pooler.dense.bias"]

    path = write_fake(tmp_path / "first", "huggingface", change=change)
    with pytest.raises(CheckpointError, match=r"Unexpected: bert\.adapter\.weight"):
        loading.read_for(path, ENCODER)


def test_another_number_of_labels(tmp_path):
    head = "BertForSequenceClassification"
    path = write_fake(tmp_path / "first", "google", head)
    parts = bert.BERT.parts_of(head)
    assert loading.read_for(path, parts).config.num_labels == 7
    with pytest.raises(CheckpointError, match=r"\(5, 15\) from .*received \(7, 15\)"):
        loading.read_for(path, parts, num_labels=5)
    loaded = loading.read_for(path, parts, num_labels=5, ignore_mismatched_sizes=True)
    assert loaded.newly_initialized == ["sequence_classifier"]
    assert "classifier/kernel" not in loaded.weights


def test_a_wrong_size_elsewhere_is_never_ignored(tmp_path):
    path = write_fake(tmp_path / "first", "google", "BertModel")
    with pytest.raises(CheckpointError, match="vocab_size=38"):
        loading.read_for(path, ENCODER, vocab_size=38, ignore_mismatched_sizes=True)


def test_overrides_are_config_fields(tmp_path):
    path = write_fake(tmp_path / "first", "google", "BertModel")
    config = loading.read_for(path, ENCODER, output_attentions=True).config
    assert config.output_attentions
    with pytest.raises(UnknownNameError, match="hidden_dropout_prob"):
        loading.read_for(path, ENCODER, hidden_dropout_probability=0.0)


def test_weights_are_read_only_when_asked_for(tmp_path, monkeypatch):
    path = write_fake(tmp_path / "first", "google", "BertModel")
    read = []
    original = loading.translate

    def counted(tensors, *args):
        translated = original(tensors, *args)
        return {
            name: dataclasses.replace(
                t, load=lambda n=name, t=t: read.append(n) or t.load()
            )
            for name, t in translated.items()
        }

    monkeypatch.setattr(loading, "translate", counted)
    loaded = loading.read_for(path, ENCODER)
    assert len(loaded.weights) == 39 and read == []
    assert loaded.weights["pooler/dense/bias"].shape == (15,)
    assert read == ["pooler/dense/bias"]


def test_a_model_and_weights_of_other_names_are_refused(tmp_path):
    path = write_fake(tmp_path / "first", "google", "BertModel")
    loaded = loading.read_for(path, ("encoder",))
    model = keras_bert.BertModel(tiny_config())
    with pytest.raises(CheckpointError, match="pooler/dense/bias"):
        loading.assign(model.weights, loaded)


# === Saving ===


class _Tokenizer:
    def save_pretrained(self, folder):
        (folder / "vocab.txt").write_text("\n".join(VOCABULARY))


def test_saving_is_whole_or_not_at_all(tmp_path):
    model = keras_bert.BertModel(tiny_config())
    model.save_pretrained(tmp_path / "out", tokenizer=_Tokenizer())
    before = contents_of(tmp_path)
    assert set(before) == {"out/config.json", "out/model.weights.h5", "out/vocab.txt"}
    with pytest.raises(ExistingOutputError):
        model.save_pretrained(tmp_path / "out", format="google")
    with pytest.raises(ZeroDivisionError):
        broken = type("Broken", (), {"save_pretrained": lambda self, folder: 1 / 0})()
        model.save_pretrained(tmp_path / "out", tokenizer=broken, overwrite=True)
    assert contents_of(tmp_path) == before
    with pytest.raises(UnknownNameError, match="huggingface"):
        model.save_pretrained(tmp_path / "new", format="hugging_face")


def test_hub_names_need_the_hub(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match="huggingface_hub"):
        loading.local_path("hf://org/name")


def test_hub_names_are_downloaded(monkeypatch, tmp_path):
    import huggingface_hub

    asked = []

    def snapshot_download(name, allow_patterns):
        asked.append((name, "pytorch_model*.bin" in allow_patterns))
        if name == "org/none":
            raise OSError("no route to host\nlong explanation")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert loading.local_path("hf://org/name") == tmp_path
    with pytest.raises(CheckpointError, match=r"'org/none'\. Received: no route"):
        loading.local_path("hf://org/none")
    (tmp_path / "model.safetensors").touch()
    assert loading.local_path("hf://org/name") == tmp_path
    first, then = ("org/name", False), ("org/name", True)
    assert asked == [first, then, ("org/none", False), first]
