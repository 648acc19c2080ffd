"""Models in the files of other runtimes: equal to Keras, whole, small."""

import json
import sys

import keras
import numpy as np
import pytest

import keras_bert
from keras_bert import BertTokenizer, SentenceEncoder
from keras_bert.cli import main
from keras_bert.errors import (
    CheckpointError,
    ConfigError,
    ExistingOutputError,
    InputError,
    MissingExtraError,
    MissingFileError,
    UnknownNameError,
)
from keras_bert.extras import require
from keras_bert.features import SERVED_INPUTS
from keras_bert.sentence_recipe import POOLINGS, UNIT_LENGTH, SentenceRecipe, Step
from keras_bert.serving.runtimes import export, exporting, load
from keras_bert.serving.runtimes.exporting import difference, own_outputs, probe
from tests.bounds import assert_close, bound
from tests.extras import needs
from tests.serving.cases import CASES, CONFIG, TEXTS, VOCAB, at_tokens, make_model

# What a test needs, by the format it is about.
NEEDED = {
    "onnx": ("onnx", "onnxruntime"),
    "openvino": ("onnx", "openvino"),
    "litert": ("ai_edge_litert",),
}
LENGTH = 11  # of LiteRT's rows


def options(name):
    return {"length": LENGTH} if name == "litert" else {}


