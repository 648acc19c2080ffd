"""`report.html` of runs and of evaluations."""

import json
import re
from html import unescape

import numpy as np
import pytest
from sklearn.metrics import classification_report

from keras_bert.analysis.report import Table
from keras_bert.errors import ExistingOutputError, MissingExtraError
from keras_bert.tasks import (
    Example,
    MultipleChoice,
    Passage,
    Question,
    SentenceEmbedding,
    TextClassification,
    TextRegression,
    entity_findings,
    findings,
    question_findings,
    vector_findings,
)
from keras_bert.tasks.conll_files import Mark, Sentence
from keras_bert.tasks.entity_scores import score_sentences
from keras_bert.tasks.questions import Answer
from keras_bert.tasks.run_report import Answered, _numbers
from tests.cli.calling import call
from tests.serving.cases import VOCAB, make_model

assert VOCAB  # of the fixture `tokenizer`

TEXTS = ["a good film", "so bad", "good <b>good</b>", "bad film", "really so", "bad"]
LABELS = ["yes", "no", "yes", "no", "yes", "no"]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, tokenizer):
    path = tmp_path_factory.mktemp("m") / "encoder"
    return make_model("encoder").save_pretrained(path, tokenizer=tokenizer)


@pytest.fixture(scope="module")
def run(tmp_path_factory, pretrained):
    """A run of the command, its files, and what it printed."""
    folder = tmp_path_factory.mktemp("run")
    rows = [*TEXTS, "a film that was not good " * 4]
    for name, labels in (("train.csv", LABELS), ("dev.csv", LABELS[::-1])):
        lines = [f"{t},{y}" for t, y in zip(rows, [*labels, "no"], strict=True)]
        (folder / name).write_text("\n".join(["text,label", *lines]) + "\n")
    done = call(
        *("finetune", "--model", pretrained, "--train", folder / "train.csv"),
        *("--dev", folder / "dev.csv", "--output", folder / "run", "--max-length", 9),
        *("--epochs", 2, "--batch-size", 3, "--log-every", 1),
    )
    assert done.status == 0, done.err
    return folder, done


def numbers_in(page: str) -> dict[str, float]:
    """Returns the scores of a page with all their digits."""
    found = re.findall(
        r'<strong><data value="([^"]+)">[^<]*</data></strong><span>([^<]+)', page
    )
    return {name: float(value) for value, name in found}


def test_a_run_has_a_report_with_the_numbers_of_evaluate(run):
    folder, done = run
    assert f"Wrote {folder / 'run' / 'report.html'}" in done.out
    page = (folder / "run" / "report.html").read_text("utf-8")
    evaluated = call(
        *("evaluate", "--model", folder / "run" / "model", "--max-length", 9),
        *("--data", folder / "dev.csv", "--json", "--report", folder / "e.html"),
        *("--report-texts", "a bad film", "so good"),
    )
    scores = json.loads(evaluated.out.splitlines()[-1])
    again = numbers_in((folder / "e.html").read_text("utf-8"))
    assert again == scores
    assert numbers_in(page) == {k: v for k, v in scores.items() if k != "examples"}
    titles = re.findall(r"<h2>([^<]*)", page)
    assert titles == [
        *("Scores", "Training", "Classes", "Confusion matrix", "Reliability"),
        *("Worst mistakes", "Attention", "Data", "Settings and versions"),
    ]
    command = unescape(re.search("<pre>(.*?)</pre>", page)[1])
    assert (
        command.startswith("keras-bert finetune --model ") and "--epochs 2" in command
    )
    facts = re.findall(r"<td>([^<]*)</td><td class=number><data value=\"([^\"]*)", page)
    assert ("rows cut off at 9 tokens", "2") in facts and ("rows", "7") in facts
    assert "good &lt;b&gt;good&lt;/b&gt;" in page and "<b>good" not in page
    assert (folder / "e.html").read_text("utf-8").count('class="attention"') == 2


def test_a_report_is_not_overwritten(run, capsys):
    folder, _ = run
    (folder / "kept.html").touch()
    arguments = ["--data", folder / "dev.csv", "--report", folder / "kept.html"]
    done = call("evaluate", "--model", folder / "run" / "model", *arguments)
    assert done.status == 2 and "kept.html" in done.err
    task = TextClassification.load(folder / "run" / "model")
    with pytest.raises(ExistingOutputError):
        task.report(folder / "kept.html", TEXTS, LABELS)


