"""Conversion between every two formats; every tensor accounted for."""

import itertools
import json
import logging

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_bert import axes, families
from keras_bert.checkpoints import (
    conversion,
    convert,
    formats,
    reference,
    safetensors,
    translation,
)
from keras_bert.checkpoints.formats import FORMATS, google, huggingface
from keras_bert.checkpoints.matching import resolve_contents
from keras_bert.checkpoints.translation import rearrange
from keras_bert.errors import CheckpointError, ExistingOutputError, UnknownNameError
from keras_bert.families import bert, family
from keras_bert.families.bert import BertConfig
from keras_bert.families.rows import Placement, Row, expand
from tests.checkpoints.fakes import (
    assert_same_bits,
    config_for,
    contents_of,
    fake_tensors,
    meet,
    tiny_config,
    values,
    write_fake,
)

PAIRS = list(itertools.permutations(FORMATS, 2))
HEADS = bert.BERT.models
MEETING = [(*pair, head) for pair in PAIRS for head in HEADS if meet(*pair, head)]

# === The table ===


def _all_rows(layers: int = 2):
    return {name: expand(rows, layers) for name, rows in bert.BERT.parts.items()}


def test_every_part_has_one_set_of_formats():
    for part in bert.BERT.parts.values():
        rows = [row for row in part if row.option is None]
        for row in rows:
            assert "keras" in row.placements
            assert row.placements.keys() == rows[0].placements.keys()
    everywhere = set(bert.BERT.parts["encoder"][0].placements)
    assert everywhere == {*formats.FORMATS, *formats.READ_ONLY}


@pytest.mark.parametrize("name", formats.ALL)
def test_the_two_places_of_a_weight_hold_the_same_axes(name):
    for row in itertools.chain(*bert.BERT.parts.values()):
        if name in row.placements:
            here, ours = row.placements[name].axes, row.placements["keras"].axes
            assert sorted(axes.names(here)) == sorted(axes.names(ours))


@pytest.mark.parametrize("name", formats.ALL)
def test_names_are_distinct_but_for_the_classifiers(name):
    parts = _all_rows()
    for alike in family.CLASSIFIERS[1:]:
        del parts[alike]
    rows = [row for rows in parts.values() for row in rows if name in row.placements]
    names = [row.placements[name].name for row in rows]
    assert len(set(names)) == len(names)


def test_a_row_of_google_base_counts_as_published():
    config = BertConfig()
    sizes = bert.BERT.sizes(config)
    parts = {
        name: [axes.shape(r.placements["google"].axes, sizes) for r in rows]
        for name, rows in _all_rows(12).items()
        if "google" in rows[0].placements
    }
    counts = {name: sum(map(np.prod, shapes)) for name, shapes in parts.items()}
    assert counts["encoder"] + counts["pooler"] == 109_482_240
    assert counts["masked_lm"] + counts["next_sentence"] == 624_188
    assert len(parts["encoder"]) + len(parts["pooler"]) == 199


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_rearranging_there_and_back_changes_nothing(data):
    sizes = {n: data.draw(st.integers(1, 5)) for n in ("hidden", "heads", "head_dim")}
    layouts = st.permutations(["hidden", "(heads head_dim)"]).map(" ".join)
    one, other = (Placement("w", data.draw(layouts)) for _ in range(2))
    shape = axes.shape(one.axes, sizes)
    value = np.arange(np.prod(shape), dtype="float32").reshape(shape)
    turned = rearrange(value, one, other, sizes)
    assert turned.flags.c_contiguous
    np.testing.assert_array_equal(rearrange(turned, other, one, sizes), value)


# === Every ordered pair of formats ===


