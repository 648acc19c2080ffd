"""Vectors of texts: order, prompts, widths, files, scores."""

import dataclasses
import json
import math

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import keras_bert
from keras_bert.cli import main
from keras_bert.errors import CheckpointError, ConfigError, InputError
from keras_bert.sentence_recipe import UNIT_LENGTH, SentenceRecipe, Step
from keras_bert.tasks import (
    SentenceEmbedding,
    SentenceSimilarity,
    TextRegression,
    VectorIndex,
)
from keras_bert.tasks.sentence_embedding import FEW, _InGraph
from tests.bounds import assert_close
from tests.paths import shared

VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefg", ":", "q"]
CONFIG = keras_bert.BertConfig(
    vocab_size=len(VOCAB),
    hidden_size=12,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=17,
    max_position_embeddings=19,
)
RECIPE = SentenceRecipe(
    ("mean", "max"),
    (Step("Dense", 7, "tanh"), Step("Dense", 5, "gelu", bias=False), UNIT_LENGTH),
    prompts={"query": "q : ", "passage": ""},
    max_length=11,
)
W = np.ones((7, 24), "f4")
TEXTS = ["a b", "", "b c d e f g a b c d e f g", "a", "d e", "q : a b"]


def make(recipe=RECIPE, seed=3):
    """A task whose weights are large enough to tell texts apart."""
    model = keras_bert.SentenceEncoder(CONFIG, recipe, seed=seed)
    random = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(weight + 0.3 * random.normal(size=weight.shape))
    model.tokenizer = keras_bert.BertTokenizer(VOCAB)
    return SentenceEmbedding(model)


def by_model(model):
    """Vectors without the graph that is served, which takes seconds to make."""
    return np.array(model(TEXTS)["embeddings"])


@pytest.fixture(scope="module")
def task():
    return make()


def test_vectors_are_those_of_the_model_in_the_order_of_the_texts(task):
    expected = by_model(task.model)
    received = task.encode(TEXTS, batch_size=2)
    assert_close(_InGraph(task, 2, "")(TEXTS, False), expected)
    assert (received.dtype, received.shape) == (np.dtype("float32"), (6, 5))
    assert_close(received, expected)
    assert_close(task.encode(TEXTS[2]), expected[2])
    assert task.encode([]).shape == (0, 5)
    assert_close(task.predict(TEXTS[:1])[0]["embeddings"], expected[0])


def test_many_texts_are_computed_by_the_graph(task, monkeypatch):
    made = []
    monkeypatch.setattr(
        "keras_bert.tasks.sentence_embedding._InGraph",
        lambda *given: (
            made.append(given) or (lambda texts, _: np.ones((len(texts), 5)))
        ),
    )
    again = SentenceEmbedding(task.model)
    again.encode(["a"] * FEW)
    assert not made
    assert again.encode(["a"]).tolist() == [[1.0] * 5]
    again.encode(["b"])
    assert len(made) == 1


def test_prompts_are_put_before_texts(task):
    prompted = task.encode(TEXTS[5])
    options = [{"prompt": "q : "}, {"prompt_name": "query"}]
    for received in (*(task.encode("a b", **o) for o in options),):
        assert_close(received, prompted)
    assert_close(task.encode_query("a b"), prompted)
    assert_close(task.encode_query("a b", prompt=""), task.encode("a b"))
    assert_close(task.encode_document("a b"), task.encode("a b"))
    with pytest.raises(ConfigError, match="query, passage"):
        task.encode("a", prompt_name="quary")
    with pytest.raises(ConfigError, match="both"):
        task.encode("a", prompt_name="query", prompt="q")
    by_default = make(dataclasses.replace(RECIPE, default_prompt_name="query"))
    assert_close(by_default.encode("a b"), prompted)


def test_prompts_need_not_be_pooled():
    recipe = dataclasses.replace(
        SentenceRecipe.of("mean+cls+weightedmean+lasttoken"),
        prompts={"query": "q : "},
        include_prompt=False,
    )
    task = make(recipe)
    batch = task.tokenizer.encode_batch([TEXTS[5]])
    states = np.array(task.model.bare()(batch)["last_hidden_state"])[0, 3:]
    places = np.arange(4, 4 + len(states))[:, None]
    expected = np.concatenate(
        [
            states.mean(0),
            states[0],
            (states * places).sum(0) / places.sum(),
            states[-1],
        ]
    )
    assert_close(task.encode("a b", prompt_name="query"), expected)
    assert_close(_InGraph(task, 1, "q : ")(["a b"], False)[0], expected)


