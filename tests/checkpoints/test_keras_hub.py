"""KerasHub's presets, opened by KerasHub; what they cannot say is refused."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

import keras_bert
from keras_bert.checkpoints import convert, formats, placeholder, reference
from keras_bert.checkpoints.formats import keras_hub as preset
from keras_bert.checkpoints.matching import resolve_contents
from keras_bert.errors import CheckpointError
from keras_bert.families.bert import BERT
from tests.bounds import assert_close
from tests.checkpoints.fakes import (
    VOCABULARY,
    assert_same_bits,
    config_for,
    contents_of,
    tiny_config,
    values,
    write_fake,
)
from tests.paths import shared

# The class of a model of ours, of KerasHub's, and the name of an output here.
TASKS = {
    "BertModel": ("BertBackbone", "sequence_output"),
    "BertForSequenceClassification": ("BertTextClassifier", "logits"),
    "BertForMaskedLM": ("BertMaskedLM", "mlm_logits"),
}


@pytest.fixture(scope="module")
def keras_hub():
    return pytest.importorskip("keras_hub")


def _preset(folder: Path, head: str, **changes) -> Path:
    config = config_for(head, "keras_hub", **changes)
    first = write_fake(folder / "first", "keras", head, config)
    convert(first, folder / "preset", "keras_hub")
    return folder / "preset"


def _datasets(path: Path) -> dict[str, np.ndarray]:
    found = {}

    def collect(name, item):
        if isinstance(item, h5py.Dataset) and not name.startswith("optimizer"):
            found[name] = item[()]

    with h5py.File(path) as file:
        file.visititems(collect)
    return found


def _inputs(probe: dict, head: str) -> dict:
    names = ("token_ids", "segment_ids", "padding_mask")
    ours = ("input_ids", "token_type_ids", "attention_mask")
    inputs = {name: probe[o] for name, o in zip(names, ours, strict=True)}
    positions = np.tile(np.arange(probe["input_ids"].shape[1], dtype="int32"), (2, 1))
    return inputs | ({"mask_positions": positions} if "Masked" in head else {})


# === KerasHub opens what is written ===


@pytest.mark.parametrize("head", TASKS)
def test_keras_hub_opens_ours_and_computes_the_same(head, keras_hub, tmp_path):
    folder = _preset(tmp_path, head)
    name, output = TASKS[head]
    model = getattr(keras_hub.models, name).from_preset(str(folder))
    checkpoint = formats.read(folder)
    probe = reference.probe(checkpoint.config)
    del probe["position_ids"]
    expected = reference.outputs(checkpoint, head, probe)
    found = model(_inputs(probe, head))
    found = found if isinstance(found, dict) else {output: found}
    for key in found:
        assert_close(found[key], expected[key], name=key)
    assert head != "BertModel" or {*found} == {"sequence_output", "pooled_output"}


def test_a_preset_of_ours_classifies_text(keras_hub, tmp_path):
    folder = _preset(tmp_path, "BertForSequenceClassification")
    model = keras_hub.models.TextClassifier.from_preset(str(folder))
    assert model.predict(["a b", "c"], verbose=0).shape == (2, 7)
    tokenizer = model.preprocessor.tokenizer
    assert (tokenizer.lowercase, tokenizer.strip_accents) == (True, True)
    assert tokenizer.get_vocabulary() == VOCABULARY
    assert model.preprocessor.sequence_length == 11


@pytest.mark.parametrize("head", TASKS)
def test_the_files_are_laid_out_as_keras_hubs_own(head, keras_hub, tmp_path):
    folder = _preset(tmp_path, head)
    model = getattr(keras_hub.models, TASKS[head][0]).from_preset(str(folder))
    model.save_to_preset(str(tmp_path / "theirs"))
    for file in (preset.WEIGHTS, preset.TASK_WEIGHTS):
        if (folder / file).is_file():
            theirs = _datasets(tmp_path / "theirs" / file)
            assert_same_bits(_datasets(folder / file), theirs)
    again = formats.read(tmp_path / "theirs")
    assert_same_bits(values(folder), {n: t.load() for n, t in again.tensors.items()})
    assert resolve_contents(again).head == head
    for file in (preset.TOKENIZER, preset.PREPROCESSOR):
        if (tmp_path / "theirs" / file).is_file():
            ours, theirs = (
                json.loads((p / file).read_text())
                for p in (folder, tmp_path / "theirs")
            )
            assert ours["config"].keys() == theirs["config"].keys()
            assert ours["registered_name"] == theirs["registered_name"]


def test_models_write_presets_with_their_tokenizer(tmp_path):
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(VOCABULARY) + "\n")
    tokenizer = keras_bert.BertTokenizer(str(vocabulary), do_lower_case=False)
    model = keras_bert.BertForSequenceClassification(tiny_config(), seed=3)
    model.save_pretrained(tmp_path / "out", format="keras_hub", tokenizer=tokenizer)
    assert {*contents_of(tmp_path / "out")} == {
        "config.json",
        "metadata.json",
        "model.weights.h5",
        "preprocessor.json",
        "task.json",
        "task.weights.h5",
        "tokenizer.json",
        "assets/tokenizer/vocabulary.txt",
    }
    assert preset.read_settings(tmp_path / "out", BERT)["do_lower_case"] is False


# === What travels ===


def test_what_keras_hub_has_no_place_for_is_kept(tmp_path):
    changes = dict(
        id2label={0: "no", 1: "yes", 2: "perhaps"},
        problem_type="multi_label_classification",
        attention_probs_dropout_prob=0.3,
        classifier_dropout=0.0,
        initializer_range=0.5,
        extra={"directionality": "bidi"},
    )
    folder = _preset(tmp_path, "BertForSequenceClassification", **changes)
    config = tiny_config(**changes)
    assert formats.read(folder).config == config
    report = json.loads((folder / "conversion.json").read_text())
    assert "attention_probs_dropout_prob=0.3" in report["warnings"][0]
    task = json.loads((folder / preset.TASK).read_text())["config"]
    assert (task["num_classes"], task["dropout"]) == (3, 0.0)


@pytest.mark.parametrize("rate, own", [(0.1, None), (0.0, 0.0), (0.37, 0.37)])
def test_a_classifiers_own_dropout_is_read(rate, own, tmp_path):
    folder = _preset(tmp_path, "BertForSequenceClassification")
    (folder / "metadata.json").unlink()  # where our own config is kept
    task = json.loads((folder / preset.TASK).read_text())
    task["config"]["dropout"] = rate
    (folder / preset.TASK).write_text(json.dumps(task))
    model = keras_bert.BertForSequenceClassification.from_pretrained(folder)
    assert model.config.hidden_dropout_prob == 0.1
    assert (model.config.classifier_dropout, model.dropout.rate) == (own, rate)


def test_a_tokenizers_settings_travel(tmp_path):
    source = shared("goldens", "kh_text_classifier")
    convert(source, tmp_path / "hf", "huggingface")
    described = json.loads((tmp_path / "hf" / "tokenizer_config.json").read_text())
    assert (described["do_lower_case"], described["strip_accents"]) == (True, False)
    convert(tmp_path / "hf", tmp_path / "back", "keras_hub")
    assert preset.read_settings(tmp_path / "back", BERT) == preset.read_settings(
        source, BERT
    )
    vocabulary = (source / preset.VOCABULARY).read_bytes()
    assert (tmp_path / "hf" / "vocab.txt").read_bytes() == vocabulary
    assert (tmp_path / "back" / preset.VOCABULARY).read_bytes() == vocabulary


def test_without_a_vocabulary_there_is_no_tokenizer(keras_hub, tmp_path):
    first = write_fake(tmp_path / "first", "keras", "BertForSequenceClassification")
    (first / "vocab.txt").unlink()
    convert(first, tmp_path / "out", "keras_hub")
    assert not (tmp_path / "out" / preset.TOKENIZER).exists()
    model = keras_hub.models.BertTextClassifier.from_preset(str(tmp_path / "out"))
    assert model.preprocessor is None


def test_every_tensor_of_the_goldens_is_accounted_for():
    for folder in shared("goldens").glob("kh_*"):
        checkpoint = formats.read(folder)
        stored = [
            f for name in ("model", "task") for f in folder.glob(f"{name}.weights.h5")
        ]
        count = sum(len(_datasets(file)) for file in stored)
        assert len(checkpoint.tensors) == count, folder.name
        assert {*checkpoint.ignored.values()} <= {"optimizer state"}
        resolve_contents(checkpoint)


def test_zeros_stand_for_a_pooler(tmp_path):
    first = write_fake(tmp_path / "first", "keras", "BertForTokenClassification")
    out = tmp_path / "out"
    report = convert(first, out, "keras_hub", drop=["token_classifier"])
    assert any("every encoder of KerasHub has one" in text for text in report.warnings)
    checkpoint = formats.read(out)
    assert [*checkpoint.ignored.values()] == [placeholder.REASON] * 2
    assert resolve_contents(checkpoint).parts == ["encoder"]


# === What cannot be said ===


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"hidden_act": "gelu"}, "hidden_act=gelu_new, .*Received: hidden_act=gelu"),
        ({"hidden_act": "relu"}, "Received: hidden_act=relu"),
        ({"layer_norm_eps": 1e-6}, "layer_norm_eps=1e-12, .*layer_norm_eps=1e-06"),
        ({"is_decoder": True}, "is_decoder=False, .*is_decoder=True"),
    ],
)
def test_other_numbers_than_keras_hubs_are_refused(changes, message, tmp_path):
    first = write_fake(tmp_path / "first", "keras", "BertModel", tiny_config(**changes))
    with pytest.raises(CheckpointError, match=message):
        convert(first, tmp_path / "out", "keras_hub")
    assert [p.name for p in tmp_path.iterdir()] == ["first"]


def test_a_masked_lm_head_is_refused_with_what_differs(tmp_path):
    first = write_fake(tmp_path / "first", "google", "BertForMaskedLM")
    message = (
        "masked_lm_act=gelu, masked_lm_layer_norm_eps=1e-05, which are constants of "
        "the head of KerasHub's BertMaskedLM. Received: "
        "masked_lm_act=gelu_new, masked_lm_layer_norm_eps=1e-12"
    )
    with pytest.raises(CheckpointError, match=message):
        convert(first, tmp_path / "out", "keras_hub")
    report = convert(first, tmp_path / "out", "keras_hub", drop=["masked_lm"])
    assert report.parts == ["encoder"]


@pytest.mark.parametrize("to", ["google", "huggingface", "model_garden"])
def test_keras_hubs_masked_lm_head_has_no_equal_elsewhere(to, tmp_path):
    source = shared("goldens", "kh_masked_lm")
    message = r"\(gelu_new, 1e-12\), as .* Received one with gelu and 1e-05"
    with pytest.raises(CheckpointError, match=message):
        convert(source, tmp_path / "out", to)
    convert(source, tmp_path / "out", to, drop=["masked_lm"])
    config = formats.read(tmp_path / "out").config
    assert (config.transform_act, config.transform_eps) == ("gelu_new", 1e-12)


@pytest.mark.parametrize(
    "head, weight",
    [
        ("BertForQuestionAnswering", "qa_outputs/kernel"),
        ("BertForTokenClassification", "classifier/kernel"),
        ("BertForMultipleChoice", "classifier/bias"),
        ("BertForNextSentencePrediction", "next_sentence/kernel"),
    ],
)
def test_heads_without_a_place_are_named(head, weight, tmp_path):
    first = write_fake(tmp_path / "first", "keras", head)
    with pytest.raises(CheckpointError, match=f"no place for .*{weight}"):
        convert(first, tmp_path / "out", "keras_hub")


# === Damage ===


def _edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "file, change, message",
    [
        ("config.json", {"class_name": "RobertaBackbone"}, "Received: RobertaBackbone"),
        ("config.json", {"config": [1]}, "Expected a KerasHub BertBackbone"),
        ("task.json", {"class_name": "BertGenerator"}, "Received: BertGenerator"),
    ],
)
def test_presets_of_something_else(file, change, message, tmp_path):
    folder = _preset(tmp_path, "BertForSequenceClassification")
    _edit(folder / file, lambda content: content.update(change))
    with pytest.raises(CheckpointError, match=message):
        formats.read(folder)


def test_a_classifier_that_returns_probabilities_is_refused(tmp_path):
    folder = _preset(tmp_path, "BertForSequenceClassification")
    _edit(folder / "task.json", lambda c: c["config"].update(activation="softmax"))
    with pytest.raises(CheckpointError, match="activation='softmax'"):
        formats.read(folder)


@pytest.mark.parametrize("file", [preset.WEIGHTS, preset.TASK_WEIGHTS])
def test_a_lost_or_unknown_tensor_is_named(file, tmp_path):
    folder = _preset(tmp_path, "BertForSequenceClassification")
    with h5py.File(folder / file, "a") as weights:
        weights["layers/dense/vars/7"] = weights["layers/dense/vars/1"][()]
        del weights["layers/dense/vars/1"]
    missing = "logits/bias" if file == preset.TASK_WEIGHTS else "pooled_dense/bias"
    with pytest.raises(CheckpointError, match=f"Missing: {missing}.*Unexpected: .*/7"):
        convert(folder, tmp_path / "out", "keras")


def test_a_task_without_its_weights(tmp_path):
    folder = _preset(tmp_path, "BertForSequenceClassification")
    (folder / preset.TASK_WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match="Missing: logits/kernel"):
        convert(folder, tmp_path / "out", "keras")


@pytest.mark.parametrize("keep", [0, 0.4, 0.99])
def test_a_file_cut_short(keep, tmp_path):
    folder = _preset(tmp_path, "BertModel")
    content = (folder / preset.WEIGHTS).read_bytes()
    (folder / preset.WEIGHTS).write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(CheckpointError, match=r"damaged|Missing"):
        convert(folder, tmp_path / "out", "keras")