def test_numbers_and_runs_without_development_data(pretrained, tmp_path):
    task = TextRegression.from_pretrained(pretrained)
    pairs = [(text, "good") for text in TEXTS]
    task.fit(
        *(pairs, [0.5, -2, 1, 3, 0, 1]),
        **{"output": tmp_path / "run", "epochs": 1, "show_progress": False},
    )
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert re.findall("<h2>([^<]*)", page) == [
        "Training",
        "Data",
        "Settings and versions",
    ]
    task.report(tmp_path / "r.html", pairs, [0.5, -2, 1, 3, 0, 1])
    page = (tmp_path / "r.html").read_text("utf-8")
    assert page.count("<circle") == len(TEXTS) and " | good</p>" in page


def test_a_report_of_a_file_of_predictions_is_refused(tmp_path):
    files = ["--data", tmp_path / "d.json", "--predictions", tmp_path / "p.json"]
    done = call("evaluate", "--task", "qa", *files, "--report", tmp_path / "r.html")
    assert done.status == 2 and "--model for a --report" in done.err


# === Findings ===


def rows_of(table: Table) -> dict[str, list]:
    return {row[0]: row[1:] for row in table.rows}


def test_the_table_of_classes_is_that_of_scikit_learn():
    rng = np.random.default_rng(2)
    labels = ["a", "b", "c", "never"]
    answers, logits = rng.integers(0, 3, 50), rng.normal(size=(50, 4))
    logits[:, 3] = -9
    sections = findings.sections(answers, logits, labels, [""] * 50)
    rows = rows_of(sections[0].blocks[0])
    chosen = logits.argmax(1)
    expected = classification_report(
        answers, chosen, target_names=labels[:3], output_dict=True, zero_division=0
    )
    for name in ("a", "b", "c"):
        assert rows[name][:4] == pytest.approx([*expected[name].values()])
    means = [expected["macro avg"][k] for k in ("precision", "recall", "f1-score")]
    assert rows["mean"][:3] == pytest.approx(means) and "never" not in rows
    f1 = [row[3] for row in sections[0].blocks[0].rows[:-1]]
    assert f1 == sorted(f1)


def test_the_worst_mistakes_come_first():
    items = [Example(text, None, "x", row=n) for n, text in enumerate("pqrs", 1)]
    logits = np.array([[3.0, 0], [0, 1], [0, 9], [9, 0]])
    found = findings.mistakes(items, np.array([0, 0, 0, 0]), logits, ["x", "y"])
    assert [(m.row, m.gold, m.found) for m in found.mistakes] == [
        *((3, "x", "y"), (2, "x", "y")),
    ]
    assert found.mistakes[1].value == pytest.approx(1 / (1 + np.exp(-1)))
    flags = np.array([[1.0, 0], [1, 1], [0, 0], [0, 1]])
    found = findings.mistakes(items, flags, logits, ["x", "y"])
    assert [(m.row, m.gold, m.found) for m in found.mistakes] == [
        *((3, "", "y"), (4, "y", "x"), (2, "x, y", "y")),
    ]
    found = findings.mistakes(items, np.array([1.0, 2, 3, 4]), np.ones((4, 1)), None)
    assert [m.value for m in found.mistakes] == [3, 2, 1]


def test_lists_of_labels_are_scored_by_class():
    flags = np.array([[1.0, 0], [1, 1], [0, 1]])
    logits = np.array([[2.0, -1], [-1, 1], [3, 2]])
    sections = findings.sections(flags, logits, ["x", "y"], [""] * 3)
    assert [s.title for s in sections] == ["Classes", "Reliability"]
    rows = rows_of(sections[0].blocks[0])
    assert rows["x"] == [0.5, 0.5, 0.5, 2, 2] and rows["y"] == [1, 1, 1, 2, 2]


