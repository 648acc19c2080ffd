"""The optimizer's state goes along, is left behind by name, or is stripped."""

import json

import numpy as np
import pytest

from keras_bert.checkpoints import convert, formats
from keras_bert.checkpoints.checkpoint import Checkpoint, Tensor
from keras_bert.checkpoints.conversion import save, strip
from keras_bert.checkpoints.inspection import compare, inspect
from keras_bert.cli import main
from keras_bert.errors import CheckpointError
from tests.checkpoints.fakes import (
    COUNTERS,
    SLOTS,
    assert_same_bits,
    fake_tensors,
    tiny_config,
    write_fake,
    write_trained,
)
from tests.paths import shared


def _state(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    return {name: tensor.load() for name, tensor in checkpoint.optimizer.items()}


@pytest.mark.parametrize("kind", SLOTS)
@pytest.mark.parametrize("head", ["BertForPreTraining", "BertForQuestionAnswering"])
def test_state_survives_there_and_back(kind, head, tmp_path):
    first = write_trained(tmp_path / "first", kind, head)
    report = convert(first, tmp_path / "there", "keras")
    convert(tmp_path / "there", tmp_path / "back", "google")
    start, back = formats.read(first), formats.read(tmp_path / "back")
    assert_same_bits(_state(start), _state(back))
    count = len(start.tensors)
    slots = dict.fromkeys(SLOTS[kind], count)
    assert report.optimizer == slots | dict.fromkeys(COUNTERS[kind], 1)
    assert not report.ignored


def test_slots_lie_as_their_weights_do(tmp_path):
    first = write_trained(tmp_path / "first", head="BertForNextSentencePrediction")
    convert(first, tmp_path / "there", "keras")
    there = formats.read(tmp_path / "there")
    for name, tensor in there.tensors.items():
        moment = there.optimizer[f"{name}/adam_v"].load()
        np.testing.assert_array_equal(moment, np.abs(tensor.load()) * 3)
    assert there.optimizer["next_sentence/kernel/adam_m"].shape == (15, 2)
    assert there.optimizer["global_step"].load() == 20


@pytest.mark.parametrize(
    "case",
    ["google_tf1_pretraining", "google_tf1_classifier", "google_tf1_optimizer/end"],
)
def test_state_of_googles_own_training(case, tmp_path):
    source = shared("goldens", case)
    convert(source, tmp_path / "there", "keras")
    convert(tmp_path / "there", tmp_path / "back", "google")
    expected = _state(formats.read(source))
    assert "global_step" in expected
    assert_same_bits(expected, _state(formats.read(tmp_path / "back")))


def test_a_place_that_is_missing_is_said_and_inference_is_one_command(tmp_path, capsys):
    first = write_trained(tmp_path / "first")
    out = str(tmp_path / "out")
    assert main(["convert", str(first), out, "--to", "huggingface"]) == 0
    assert "and 91 more (optimizer state)" in capsys.readouterr().out
    written = json.loads((tmp_path / "out" / "conversion.json").read_text())
    assert len(written["ignored"]) == 93 and written["optimizer"] == {}


def test_state_goes_when_told(tmp_path):
    first = write_trained(tmp_path / "first")
    report = convert(first, tmp_path / "out", "keras", drop=["optimizer"])
    assert report.optimizer == {} and len(report.ignored) == 93
    assert not (tmp_path / "out" / "optimizer.weights.h5").exists()
    with pytest.raises(CheckpointError, match="Received: none"):
        convert(tmp_path / "out", tmp_path / "more", "google", drop=["optimizer"])


def test_a_counter_goes_by_its_name(tmp_path):
    first = write_trained(tmp_path / "first")
    report = convert(first, tmp_path / "out", "keras", drop=["global_step"])
    assert report.ignored == {"global_step": "dropped by request"}
    assert "adam_m" in report.optimizer


def test_slots_of_a_weight_left_behind_stay_with_it(tmp_path):
    first = write_trained(tmp_path / "first")
    report = convert(first, tmp_path / "out", "keras", drop=["next_sentence"])
    assert report.ignored["cls/seq_relationship/output_bias/adam_m"] == (
        "optimizer state"
    )
    assert report.optimizer["adam_m"] == 44
    names = formats.read(tmp_path / "out").optimizer
    assert not any(name.startswith("next_sentence") for name in names)


def test_a_slot_of_another_shape_is_refused(tmp_path):
    first = write_trained(tmp_path / "first")
    config = tiny_config()
    tensors = fake_tensors(config, "BertModel", "google")
    bad = {"bert/pooler/dense/bias/adam_m": Tensor.of(np.zeros(14, "f4"))}
    save(first, "google", config, "BertModel", tensors, optimizer=bad)
    with pytest.raises(CheckpointError, match=r"adam_m .* shape \(15,\)"):
        convert(first, tmp_path / "out", "keras")


# === Stripping and describing ===


@pytest.mark.parametrize("to", ["google", "keras"])
def test_strip_leaves_the_weights_and_says_what_it_saved(to, tmp_path, capsys):
    first = write_trained(tmp_path / "first", to=to)
    before = sum(path.stat().st_size for path in formats.read(first).files)
    assert main(["strip", str(first), str(tmp_path / "out")]) == 0
    out = formats.read(tmp_path / "out")
    assert out.format == to and not out.optimizer
    weights = {n: t.load() for n, t in formats.read(first).tensors.items()}
    assert_same_bits(weights, {n: t.load() for n, t in out.tensors.items()})
    saved = before - sum(path.stat().st_size for path in out.files)
    assert saved > 2 * sum(weight.nbytes for weight in weights.values())
    assert f"Saved {saved:,} bytes." in capsys.readouterr().out
    assert main(["strip", str(tmp_path / "out"), str(tmp_path / "more")]) == 2
    assert "Received: none" in capsys.readouterr().err


def test_strip_needs_no_meta_file(tmp_path):
    source = shared("data", "checkpoints", "tf1_google_run_pretraining_tiny")
    assert inspect(source).optimizer["adam_m"] > 0
    _, saved = strip(source, tmp_path / "out")
    assert saved > 0 and inspect(tmp_path / "out").optimizer == {}


def test_strip_takes_what_keras_numbered(tmp_path):
    import keras

    import keras_bert

    model = keras_bert.BertModel(tiny_config())
    model.compile(optimizer=keras.optimizers.Adam())
    model.save_pretrained(tmp_path / "first")
    model.optimizer.build(model.trainable_variables)
    model.save_weights(tmp_path / "first" / "model.weights.h5")
    assert inspect(tmp_path / "first").optimizer["unnamed"] > 70
    _, saved = strip(tmp_path / "first", tmp_path / "out")
    assert saved > 0 and inspect(tmp_path / "out").optimizer == {}


def test_inspect_names_the_state_and_compares_it(tmp_path):
    first = write_trained(tmp_path / "first")
    found = inspect(first)
    assert found.optimizer == {"adam_m": 46, "adam_v": 46, "global_step": 1}
    assert "46 adam_m, 46 adam_v, 1 global_step" in found.summary()
    assert found.weights == 46 and found.parameters == 4_793
    assert found.size == sum(path.stat().st_size for path in formats.read(first).files)
    strip(first, tmp_path / "out")
    (line,) = compare(first, tmp_path / "out")
    assert line == "optimizer state: 46 adam_m, 46 adam_v, 1 global_step and none"


def test_models_load_beside_the_state(tmp_path):
    import keras_bert

    first = write_trained(tmp_path / "first", to="keras")
    loaded = keras_bert.BertForPreTraining.from_pretrained(first)
    plain = write_fake(tmp_path / "plain", "keras")
    other = keras_bert.BertForPreTraining.from_pretrained(plain)
    one, two = ({v.path: v.numpy() for v in m.weights} for m in (loaded, other))
    assert_same_bits(one, two)
