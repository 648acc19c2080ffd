"""Tasks as objects: trained, scored, asked, kept."""

import json

import numpy as np
import pytest

from keras_bert.errors import (
    CheckpointError,
    ConfigError,
    ExistingOutputError,
    InputError,
    UnknownNameError,
)
from keras_bert.tasks import (
    Example,
    MaskedLanguageModel,
    MultipleChoice,
    TextClassification,
    TextRegression,
    TokenClassification,
)
from tests.serving.cases import VOCAB, make_model

assert VOCAB  # of the fixture `tokenizer`

TEXTS = ["a good film", "so bad", "good good", "bad film", "a film so good", "bad"]
LABELS = ["yes", "no", "yes", "no", "yes", "no"]
SETTINGS = {"epochs": 30, "learning_rate": 1e-2, "batch_size": 3, "max_length": 8}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, tokenizer):
    path = tmp_path_factory.mktemp("m") / "encoder"
    return make_model("encoder").save_pretrained(path, tokenizer=tokenizer)


def test_a_classifier_learns_answers_and_is_kept(pretrained, tmp_path):
    task = TextClassification.from_pretrained(pretrained)
    with pytest.raises(InputError, match=r"task\.fit\(data\)"):
        task.predict(TEXTS)
    task.fit(TEXTS, LABELS, dev=(TEXTS, LABELS), show_progress=False, **SETTINGS)
    assert task.labels == ["no", "yes"]
    steps = [line["step"] for line in task.history if line["split"] == "heldout"]
    assert steps[:2] == [2, 4]  # every epoch
    assert task.evaluate(TEXTS, LABELS)["accuracy"] == 1.0
    answer = task.predict(["bad film"])[0]
    assert answer["label"] == "no" and answer["score"] > 0.5
    loaded = TextClassification.load(task.save(tmp_path / "kept"))
    again = loaded.predict(["bad film"])[0]
    assert again["label"] == "no" and loaded.labels == ["no", "yes"]
    np.testing.assert_array_equal(again["logits"], answer["logits"])


def test_a_score_of_the_task_decides_when_to_stop(pretrained, tmp_path):
    task = TextClassification.from_pretrained(pretrained)
    options = {**SETTINGS, "epochs": 9, "show_progress": False, "patience": 2}
    with pytest.raises(UnknownNameError, match=r"'f1_macr'.* Did you mean 'f1_macro'"):
        task.fit(TEXTS, LABELS, dev=(TEXTS, LABELS), monitor="f1_macr", **options)
    task = TextClassification.from_pretrained(pretrained)
    options |= {"monitor": "f1_macro", "output": tmp_path / "run"}
    task.fit(TEXTS, LABELS, dev=(TEXTS, LABELS), **options)
    found = [line["f1_macro"] for line in task.history if line["split"] == "heldout"]
    # Two evaluations after the best one the run has no patience left.
    assert len(found) == min(9, found.index(max(found)) + 3)
    assert task.evaluate(TEXTS, LABELS, metrics=["f1_macro"])["f1_macro"] == max(found)


def test_files_pairs_lists_and_numbers(pretrained, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("a,b,y\na film,good,1.5\nso,bad,-2\n")
    reading = {"text": "a", "text_pair": "b", "label": "y"}
    short = {**SETTINGS, "epochs": 1, "show_progress": False}
    task = TextRegression.from_pretrained(pretrained)
    task.fit(table, output=tmp_path / "run", **reading, **short)
    scores = task.evaluate(table, **reading, metrics=["mean_squared_error"])
    assert list(scores) == ["mean_squared_error"]
    pairs = [("a film", "good"), ("so", "bad")]
    assert task.evaluate(pairs, [1.5, -2]) == task.evaluate(table, **reading)
    loaded = TextRegression.load(tmp_path / "run" / "model")
    assert loaded.predict(pairs) == task.predict(pairs)
    several = TextClassification.from_pretrained(pretrained)
    run = tmp_path / "weighed"
    given = {"class_weight": "balanced", "output": run}
    several.fit(TEXTS[:2], [["x", "z"], ["z"]], **given, **short)
    plan = json.loads((run / "plan.json").read_text())["plan"]
    assert plan["class_weight"] == [1.5, 0.75]  # 3 labels / (2 classes * 1 or 2)
    assert several.config.problem_type == "multi_label_classification"
    assert set(several.predict(["good"])[0]) >= {"labels", "scores", "probabilities"}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"labels": None}, InputError, "labels, one for each text"),
        ({"labels": LABELS[:2]}, InputError, "as many labels as texts, 6"),
        ({"labels": [float("nan")] * 6}, InputError, "names, numbers"),
        ({"labels": ["x"] * 6}, InputError, "two classes in the data"),
        ({"epochs": 0}, ConfigError, "epochs above 0"),
        ({"class_weight": {"maybe": 2}}, ConfigError, r"of no, yes\..*'maybe'"),
        ({"epoch": 1}, UnknownNameError, "setting 'epoch'.* Did you mean 'epochs'"),
        ({"dev": (TEXTS, ["odd"] * 6)}, InputError, "'odd' in row 1"),
    ],
)
def test_what_cannot_be_trained_on(pretrained, options, error, message):
    task = TextClassification.from_pretrained(pretrained)
    options = {"labels": LABELS, **SETTINGS, "show_progress": False, **options}
    with pytest.raises(error, match=message):
        task.fit(TEXTS, **options)