@pytest.mark.parametrize("source, target, head", MEETING)
def test_there_and_back_for_every_head(source, target, head, tmp_path):
    config = config_for(head, source, target)
    first = write_fake(tmp_path / "first", source, head, config)
    report = convert(first, tmp_path / "there", target)
    convert(tmp_path / "there", tmp_path / "back", source)
    assert_same_bits(values(first), values(tmp_path / "back"))
    assert report.head == head
    assert formats.read(tmp_path / "there").head in (head, None)
    before, after = formats.read(first).config, formats.read(tmp_path / "back").config
    unlabeled = dict(num_labels=2, id2label=None)  # Hugging Face counts the labels
    assert before.replace(**unlabeled) == after.replace(**unlabeled)
    if {"sequence_classifier", "token_classifier"} & set(bert.BERT.parts_of(head)):
        assert before.labels == after.labels


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ml_dtypes.bfloat16])
@pytest.mark.parametrize("source, target", PAIRS)
def test_dtypes_stay(source, target, dtype, tmp_path):
    first = write_fake(tmp_path / "first", source, "BertModel", dtype=dtype)
    convert(first, tmp_path / "there", target)
    convert(tmp_path / "there", tmp_path / "back", source)
    assert_same_bits(values(first), values(tmp_path / "back"))


@pytest.mark.parametrize("head", ["BertForPreTraining", "BertModel"])
def test_bin_files_hold_what_safetensors_hold(head, tmp_path):
    import torch

    first = write_fake(tmp_path / "first", "google", head)
    convert(first, tmp_path / "safe", "huggingface")
    convert(first, tmp_path / "bin", "huggingface", file_format="bin")
    assert_same_bits(values(tmp_path / "safe"), values(tmp_path / "bin"))
    state = torch.load(tmp_path / "bin" / "pytorch_model.bin", weights_only=True)
    assert ("cls.predictions.decoder.weight" in state) == (head != "BertModel")
    assert ("embeddings.LayerNorm.bias" in state) == (head == "BertModel")


@given(
    seed=st.integers(0, 99),
    layers=st.integers(1, 3),
    heads=st.integers(1, 3),
    head_dim=st.integers(1, 4),
    meeting=st.sampled_from(MEETING),
)
@settings(max_examples=60, deadline=None)
def test_translation_has_an_inverse(seed, layers, heads, head_dim, meeting):
    config = config_for(
        meeting[2],
        num_hidden_layers=layers,
        num_attention_heads=heads,
        hidden_size=heads * head_dim,
    )
    source, target, head = meeting
    rows = [
        row
        for part in bert.BERT.parts_of(head)
        for row in expand(families.of(config).parts[part], layers)
    ]
    tensors = fake_tensors(config, head, source, seed)
    there = translation.translate(tensors, rows, source, target, config)
    back = translation.translate(there, rows, target, source, config)
    assert {n: t.shape for n, t in there.items()} == {
        n: t.load().shape for n, t in there.items()
    }
    assert_same_bits(
        {n: t.load() for n, t in tensors.items()},
        {n: t.load() for n, t in back.items()},
    )


# === Verification ===


@pytest.mark.parametrize("target", ["huggingface", "keras"])
def test_a_turned_matrix_in_the_table_is_noticed(target, tmp_path, monkeypatch):
    first = write_fake(tmp_path / "first", "google")

    right = translation._rearranged

    def turned(tensor, *args):
        made = right(tensor, *args)
        square = len(made.shape) == 2 and made.shape[0] == made.shape[1]
        return made.transposed() if square else made

    monkeypatch.setattr(translation, "_rearranged", turned)
    with pytest.raises(CheckpointError, match="to compute the same"):
        convert(first, tmp_path / "out", target)
    assert [p.name for p in tmp_path.iterdir()] == ["first"]


def test_the_wrong_gelu_is_noticed(tmp_path, monkeypatch):
    first = write_fake(tmp_path / "first", "google")
    right = huggingface.to_hf_config
    wrong = lambda *args: {**right(*args), "hidden_act": "gelu"}  # noqa: E731
    monkeypatch.setattr(huggingface, "to_hf_config", wrong)
    with pytest.raises(CheckpointError, match="to compute the same"):
        convert(first, tmp_path / "out", "huggingface")


def test_the_probe_is_the_same_every_time_and_in_range():
    config = tiny_config()
    one, other = reference.probe(config), reference.probe(config)
    for name, limit in {
        "input_ids": config.vocab_size,
        "token_type_ids": config.type_vocab_size,
        "position_ids": config.max_position_embeddings,
        "attention_mask": 2,
    }.items():
        np.testing.assert_array_equal(one[name], other[name])
        assert one[name].min() >= 0 and one[name].max() < limit
    assert 0 < one["attention_mask"][1].sum() < one["attention_mask"].shape[1]


