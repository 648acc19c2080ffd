"""The demo's corpus, on a small tree of made-up packages."""

import dataclasses
import json
import sys
from pathlib import Path

import pytest

from keras_bert.errors import ExistingOutputError
from tests.paths import ROOT

sys.path.insert(0, str(ROOT / "examples"))

import demo_classification
import demo_corpus
import demo_docstrings
from demo_classification import Sampling

SAMPLING = Sampling(train=21, dev=9, test=13, min_words=5, max_words=12)
WORDS = "alpha bravo carrot delta echo forest garden hotel island jungle".split()


def docstring_of(package: str, number: int) -> str:
    subject = WORDS[number % 10] + WORDS[number // 10]
    return f"Returns the {subject} which {package}lib users like to see most."


@pytest.fixture(scope="module")
def roots(tmp_path_factory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("packages")
    for package in ("numpy", "keras", "torch"):
        (base / package / "tests").mkdir(parents=True)
        for number in range(97):
            text = docstring_of(package, number)
            source = f'"""{text}\n\nThis sentence stands in each and every module."""\n'
            (base / package / f"module_{number:02}.py").write_text(source)
        (base / package / "broken.py").write_text("def nothing(:\n")
        (base / package / "tests" / "a.py").write_text('"""Only a test of that."""')
    return {package: base / package for package in ("numpy", "keras", "torch")}


@pytest.fixture(scope="module")
def corpus(roots, tmp_path_factory):
    output = tmp_path_factory.mktemp("out") / "corpus"
    return demo_corpus.build(output, roots=roots, workers=0, sampling=SAMPLING)


def documents(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").rstrip("\n").split("\n\n")


def rows(corpus, split: str) -> list[dict]:
    lines = corpus.classification_file(split).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def bytes_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_every_module_is_on_one_side(corpus):
    train, heldout = documents(corpus.train_file), documents(corpus.heldout_file)
    said = [line for text in train + heldout for line in text.split("\n")]
    assert corpus.counts["train_documents"] == len(train)
    assert corpus.counts["heldout_documents"] == len(heldout) > 3 * 97 * 0.03
    assert sum(line.startswith("Returns the") for line in said) == 3 * 97
    assert len(said) == len(set(said))


def test_a_sentence_is_kept_once_and_tests_are_left_out(corpus):
    everything = corpus.train_file.read_text() + corpus.heldout_file.read_text()
    assert everything.count("stands in each and every module") == 1
    assert "Only a test" not in everything


def test_classification_texts_share_nothing_between_splits(corpus):
    texts = {s: {r["text"] for r in rows(corpus, s)} for s in ("train", "dev", "test")}
    assert {s: len(t) for s, t in texts.items()} == corpus.examples
    assert corpus.examples["train"] == 21
    assert not texts["train"] & (texts["dev"] | texts["test"])
    trained_on = corpus.train_file.read_text()
    for text in texts["test"]:
        subject = text.split()[2]
        assert subject + " which" in corpus.heldout_file.read_text()
        assert f"{subject} which {text.split()[4]}" not in trained_on


def test_training_examples_are_balanced(corpus):
    labels = [row["label"] for row in rows(corpus, "train")]
    assert {label: labels.count(label) for label in labels} == {
        "keras": 7,
        "numpy": 7,
        "torch": 7,
    }


def test_same_parameters_give_the_same_bytes(corpus, roots, tmp_path):
    again = demo_corpus.build(tmp_path / "c", roots=roots, workers=0, sampling=SAMPLING)
    assert bytes_of(again.directory) == bytes_of(corpus.directory)
    other = demo_corpus.build(
        tmp_path / "d", roots=roots, workers=0, sampling=SAMPLING, seed=1
    )
    assert other.heldout_file.read_bytes() != corpus.heldout_file.read_bytes()


def test_a_corpus_is_reused_and_never_replaced_unasked(corpus, roots, monkeypatch):
    build = dict(roots=roots, workers=0, sampling=SAMPLING)
    monkeypatch.setattr(demo_corpus, "read_all", lambda *_: pytest.fail("read again"))
    assert demo_corpus.build(corpus.directory, **build) == corpus
    with pytest.raises(ExistingOutputError, match="overwrite"):
        demo_corpus.build(corpus.directory, **build, seed=5)


def test_overwrite_replaces_a_corpus(roots, tmp_path):
    build = dict(roots=roots, workers=0, sampling=SAMPLING)
    first = demo_corpus.build(tmp_path / "c", **build)
    second = demo_corpus.build(tmp_path / "c", **build, fast=True, overwrite=True)
    assert second.counts["files"] < first.counts["files"] / 2
    assert "a sample: 25%" in second.describe()
    assert "a sample" not in first.describe()
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_failed_build_leaves_nothing(roots, tmp_path, monkeypatch):
    monkeypatch.setattr(demo_corpus, "sample", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        demo_corpus.build(tmp_path / "c", roots=roots, workers=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("docstring", "sentences"),
    [
        (
            "Adds e.g. two images,\n    see Fig. 3.  The sum is new.\n",
            ["Adds e.g. two images, see Fig. 3.", "The sum is new."],
        ),
        (
            "Args:\n  units: Width of the output space.\n    It is positive.\n"
            "  name: What this layer is called.",
            [
                "units: Width of the output space.",
                "name: What this layer is called.",
            ],
        ),
        (
            "Makes a bag of words.\n\n>>> bag = a few words here\nmore than one word\n"
            "\nThe end of the text comes::\n\n    code that is not read here\n\n"
            "Here it goes on as before.",
            [
                "Makes a bag of words.",
                "The end of the text comes:",
                "Here it goes on as before.",
            ],
        ),
        (
            "See :class:`~a.Bag` and `the guide <http://a.b/c>`_ for **all** of it.",
            ["See a.Bag and the guide for all of it."],
        ),
        (":param size: How large the ``bag`` is.", ["size: How large the bag is."]),
        ("f(a, b, c, name, other_name) -> Tensor", []),
        ("| 1 | 2 | 3 | 4 | ab cd ef gh | 5 | 6 | 7 |", []),
    ],
)
def test_docstrings_become_sentences(docstring, sentences):
    assert demo_docstrings.sentences_of(docstring) == sentences


def test_strings_that_document_c_code_and_topics_are_read(tmp_path):
    source = tmp_path / "docs.py"
    source.write_text(
        'add_newdoc("numpy", "ndarray", ("sort", "Sorts the array in its place."))\n'
        'other("This string documents nothing at all.")\n'
    )
    found = demo_docstrings.read_docstrings(source, "numpy/docs.py")
    assert [d.sentences for d in found] == [["Sorts the array in its place."]]
    source.write_text('topics = {"if": "The if statement runs a suite."}\n')
    found = demo_docstrings.read_docstrings(source, "python/pydoc_data/topics.py")
    assert [d.document for d in found] == ["python/pydoc_data/topics.py#if"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a tf.Tensor or np.ndarray", "a package.Tensor or package.ndarray"),
        (
            "as_numpy of a KerasTensor, TFRecord",
            "as_package of a packageTensor, packageRecord",
        ),
        ("PyTorch, scikit-learn and TensorFlow2", "package, package and package"),
        ("platform, npz, outfit and transport", "platform, npz, outfit and transport"),
    ],
)
def test_package_names_are_masked(text, expected):
    assert demo_classification.neutral(text) == expected


def test_baselines():
    assert demo_classification.majority(["a", "b", "a"]) == pytest.approx(2 / 3)
    train = (["red apple", "red car", "blue sky", "blue sea"], ["r", "r", "b", "b"])
    test = (["red car", "red apple", "blue sea", "red car"], ["r", "r", "b", "b"])
    assert demo_classification.tfidf_logistic_regression(train, test) == 0.75


def test_unigram_entropy_is_that_of_the_counts():
    # ln 4 for four equal tokens; a token never seen adds nothing.
    assert demo_classification.unigram_entropy({3: 7, 5: 7, 6: 7, 9: 7, 2: 0}) == (
        pytest.approx(1.3862943611198906)
    )
    skewed = demo_classification.unigram_entropy({0: 9, 1: 1})
    assert skewed == pytest.approx(0.3250829733914482)


def test_the_demo_report_states_the_run(corpus, tmp_path):
    import demo_report as dr

    from keras_bert.analysis import plot_attention, plot_curves
    from keras_bert.analysis.fill_mask import Guess, HiddenWord

    curves = plot_curves([{"step": 1, "mlm_loss": 2.0}], tmp_path / "c.png")
    attention = plot_attention(["a"], [[[[1.0]]]], tmp_path / "a.png")
    filled = [(HiddenWord("the [MASK]", "lid"), [Guess("box", 0.5)])]
    run = dr.DemoRun(
        corpus=corpus,
        pretraining=dr.Pretraining(
            {"steps": "37"}, 3.25, 6.0, 0.4, 0.7, curves, filled, attention, "a"
        ),
        finetuning=dr.FineTuning(
            corpus.labels, 0.25, 0.5, {0: 0.7, 1: 0.8}, {0: 0.4, 1: 0.6}
        ),
        conversions=[
            dr.Conversion("exact", 0.0, 1e-6, 1e-5),
            dr.Conversion("weights off", 1e-9, 0.0, 1e-5),
            dr.Conversion("outputs off", 0.0, 2e-5, 1e-5),
            dr.Conversion("outputs not a number", 0.0, float("nan"), 1e-5),
        ],
        request="POST /v1/models/a:predict",
        answer='{"predictions": []}',
        seconds={"corpus": 1.5, "pretraining": 2.25},
    )
    page = dr.write_demo_report(tmp_path / "r.html", run).read_text("utf-8")
    for expected in ("2.75", "75.0% ± 7.1%", "1 of 4", "POST /v1", "3.8", "6.000"):
        assert expected in page
    assert page.count(">NO<") == 3
    assert "a sample" not in page
    sampled = dataclasses.replace(
        corpus, parameters={**corpus.parameters, "share": 0.25}
    )
    run = dataclasses.replace(run, corpus=sampled)
    page = dr.write_demo_report(tmp_path / "s.html", run).read_text("utf-8")
    assert "a sample, 25% of the files" in page