def test_a_map_has_a_point_for_every_text_and_names_what_it_leaves_out():
    vectors = np.random.default_rng(1).normal(size=(30, 5))
    names = [f"class {i % 10}" for i in range(30)]
    texts = [f"text {i}" for i in range(30)]
    chart = vector_findings.vector_map(vectors, texts, names)
    assert sum(len(series.x) for series in chart.series) == 30
    assert [series.name for series in chart.series][:2] == ["others", "class 0"]
    assert chart.series[1].tips[1] == "class 0: text 10"
    assert findings.spread(10_000)[[0, -1]].tolist() == [0, 9999]


def test_scores_of_types_come_after_the_others():
    scores = {"f1": 50.0, "PER_f1": 100.0, "LOC_f1": 0.0, "f1_macro": 1.0, "exact": 2.0}
    numbers, facts = _numbers(scores)
    assert list(numbers.values) == ["f1", "f1_macro", "exact"]
    assert list(facts.values) == ["PER_f1", "LOC_f1"]
    assert len(_numbers({"accuracy": 1.0})) == 1


def test_without_scikit_learn_a_report_has_no_scores():
    class Scoreless:
        outputs = staticmethod(lambda items, batch_size: np.zeros(len(items)))

        def score(self, items, outputs):
            raise MissingExtraError("no scikit-learn")

    assert Answered.by(Scoreless(), [1, 2]).scores is None


def test_pairs_with_scores_are_compared_by_rank():
    angles = np.array([0.0, 0.5, 1.0, 3.0])  # from the first vector
    second = np.stack([np.cos(angles), np.sin(angles)], 1)
    vectors = np.stack([np.ones((4, 1)) * [[1.0, 0.0]], second], 1)
    texts = [[f"a{i}", f"b{i}"] for i in range(4)]
    np.testing.assert_allclose(vector_findings.cosines(vectors), np.cos(angles))
    found = vector_findings.mistakes(
        vectors, texts, np.array([5, 5, 0, 4]), [1, 2, 3, 4]
    )
    assert [(m.row, m.gold, m.found) for m in found.mistakes[:2]] == [
        *((3, "0", "cosine 0.540"), (4, "4", "cosine -0.990")),
    ]
    assert [m.value for m in found.mistakes] == pytest.approx(
        [1 / 3, 1 / 3, 1 / 6, 1 / 6]
    )
    (section,) = vector_findings.sections(vectors, texts, np.array([5, 5, 0, 4]))
    scatter, plane = section.blocks[0].blocks
    assert scatter.series[0].x.tolist() == [5, 5, 0, 4]
    assert sum(len(s.x) for s in plane.series) == 8


def test_texts_that_are_not_found_come_with_what_was():
    first = np.eye(3)
    second = np.array([[1.0, 0, 0], [0, 0.1, 1], [0, 0.9, 0.1]])
    texts = [["p", "P"], ["q", "Q"], ["r", "R"]]
    found = vector_findings.mistakes(
        np.stack([first, second], 1), texts, None, [1, 2, 3]
    )
    assert [(m.text, m.gold, m.found, m.value) for m in found.mistakes] == [
        *(("q", "Q", "R", 2), ("r", "R", "Q", 2)),
    ]
    texts[2][1] = "Q"  # the same text is no mistake
    found = vector_findings.mistakes(
        np.stack([first, second], 1), texts, None, [1, 2, 3]
    )
    assert found.mistakes == []


def test_vectors_have_a_map_and_the_attention_of_single_texts(pretrained, tmp_path):
    task = SentenceEmbedding.from_pretrained(pretrained, max_length=8)
    pairs = [("a good film", "so good"), ("so bad", "bad"), ("a film", "seen")]
    task.report(tmp_path / "r.html", pairs, texts=["a good film"])
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "Map of the vectors" in page and page.count("<circle") == 6
    shown = numbers_in(page)
    assert shown == task.evaluate(pairs) and shown


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("answers", "outputs", "labels"),
    [
        ([0], [[1.0, 0.0]], ["a", "b"]),
        ([0, 0], [[0.0, 0.0], [0.0, 0.0]], ["a", "b"]),
        ([2.0], [[2.0]], None),
        ([2.0, 2.0], [[1e9], [-1e9]], None),
        ([[0.0, 0.0]], [[-800.0, -800.0]], ["a", "b"]),
        ([[1.0], [1.0]], [[800.0], [800.0]], ["a"]),
    ],
)
def test_small_and_constant_data_have_pages(answers, outputs, labels):
    texts = ["t"] * len(answers)
    found = findings.sections(np.array(answers), np.array(outputs), labels, texts)
    assert "nan" not in "".join(section.html() for section in found)