# === Strictness ===


def _remove(name):
    return lambda tensors: tensors.pop(name)


def _reshape(name):
    def change(tensors):
        array = tensors[name].load()
        tensors[name] = type(tensors[name]).of(np.concatenate([array, array]))

    return change


# A weight of every part, so that a part can never be half there.
SAMPLES = {
    "google": [
        "bert/embeddings/token_type_embeddings",
        "bert/encoder/layer_1/attention/self/key/bias",
        "bert/pooler/dense/bias",
        "cls/predictions/output_bias",
        "cls/seq_relationship/output_weights",
    ],
    "huggingface": [
        "bert.encoder.layer.0.attention.output.LayerNorm.weight",
        "bert.pooler.dense.weight",
        "cls.predictions.transform.dense.bias",
        "cls.seq_relationship.bias",
    ],
    "model_garden": [
        "encoder/_embedding_norm_layer/beta",
        "encoder/_transformer_layers/1/_attention_layer/_output_dense/kernel",
        "masked_lm/output_bias.Sbias",
        "model/classification_heads/0/out_proj/kernel",
    ],
    "keras": [
        "layer_1/feed_forward/output_dense/kernel",
        "pooler/dense/kernel",
        "masked_lm/layer_norm/beta",
        "next_sentence/bias",
    ],
}
EACH = [(name, weight) for name, weights in SAMPLES.items() for weight in weights]


@pytest.mark.parametrize("source, weight", EACH)
@pytest.mark.parametrize(
    "change, word", [(_remove, "Missing"), (_reshape, "Misshapen")]
)
def test_a_lost_or_misshapen_tensor_is_named(source, weight, change, word, tmp_path):
    first = write_fake(tmp_path / "first", source, change=change(weight))
    target = "keras" if source != "keras" else "google"
    with pytest.raises(CheckpointError, match=f"{word}: {weight}"):
        convert(first, tmp_path / "out", target)
    assert [p.name for p in tmp_path.iterdir()] == ["first"]


# What a number in the config gives the size of; "num_labels" follows from id2label.
SIZES = {
    "vocab_size": ("word_embeddings", 38),
    "hidden_size": ("attention.self.query", 18),
    "intermediate_size": ("intermediate.dense", 23),
    "max_position_embeddings": ("position_embeddings", 12),
    "type_vocab_size": ("token_type_embeddings", 3),
    "num_labels": ("classifier", 8),
}


@pytest.mark.parametrize("field", SIZES)
def test_a_size_that_differs_names_the_number_it_comes_from(field, tmp_path):
    head = "BertForSequenceClassification"
    first = write_fake(tmp_path / "first", "huggingface", head)
    weight, value = SIZES[field]
    config = json.loads((first / "config.json").read_text())
    config |= {field: value, "id2label": None, "label2id": None}
    (first / "config.json").write_text(json.dumps(config))
    expected = rf"{weight}\.weight: expected \([^:]*\b{field}={value}\b"
    with pytest.raises(CheckpointError, match=expected):
        convert(first, tmp_path / "out", "keras")


def test_an_unexpected_tensor_is_named_and_can_be_dropped(tmp_path):
    def change(tensors):
        tensors["bert/encoder/layer_1/extra"] = tensors["bert/pooler/dense/bias"]

    first = write_fake(tmp_path / "first", "google", change=change)
    with pytest.raises(CheckpointError, match="Unexpected: bert/encoder/layer_1/extra"):
        convert(first, tmp_path / "out", "keras")
    name = "bert/encoder/layer_1/extra"
    report = convert(first, tmp_path / "out", "keras", drop=[name])
    assert report.ignored == {name: "dropped by request"}


