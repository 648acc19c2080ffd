"""Checkpoints written by the original implementations, and what those computed."""

import json
from pathlib import Path

import numpy as np
import pytest
from checkpoint_fakes import assert_same_bits, values
from conftest import SHARED, shared

from keras_bert.checkpoints import convert, formats, reference
from keras_bert.checkpoints.accounting import account
from keras_bert.checkpoints.formats import FORMATS
from keras_bert.errors import CheckpointError, ConfigError

# What no converter takes: relative positions, cross-attention, other file kinds.
OTHERS = ("relative_key", "lmhead_cross", "_h5")
# Training traces: `start` and `end` directories below the config.
TRACES = (
    "google_tf1_optimizer/start",
    "google_tf1_optimizer/end",
    "google_tf1_classifier_trace/start",
    "google_tf1_classifier_trace/end",
    "google_tf1_classifier_trace/end_onehot",
)
TOLERANCE = 2e-6
# Names of the originals' outputs for heads that have one.
LOGITS = {
    "BertForMaskedLM": "mlm_logits",
    "BertLMHeadModel": "mlm_logits",
    "BertForNextSentencePrediction": "nsp_logits",
}
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def _cases() -> list[str]:
    names = sorted(p.name for p in SHARED.glob("goldens/*") if p.is_dir())
    names = [n for n in names if n.startswith(("google_tf1_", "hf_bert", "hf457_bert"))]
    ours = [n for n in names if not any(other in n for other in OTHERS)]
    single = [n for n in ours if not any(trace.startswith(n + "/") for trace in TRACES)]
    return single or ["google_tf1_pretraining"]


CASES = _cases()


def _outputs(folder: Path) -> tuple[dict, dict]:
    checkpoint = formats.read(folder)
    head = account(checkpoint).head
    inputs = dict(np.load(folder / "inputs.npz"))
    rows = {name: inputs[name].reshape(-1, inputs[name].shape[-1]) for name in INPUTS}
    ours = reference.outputs(checkpoint, head, rows)
    if "masked_lm_positions" in inputs:  # theirs are gathered
        pairs = zip(ours["mlm_logits"], inputs["masked_lm_positions"], strict=True)
        ours["mlm_logits"] = np.concatenate([x[positions] for x, positions in pairs])
    if head in LOGITS:
        ours["logits"] = ours[LOGITS[head]]
    return ours, dict(np.load(folder / "outputs.npz"))


@pytest.mark.parametrize("case", CASES)
def test_reference_computes_what_the_original_did(case):
    ours, theirs = _outputs(shared("goldens", case))
    compared = sorted(ours.keys() & theirs.keys())
    states = {"embeddings", "hidden_0", "hidden_1", "attention_0", "attention_1"}
    assert states <= set(compared)
    results = [n for n in theirs if n.endswith(("logits", "_output"))]
    assert set(results) <= set(compared)
    for name in compared:
        value = ours[name].reshape(theirs[name].shape)
        np.testing.assert_allclose(
            value, theirs[name], rtol=0, atol=TOLERANCE, err_msg=name
        )


@pytest.mark.parametrize("case", CASES)
def test_every_pair_of_formats_and_back_is_bit_exact(case, tmp_path):
    source = shared("goldens", case)
    start = formats.read(source)
    for to in FORMATS:
        if to == start.format:
            continue
        there = convert(source, tmp_path / to, to)
        assert there.largest_difference < 5e-6
        assert there.weights == len(start.tensors)
        for back in FORMATS:
            if back == to:
                continue
            target = tmp_path / f"{to}_{back}"
            convert(tmp_path / to, target, back)
            if back == start.format:
                again = formats.read(target)
                assert_same_bits(values(source), values(target))
                assert again.config.hidden_act == start.config.hidden_act
                assert account(again).head == there.head


@pytest.mark.parametrize("case", TRACES)
def test_training_checkpoints_find_their_config_above(case):
    checkpoint = formats.read(shared("goldens", case))
    account(checkpoint)
    assert [p.name for p in checkpoint.tokenizer_files] == ["vocab.txt"]


def test_optimizer_state_is_named_and_left_behind(tmp_path):
    source = shared("goldens", "google_tf1_pretraining")
    report = convert(source, tmp_path / "pt", "huggingface")
    assert report.ignored["global_step"] == "optimizer state"
    assert report.ignored["cls/predictions/output_bias/adam_v"] == "optimizer state"
    assert len(report.ignored) == 2 * report.weights + 1
    kept = json.loads((tmp_path / "pt" / "conversion.json").read_text())
    assert kept["ignored"] == report.ignored
    assert kept["sha256"].keys() == report.sha256.keys()


def test_a_real_google_checkpoint_with_its_optimizer(tmp_path):
    source = shared("data", "checkpoints", "tf1_google_run_pretraining_tiny")
    report = convert(source, tmp_path / "pt", "huggingface")
    assert report.head == "BertForPreTraining"
    assert (tmp_path / "pt" / "vocab.txt").read_bytes() == (
        source / "vocab.txt"
    ).read_bytes()


def test_a_legacy_torch_file_without_prefix(tmp_path):
    source = shared("data", "checkpoints", "hf_bert_xsmall_dummy")
    convert(source, tmp_path / "tf", "google")
    convert(tmp_path / "tf", tmp_path / "pt", "huggingface")
    assert_same_bits(values(source), values(tmp_path / "pt"))


@pytest.mark.parametrize(
    "name, parameters",
    [
        ("index_only_google_medium_L-8_H-512", 8 * 3152384 + 512 * (30522 + 516)),
        ("index_only_google_chinese_L-12_H-768", 12 * 7087872 + 768 * (21128 + 516)),
    ],
)
def test_names_and_shapes_of_the_published_releases(name, parameters):
    checkpoint = formats.read(shared("data", "checkpoints", name))
    contents = account(checkpoint)
    assert contents.head == "BertForPreTraining"
    encoder = [n for n in checkpoint.tensors if n.startswith(("bert/emb", "bert/enc"))]
    count = sum(int(np.prod(checkpoint.tensors[n].shape)) for n in encoder)
    assert count == parameters


def test_a_missing_data_file_is_one_sentence():
    name = "index_only_google_medium_L-8_H-512"
    checkpoint = formats.read(shared("data", "checkpoints", name))
    with pytest.raises(CheckpointError, match="missing, cut short or damaged"):
        checkpoint.tensors["bert/pooler/dense/bias"].load()


@pytest.mark.parametrize("case", ["hf457_bert_relative_key", "hf_bert_lmhead_cross"])
def test_what_cannot_be_converted_is_refused_by_name(case):
    with pytest.raises(ConfigError, match="cannot be converted"):
        formats.read(shared("goldens", case))


def test_tensorflow_objects_are_told_from_tf1():
    path = shared("goldens", "mg_bert_encoder_v2")
    index = next(path.rglob("*.index"))
    config = shared("goldens", "google_tf1_relu", "bert_config.json")
    with pytest.raises(CheckpointError, match="TF2 object checkpoint"):
        formats.read(index, config_file=config)
