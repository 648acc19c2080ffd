"""Reading questions with all their answers."""

import json

import pytest

from keras_bert.errors import KerasBertError
from keras_bert.tasks.question_files import read_questions
from keras_bert.tasks.questions import Answer

ITEM = {
    "id": "q7",
    "question": "Who?",
    "context": "Ada wrote.",
    "answers": [
        {"text": "Ada", "answer_start": 0},
        {"text": "wrote", "answer_start": 4},
    ],
}
COLUMNS = {**ITEM, "answers": {"text": ["Ada", "wrote"], "answer_start": [0, 4]}}


def squad(folder, **changes):
    qa = {k: v for k, v in (ITEM | changes).items() if k != "context"}
    path = folder / "squad.json"
    content = {"data": [{"paragraphs": [{"context": ITEM["context"], "qas": [qa]}]}]}
    path.write_text(json.dumps(content))
    return path


def lines(folder):
    path = folder / "squad.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in (ITEM, COLUMNS)))
    return path


def listed(folder):
    path = folder / "questions.json"
    path.write_text(json.dumps([ITEM, COLUMNS]))
    return path


@pytest.mark.parametrize(
    "form", [squad, lines, listed, lambda _: [ITEM], lambda _: [COLUMNS]]
)
def test_every_form_has_all_answers(tmp_path, form):
    for question in read_questions(form(tmp_path)):
        assert (question.id, question.text) == ("q7", "Who?")
        assert question.passage.text == "Ada wrote."
        assert question.answers == (Answer("Ada", 0), Answer("wrote", 4))
        assert not question.is_impossible


def test_the_form_of_cmrc_has_texts_of_answers_alone(tmp_path):
    qa = {"query_id": "T_1", "query_text": "谁?", "answers": ["艾达", "达"]}
    path = tmp_path / "cmrc.json"
    path.write_text(
        json.dumps([{"context_text": "艾达。", "qas": [qa, qa | {"query_id": "T_2"}]}])
    )
    first, second = read_questions(path)
    assert first.passage is second.passage and first.passage.text == "艾达。"
    assert (first.id, first.text) == ("T_1", "谁?")
    assert first.answers == (Answer("艾达"), Answer("达"))


def test_questions_about_one_text_share_it_and_get_numbers_as_ids():
    plain = {"question": "Who?", "context": "Ada wrote."}
    first, second = read_questions([plain, plain], labeled=False)
    assert first.passage is second.passage
    assert (first.id, second.id) == ("1", "2")


def test_no_answers_make_a_question_unanswerable(tmp_path):
    assert read_questions(squad(tmp_path, answers=[]))[0].is_impossible
    assert not read_questions(squad(tmp_path, answers=[]), labeled=False)[
        0
    ].is_impossible


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answers": None}, "'answers' in question 'q7'"),
        ({"answers": [{"text": 3}]}, "'text' in an answer to question 'q7'"),
        ({"question": None}, "'question' in question 1 of"),
        ({"answers": {"text": ["a"], "answer_start": []}}, "as many"),
    ],
)
def test_the_question_at_fault_is_named(tmp_path, changes, message):
    with pytest.raises(KerasBertError, match=message):
        read_questions(squad(tmp_path, **changes))


def test_the_line_at_fault_is_named(tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text(json.dumps(ITEM) + "\n\n{\n")
    with pytest.raises(KerasBertError, match="line 3 of"):
        read_questions(path)