def test_a_part_can_be_dropped(tmp_path):
    first = write_fake(tmp_path / "first", "google")
    report = convert(first, tmp_path / "out", "keras", drop=["next_sentence"])
    assert report.head == "BertForMaskedLM"
    assert "cls/seq_relationship/output_bias" in report.ignored
    with pytest.raises(CheckpointError, match="which make a BertForMaskedLM"):
        drop = ["next_sentence"]
        convert(first, tmp_path / "more", "keras", drop=drop, head="pretraining")
    with pytest.raises(CheckpointError, match=r"Missing: bert/pooler/dense/kernel"):
        convert(first, tmp_path / "more", "keras", drop=["pooler"], head="pretraining")
    with pytest.raises(CheckpointError, match="a tensor or a part 'qa'"):
        convert(first, tmp_path / "more", "keras", drop=["qa"])


@pytest.mark.parametrize("part", ["sequence_classifier", "token_classifier"])
def test_an_encoder_is_what_is_left_of_a_classifier(part, tmp_path):
    first = write_fake(tmp_path / "first", "keras", "BertForSequenceClassification")
    report = convert(first, tmp_path / "out", "huggingface", drop=[part])
    assert (report.head, report.parts) == ("BertModel", ["encoder", "pooler"])


@pytest.mark.parametrize("source", ["google", "huggingface", "keras"])
def test_an_encoder_may_have_no_pooler(source, tmp_path):
    first = write_fake(tmp_path / "first", source, "BertModel")
    target = "keras" if source != "keras" else "huggingface"
    report = convert(first, tmp_path / "out", target, drop=["pooler"])
    assert (report.head, report.parts) == ("BertModel", ["encoder"])
    assert not [name for name in values(tmp_path / "out") if "pooler" in name]
    again = convert(tmp_path / "out", tmp_path / "back", source)
    assert (again.head, again.parts) == ("BertModel", ["encoder"])


def test_a_classifier_without_its_pooler_is_not_another_class(tmp_path):
    first = write_fake(tmp_path / "first", "keras", "BertForSequenceClassification")
    with pytest.raises(CheckpointError, match="Missing: pooler/dense/kernel"):
        convert(first, tmp_path / "out", "google", drop=["pooler"])


def test_a_head_asked_for_is_never_ignored(tmp_path):
    first = write_fake(tmp_path / "first", "google")
    with pytest.raises(
        CheckpointError, match="masked_lm, next_sentence, which make a BertForPreT"
    ):
        convert(first, tmp_path / "out", "keras", head="encoder")
    drop = ["masked_lm", "next_sentence"]
    assert convert(
        first, tmp_path / "out", "keras", head="encoder", drop=drop
    ).parts == [
        "encoder",
        "pooler",
    ]


def test_a_nan_in_a_weight_is_noticed(tmp_path):
    def change(tensors):
        array = tensors["pooler/dense/bias"].load()
        array[3] = np.nan

    first = write_fake(tmp_path / "first", "keras", change=change)
    with pytest.raises(CheckpointError, match="pooled_output nan"):
        convert(first, tmp_path / "out", "google")
    convert(first, tmp_path / "out", "google", verify=False)


def test_a_declared_head_that_is_not_there_is_missed(tmp_path):
    first = write_fake(tmp_path / "first", "huggingface", "BertForQuestionAnswering")
    config = json.loads((first / "config.json").read_text())
    config["architectures"] = ["BertForPreTraining"]
    (first / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"Missing.*cls\.seq_relationship"):
        convert(first, tmp_path / "out", "google")


def test_parts_of_no_class_are_refused(tmp_path):
    first = write_fake(tmp_path / "first", "google", "BertForQuestionAnswering")
    config = tiny_config()
    both = fake_tensors(config, "BertForQuestionAnswering", "google") | fake_tensors(
        config, "BertForNextSentencePrediction", "google"
    )
    google.write(first, config, "BertModel", both)
    with pytest.raises(CheckpointError, match="no class has together"):
        convert(first, tmp_path / "out", "keras")


def test_a_wrong_vocabulary_size_names_the_field(tmp_path):
    first = write_fake(tmp_path / "first", "google")
    config = json.loads((first / "bert_config.json").read_text())
    (first / "bert_config.json").write_text(json.dumps(config | {"vocab_size": 36}))
    with pytest.raises(CheckpointError, match=r"\(36, 15\) from vocab_size=36"):
        convert(first, tmp_path / "out", "keras")