@pytest.mark.filterwarnings("error")
def test_one_pair_and_no_entity_have_pages():
    vectors, pair = np.ones((1, 2, 4)), [["a", "b"]]
    for labels in (None, np.array([1.0])):
        found = vector_findings.sections(vectors, pair, labels)
        assert "nan" not in "".join(section.html() for section in found)
        assert vector_findings.mistakes(vectors, pair, labels, [1]).mistakes == []
    plain = [Sentence(("a",), ("O",))]
    assert entity_findings.sections(plain, plain)[0].blocks[0].rows == []


WORDS = ("Ada", "Lovelace", "saw", "Rome", "and", "Bonn")
GOLD = "B-PER I-PER O B-LOC O B-LOC".split()


@pytest.mark.parametrize(
    ("tags", "kinds"),
    [
        ("B-PER I-PER O B-PER O O", {"at the right place": 1, "not found": 1}),
        ("B-PER O B-LOC I-LOC O B-LOC", {"of the right type": 2}),
        (
            "B-LOC O B-ORG B-LOC O B-LOC",
            {"of another type, with": 1, "there is none": 1},
        ),
        (" ".join(GOLD), {}),
    ],
)
def test_errors_of_entities_are_told_apart(tags, kinds):
    gold, found = (Sentence(WORDS, tuple(t)) for t in (GOLD, tags.split()))
    scored, errors = entity_findings.sections([gold], [found])
    rows = errors.blocks[0].rows
    assert len(rows) == len(kinds)
    for kind, count in kinds.items():
        assert [n for name, n in rows if kind in name] == [count]
    scores = score_sentences([gold], [found])
    for kind, row in rows_of(scored.blocks[0]).items():
        if kind != "mean":
            assert row[2] == pytest.approx(scores[f"{kind}_f1"])
    worst = entity_findings.mistakes([gold], [found]).mistakes
    assert len(worst) == bool(kinds)


def test_wrong_entities_are_shown_by_their_characters_too():
    gold = Sentence(text="Ada saw Rome", marks=(Mark("PER", 0, 3), Mark("LOC", 8, 12)))
    found = Sentence(text="Ada saw Rome", marks=(Mark("PER", 0, 3), Mark("LOC", 3, 7)))
    (worst,) = entity_findings.mistakes([gold], [found]).mistakes
    assert (worst.gold, worst.found, worst.value) == ("LOC: Rome", "LOC:  saw", 2)
    _, errors = entity_findings.sections([gold], [found])
    assert dict(errors.blocks[0].rows) == {
        "not found": 1,
        "found where there is none": 1,
    }


def test_the_worst_answers_to_questions_come_first():
    passage = Passage("x" * 300 + "Ada Lovelace" + "y" * 300)
    questions = [
        Question(n, f"Q{n}", passage, answers=(Answer("Ada Lovelace", 300),))
        for n in range(3)
    ]
    given = {0: "Ada Lovelace", 1: "Ada", 2: "Babbage"}
    found = question_findings.mistakes(questions, given, None).mistakes
    assert [(m.row, m.found, m.value) for m in found] == [
        *((2, "Babbage", 0), (1, "Ada", pytest.approx(2 / 3))),
    ]
    assert found[0].text_pair.startswith("…x") and "Ada Lovelace" in found[0].text_pair
    (section,) = question_findings.sections(questions, given, None)
    assert section.blocks[0].series[0].y.sum() == 3


def test_wrong_choices_are_shown_with_the_right_ones():
    task = object.__new__(MultipleChoice)
    items = [Example("t", ("p", "q"), label) for label in ("0", "1", "1")]
    logits = np.array([[0.0, 1], [0, 1], [9, 0]])
    found = task.mistakes(items, logits).mistakes
    assert [(m.gold, m.found) for m in found] == [("q", "p"), ("p", "q")]
    assert [s.title for s in task.sections(items, logits)] == ["Reliability"]
