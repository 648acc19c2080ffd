"""Scores of answers: every digit as published, and the rules one by one."""

import json
import random

import pytest

from keras_bert.cli import main
from keras_bert.errors import KerasBertError
from keras_bert.tasks.chinese_segments import segments
from keras_bert.tasks.question_files import read_questions
from keras_bert.tasks.questions import Answer, Passage, Question
from keras_bert.tasks.squad_scores import read_predictions, score_answers
from tests.paths import shared

NAMES = {"n": "total"}  # of the reference, and ours


@pytest.mark.parametrize(
    ("data", "predictions"),
    [
        ("squad-dev-v1.1.from-explorer.json", "squad-v1.1-dev.bert-ensemble.json"),
        (
            "squad-dev-v1.1.from-explorer.json",
            "squad-v1.1-dev.logistic-regression.json",
        ),
        (
            "squad-dev-v2.0.first12articles.from-explorer.json",
            "squad-v2.0-dev.first12articles.bert-single.json",
        ),
        ("xquad.en.json", "squad-v1.1-dev.bert-ensemble.json"),
    ],
)
def test_every_digit_of_published_scores(data, predictions):
    reference = json.loads(shared("data", "EXPECTED_SCORES.json").read_text())
    [found] = [v for k, v in reference.items() if data in k]
    [expected] = [v for k, v in found.items() if predictions in k]
    questions = read_questions(shared("data", "qa", data))
    answers = read_predictions(shared("data", "qa", "predictions", predictions))
    scores = score_answers(questions, answers)
    assert {k: scores[NAMES.get(k, k)] for k in expected} == expected


# === By hand ===


def question(id, *answers):
    return Question(id, "Who?", Passage("a text"), answers=tuple(map(Answer, answers)))


@pytest.mark.parametrize(
    ("rules", "gold", "found", "exact", "f1"),
    [
        ("squad-1.1", "The Beatles!", "beatles", 1, 1),
        ("squad-1.1", "red green blue blue", "blue green blue", 0, 6 / 7),
        ("squad-1.1", "the", "a", 1, 0),  # no words are left
        ("squad-2.0", "the", "", 1, 1),
        ("squad-2.0", "the", "Ada", 0, 0),
        ("squad-1.1", "北京大学", "北京", 0, 0),
        ("cmrc2018", "北京大学", "北京", 0, 2 / 3),
        ("cmrc2018", "《北京》，Ada", "北京 ada", 0, 1),
        ("cmrc2018", "《北京》。", "北京", 1, 1),
        (
            "cmrc2018",
            "一二三四",
            "一三二三四",
            0,
            2 * (3 / 5) * (3 / 4) / (3 / 5 + 3 / 4),
        ),
    ],
)
def test_answers_are_compared_by_the_rules(rules, gold, found, exact, f1):
    scores = score_answers([question(1, gold)], {1: found}, rules=rules)
    assert scores["exact_match"] == 100 * exact
    assert scores["f1"] == pytest.approx(100 * f1, abs=1e-12)


def test_words_of_other_scripts_are_those_of_nltk():
    assert segments('在"Ada & Co."工作，don\'t 3.5%') == [
        *("在", "``", "ada", "&", "co", ".", "''", "工", "作"),
        *("do", "n't", "3.5", "%"),
    ]


def test_missing_predictions_score_0_and_are_named(caplog):
    questions = [question("a", "x"), question("b", "x")]
    scores = score_answers(questions, {"a": "x", "other": "y"})
    assert scores == {"exact_match": 50, "f1": 50, "total": 2, "missing": 1}
    assert "question b" in caplog.text


def test_ids_that_are_numbers_are_strings_in_json():
    questions = [question(7, "x"), question("8")]
    scores = score_answers(questions, {"7": "x", 8: ""}, null_odds={"7": 0, 8: 2})
    assert scores["exact_match"] == scores["best_exact"] == 100
    assert scores["missing"] == 0


def test_most_answers_being_chinese_is_said(caplog):
    score_answers([question(1, "北京")], {1: "北京"})
    assert "cmrc2018" in caplog.text


def test_the_best_threshold_equals_trying_all():
    draw = random.Random(5)
    questions = [question(i, *["x y"][: draw.randrange(3)]) for i in range(40)]
    answers = {i: draw.choice(["", "x", "x y", "z"]) for i in range(40)}
    odds = {q.id: draw.uniform(-3, 3) - 2 * len(q.answers) for q in questions}
    found = score_answers(questions, answers, null_odds=odds, null_threshold=0.5)

    def scored(threshold):
        kept = {i: "" if odds[i] > threshold else answers[i] for i in answers}
        return score_answers(questions, kept, rules="squad-2.0")

    every = [scored(threshold) for threshold in (-9, *odds.values())]
    assert found["best_exact"] == max(x["exact_match"] for x in every)
    assert found["best_f1"] == pytest.approx(max(x["f1"] for x in every), abs=1e-9)
    assert found["best_f1_thresh"] != 0
    best = scored(found["best_f1_thresh"])["f1"]
    assert best == pytest.approx(found["best_f1"], abs=1e-9)
    now = scored(0.5)
    assert {k: found[k] for k in now} == now


@pytest.mark.parametrize(
    ("questions", "options", "message"),
    [
        ([], {}, "at least one question"),
        ([question("a")], {"rules": "squad-1.1"}, "'a'"),
        ([question("a", "x")], {"rules": "squad"}, "squad-1.1"),
        ([question("a", "x")], {"null_odds": {}}, "'a'"),
    ],
)
def test_what_cannot_be_scored_is_refused(questions, options, message):
    with pytest.raises(KerasBertError, match=message):
        score_answers(questions, {}, **options)


@pytest.mark.parametrize(
    ("content", "message"),
    [("[]", "one JSON object"), ('{"a": 3}', "'a'"), ("{", "JSON")],
)
def test_files_of_another_form_are_refused(tmp_path, content, message):
    path = tmp_path / "predictions.json"
    path.write_text(content)
    with pytest.raises(KerasBertError, match=message):
        read_predictions(path)


def test_the_command_scores_files(tmp_path, capsys):
    answer = {"text": "Ada", "answer_start": 0}
    qas = [
        {"id": "a", "question": "Who?", "answers": [answer]},
        {"id": "b", "question": "Why?", "answers": [], "is_impossible": True},
    ]
    data = {"data": [{"paragraphs": [{"context": "Ada wrote.", "qas": qas}]}]}
    contents = {"data": data, "predictions": {"a": "ada", "b": "x"}}
    contents["null-odds"] = {"a": 0, "b": 2}
    flags = []
    for name, content in contents.items():
        (tmp_path / name).write_text(json.dumps(content))
        flags += [f"--{name}", str(tmp_path / name)]
    assert main(["evaluate", "--task", "qa", "--json", *flags]) == 0
    [line] = capsys.readouterr().out.splitlines()
    scores = json.loads(line)
    assert scores["exact_match"] == 100  # the odds of b are above 1
    assert scores["best_exact_thresh"] == 0
    assert main(["evaluate", "--task", "qa", "--json", *flags[:4]]) == 0
    assert json.loads(capsys.readouterr().out)["NoAns_exact"] == 0
    assert main(["evaluate", "--task", "classification", *flags[:4]]) == 2
    assert "qa" in capsys.readouterr().err
    for unread in (["--strict"], ["--metrics", "f1"], ["--nbest", "n.json"]):
        assert main(["evaluate", "--task", "qa", *flags[:4], *unread]) == 2
        assert f"Expected no {unread[0]}" in capsys.readouterr().err