def test_a_column_that_the_task_does_not_know_is_refused(pretrained):
    task = TextClassification.from_pretrained(pretrained)
    with pytest.raises(UnknownNameError, match="option of data for classification"):
        task.read(TEXTS, LABELS, colum="x")


LONG = [
    f"{'so ' * (30 + 9 * i)}{text}" for i, text in enumerate(TEXTS)
]  # what tells them apart is at the end


def test_long_texts_are_cut_off_aloud(pretrained, caplog):
    task = TextClassification.from_pretrained(pretrained)
    features, _ = task.encode([Example(text) for text in LONG], labeled=False)
    assert features["input_ids"].shape == (6, 23)
    assert "6 of 6 rows have the most tokens, 23" in caplog.text


def test_long_texts_are_classified_by_windows(pretrained, tmp_path):
    options = {"doc_stride": 2, "window_pooling": "mean"}
    task = TextClassification.from_pretrained(pretrained, **options)
    task.fit(LONG, LABELS, show_progress=False, **{**SETTINGS, "epochs": 60})
    items = task.read(LONG, LABELS)
    features, _ = task.encode(items)
    texts, windows, length = features["input_ids"].shape
    assert (texts, length) == (len(LONG), 8) and windows > 5
    assert task.evaluate(LONG, LABELS)["accuracy"] == 1.0
    found = task.outputs(items)
    flat = {name: x.reshape(-1, length) for name, x in features.items()}
    by_hand = np.reshape(task.model(flat), (texts, windows, 2))
    real = features["attention_mask"].any(-1)[..., None]
    mean = (by_hand * real).sum(1) / real.sum(1)
    np.testing.assert_allclose(found, mean, rtol=1e-5, atol=1e-5)
    loaded = TextClassification.load(task.save(tmp_path / "kept"))
    assert loaded.options == options
    # What a SavedModel computes.
    served = np.stack([answer["logits"] for answer in loaded.predict(LONG)])
    np.testing.assert_allclose(served, found, rtol=1e-5, atol=1e-5)
    answers = loaded.predict(LONG, window_pooling="max")
    largest = np.where(real, by_hand, -np.inf).max(1)
    served = np.stack([answer["logits"] for answer in answers])
    np.testing.assert_allclose(served, largest, rtol=1e-5, atol=1e-5)
    loaded.model.window_pooling = "max"
    np.testing.assert_allclose(loaded.outputs(items), largest, rtol=1e-5, atol=1e-5)
    assert "window_pooling" in (tmp_path / "kept" / "config.json").read_text()


def test_how_much_a_window_counts_is_learned(pretrained, tmp_path):
    options = {"doc_stride": 2, "window_pooling": "learned"}
    task = TextClassification.from_pretrained(pretrained, **options)
    with pytest.raises(InputError, match="Expected weights"):
        task.predict(LONG)
    task.fit(LONG, LABELS, show_progress=False, **{**SETTINGS, "epochs": 20})
    losses = [line["loss"] for line in task.history if line["split"] == "train"]
    assert losses[-1] < 0.9 * losses[0]
    items = task.read(LONG, LABELS)
    features, _ = task.encode(items)
    texts, windows, length = features["input_ids"].shape
    query = np.asarray(task.model.window_query.query)
    assert np.abs(query).max() > 1e-3
    # The classifier of the weighted mean of vectors, which is not how it is computed.
    flat = {name: x.reshape(-1, length) for name, x in features.items()}
    pooled = task.model.encoder(flat)["pooler_output"]
    vectors = np.reshape(pooled, (texts, windows, -1))
    real = features["attention_mask"].any(-1)
    weights = np.where(real, np.exp(vectors @ query), 0)
    mean = np.einsum("tw,twh->th", weights / weights.sum(1, keepdims=True), vectors)
    expected = np.asarray(task.model.classifier(mean))
    np.testing.assert_allclose(task.outputs(items), expected, rtol=1e-4, atol=1e-5)
    loaded = TextClassification.load(task.save(tmp_path / "kept"))
    assert loaded.options == options
    np.testing.assert_array_equal(loaded.model.window_query.query, query)
    # What a SavedModel computes.
    served = np.stack([answer["logits"] for answer in loaded.predict(LONG)])
    np.testing.assert_allclose(served, expected, rtol=1e-4, atol=1e-5)
    assert np.shape(loaded.model(flat)) == (texts * windows, 2)
    with pytest.raises(CheckpointError, match="window_query"):
        task.save(tmp_path / "hf", format="huggingface")