def test_integers_are_no_weights(tmp_path):
    def change(tensors):
        name = "bert.pooler.dense.bias"
        tensors[name] = type(tensors[name]).of(np.zeros(15, "int32"))

    first = write_fake(tmp_path / "first", "huggingface", change=change)
    with pytest.raises(
        CheckpointError, match="expected floating point, received int32"
    ):
        convert(first, tmp_path / "out", "google")


def test_a_format_without_a_place_says_which_weights():
    config = tiny_config()
    row = bert.BERT.parts["pooler"][0]
    homeless = Row({"google": row.placements["google"]})
    with pytest.raises(CheckpointError, match="no place for bert/pooler/dense/kernel"):
        translation.translate({}, [homeless], "google", "keras", config)


# === Heads ===


def test_googles_output_weights_are_sequences_unless_told(tmp_path):
    config = tiny_config(num_labels=5)
    first = write_fake(
        tmp_path / "first", "google", "BertForSequenceClassification", config
    )
    plain = json.loads((first / "bert_config.json").read_text())
    bare = {k: plain[k] for k in google.KEYS}
    (first / "bert_config.json").write_text(json.dumps(bare))
    assert formats.read(first).config.num_labels == 5
    assert resolve_contents(formats.read(first)).head == "BertForSequenceClassification"
    report = convert(
        first, tmp_path / "out", "huggingface", head="token_classification"
    )
    assert report.head == "BertForTokenClassification"
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert written["architectures"] == ["BertForTokenClassification"]
    assert written["id2label"]["4"] == "LABEL_4"
    with pytest.raises(UnknownNameError, match="token_classification"):
        formats.read(first, head="token_clasification")


def test_labels_survive_every_format(tmp_path):
    labels = {0: "O", 1: "B-PER", 2: "I-PER"}
    config = tiny_config(id2label=labels, problem_type="single_label_classification")
    head = "BertForTokenClassification"
    path = write_fake(tmp_path / "keras", "keras", head, config)
    for to in ("google", "huggingface", "keras"):
        convert(path, tmp_path / f"to_{to}", to)
        path = tmp_path / f"to_{to}"
        assert formats.read(path).config.id2label == labels
        assert formats.read(path).config.problem_type == config.problem_type
        assert formats.read(path).head == head


def test_a_pooler_beyond_the_class_is_kept_or_dropped(tmp_path):
    config = tiny_config()
    first = write_fake(tmp_path / "first", "google", "BertForQuestionAnswering")
    pooled = fake_tensors(config, "BertModel", "google") | fake_tensors(
        config, "BertForQuestionAnswering", "google"
    )
    google.write(first, config, "BertForQuestionAnswering", pooled)
    report = convert(first, tmp_path / "kept", "huggingface")
    assert "pooler" in report.parts and "unexpected" in report.warnings[0]
    report = convert(first, tmp_path / "dropped", "huggingface", drop=["pooler"])
    assert "pooler" not in report.parts and not report.warnings
    assert report.ignored.keys() == {
        "bert/pooler/dense/kernel",
        "bert/pooler/dense/bias",
    }


# === Spellings of Hugging Face ===


def _spelled(folder, spell, head="BertForPreTraining"):
    def change(tensors):
        for name in list(tensors):
            tensors[spell(name)] = tensors.pop(name)

    path = write_fake(folder, "huggingface", head, change=None)
    tensors = fake_tensors(tiny_config(), head, "huggingface")
    change(tensors)
    safetensors.write(path / "model.safetensors", tensors)
    return path


@pytest.mark.parametrize(
    "spell",
    [
        lambda n: f"module.{n}",
        lambda n: n.removeprefix("bert."),
        lambda n: f"module.{n.removeprefix('bert.')}",
        lambda n: n.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ),
    ],
    ids=["module", "bare", "module bare", "legacy"],
)
def test_spellings_are_read_as_todays(spell, tmp_path):
    path = _spelled(tmp_path / "spelled", spell)
    expected = fake_tensors(tiny_config(), "BertForPreTraining", "huggingface")
    assert_same_bits({n: t.load() for n, t in expected.items()}, values(path))


