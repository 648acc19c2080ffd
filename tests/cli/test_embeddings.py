"""`keras-bert embed` and `keras-bert search`, in process."""

import json
import runpy

import numpy as np
import pytest

import keras_bert
from keras_bert.sentence_recipe import SentenceRecipe
from keras_bert.tasks import SentenceEmbedding
from tests.bounds import assert_close
from tests.cli.calling import call
from tests.paths import ROOT

VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefg"]
LINES = ["a b c", "", "d e", "g g g a b"]
TEXTS = [line for line in LINES if line]


def saved(path, seed):
    config = keras_bert.BertConfig(
        vocab_size=len(VOCAB),
        hidden_size=12,
        num_hidden_layers=1,
        num_attention_heads=3,
        intermediate_size=17,
        max_position_embeddings=11,
    )
    model = keras_bert.SentenceEncoder(config, SentenceRecipe.of("mean"), seed=seed)
    for weight in model.weights:
        noise = np.random.default_rng(seed).normal(size=weight.shape)
        weight.assign(weight + 0.3 * noise)
    return model.save_pretrained(path, tokenizer=keras_bert.BertTokenizer(VOCAB))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("embeddings")
    saved(path / "model", 3)
    (path / "texts.txt").write_text("\n".join(LINES) + "\n")
    return path


@pytest.fixture(scope="module")
def expected(folder):
    task = SentenceEmbedding.load(folder / "model")
    return task.encode(TEXTS)


@pytest.fixture(scope="module")
def index(folder):
    given = "--model", folder / "model", "--input", folder / "texts.txt"
    made = call("search", "--index", folder / "index", *given)
    assert made.status == 0 and "3 texts" in made.err, made.err
    return folder / "index"


def test_an_array_has_a_row_for_every_line(folder, expected, tmp_path, caplog):
    given = "embed", "--model", folder / "model", "--input", folder / "texts.txt"
    to = "--output", tmp_path / "vectors.npy"
    done = call(*given, *to, "--batch-size", 2)
    assert done.status == 0 and "4 vectors of 12 numbers" in done.out, done.err
    assert "1 blank row" in caplog.text
    vectors = np.load(tmp_path / "vectors.npy")
    assert (vectors.dtype, vectors.shape) == (np.dtype("float32"), (4, 12))
    assert np.isnan(vectors[1]).all()
    assert_close(vectors[[0, 2, 3]], expected)
    refused = call(*given, *to)
    assert refused.status == 2 and "--overwrite" in refused.err
    refused = call(*given, "--output", tmp_path / "vectors.txt")
    assert refused.status == 2 and ".npy or .jsonl" in refused.err


def test_lines_of_a_table_keep_their_ids(folder, expected, tmp_path):
    (tmp_path / "t.csv").write_text("key,body\nx,a b c\ny,\nz,d e\n")
    columns = "--text", "body", "--id", "key", "--truncate-dim", 5, "--normalize"
    given = "embed", "--model", folder / "model", "--input", tmp_path / "t.csv"
    done = call(*given, *columns, "--output", tmp_path / "v.jsonl")
    assert done.status == 0, done.err
    rows = list(map(json.loads, (tmp_path / "v.jsonl").read_text().splitlines()))
    assert [(row["row"], row["id"]) for row in rows] == [(1, "x"), (2, "y"), (3, "z")]
    assert rows[1]["embedding"] is None
    cut = expected[:2, :5] / np.linalg.norm(expected[:2, :5], axis=1, keepdims=True)
    assert_close([rows[0]["embedding"], rows[2]["embedding"]], cut)


def test_texts_are_found_by_the_model_of_the_index(index, expected):
    done = call("search", "--index", index, "--query", "d e", "g", "--top", 2)
    assert done.status == 0, done.err
    hits = list(map(json.loads, done.out.splitlines()))
    assert [hit["rank"] for hit in hits] == [1, 2, 1, 2]
    assert (hits[0]["text"], hits[0]["row"]) == ("d e", 3)
    assert hits[0]["score"] == pytest.approx(1, abs=1e-6)
    unit = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    second = np.argsort(-(unit @ unit[1]))[1]
    assert hits[1]["text"] == TEXTS[second]


def test_searches_that_cannot_be_right_are_refused(folder, index, tmp_path):
    saved(tmp_path / "other", 4)
    search = "search", "--index", index, "--query", "a"
    texts = "--input", folder / "texts.txt"
    cases = {
        "another vector": [*search, "--model", tmp_path / "other"],
        "--query TEXT": ["search", "--index", index],
        "--model": ["search", "--index", tmp_path / "new", *texts],
        "--overwrite": ["search", "--index", index, "--model", "m", *texts],
        "index.json": ["search", "--index", tmp_path, "--query", "a"],
    }
    for message, arguments in cases.items():
        refused = call(*arguments)
        assert refused.status == 2 and message in refused.err, refused.err


def test_examples_run_and_are_short(folder, expected, tmp_path, monkeypatch, capsys):
    def run(name, *arguments):
        path = ROOT / "examples" / name
        assert len(path.read_text().splitlines()) < 40
        model = "--model", folder / "model"
        monkeypatch.setattr("sys.argv", [name, *map(str, (*model, *arguments))])
        runpy.run_path(str(path), run_name="__main__")
        return capsys.readouterr().out

    (tmp_path / "t.txt").write_text("\n".join(TEXTS))
    given = "--input", tmp_path / "t.txt"
    out = run("feature_extraction.py", *given, "--output", tmp_path / "v.npy")
    assert "3 vectors of 12 numbers" in out and out.count("->") == 3
    assert_close(np.load(tmp_path / "v.npy"), expected)
    search = "semantic_search.py", "d e", "--index", tmp_path / "index", "--top", 1
    first = run(*search, *given)
    assert first.split() == ["d", "e", "1.000", "d", "e"]
    assert run(*search) == first  # of the index that was kept