def inputs_of(case, rows=3, seq=13, holes=True):
    """Rows with padding at the end, one with a hole, one of padding alone."""
    rng = np.random.default_rng(rows)
    shape = (rows, 4, seq) if case == "choices" else (rows, seq)
    mask = np.ones(shape, "int32")
    mask[rows // 2, ..., seq // 2 :] = 0
    if holes:
        mask[0, ..., seq - 2] = 0
    return {
        "input_ids": rng.integers(0, CONFIG.vocab_size, shape).astype("int32"),
        "attention_mask": mask,
        "token_type_ids": rng.integers(0, 2, shape).astype("int32"),
    }


# === Equal to Keras ===


@pytest.mark.parametrize("case", CASES)
def test_onnx_equals_keras_at_any_size(case, tmp_path):
    needs(*NEEDED["onnx"])
    model = make_model(case)
    run = load(export(model, tmp_path / "onnx", "onnx"))
    assert run.shape == (None,) * (3 if case == "choices" else 2)
    for rows, seq in ((3, 13), (1, 1), (5, CONFIG.max_position_embeddings)):
        inputs = inputs_of(case, rows, seq, holes=seq > 1)
        written, own = run(inputs), own_outputs(model, inputs)
        assert set(written) == CASES[case][2]
        for name, value in own.items():
            assert written[name].dtype == np.float32
            assert written[name].shape == value.shape
            mask = inputs["attention_mask"]
            assert_close(at_tokens(written[name], mask), at_tokens(value, mask))


@pytest.mark.parametrize("case", ["answers"])
def test_openvino_equals_keras(case, tmp_path):
    needs(*NEEDED["openvino"])
    model, inputs = make_model(case), inputs_of(case)
    path = export(model, tmp_path / "served", "openvino")
    assert path == tmp_path / "served" / "1"  # as model servers want it
    own = own_outputs(model, inputs)
    assert difference(load(path)(inputs), own, inputs["attention_mask"]) <= bound()
    narrow = load(path, precision="bfloat16")(inputs)
    assert difference(narrow, own, inputs["attention_mask"]) < 0.05
    with pytest.raises(UnknownNameError, match="bfloat16"):
        load(path, precision="bf16")
    assert export(model, tmp_path / "served", "openvino").name == "2"


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_vectors_are_made_by_other_runtimes_too(name, tmp_path):
    needs(*NEEDED[name])
    encoder, inputs = make_model("encoder"), inputs_of("encoder")
    steps = Step("Dense", 7, "tanh"), Step("Dense", 5, "gelu", bias=False), UNIT_LENGTH
    model = SentenceEncoder.of(encoder, SentenceRecipe(POOLINGS, steps))
    own = own_outputs(model, inputs)
    run = load(export(model, tmp_path / name, name))
    assert difference(run(inputs), own, inputs["attention_mask"]) <= bound()
    options = {"embeddings": "mean", "normalize": True}
    run = load(export(encoder, tmp_path / "mean", name, **options))
    assert list(run(inputs)) == ["embeddings"]
    lengths = np.linalg.norm(run(inputs)["embeddings"][:2], axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-6)


@pytest.mark.parametrize("case", ["masked_lm", "tokens"])
def test_litert_equals_keras_on_rows_of_its_length(case, tmp_path):
    needs(*NEEDED["litert"])
    model = make_model(case)
    run = load(export(model, tmp_path / "lite", "litert", length=LENGTH))
    assert run.shape == (1, LENGTH)
    inputs = inputs_of(case, 1, LENGTH)
    inputs["attention_mask"][:, 7:] = 0
    own = own_outputs(model, inputs)
    assert difference(run(inputs), own, inputs["attention_mask"]) <= bound()


@pytest.mark.parametrize("act", ["gelu", "gelu_new", "relu", "silu", "tanh"])
def test_activations(act, tmp_path):
    needs(*NEEDED["onnx"])
    # Above the rounding of one is where the two forms of gelu differ.
    config = CONFIG.replace(hidden_act=act, initializer_range=2.0)
    model = keras_bert.BertForMaskedLM(config, seed=3)
    inputs = inputs_of("masked_lm")
    run = load(export(model, tmp_path / "onnx", "onnx"))
    own = own_outputs(model, inputs)
    assert difference(run(inputs), own, inputs["attention_mask"]) <= bound()


def test_narrow_tables_and_packed_rows(tmp_path):
    needs(*NEEDED["onnx"])
    config = CONFIG.replace(embedding_size=5)
    model = keras_bert.BertForPreTraining(config, seed=3)
    inputs = inputs_of("pretraining", holes=False)
    inputs["attention_mask"][2] = [1] * 4 + [2] * 6 + [0] * 3
    run = load(export(model, tmp_path / "onnx", "onnx"))
    own = own_outputs(model, inputs)
    assert difference(run(inputs), own, inputs["attention_mask"]) <= bound()


def test_mixed_precision_is_exported_in_float32(tmp_path):
    needs(*NEEDED["onnx"])
    narrow = keras_bert.BertModel(CONFIG, dtype="mixed_float16", seed=3)
    wide = keras_bert.BertModel(CONFIG, seed=3)
    inputs = inputs_of("encoder")
    from keras_bert.serving.runtimes.onnx_export import onnx_model

    (tmp_path / "model.onnx").write_bytes(onnx_model(narrow).SerializeToString())
    own = own_outputs(wide, inputs)
    assert difference(load(tmp_path)(inputs), own, inputs["attention_mask"]) <= bound(
        own
    )


def test_no_rows_and_rows_of_padding(tmp_path):
    needs(*NEEDED["onnx"])
    model = make_model("answers")
    run = load(export(model, tmp_path / "onnx", "onnx"))
    none = {name: np.zeros((0, 9), np.int32) for name in SERVED_INPUTS}
    assert run(none)["start_logits"].shape == (0, 9)
    inputs = inputs_of("answers")
    inputs["attention_mask"][1] = 0
    padding = run(inputs)["end_logits"]
    assert np.isfinite(padding).all()
    assert (padding[1, 1:] == -1e9).all() and padding[1, 0] > -1e3


# === Files ===


def test_every_weight_once_and_vocabulary_beside(tmp_path):
    needs(*NEEDED["onnx"])
    import onnx

    model, tokenizer = make_model("pretraining"), BertTokenizer(VOCAB)
    path = export(model, tmp_path / "onnx", "onnx", tokenizer)
    proto = onnx.load(path / "model.onnx")
    floats = [
        np.prod(tensor.dims)
        for tensor in proto.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and tensor.dims
    ]
    seed = sum("seed" in weight.path for weight in model.weights) * 2
    assert sum(floats) == model.count_params() - seed
    assert [opset.version for opset in proto.opset_import] == [20]
    assert BertTokenizer.from_pretrained(path).vocab == tokenizer.vocab
    config = json.loads((path / "config.json").read_text())
    assert config["architectures"] == ["BertForPreTraining"]
    assert config["vocab_size"] == CONFIG.vocab_size


def test_large_weights_lie_beside_the_graph(tmp_path, monkeypatch):
    needs(*NEEDED["onnx"])
    from keras_bert.serving.runtimes import onnx_export

    monkeypatch.setattr(onnx_export, "LARGEST_FILE", 0)
    model, inputs = make_model("encoder"), inputs_of("encoder")
    path = export(model, tmp_path / "onnx", "onnx")
    assert (path / "model.onnx.data").exists()
    own = own_outputs(model, inputs)
    assert difference(load(path)(inputs), own, inputs["attention_mask"]) <= bound()


def test_a_weight_beyond_the_format_is_refused(tmp_path, monkeypatch):
    needs("onnx")
    from keras_bert.serving.runtimes import onnx_graph

    monkeypatch.setattr(onnx_graph, "LARGEST", 100)
    with pytest.raises(ConfigError, match="below 2 GiB each"):
        export(make_model("classes"), tmp_path / "out", "onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["onnx", "litert"])
def test_nothing_is_replaced_unasked(name, tmp_path):
    needs(*NEEDED[name])
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "mine.txt").write_text("kept")
    with pytest.raises(ExistingOutputError, match="holds files"):
        export(make_model("classes"), tmp_path / "here", name, **options(name))
    assert (tmp_path / "here" / "mine.txt").read_text() == "kept"
    export(make_model("score"), tmp_path / "here", "onnx", overwrite=True)
    assert not (tmp_path / "here" / "mine.txt").exists()


@pytest.mark.parametrize("name", ["onnx", "litert"])
def test_a_wrong_model_is_not_written(name, tmp_path, monkeypatch):
    needs(*NEEDED[name])
    wrong = lambda model, inputs: {  # noqa: E731
        name: value + 1e-3 for name, value in own_outputs(model, inputs).items()
    }
    monkeypatch.setattr(exporting, "own_outputs", wrong)
    with pytest.raises(CheckpointError, match="Nothing is written"):
        export(make_model("classes"), tmp_path / "out", name, **options(name))
    assert list(tmp_path.iterdir()) == []


# === Eight bits ===


@pytest.mark.parametrize(
    "name, precision",
    [
        ("onnx", "int8_dynamic"),
        ("onnx", "int8"),
        pytest.param("openvino", "int8_weights", marks=pytest.mark.slow),
        pytest.param("openvino", "int8", marks=pytest.mark.slow),
    ],
)
def test_eight_bits_are_smaller_and_near(name, precision, tmp_path):
    needs(*NEEDED[name], *(["nncf"] if name == "openvino" else []))
    model = keras_bert.BertForSequenceClassification(
        CONFIG.replace(vocab_size=99, hidden_size=36, intermediate_size=700), seed=7
    )
    inputs = probe(model)
    calibration = [inputs] if precision == "int8" else []
    wide = export(model, tmp_path / "wide", name)
    path = export(
        model, tmp_path / "narrow", name, precision=precision, calibration=calibration
    )
    apart = difference(
        load(path)(inputs), own_outputs(model, inputs), inputs["attention_mask"]
    )
    assert 1e-6 < apart < 0.2  # not what it was, and no other model
    assert size_of(path) < 0.8 * size_of(wide)


def size_of(path):
    return sum(file.stat().st_size for file in path.iterdir())


def test_calibration_needs_rows(tmp_path):
    with pytest.raises(InputError, match="calibrate"):
        export(make_model("classes"), tmp_path / "out", "onnx", precision="int8")


# === Refusals ===


def test_unknown_formats_and_precisions(tmp_path):
    model = make_model("classes")
    with pytest.raises(UnknownNameError, match="onnx"):
        export(model, tmp_path / "out", "onxx")
    with pytest.raises(UnknownNameError, match="int8_dynamic"):
        export(model, tmp_path / "out", "onnx", precision="int4")
    with pytest.raises(ConfigError, match="any length"):
        export(model, tmp_path / "out", "onnx", length=7)
    with pytest.raises(ConfigError, match=r"from 1 to 23 \(max_position_embeddings\)"):
        export(model, tmp_path / "out", "litert", length=24)
    with pytest.raises(MissingFileError, match=r"model\.onnx"):
        load(tmp_path)


def test_heads_of_others_are_exported(tmp_path):
    needs(*NEEDED["onnx"])

    class Model(keras_bert.BertForSequenceClassification):
        def outputs(self, encoded, inputs, training):
            logits = super().outputs(encoded, inputs, training)["logits"]
            return {"logits": keras.ops.sin(logits) + keras.ops.sum(logits)}

    model, inputs = Model(CONFIG, seed=3), inputs_of("classes")
    run = load(export(model, tmp_path / "onnx", "onnx"))
    own = own_outputs(model, inputs)
    assert difference(run(inputs), own, inputs["attention_mask"]) < 1e-5


def test_unknown_operations_are_refused(tmp_path):
    needs("onnx")

    class Model(keras_bert.BertForSequenceClassification):
        def outputs(self, encoded, inputs, training):
            logits = super().outputs(encoded, inputs, training)["logits"]
            return {"logits": keras.ops.arctan(logits)}

    with pytest.raises(ConfigError, match="Received: Atan, as"):
        export(Model(CONFIG), tmp_path / "out", "onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"bert-for-keras\[openvino\]"):
        require("openvino")


def test_a_saved_model_brings_the_operations_on_text(tmp_path, monkeypatch):
    from keras_bert.serving.export import export as export_saved_model

    model, inputs = make_model("classes"), inputs_of("classes", holes=False)
    path = export_saved_model(model, tmp_path)
    monkeypatch.delitem(sys.modules, "tensorflow_text", raising=False)
    received = load(path)(inputs)["logits"]
    assert_close(received, model(inputs).numpy())
    # Without it a version with signatures on text does not load.
    assert "tensorflow_text" in sys.modules


def test_openvino_reports_nothing_to_its_makers():
    needs(*NEEDED["openvino"])
    require("openvino")
    from openvino.tools.ovc import telemetry_utils

    assert telemetry_utils.tm.__name__.endswith("telemetry_stub")


def test_answers_of_ids_out_of_range_are_nan(tmp_path):
    needs(*NEEDED["onnx"])
    run = load(export(make_model("classes"), tmp_path / "onnx", "onnx"))
    for value in (CONFIG.vocab_size, -1):
        inputs = inputs_of("classes")
        inputs["input_ids"][0, 0] = value
        assert np.isnan(run(inputs)["logits"][0]).all()
    longer = np.ones((2, CONFIG.max_position_embeddings + 1), "int32")
    answers = run(dict.fromkeys(inputs, longer))["logits"]
    assert np.isnan(answers).all()


def test_from_text_to_answer(tmp_path):
    needs(*NEEDED["onnx"])
    model, tokenizer = make_model("classes"), BertTokenizer(VOCAB)
    path = export(model, tmp_path / "onnx", "onnx", tokenizer)
    batch = BertTokenizer.from_pretrained(path)(TEXTS)
    assert_close(load(path)(batch)["logits"], np.asarray(model(batch)))


# === The command ===


def test_the_command_writes_other_formats(tmp_path, capsys):
    needs(*NEEDED["onnx"])
    checkpoint, texts = tmp_path / "model", tmp_path / "texts.txt"
    make_model("classes").save_pretrained(checkpoint, tokenizer=BertTokenizer(VOCAB))
    texts.write_text("\n".join(TEXTS))
    command = ["export", "--model", str(checkpoint), "--format", "onnx", "--output"]
    labels = ["--labels", "bad", "fair", "good"]
    assert main([*command, str(tmp_path / "wide"), *labels]) == 0
    assert f"Wrote {tmp_path / 'wide'}" in capsys.readouterr().out
    config = json.loads((tmp_path / "wide" / "config.json").read_text())
    assert config["id2label"] == {"0": "bad", "1": "fair", "2": "good"}
    narrow = ["--precision", "int8", "--calibrate", str(texts), "--max-length", "9"]
    assert main([*command, str(tmp_path / "narrow"), *narrow]) == 0
    for wrong, said in (
        (["--pairs"], "--pairs"),
        (["--precision", "int8"], "calibrate"),
        (["--labels", "one"], "3 labels"),
        (["--precision", "int8", "--calibrate", str(tmp_path / "no")], "none is there"),
    ):
        assert main([*command, str(tmp_path / "wrong"), *wrong]) == 2
        assert said in capsys.readouterr().err
    saved_model = ["export", "--model", str(checkpoint), "--precision", "int8"]
    assert main([*saved_model, "--output", str(tmp_path / "wrong")]) == 2
    assert "--format onnx" in capsys.readouterr().err
    assert not (tmp_path / "wrong").exists()


# === Keras' own eight and four bits ===


@pytest.mark.parametrize(
    "mode, near", [("int8", 0.1), pytest.param("int4", 0.6, marks=pytest.mark.slow)]
)
def test_quantized_keras_models_are_saved_loaded_and_served(mode, near, tmp_path):
    from keras_bert.serving.export import export as export_saved_model

    model = make_model("classes")
    inputs = inputs_of("classes", holes=False)
    before = model.predict(inputs, verbose=0)
    model.quantize(mode)
    after = np.asarray(model(inputs))
    assert 1e-6 < np.abs(after - before).max() < near
    dtypes = {v.path: str(v.dtype) for v in model.weights}
    assert dtypes["layer_0/attention/query/kernel"] == "int8"
    assert dtypes["embeddings/word_embeddings/embeddings"] == "int8"
    assert_close(model.predict(inputs, verbose=0), after)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(np.asarray(again(inputs)), after)
    served = load(export_saved_model(model, tmp_path / "served"))
    assert_close(served(inputs)["logits"], after)


def test_what_quantized_models_refuse(tmp_path):
    model = make_model("masked_lm")
    for mode in ("int9", "float8"):
        with pytest.raises(UnknownNameError, match=mode):
            model.quantize(mode)
    model.quantize("int8")
    with pytest.raises(ConfigError, match="Load it again"):
        model.quantize("int4")
    with pytest.raises(ConfigError, match="before it is quantized"):
        model.save_pretrained(tmp_path / "out")
    needs("onnx")
    with pytest.raises(ConfigError, match="quantize for the runtime"):
        export(model, tmp_path / "out", "onnx")
    assert list(tmp_path.iterdir()) == []