def test_two_spellings_of_one_weight_are_refused(tmp_path):
    def change(tensors):
        name = "bert.embeddings.LayerNorm.weight"
        tensors["bert.embeddings.LayerNorm.gamma"] = tensors[name]

    path = write_fake(tmp_path / "first", "huggingface", change=change)
    with pytest.raises(CheckpointError, match="under two names"):
        formats.read(path)


def test_buffers_and_tied_copies_are_ignored_by_name(tmp_path):
    def change(tensors):
        of = type(tensors["cls.predictions.bias"]).of
        tensors["bert.embeddings.position_ids"] = of(np.arange(11)[None])
        for copy, original in bert.BERT.ties.items():
            tensors[copy] = tensors[original]

    path = write_fake(tmp_path / "first", "huggingface", change=change)
    report = convert(path, tmp_path / "out", "google")
    assert report.ignored.keys() == {
        "bert.embeddings.position_ids",
        *bert.BERT.ties,
    }


@pytest.mark.parametrize("suffix", [".pt", ".bin"])
def test_a_training_scripts_file_beside_its_config(suffix, tmp_path):
    import torch

    path = write_fake(tmp_path / "first", "huggingface")
    state = {n: torch.from_numpy(a) for n, a in values(path).items()}
    file = path / f"step_7{suffix}"
    torch.save({"state_dict": state}, file)
    assert_same_bits(values(path), values(file))


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_shards(kind, tmp_path):
    import torch
    from safetensors.numpy import save_file

    path = write_fake(tmp_path / "first", "huggingface")
    weights = values(path)
    (path / "model.safetensors").unlink()
    stem = "model" if kind == "safetensors" else "pytorch_model"
    weight_map = {}
    for i, name in enumerate(weights):
        weight_map[name] = f"{stem}-0000{i % 3 + 1}-of-00003.{kind}"
    for file in set(weight_map.values()):
        shard = {n: weights[n] for n in weights if weight_map[n] == file}
        if kind == "safetensors":
            save_file(shard, path / file)
        else:
            torch.save({n: torch.from_numpy(a) for n, a in shard.items()}, path / file)
    main = path / ("model.safetensors" if kind == "safetensors" else f"{stem}.bin")
    index = main.with_name(main.name + ".index.json")
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert_same_bits(weights, values(path))
    assert len(formats.read(path).files) == 3


# === Activations and other numbers ===


@pytest.mark.parametrize(
    "key, option, expected",
    [
        (None, None, "gelu_new"),
        ("erf", None, "gelu"),
        (None, "erf", "gelu"),
        ("erf", "tanh", "gelu_new"),
    ],
)
def test_which_gelu_a_google_checkpoint_means(key, option, expected, tmp_path):
    first = write_fake(tmp_path / "first", "google")
    config = json.loads((first / "bert_config.json").read_text())
    assert config["hidden_act"] == "gelu" and "gelu_form" not in config
    if key:
        config["gelu_form"] = key
    (first / "bert_config.json").write_text(json.dumps(config))
    convert(first, tmp_path / "out", "huggingface", gelu=option)
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert written["hidden_act"] == expected
    assert "gelu_form" not in written


def test_an_erf_model_keeps_its_form_in_googles_and_warns(tmp_path, caplog):
    first = write_fake(
        tmp_path / "first", "keras", config=tiny_config(hidden_act="gelu")
    )
    with caplog.at_level(logging.WARNING):
        report = convert(first, tmp_path / "out", "google")
    assert "gelu_form" in report.warnings[0] and "gelu_form" in caplog.text
    written = json.loads((tmp_path / "out" / "bert_config.json").read_text())
    assert (written["hidden_act"], written["gelu_form"]) == ("gelu", "erf")
    assert formats.read(tmp_path / "out").config.hidden_act == "gelu"


def test_gelu_is_asked_of_google_checkpoints_alone(tmp_path):
    first = write_fake(tmp_path / "first", "keras")
    with pytest.raises(CheckpointError, match="names the form"):
        formats.read(first, gelu="erf")