def test_other_models_do_not_weigh_windows(tokenizer, tmp_path):
    model = make_model("classes")
    path = model.save_pretrained(tmp_path / "mean", tokenizer=tokenizer)
    task = TextClassification(model, tokenizer)
    learned = {"doc_stride": 2, "window_pooling": "learned"}
    for wrong in (
        lambda: TextClassification.load(path, **learned).predict(LONG),
        lambda: TextClassification(model, tokenizer, **learned),
    ):
        with pytest.raises(InputError, match="has learned how much a window counts"):
            wrong()
    with pytest.raises(ConfigError, match="finetune --window-pooling learned"):
        task.predict(LONG, window_pooling="learned")


# === What strangers do ===


def test_a_model_of_windows_is_scored_from_its_model(pretrained, tmp_path):
    options = {"show_progress": False, **SETTINGS, "epochs": 1}
    task = TextClassification.from_pretrained(pretrained, doc_stride=2)
    task.fit(LONG, LABELS, **options)
    again = TextClassification.load(task.save(tmp_path / "m"))
    items = task.read(LONG, labeled=False)
    given = TextClassification(again.model, again.tokenizer)
    np.testing.assert_allclose(given.outputs(items), task.outputs(items), rtol=1e-5)
    with pytest.raises(InputError, match="TextClassification"):
        TextRegression.load(tmp_path / "m").predict(LONG)
    with pytest.raises(InputError, match=r"ner\. Received: a BertForSeq"):
        TokenClassification.load(tmp_path / "m").predict(LONG)


def test_a_run_is_not_resumed_with_other_rows(pretrained, tmp_path):
    options = {
        **SETTINGS,
        "epochs": 1,
        "show_progress": False,
        "output": tmp_path / "r",
    }
    TextClassification.from_pretrained(pretrained).fit(TEXTS, LABELS, **options)
    plan = (tmp_path / "r" / "plan.json").read_text()
    assert TextClassification.load(tmp_path / "r").labels == ["no", "yes"]
    with pytest.raises(ConfigError, match="data_digest"):
        task = TextClassification.from_pretrained(pretrained)
        task.fit(TEXTS, LABELS[::-1], **options)
    assert (tmp_path / "r" / "plan.json").read_text() == plan
    with pytest.raises(ExistingOutputError, match="holds a model"):
        task.fit(TEXTS, LABELS, **{**options, "output": tmp_path / "r" / "model"})


def test_settings_and_labels_that_are_not_guessed(pretrained):
    for wrong, error in [
        ({"window_pooling": "max"}, ConfigError),
        ({"doc_stride": -1}, ConfigError),
        ({"window_pooling": "x"}, UnknownNameError),
    ]:
        with pytest.raises(error):
            TextClassification.from_pretrained(pretrained, **wrong)
    off = TextClassification.from_pretrained(
        pretrained, doc_stride=2, window_pooling="none"
    )
    assert off.options["doc_stride"] is None
    (item,) = off.read(["a"], [{"z", "b", "y"}])
    assert item.label == ("b", "y", "z")
    with pytest.raises(ConfigError, match="batch_size of 1 or more"):
        off.fit(TEXTS, LABELS, batch_size=0)
    with pytest.raises(ConfigError, match="TextRegression"):
        off.fit(TEXTS, LABELS, regression=True)
    for label in ("", " ", float("nan")):
        with pytest.raises(InputError, match="names, numbers"):
            off.read(["a"], [label])
    numbers = TextRegression.from_pretrained(pretrained)
    for label in ("1_0", "\u0663"):
        with pytest.raises(InputError, match="finite number"):
            numbers.encode(numbers.read(["a"], [label]))
    choices = MultipleChoice.from_pretrained(pretrained)
    rows = [{"text": "a", "choices": ["b", "c"]}] * 2
    assert [e.label for e in choices.read(rows, [1, 0])] == ["1", "0"]
    with pytest.raises(InputError, match="choices of each text, 2 lists"):
        choices.predict(["a", "b"], [["c"]])
    with pytest.raises(InputError, match=r"Expected texts\. Received: a dict"):
        MaskedLanguageModel.from_pretrained(pretrained).read({"text": ["a"]})