def test_widths_are_cut_and_scaled(task):
    whole = task.encode(TEXTS)
    cut = task.encode(TEXTS, truncate_dim=3, normalize=True)
    lengths = np.linalg.norm(whole[:, :3], axis=1, keepdims=True)
    assert_close(cut, whole[:, :3] / lengths)
    for wrong in (0, 6):
        with pytest.raises(ConfigError, match="from 1 to 5"):
            task.encode(TEXTS, truncate_dim=wrong)


def test_texts_are_compared_and_found(task):
    vectors = task.encode(TEXTS)
    assert_close(task.similarity(TEXTS[:2], TEXTS), vectors[:2] @ vectors.T)
    received = task.similarity(vectors[0], vectors[1:3], "euclidean")
    assert_close(received, -np.linalg.norm(vectors[1:3] - vectors[0], axis=1)[None])
    hits = task.search(["b"], TEXTS, k=2)[0]
    expected = task.similarity(task.encode_query("b"), vectors)[0]
    assert [hit["row"] - 1 for hit in hits] == np.argsort(-expected)[:2].tolist()
    index = task.index(TEXTS)
    assert isinstance(index, VectorIndex) and task.search("b", index, 2) == hits


def test_what_is_no_text_is_refused(task):
    with pytest.raises(InputError, match="number 1"):
        task.encode(["a", None])
    with pytest.raises(InputError, match="text_pairs"):
        task.predict(["a"], ["b"])


def test_folders_and_keras_files_keep_vectors(task, tmp_path):
    expected = by_model(task.model)
    task.model.save(tmp_path / "model.keras")
    found = [keras.saving.load_model(tmp_path / "model.keras")]
    for format in (None, "keras"):
        path = task.save(tmp_path / str(format), format=format)
        found.append(SentenceEmbedding.load(path).model)
    for model in found:
        assert model.recipe == RECIPE
        assert_close(by_model(model), expected)
    listed = json.loads((tmp_path / "None" / "modules.json").read_text())
    kinds = [module["type"].rpartition(".")[2] for module in listed]
    assert kinds == ["Transformer", "Pooling", "Dense", "Dense", "Normalize"]
    assert (tmp_path / "None" / "3_Dense" / "model.safetensors").is_file()
    with pytest.raises(CheckpointError, match="pooler"):
        make(SentenceRecipe.of("pooler")).save(tmp_path / "none")


def test_dense_layers_are_those_in_the_files(task, tmp_path):
    """As PyTorch applies them: its Linear has (units, inputs)."""
    path = task.save(tmp_path / "model")
    first, second = (
        load_file(path / f"{place}_Dense" / "model.safetensors") for place in (2, 3)
    )
    batch = task.tokenizer.encode_batch(["a b"])
    states = np.array(task.model.bare()(batch)["last_hidden_state"])[0]
    vector = np.concatenate([states.mean(0), states.max(0)]).astype("float64")
    vector = np.tanh(first["linear.weight"] @ vector + first["linear.bias"])
    vector = second["linear.weight"] @ vector
    vector *= [(1 + math.erf(x / math.sqrt(2))) / 2 for x in vector]  # gelu
    assert second.keys() == {"linear.weight"}
    assert_close(task.encode("a b"), vector / np.linalg.norm(vector))


def test_files_of_modules_change_where_weights_do(task, tmp_path):
    def files(path):
        return {p: p.read_bytes() for p in sorted(path.rglob("?_*/*"))}

    first = task.save(tmp_path / "first")
    again = SentenceEmbedding.load(first)
    same = again.save(tmp_path / "same")
    assert [*files(first).values()] == [*files(same).values()]
    layer = again.model.dense_layers()[1]
    layer.set_weights([weight + 1 for weight in layer.get_weights()])
    changed = again.save(tmp_path / "changed")
    pairs = zip(files(first).items(), files(changed).values(), strict=True)
    differ = [path.relative_to(first).as_posix() for (path, a), b in pairs if a != b]
    assert differ == ["3_Dense/model.safetensors"]
    received = by_model(SentenceEmbedding.load(changed).model)
    assert_close(received, by_model(again.model))