def test_an_activation_google_has_not_is_refused(tmp_path):
    config = tiny_config(hidden_act="silu")
    first = write_fake(tmp_path / "first", "keras", config=config)
    with pytest.raises(CheckpointError, match="Received: 'silu'"):
        convert(first, tmp_path / "out", "google")


def test_googles_config_holds_googles_keys_and_what_differs(tmp_path):
    first = write_fake(
        tmp_path / "first", "keras", "BertModel", tiny_config(layer_norm_eps=1e-5)
    )
    report = convert(first, tmp_path / "out", "google")
    written = json.loads((tmp_path / "out" / "bert_config.json").read_text())
    assert written.keys() == {*google.KEYS, "layer_norm_eps", "num_labels"}
    assert any("layer_norm_eps=1e-05" in text for text in report.warnings)


# === Outputs ===


def test_an_output_is_never_overwritten_unasked(tmp_path):
    first = write_fake(tmp_path / "first", "google")
    out = tmp_path / "out"
    convert(first, out, "keras")
    before = contents_of(tmp_path)
    with pytest.raises(ExistingOutputError, match="already exists"):
        convert(first, out, "huggingface")
    assert contents_of(tmp_path) == before
    convert(first, out, "huggingface", overwrite=True)
    assert formats.detect(out) == "huggingface"


def test_overwriting_spares_what_is_no_checkpoint(tmp_path):
    first = write_fake(tmp_path / "first", "google")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(ExistingOutputError, match="is not a checkpoint"):
        convert(first, tmp_path / "thesis", "keras", overwrite=True)
    assert (tmp_path / "thesis" / "chapter.txt").exists()


@pytest.mark.parametrize("output", ["first", "."])
def test_the_source_is_never_the_output(output, tmp_path):
    first = write_fake(tmp_path / "first", "google")
    before = contents_of(tmp_path)
    with pytest.raises(ExistingOutputError, match="holds the source"):
        convert(first, tmp_path / output, "keras", overwrite=True)
    assert contents_of(tmp_path) == before


def test_a_failed_overwrite_leaves_the_old_output(tmp_path, monkeypatch):
    first = write_fake(tmp_path / "first", "google")
    convert(first, tmp_path / "out", "keras")
    before = contents_of(tmp_path)
    monkeypatch.setattr(conversion, "verify_outputs", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        convert(first, tmp_path / "out", "huggingface", overwrite=True)
    assert contents_of(tmp_path) == before


def test_the_same_conversion_writes_the_same_bytes(tmp_path):
    first = write_fake(tmp_path / "first", "keras")
    for to in ("google", "huggingface"):
        convert(first, tmp_path / "a" / to, to)
        convert(first, tmp_path / "b" / to, to)
    one, other = contents_of(tmp_path / "a"), contents_of(tmp_path / "b")
    reports = [name for name in one if name.endswith("conversion.json")]
    for name in reports:  # holds the output's path
        del one[name], other[name]
    assert one == other


def test_the_tokenizer_goes_along(tmp_path):
    first = write_fake(tmp_path / "first", "google")
    convert(first, tmp_path / "out", "huggingface")
    vocabulary = (first / "vocab.txt").read_bytes()
    assert (tmp_path / "out" / "vocab.txt").read_bytes() == vocabulary
    settings_file = tmp_path / "out" / "tokenizer_config.json"
    assert json.loads(settings_file.read_text())["do_lower_case"] is True
    (first / "vocab.txt").write_text("[PAD]\n[UNK]\nParis\nparis\n")
    convert(first, tmp_path / "cased", "huggingface")
    settings_file = tmp_path / "cased" / "tokenizer_config.json"
    assert json.loads(settings_file.read_text())["do_lower_case"] is False


def test_the_saver_of_tensorflow_writes_the_same_file(tmp_path):
    import tensorflow.compat.v1 as tf

    first = write_fake(tmp_path / "first", "google", "BertModel")
    with tf.Graph().as_default(), tf.Session() as session:
        for name, value in values(first).items():
            tf.get_variable(name, initializer=value)
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, str(tmp_path / "saver" / google.PREFIX))
    data = f"{google.PREFIX}.data-00000-of-00001"
    assert (first / data).read_bytes() == (tmp_path / "saver" / data).read_bytes()
