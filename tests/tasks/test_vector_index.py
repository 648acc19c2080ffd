"""Exact search: against all pairs compared at once; and what keeps it."""

import io
import json

import numpy as np
import pytest

from keras_bert.errors import (
    ConfigError,
    ExistingOutputError,
    InputError,
    MissingFileError,
    UnknownNameError,
)
from keras_bert.tasks import VectorIndex, vector_index
from keras_bert.tasks.similarity import similarities

ESCAPE = "surrogateescape"
RANDOM = np.random.default_rng(3)
VECTORS = RANDOM.normal(size=(23, 5)).astype("float32")
QUERIES = RANDOM.normal(size=(3, 5)).astype("float32")
TEXTS = [{"row": n, "text": f"text {n} é"} for n in range(1, 24)]


def naive(a, b, name):
    """The similarity of two vectors, by its definition."""
    a, b = a.astype("float64"), b.astype("float64")
    lengths = np.sqrt((a**2).sum() * (b**2).sum())
    return {
        "cosine": (a * b).sum() / lengths,
        "dot": (a * b).sum(),
        "euclidean": -np.sqrt(((a - b) ** 2).sum()),
        "manhattan": -np.abs(a - b).sum(),
    }[name]


@pytest.mark.parametrize("name", ["cosine", "dot", "euclidean", "manhattan"])
def test_search_is_that_of_all_pairs(name, monkeypatch):
    monkeypatch.setattr(vector_index, "BLOCK", 7)
    monkeypatch.setattr("keras_bert.tasks.similarity.PIECE", 40)
    expected = np.array([[naive(q, v, name) for v in VECTORS] for q in QUERIES])
    np.testing.assert_allclose(similarities(QUERIES, VECTORS, name), expected, 1e-5)
    found = VectorIndex(VECTORS, TEXTS, name).search(QUERIES, 9)
    order = np.argsort(-expected, 1)[:, :9]
    assert [[hit["row"] - 1 for hit in hits] for hits in found] == order.tolist()
    scores = [[hit["score"] for hit in hits] for hits in found]
    np.testing.assert_allclose(scores, np.take_along_axis(expected, order, 1), 1e-5)


def test_equal_texts_are_found_in_their_order(monkeypatch):
    monkeypatch.setattr(vector_index, "BLOCK", 4)
    index = VectorIndex(np.ones((9, 2)), TEXTS[:9])
    assert [hit["row"] for hit in index.search(np.ones(2), 6)[0]] == [1, 2, 3, 4, 5, 6]
    assert len(index.search(np.ones(2), 99)[0]) == 9


def test_a_directory_keeps_an_index(tmp_path):
    index = VectorIndex(VECTORS, TEXTS, "dot", {"model": "m"})
    path = index.save(tmp_path / "index")
    again = VectorIndex.load(path)
    assert again.search(QUERIES, 4) == index.search(QUERIES, 4)
    assert (again.facts["model"], again.facts["dim"], again.similarity) == (
        *("m", 5),
        "dot",
    )
    with pytest.raises(ExistingOutputError, match="--overwrite"):
        index.save(path)
    VectorIndex(VECTORS[:2], TEXTS[:2]).save(path, overwrite=True)
    assert len(VectorIndex.load(path).texts) == 2
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work")
    with pytest.raises(ExistingOutputError, match="something else"):
        index.save(tmp_path / "other", overwrite=True)


def test_damaged_indexes_are_errors(tmp_path):
    with pytest.raises(MissingFileError, match=r"index\.json"):
        VectorIndex.load(tmp_path)
    path = VectorIndex(VECTORS, TEXTS).save(tmp_path / "index")
    facts = json.loads((path / "index.json").read_text())
    lines = (path / "texts.jsonl").read_text().splitlines()
    words = io.BytesIO()
    np.save(words, np.array([["a"]] * len(lines)))
    wrong = {**facts, "version": 2}, {**facts, "similarity": "cosin"}
    damages = {
        "index.json": ["", "[1]", "[" * 10**5, "{}", *map(json.dumps, wrong)],
        "texts.jsonl": ["{}\n", "\n".join(["1"] * len(lines)) + "\n", "\udcff"],
        "vectors.npy": ["", "no array", words.getvalue()],
    }
    for name, found in damages.items():
        kept = (path / name).read_bytes()
        for text in found:
            encoded = text if isinstance(text, bytes) else text.encode(errors=ESCAPE)
            (path / name).write_bytes(encoded)
            with pytest.raises(InputError, match=r"index|texts"):
                VectorIndex.load(path)
        (path / name).write_bytes(kept)
    assert len(VectorIndex.load(path).texts) == len(lines)


def test_what_cannot_be_searched_is_refused():
    gap = VECTORS.copy()
    gap[4, 1] = np.nan
    with pytest.raises(InputError, match=r"text 4.*text 5 é"):
        VectorIndex(gap, TEXTS)
    with pytest.raises(InputError, match="each of 22"):
        VectorIndex(VECTORS, TEXTS[:22])
    with pytest.raises(InputError, match="one width"):
        VectorIndex(VECTORS, TEXTS).search(QUERIES[:, :4])
    with pytest.raises(ConfigError, match="k"):
        VectorIndex(VECTORS, TEXTS).search(QUERIES, 0)
    with pytest.raises(UnknownNameError, match="cosine"):
        similarities(VECTORS, VECTORS, "cosin")