def test_plain_models_pool_the_mean_and_say_so(caplog):
    plain = keras_bert.BertModel(CONFIG, seed=1)
    plain.tokenizer = keras_bert.BertTokenizer(VOCAB)
    task = SentenceEmbedding(plain)
    assert "mean" in caplog.text
    states = np.array(plain(["a b"])["last_hidden_state"])[0].mean(0)
    assert_close(task.encode("a b"), states / np.linalg.norm(states))
    assert task.model.encoder is plain.encoder


def test_pairs_are_scored_by_vectors_or_by_the_head(task, tmp_path, capsys):
    pairs = [("a b", "a b"), ("a", "d e"), ("b c", "g")]
    first, second = zip(*pairs, strict=True)
    cosines = (task.encode([*first]) * task.encode([*second])).sum(-1)
    labels = np.argsort(np.argsort(cosines)).tolist()
    scores = SentenceSimilarity(task.model).evaluate(pairs, labels)
    assert list(scores) == ["pearson", "spearman"] and scores["spearman"] == 1.0
    rows = [f"{a},{b},{y}\n" for (a, b), y in zip(pairs, labels, strict=True)]
    (tmp_path / "sts.csv").write_text("".join(rows))
    model = task.save(tmp_path / "model")
    columns = "--no-header --text 1 --text-pair 2 --label 3 --json".split()
    given = ["--data", tmp_path / "sts.csv", *columns]
    command = ["evaluate", "--task", "sts", "--model", model, *given]
    assert main([*map(str, command)]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "examples": 3,
        **{k: pytest.approx(v, abs=1e-6) for k, v in scores.items()},
    }
    config = CONFIG.replace(num_labels=1, problem_type="regression")
    head = keras_bert.BertForSequenceClassification(config, seed=2)
    by_head = SentenceSimilarity.for_model(head, task.tokenizer)
    assert isinstance(by_head, TextRegression)


@pytest.mark.slow
def test_minilm_scores_as_published_on_sts(tmp_path):
    """Spearman x 100 of STSb in MTEB: 82.03."""
    import os

    if not (real := os.environ.get("KERAS_BERT_MINILM")):
        pytest.skip("KERAS_BERT_MINILM: a folder of all-MiniLM-L6-v2")
    data = shared("data", "regression", "stsb", "stsb-en-test.csv")
    task = SentenceSimilarity.from_pretrained(real)
    columns = {"text": 1, "text_pair": 2, "label": 3, "header": False}
    assert round(100 * task.evaluate(data, **columns)["spearman"], 2) == 82.03


def test_weights_of_dense_layers_are_checked(task, tmp_path):
    def broken(name, change):
        path = task.save(tmp_path / name)
        change(path / "2_Dense" / "model.safetensors")
        return path

    def other_shape(file):
        weights = {"linear.weight": np.ones((7, 23), "f4"), "linear.bias": np.ones(7)}
        save_file(weights, file)

    damages = {
        "neither": lambda file: file.unlink(),
        "2_Dense": lambda file: file.write_bytes(file.read_bytes()[:-1]),
        r"shape \(24, 7\)": other_shape,
        "linear.bias": lambda file: save_file({"bias": np.ones(7)}, file),
        "kernel|bias": lambda file: save_file({"linear.weight": W}, file),
    }
    path = task.save(tmp_path / "bias")
    weights = load_file(path / "3_Dense" / "model.safetensors")
    weights["linear.bias"] = np.ones(5, "f4")
    save_file(weights, path / "3_Dense" / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"no bias.*3_Dense"):
        keras_bert.SentenceEncoder.from_pretrained(path)
    for number, (message, change) in enumerate(damages.items()):
        path = broken(str(number), change)
        with pytest.raises(CheckpointError, match=message):
            keras_bert.SentenceEncoder.from_pretrained(path)
