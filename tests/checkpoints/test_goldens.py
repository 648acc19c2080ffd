"""Checkpoints written by the original implementations, and what those computed."""

import json
from pathlib import Path

import numpy as np
import pytest

from keras_bert import families
from keras_bert.checkpoints import convert, formats, reference
from keras_bert.checkpoints.formats import FORMATS, OWN_TRANSFORM
from keras_bert.checkpoints.matching import Contents, resolve_contents
from keras_bert.errors import CheckpointError, ConfigError
from keras_bert.families.bert import BertConfig
from tests.bounds import LARGEST, assert_close, bound
from tests.checkpoints.fakes import assert_same_bits, values
from tests.paths import SHARED, shared

# What no converter takes: relative positions, cross-attention, decoding.
OTHERS = ("lmhead_cross", "generate")
WRITERS = (
    *("google_tf1_", "hf_bert", "hf457_bert", "hf457_tf_", "mg_", "kh_"),
    *("hf_distilbert", "hf_roberta", "hf_xlm_roberta", "hf457_roberta"),
    *("hf_albert", "hf_deberta", "hf_electra", "hf_modernbert"),
    *("hf_mpnet", "hf_nomic_bert", "hf_roformer"),
)
# Training traces: `start` and `end` directories below the config.
TRACES = (
    "google_tf1_optimizer/start",
    "google_tf1_optimizer/end",
    "google_tf1_classifier_trace/start",
    "google_tf1_classifier_trace/end",
    "google_tf1_classifier_trace/end_onehot",
)
# What the originals call `logits`, by kind of head.
LOGITS = {
    "masked_lm": "mlm_logits",
    "lm_head": "mlm_logits",
    "next_sentence": "nsp_logits",
}
PLAIN = "normal_"
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def _cases() -> list[str]:
    names = sorted(p.name for p in SHARED.glob("goldens/*") if p.is_dir())
    names = [n for n in names if n.startswith(WRITERS)]
    ours = [n for n in names if not any(other in n for other in OTHERS)]
    single = [n for n in ours if not any(trace.startswith(n + "/") for trace in TRACES)]
    return single or ["google_tf1_pretraining"]


CASES = _cases()


def _outputs(folder: Path) -> tuple[dict, dict]:
    checkpoint = formats.read(folder)
    head = resolve_contents(checkpoint).head
    inputs = dict(np.load(folder / "inputs.npz"))
    given = {name: inputs[name] for name in INPUTS if name in inputs}
    rows = {name: x.reshape(-1, x.shape[-1]) for name, x in given.items()}
    ours = reference.outputs(checkpoint, head, rows)
    if "masked_lm_positions" in inputs:  # theirs are gathered
        pairs = zip(ours["mlm_logits"], inputs["masked_lm_positions"], strict=True)
        ours["mlm_logits"] = np.concatenate([x[positions] for x, positions in pairs])
    kind = families.of(checkpoint.config).models[head]
    if kind in LOGITS:
        ours["logits"] = ours[LOGITS[kind]]
    theirs = dict(np.load(folder / "outputs.npz"))
    if "pooler_output" in theirs:
        theirs["pooled_output"] = theirs.pop("pooler_output")
    if kind == "pretraining" and checkpoint.format == "model_garden":
        del theirs["pooled_output"]  # of the encoder's own, untrained pooler
    # Of a model that drops tokens while it trains: what it computes otherwise.
    plain = {n.removeprefix(PLAIN): theirs[n] for n in theirs if n.startswith(PLAIN)}
    return ours, plain or theirs


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
        assert_close(value, theirs[name], name=name)


def _can_say(to: str, config: BertConfig, contents: Contents) -> bool:
    """Whether a format has a place for every weight, and the numbers."""
    if not all(to in row.placements for row in contents.rows):
        return False
    masked = "masked_lm" in contents.parts
    own = (config.transform_act, config.transform_eps)
    if masked and own != (config.hidden_act, config.layer_norm_eps):
        return to in OWN_TRANSFORM
    numbers = (config.hidden_act, config.layer_norm_eps) == ("gelu_new", 1e-12)
    return to != "keras_hub" or (numbers and not masked)


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("case", CASES)
def test_there_and_back_is_bit_exact_or_refused(case, to, tmp_path):
    source = shared("goldens", case)
    start = formats.read(source)
    contents = resolve_contents(start)
    if not _can_say(to, start.config, contents):
        refusal = "has no place for|would compute something else"
        with pytest.raises(CheckpointError, match=refusal):
            convert(source, tmp_path / "there", to)
        assert not any(tmp_path.iterdir())
        return
    there = convert(source, tmp_path / "there", to)
    assert there.largest_difference <= bound(LARGEST)
    assert there.weights == len(start.tensors) == len(contents.rows)
    if start.format not in FORMATS:  # cannot be written
        return
    convert(tmp_path / "there", tmp_path / "back", start.format)
    again = formats.read(tmp_path / "back")
    assert_same_bits(values(source), values(tmp_path / "back"))
    assert again.config.hidden_act == start.config.hidden_act
    assert resolve_contents(again).head == there.head


@pytest.mark.parametrize("case", TRACES)
def test_training_checkpoints_find_their_config_above(case):
    checkpoint = formats.read(shared("goldens", case))
    resolve_contents(checkpoint)
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
    contents = resolve_contents(checkpoint)
    assert contents.head == "BertForPreTraining"
    encoder = [n for n in checkpoint.tensors if n.startswith(("bert/emb", "bert/enc"))]
    count = sum(int(np.prod(checkpoint.tensors[n].shape)) for n in encoder)
    assert count == parameters


def test_a_missing_data_file_is_one_sentence():
    name = "index_only_google_medium_L-8_H-512"
    checkpoint = formats.read(shared("data", "checkpoints", name))
    with pytest.raises(CheckpointError, match="missing, cut short or damaged"):
        checkpoint.tensors["bert/pooler/dense/bias"].load()


@pytest.mark.parametrize("case", ["hf_bert_lmhead_cross"])
def test_what_cannot_be_converted_is_refused_by_name(case):
    with pytest.raises(ConfigError, match="cannot be converted"):
        formats.read(shared("goldens", case))


@pytest.mark.parametrize("case", CASES)
def test_formats_are_told_apart(case):
    formats_of = {
        "google": "google",
        "hf": "huggingface",
        "hf457": "huggingface",
        "mg": "model_garden",
        "kh": "keras_hub",
    }
    expected = formats_of[case.split("_")[0]] + "_tf" * case.startswith("hf457_tf")
    assert formats.detect(shared("goldens", case)) == expected
