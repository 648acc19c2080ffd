"""The Model Garden's checkpoints: graphs of objects, spellings, what is no weight."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_bert.checkpoints import bundle, convert, formats, placeholder, reference
from keras_bert.checkpoints.checkpoint import Tensor
from keras_bert.checkpoints.formats import model_garden
from keras_bert.checkpoints.matching import resolve_contents
from keras_bert.checkpoints.object_graph import KEY, SUFFIX, Node, ObjectGraph
from keras_bert.errors import CheckpointError
from keras_bert.families import bert
from tests.bounds import assert_close
from tests.checkpoints.fakes import (
    VOCABULARY,
    assert_same_bits,
    holds,
    tiny_config,
    values,
    write_fake,
)
from tests.paths import shared

HUB = ("data", "checkpoints", "tf2_model_garden_savedmodel_bert_hub")
HEADS = [head for head in bert.BERT.models if holds("model_garden", head)]


def _rewrite(folder: Path, change) -> Path:
    """Changes the graph, or the tensors by key, of a checkpoint."""
    stored = bundle.read(folder / model_garden.PREFIX)
    arrays = {name: Tensor.of(tensor.load()) for name, tensor in stored.items()}
    graph = ObjectGraph.decode(arrays.pop(KEY).load().item())
    graph = change(graph, arrays) or graph
    arrays[KEY] = Tensor.of(np.array(graph.encode(), object))
    bundle.write(folder / model_garden.PREFIX, arrays)
    return folder


def _encoder(graph: ObjectGraph) -> dict[str, int]:
    return graph.nodes[graph.walk(0, "encoder")].children


# === Spellings ===


def _numbers_alone(graph, arrays):
    children = _encoder(graph)
    for name in [n for n in children if not n.startswith("layer_with_weights")]:
        del children[name]


def _names_alone(graph, arrays):
    children = _encoder(graph)
    for name in [n for n in children if n.startswith("layer_with_weights")]:
        del children[name]


def _of_2019(graph, arrays):
    _numbers_alone(graph, arrays)
    for node in graph.having("_attention_layer"):
        children = graph.nodes[node].children
        attention = graph.nodes[children["_attention_layer"]].children
        children["_attention_output_dense"] = attention.pop("_output_dense")


def _under_model_alone(graph, arrays):
    del graph.nodes[0].children["encoder"]


def _by_the_graph_alone(change):
    """Makes a change and gives values keys that do not say where they belong."""

    def both(graph, arrays):
        change(graph, arrays)
        for number, node in enumerate(graph.nodes):
            if node.key in arrays:
                key = f"variable_{number}{SUFFIX}"
                arrays[key] = arrays.pop(node.key)
                node.key = key

    return both


@pytest.mark.parametrize("embedding_size", [None, 9])
@pytest.mark.parametrize("spell", [_numbers_alone, _names_alone, _of_2019])
def test_an_encoder_is_found_by_any_spelling(spell, embedding_size, tmp_path):
    config = tiny_config(embedding_size=embedding_size)
    path = write_fake(tmp_path / "first", "model_garden", "BertModel", config)
    expected = values(path)
    assert_same_bits(expected, values(_rewrite(path, _by_the_graph_alone(spell))))


@pytest.mark.parametrize("head", HEADS)
def test_an_encoder_is_found_by_its_model(head, tmp_path):
    path = write_fake(tmp_path / "first", "model_garden", head)
    expected = values(path)
    change = _by_the_graph_alone(_under_model_alone)
    assert_same_bits(expected, values(_rewrite(path, change)))


@pytest.mark.parametrize("head", HEADS)
def test_a_class_follows_from_its_output_layers(head, tmp_path):
    path = write_fake(tmp_path / "first", "model_garden", head)
    for said in (None, "BertForMaskedLM"):
        config = json.loads((path / "bert_config.json").read_text())
        config["architectures"] = [said]
        (path / "bert_config.json").write_text(json.dumps(config))
        found = resolve_contents(formats.read(path)).head
        assert bert.BERT.parts_of(found)[1:] == bert.BERT.parts_of(head)[1:]


def test_a_token_classifier_is_not_one_of_rows(tmp_path):
    head = "BertForTokenClassification"
    path = write_fake(tmp_path / "first", "model_garden", head)
    with pytest.raises(CheckpointError, match=r"Missing: .*out_proj/kernel"):
        convert(path, tmp_path / "out", "keras", head="sequence_classification")


# === Sizes ===


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("embedding_size", [None, 9])
def test_sizes_are_read_off_the_weights(head, embedding_size, tmp_path):
    config = tiny_config(embedding_size=embedding_size, type_vocab_size=5)
    path = write_fake(tmp_path / "first", "model_garden", head, config)
    (path / "bert_config.json").unlink()
    checkpoint = formats.read(path)
    resolve_contents(checkpoint)
    parts = {*bert.BERT.parts_of(head)}
    classes = 7 if {"sequence_classifier", "token_classifier"} & parts else 2
    assert checkpoint.config == config.replace(num_labels=classes)
    assert formats.read(path, gelu="erf").config.hidden_act == "gelu"


def test_a_config_knows_nothing_of_the_embeddings_width(tmp_path):
    config = tiny_config(embedding_size=9, type_vocab_size=5)
    path = write_fake(tmp_path / "first", "model_garden", "BertModel", config)
    written = json.loads((path / "bert_config.json").read_text())
    del written["embedding_size"]
    written["type_vocab_size"] = 2
    (path / "bert_config.json").write_text(json.dumps(written))
    assert formats.read(path).config == config


def test_a_weight_of_another_rank_is_refused(tmp_path):
    def change(tensors):
        name = "encoder/_position_embedding_layer/embeddings"
        tensors[name] = Tensor.of(np.zeros((11, 3, 5), "float32"))

    with pytest.raises(CheckpointError, match=r"to have 2 dimensions.*\(11, 3, 5\)"):
        write_fake(tmp_path / "first", "model_garden", change=change)
        formats.read(tmp_path / "first")


# === What is no weight ===


def test_a_pretrainer_trains_a_pooler_of_its_own():
    folder = shared("goldens", "mg_pretrainer_v2")
    checkpoint = formats.read(folder)
    own = {n: why for n, why in checkpoint.ignored.items() if "pooler" in n}
    place = "model/encoder_network/_pooler_layer"
    assert own.keys() == {f"{place}/kernel", f"{place}/bias"}
    assert all("next_sentence..pooler_dense is the trained" in w for w in own.values())
    stored = bundle.read(folder / "ckpt-1")
    for last in ("kernel", "bias"):
        trained = stored[f"next_sentence..pooler_dense/{last}{SUFFIX}"].load()
        found = checkpoint.tensors[f"encoder/_pooler_layer/{last}"].load()
        np.testing.assert_array_equal(found, trained)


def test_everything_that_is_no_weight_is_named():
    checkpoint = formats.read(shared("goldens", "mg_token_drop"))
    assert checkpoint.ignored == {
        "save_counter": "number of the checkpoint",
        "encoder/_token_importance_embed/importance_embed": "token importance, for "
        "training that drops tokens",
    }


def test_every_tensor_of_the_goldens_is_accounted_for():
    for folder in shared("goldens").glob("mg_*"):
        stored = bundle.read(model_garden.google.find_prefix(folder))
        checkpoint = formats.read(folder)
        parts = (checkpoint.tensors, checkpoint.ignored, checkpoint.optimizer)
        assert len(stored) - 1 == sum(map(len, parts)), folder.name
        resolve_contents(checkpoint)


def test_the_optimizers_state_survives_googles_format(tmp_path):
    source = shared("goldens", "mg_pretrainer_v2")
    report = convert(source, tmp_path / "google", "google")
    assert report.optimizer == {"adam_m": 46, "adam_v": 46, "global_step": 1}
    convert(tmp_path / "google", tmp_path / "back", "model_garden")
    before, after = (
        {n: t.load() for n, t in formats.read(path).optimizer.items()}
        for path in (source, tmp_path / "back")
    )
    assert before["global_step"] == 6
    assert_same_bits(before, after)


def test_an_unknown_variable_is_unexpected(tmp_path):
    def change(graph, arrays):
        key = f"encoder/adapter/kernel{SUFFIX}"
        graph.add("encoder/adapter/kernel", key)
        arrays[key] = Tensor.of(np.zeros(3, "float32"))

    path = write_fake(tmp_path / "first", "model_garden", "BertModel")
    _rewrite(path, change)
    with pytest.raises(CheckpointError, match="Unexpected: encoder/adapter/kernel"):
        convert(path, tmp_path / "out", "keras")


# === A pooler for those who cannot be without ===


def test_zeros_stand_for_a_pooler(tmp_path):
    first = write_fake(tmp_path / "first", "huggingface", "BertForTokenClassification")
    report = convert(first, tmp_path / "there", "model_garden")
    assert any("zeros are written for it" in text for text in report.warnings)
    stored = bundle.read(tmp_path / "there" / model_garden.PREFIX)
    kernel = stored[f"encoder/_pooler_layer/kernel{SUFFIX}"].load()
    assert kernel.shape == (15, 15) and not kernel.any()
    there = formats.read(tmp_path / "there")
    assert [*there.ignored.values()].count(placeholder.REASON) == 2
    convert(tmp_path / "there", tmp_path / "back", "huggingface")
    assert_same_bits(values(first), values(tmp_path / "back"))


def test_a_pooler_of_small_numbers_is_a_pooler(tmp_path):
    def change(tensors):
        for last in ("kernel", "bias"):
            tensors[f"encoder/_pooler_layer/{last}"].load()[...] = 0
        tensors["encoder/_pooler_layer/kernel"].load()[2, 3] = 1e-30

    path = write_fake(tmp_path / "first", "model_garden", "BertModel", change=change)
    assert resolve_contents(formats.read(path)).parts == ["encoder", "pooler"]


def test_next_sentence_alone_is_no_model_of_theirs(tmp_path):
    head = "BertForNextSentencePrediction"
    first = write_fake(tmp_path / "first", "keras", head)
    report = convert(first, tmp_path / "out", "model_garden")
    assert any("next-sentence prediction alone" in text for text in report.warnings)


# === TensorFlow restores it ===


def _objects(tree: dict, variables: list | None = None):
    """Trackable objects with these attributes; leaves are shapes of variables.

    Variables are NaN until they are restored, and listed in `variables`.
    """
    import tensorflow as tf

    node = tf.Module()
    for name, value in tree.items():
        made = _objects(value, variables) if isinstance(value, dict) else value
        if isinstance(value, tuple):
            made = tf.Variable(tf.fill(value, np.float32(np.nan)))
            (variables if variables is not None else []).append(made)
        node._track_trackable(made, name)
    return node


def _of_shape(variables: list, shape: tuple[int, ...]):
    return next(v for v in variables if v.shape == shape)


def _dense(*shape: int, bias: tuple[int, ...] | None = None) -> dict:
    return {"kernel": shape, "bias": bias or shape[-1:]}


def _norm(width: int) -> dict:
    return {"gamma": (width,), "beta": (width,)}


def _block() -> dict:
    heads = {
        f"_{name}_dense": _dense(15, 3, 5, bias=(3, 5))
        for name in ("query", "key", "value")
    }
    return {
        "_attention_layer": {**heads, "_output_dense": _dense(3, 5, 15)},
        "_attention_layer_norm": _norm(15),
        "_intermediate_dense": _dense(15, 22),
        "_output_dense": _dense(22, 15),
        "_output_layer_norm": _norm(15),
    }


def _named_encoder() -> dict:
    return {
        "_embedding_layer": {"embeddings": (37, 15)},
        "_position_embedding_layer": {"embeddings": (11, 15)},
        "_type_embedding_layer": {"embeddings": (2, 15)},
        "_embedding_norm_layer": _norm(15),
        "_transformer_layers": {"0": _block(), "1": _block()},
        "_pooler_layer": _dense(15, 15),
    }


def _numbered_encoder() -> dict:
    named = _named_encoder()
    blocks = named.pop("_transformer_layers")
    pooler = named.pop("_pooler_layer")
    layers = [*named.values(), *blocks.values(), pooler]
    return {f"layer_with_weights-{i}": layer for i, layer in enumerate(layers)}


def _restore(path: Path, **items):
    import tensorflow as tf

    status = tf.train.Checkpoint(**items).restore(str(path / model_garden.PREFIX))
    status.assert_existing_objects_matched()


@pytest.mark.parametrize("make", [_named_encoder, _numbered_encoder])
@pytest.mark.parametrize("head", HEADS)
def test_tensorflow_restores_an_encoder_with_names_or_numbers(head, make, tmp_path):
    path = write_fake(tmp_path / "first", "model_garden", head)
    variables: list = []
    _restore(path, encoder=_objects(make(), variables))
    assert len(variables) == 39
    assert not any(np.isnan(v.numpy()).any() for v in variables)


def test_tensorflow_restores_a_pretrainer(tmp_path):
    path = write_fake(tmp_path / "first", "model_garden")
    variables: list = []
    encoder = _objects(_named_encoder(), variables)
    table = _of_shape(variables, (37, 15))
    masked: list = []
    masked_lm = _objects(
        {
            "embedding_table": table,
            "dense": _dense(15, 15),
            "layer_norm": _norm(15),
            "output_bias/bias": (37,),
        },
        masked,
    )
    pooled: list = []
    pooler = _objects(_dense(15, 15), pooled)
    heads = _objects({"0": {"dense": pooler, "out_proj": _dense(15, 2)}})
    model = _objects(
        {
            "encoder_network": encoder,
            "masked_lm": masked_lm,
            "classification_heads": heads,
        }
    )
    items = {"encoder": encoder, "masked_lm": masked_lm}
    _restore(path, model=model, **items, **{"next_sentence.pooler_dense": pooler})
    ours = values(path)
    np.testing.assert_array_equal(table, ours["encoder/_embedding_layer/embeddings"])
    bias = _of_shape(masked, (37,))
    np.testing.assert_array_equal(bias, ours["masked_lm/output_bias.Sbias"])
    kernel = _of_shape(pooled, (15, 15))
    np.testing.assert_array_equal(kernel, ours["encoder/_pooler_layer/kernel"])


# === SavedModels ===


def test_a_saved_model_computes_what_its_weights_do():
    import tensorflow as tf

    folder = shared(*HUB)
    checkpoint = formats.read(folder)
    config = checkpoint.config
    assert resolve_contents(checkpoint).parts == ["encoder", "pooler"]
    assert (config.type_vocab_size, config.hidden_act) == (16, "gelu_new")
    probe = reference.probe(config)
    del probe["position_ids"]
    ours = reference.outputs(checkpoint, "BertModel", probe)
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    theirs = signature(
        input_word_ids=tf.constant(probe["input_ids"]),
        input_mask=tf.constant(probe["attention_mask"]),
        input_type_ids=tf.constant(probe["token_type_ids"]),
    )
    found = sorted((v.numpy() for v in theirs.values()), key=np.ndim)
    for name, value in zip(("pooled_output", "sequence_output"), found, strict=True):
        assert_close(ours[name], value, name=name)


def test_a_saved_models_vocabulary_goes_along(tmp_path):
    source = shared(*HUB)
    report = convert(source, tmp_path / "out", "huggingface")
    assert report.ignored == {"do_lower_case": "setting of the tokenizer"}
    vocabulary = (source / "assets" / "uncased_vocab.txt").read_bytes()
    assert (tmp_path / "out" / "vocab.txt").read_bytes() == vocabulary
    described = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert described["do_lower_case"] is True


@pytest.mark.parametrize(
    "operation, expected",
    [(b"Erf", "gelu"), (b"Relu", "relu"), (b"Tanh", "gelu_new"), (b"Erfc", "gelu_new")],
)
def test_a_saved_models_operations_tell_its_activation(operation, expected, tmp_path):
    path = write_fake(tmp_path / "first", "model_garden", "BertModel")
    (path / "bert_config.json").unlink()
    (path / "variables").mkdir()
    for file in path.glob("bert_model.ckpt.*"):
        ending = file.name.removeprefix("bert_model.ckpt")
        shutil.move(file, path / "variables" / f"variables{ending}")
    node = b"\x0a\x03out\x12" + bytes([len(operation)]) + operation
    (path / "saved_model.pb").write_bytes(b"\x08\x01" + node)
    (path / "assets").mkdir()
    (path / "assets" / "cased_vocab.txt").write_text("\n".join(VOCABULARY))
    assert formats.read(path).config.hidden_act == expected
    assert formats.read(path, gelu="tanh").config.hidden_act == "gelu_new"
    assert formats.detect(path) == "model_garden"


# === Damage ===


def _point_outside(graph, arrays):
    graph.nodes[0].children["far"] = 99_999


def _without_a_tensor(graph, arrays):
    del arrays[f"encoder/_pooler_layer/bias{SUFFIX}"]


def _no_encoder(graph, arrays):
    return ObjectGraph([Node()])


@pytest.mark.parametrize(
    "change, message",
    [
        (_point_outside, "refers to objects it does not hold"),
        (_without_a_tensor, r"all objects in .* Missing: encoder/_pooler_layer/bias"),
        (_no_encoder, "the encoder of a Model Garden BERT"),
    ],
)
def test_a_graph_that_makes_no_sense(change, message, tmp_path):
    path = _rewrite(write_fake(tmp_path / "first", "model_garden"), change)
    with pytest.raises(CheckpointError, match=message):
        formats.read(path)


def test_a_graph_may_run_in_circles(tmp_path):
    def change(graph, arrays):
        encoder = graph.walk(0, "encoder")
        graph.link_from(encoder, "self", encoder)
        graph.link_from(encoder, "root", 0)

    path = write_fake(tmp_path / "first", "model_garden", "BertModel")
    expected = values(path)
    assert_same_bits(expected, values(_rewrite(path, change)))


@given(st.binary(max_size=60))
@settings(max_examples=60, deadline=None)
def test_noise_is_a_graph_or_refused(data):
    try:
        graph = ObjectGraph.decode(data)
    except ValueError:
        return
    assert all(
        max(n.children.values(), default=0) < len(graph.nodes) for n in graph.nodes
    )


@given(
    st.lists(
        st.lists(st.sampled_from(["a", "b..c", "d.Se", "7"]), min_size=1, max_size=4),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=60, deadline=None)
def test_paths_survive_bytes(paths):
    graph = ObjectGraph()
    for path in paths:
        graph.add("/".join(path), key="/".join(path))
    again = ObjectGraph.decode(graph.encode())
    for path in paths:
        joined = "/".join(path)
        assert again.nodes[again.walk(0, joined)].key == joined
        assert again.walk(0, f"{joined}/none") is None
