"""Answers by characters: there and back, in windows, and the best of all spans."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_bert import BertTokenizer
from keras_bert.errors import ConfigError, InputError
from keras_bert.tasks.question_answering import find_answers
from keras_bert.tasks.question_characters import CharacterReader, misaligned_answers
from keras_bert.tasks.question_files import read_questions
from keras_bert.tasks.question_windows import encode_questions
from keras_bert.tasks.questions import Answer, Passage, Question
from tests.paths import shared
from tests.vocabulary import SPECIAL

TOKENIZER = BertTokenizer(SPECIAL + "who a b c ##b ##c 京 东 é . ,".split())
ENGLISH, CHINESE = "bert-base-uncased", "bert-base-chinese"
MULTILINGUAL = "bert-base-multilingual-cased"

# === Gold answers ===

# A file, a vocabulary, how many answers it has, and how many do not come back by
# reason. The SQuAD files give the first occurrence of an answer, "gold" in "golden".
GOLD = {
    "xquad.de.json": (MULTILINGUAL, 1190, {}),
    "xquad.en.json": (ENGLISH, 1190, {"ends inside": 1}),
    "xquad.es.json": (MULTILINGUAL, 1190, {"ends inside": 1}),
    "xquad.tr.json": (MULTILINGUAL, 1190, {"begins inside": 1, "ends inside": 2}),
    "xquad.zh.json": (CHINESE, 1190, {}),
    "cmrc2018_trial.squad.json": (CHINESE, 1002, {"has no": 3, "is not": 5}),
    "squad-dev-v1.1.from-explorer.json": (
        *(ENGLISH, 34726, {"ends inside": 133, "begins inside": 85}),
    ),
    "squad-dev-v2.0.first12articles.from-explorer.json": (
        *(ENGLISH, 6994, {"ends inside": 32, "begins inside": 16}),
    ),
}


@pytest.mark.parametrize("file", GOLD)
def test_gold_answers_come_back_from_their_tokens_or_are_listed(file):
    vocabulary, count, reasons = GOLD[file]
    path = shared("data", "vocab", f"{vocabulary}-vocab.txt")
    tokenizer = BertTokenizer(path, do_lower_case=vocabulary != MULTILINGUAL)
    questions = read_questions(shared("data", "qa", file))
    assert sum(len(question.answers) for question in questions) == count
    listed = misaligned_answers(questions, tokenizer)
    for item in listed:
        print(f"{item.id}: {item.text!r} {item.reason}")
    assert Counter(" ".join(x.reason.split()[:2]) for x in listed) == reasons
    read, lost = CharacterReader(tokenizer), {(x.id, x.text) for x in listed}
    for question in questions[::7]:
        pieces = read(question.passage)
        for answer in question.answers:
            end = (answer.start or 0) + len(answer.text)
            if (question.id, answer.text) not in lost:
                tokens = pieces.alignment.tokens(answer.start, end)
                assert pieces.text(*tokens) == answer.text


# === Windows ===


def asked(text, *answers, id="q"):
    places = (Answer(answer, text.index(answer)) for answer in answers)
    return Question(id, "who", Passage(text), answers=tuple(places))


@pytest.mark.parametrize(
    ("text", "answer", "columns"),
    [
        ("a 京东 b", "东", (5, 5)),  # Google's words would be all of 京东
        ("a abc b", "bc", (5, 6)),
        ("a É. b", "É", (4, 4)),
        ("a b", "", (0, 0)),
    ],
)
def test_labels_are_the_tokens_of_the_characters(text, answer, columns):
    question = asked(text, *[answer] * bool(answer))
    windows = encode_questions([question], TOKENIZER, labeled=True, characters=True)
    assert tuple(int(x[0]) for x in windows.labels.values()) == columns


def test_answers_elsewhere_are_left_out_and_named(caplog):
    wrong = Question("lost", "who", Passage("a b"), answers=(Answer("b", 0),))
    questions = [asked("a b", "b", id="kept"), wrong]
    windows = encode_questions(questions, TOKENIZER, labeled=True, characters=True)
    assert [question.id for question in windows.questions] == ["kept"]
    assert "'lost'" in caplog.text
    assert len(encode_questions(questions, TOKENIZER, characters=True).questions) == 2
    with pytest.raises(InputError, match=r"answer_start.*1 questions.*'lost'"):
        encode_questions([wrong], TOKENIZER, labeled=True, characters=True)


def test_windows_overlap_by_as_many_tokens():
    sizes = dict(max_length=10, max_question_length=1, characters=True)
    windows = encode_questions([asked("a " * 15)], TOKENIZER, overlap=2, **sizes)
    assert windows.first.tolist() == [0, 4, 8, 12]  # 6 tokens each
    with pytest.raises(ConfigError, match="Lower doc_stride"):
        encode_questions([asked("a b")], TOKENIZER, overlap=6, **sizes)


# === The best of all spans ===


def exhaustive(windows, start, end, longest):
    """Returns texts and scores of all spans, the best first."""
    found = {}
    for row, (column, length) in enumerate(
        zip(windows.column, windows.length, strict=True)
    ):
        number, places = windows.question[row], range(column, column + length)
        offset = int(windows.first[row] - column)
        for i, j in itertools.product(places, places):
            if i <= j < i + longest and windows.is_max_context[row, i]:
                text = windows.pieces[number].text(i + offset, j + offset)
                score = float(start[row, i]) + float(end[row, j])
                best = found.setdefault(windows.questions[number].id, {})
                best[text] = max(score, best.get(text, score))
    return found


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text("abc京é ,", min_size=1, max_size=14), min_size=1, max_size=3),
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.integers(0, 3),
)
def test_the_best_answers_are_those_of_an_exhaustive_search(texts, seed, longest, lap):
    questions = [asked(text, id=number) for number, text in enumerate(texts)]
    sizes = dict(max_length=9, max_question_length=1, overlap=lap, characters=True)
    windows = encode_questions(questions, TOKENIZER, **sizes)
    shape = (2, *windows.features["input_ids"].shape)
    logits = np.random.default_rng(seed).standard_normal(shape)
    options = dict(n_best=99, max_answer_length=longest)
    found = find_answers(windows, *logits, TOKENIZER, **options)
    every = exhaustive(windows, *logits, longest)
    for id, texts_of in every.items():
        best = sorted(texts_of.items(), key=lambda item: -item[1])
        assert [x["text"] for x in found.nbest[id]] == [text for text, _ in best]
        assert found.predictions[id] == best[0][0]
        scores = [x["start_logit"] + x["end_logit"] for x in found.nbest[id]]
        assert scores == [score for _, score in best]


def test_no_answer_competes_by_its_score_and_has_odds():
    windows = encode_questions([asked("a b c")], TOKENIZER, characters=True)
    start, end = np.zeros((2, *windows.features["input_ids"].shape))
    start[0, [0, 4]], end[0, [0, 5]] = (1, 2), (1, 2)
    for threshold, text in ((0, "b c"), (-3, "")):
        options = dict(may_be_impossible=True, null_threshold=threshold)
        found = find_answers(windows, start, end, TOKENIZER, **options)
        assert found.predictions == {"q": text}
        assert found.null_odds == {"q": -2}
