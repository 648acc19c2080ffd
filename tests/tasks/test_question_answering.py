"""Questions and answers: equal to Google's code, by digests of what that computed.

`tools/squad_check.py` runs Google's code beside this package.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from keras_bert import BertTokenizer
from keras_bert.errors import KerasBertError
from keras_bert.tasks.question_answering import OriginalText, find_answers
from keras_bert.tasks.question_windows import Windows, encode_questions
from keras_bert.tasks.questions import Passage, Question, read_squad
from tests.paths import shared
from tests.vocabulary import SPECIAL

VOCAB = SPECIAL + "who where the cat sat on ##s mat ( ) . 18 ##95 - x".split()

# === Equal to Google's code ===

# A file and how many of its articles, a vocabulary, whether it is lower-cased, whether
# questions may have no answer, max_length, doc_stride; digests of the rows and labels,
# and of the answers to logits from a seed, by google-research/bert at eedf571.
GOOGLE = {
    "English": (
        *("xquad.en.json", 48, "bert-base-uncased", True, False, 384, 128),
        *("1c6998a01a39cc7f", "0a911a415d47cb5a"),
    ),
    "Chinese, with equal logits": (
        *("xquad.zh.json", 20, "bert-base-chinese", True, False, 128, 50),
        *("acdbf8330b6a1f10", "c79d5ff68e107598"),
    ),
    "cased, without answers": (
        *("squad-dev-v2.0.first12articles.from-explorer.json", 2, "bert-base-cased"),
        *(False, True, 160, 32),
        *("1c64f33139179969", "6378d71217764ced"),
    ),
}


def logits_for(windows: Windows, decimals: int) -> np.ndarray:
    """Returns start and end logits, mostly larger inside of the passage."""
    shape = windows.features["input_ids"].shape
    values = np.random.default_rng(7).standard_normal((2, *shape)) * 3
    return np.round(values + 3 * windows.is_max_context, decimals).astype("float32")


def digest(*values) -> str:
    """Returns a digest of arrays, or of what JSON can hold."""
    found = hashlib.sha256()
    for value in values:
        array = isinstance(value, np.ndarray)
        text = None if array else json.dumps(value).encode()
        found.update(value.astype("<i4").tobytes() if array else text)
    return found.hexdigest()[:16]


def rounded(nbest: dict) -> dict:
    """Returns n-best answers whose probabilities do not depend on a library's exp."""
    return {
        key: [{**x, "probability": round(x["probability"], 9)} for x in answers]
        for key, answers in nbest.items()
    }


def labeled_file(path: Path, articles: int, folder: Path) -> Path:
    """Writes the first articles with at most one answer to each question."""
    data = json.loads(path.read_text())["data"][:articles]
    for article in data:
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                qa["answers"] = qa["answers"][:1]
                qa["is_impossible"] = not qa["answers"]
    (folder / path.name).write_text(json.dumps({"data": data}))
    return folder / path.name


@pytest.mark.parametrize("case", GOOGLE)
def test_rows_and_answers_are_those_of_googles_code(case, tmp_path):
    file, articles, vocabulary, lower, impossible, *rest = GOOGLE[case]
    length, stride, rows, answered = rest
    path = labeled_file(shared("data", "qa", file), articles, tmp_path)
    vocabulary = shared("data", "vocab", f"{vocabulary}-vocab.txt")
    tokenizer = BertTokenizer(vocabulary, do_lower_case=lower, google_rules=True)
    questions = read_squad(path, labeled=True, with_impossible=impossible)
    lengths = dict(max_length=length, doc_stride=stride)
    windows = encode_questions(questions, tokenizer, labeled=True, **lengths)
    arrays = (*windows.features.values(), windows.is_max_context)
    assert digest(*arrays, *windows.labels.values()) == rows
    logits = logits_for(windows, decimals=1 if "equal" in case else 9)
    found = find_answers(
        windows,
        *logits,
        tokenizer,
        may_be_impossible=impossible,
        null_threshold=-1.5 if impossible else 0.0,
    )
    nbest = rounded(found.nbest)
    assert digest(found.predictions, nbest, found.null_odds) == answered


# === By hand ===


@pytest.fixture(scope="module")
def tokenizer() -> BertTokenizer:
    return BertTokenizer(VOCAB, google_rules=True)


def _windows(tokenizer, text="the cat sat on the mat", stride=2, length=9, **options):
    question = Question("q", "who who", Passage(text), **options)
    sizes = dict(max_length=length, doc_stride=stride, max_question_length=1)
    return encode_questions([question], tokenizer, labeled=True, **sizes)


def test_windows_overlap_and_one_of_them_shows_most_around_a_token(tokenizer):
    windows = _windows(tokenizer)
    tokens = [
        tokenizer.convert_ids_to_tokens(row) for row in windows.features["input_ids"]
    ]
    assert [" ".join(row) for row in tokens] == [
        "[CLS] who [SEP] the cat sat on the [SEP]",
        "[CLS] who [SEP] sat on the mat [SEP] [PAD]",
    ]
    # "sat" has two tokens on both sides in the first window, none to its left in the
    # other; "on" one in both, and the first window is longer.
    most = [np.flatnonzero(row).tolist() for row in windows.is_max_context]
    assert most == [[3, 4, 5, 6], [5, 6]]
    assert windows.features["token_type_ids"][1].tolist() == [0] * 3 + [1] * 5 + [0]


@pytest.mark.parametrize(
    ("text", "answer", "columns"),
    [
        ("the cat sat (1895-18).", "1895", (7, 8)),
        ("the cat sat (1895-18).", "(1895-18).", (6, 12)),
        ("the cats sat", "cat", (4, 4)),
        ("the cats sat", "ca", (4, 5)),  # no tokens of it: the word
        ("the cat", "the cat", (3, 4)),
    ],
)
def test_answers_become_the_tokens_that_fit_best(
    tokenizer, tmp_path, text, answer, columns
):
    path = _squad_file(tmp_path, text, answer)
    [question] = read_squad(path, labeled=True)
    sizes = dict(max_length=20, doc_stride=9, max_question_length=1)
    windows = encode_questions([question], tokenizer, labeled=True, **sizes)
    assert tuple(int(x[0]) for x in windows.labels.values()) == columns


def test_windows_without_the_answer_point_to_the_first_token(tokenizer, tmp_path):
    [question] = read_squad(
        _squad_file(tmp_path, "the cat sat on the mat", "mat"), labeled=True
    )
    sizes = dict(max_length=9, doc_stride=2, max_question_length=1)
    windows = encode_questions([question], tokenizer, labeled=True, **sizes)
    assert windows.labels["start_logits"].tolist() == [0, 6]


def _all_spans(windows, start, end, longest) -> list[tuple[float, str]]:
    """Every span, with as many starts and ends as there are."""
    words = windows.questions[0].passage.words
    found = []
    for row in range(len(windows)):
        inside = range(windows.column[row], windows.column[row] + windows.length[row])
        for first in inside:
            for last in range(first, min(first + longest, inside[-1] + 1)):
                if windows.is_max_context[row, first]:
                    offset = windows.first[row] - windows.column[row]
                    text = " ".join(words[first + offset : last + offset + 1])
                    found.append(
                        (float(start[row, first]) + float(end[row, last]), text)
                    )
    return sorted(found, key=lambda item: -item[0])


def test_the_best_spans_are_those_of_an_exhaustive_search(tokenizer):
    windows = _windows(tokenizer, "the cat sat on mat . who x - )", length=10)
    assert len(windows) == 3
    for seed in range(20):
        shape = (2, *windows.features["input_ids"].shape)
        start, end = (
            np.random.default_rng(seed).standard_normal(shape).astype("float32")
        )
        found = find_answers(
            windows, start, end, tokenizer, n_best=99, max_answer_length=3
        )
        expected = _all_spans(windows, start, end, 3)
        unique = dict.fromkeys(text for _, text in expected)
        assert [x["text"] for x in found.nbest["q"]] == list(unique)


def test_no_answer(tokenizer):
    windows = _windows(tokenizer)
    start, end = np.zeros((2, *windows.features["input_ids"].shape), "float32")
    start[:, 0], end[:, 0] = [3, 2], [1, 1]  # the lower one is that of window 1
    start[0, 4] = 2.5

    def found(threshold):
        options = dict(may_be_impossible=True, null_threshold=threshold)
        return find_answers(windows, start, end, tokenizer, **options)

    assert found(0.4).null_odds == {"q": 0.5}
    assert found(0.4).predictions == {"q": ""}
    assert found(0.5).predictions == {"q": "cat"}
    assert [x["text"] for x in found(0.5).nbest["q"]][:2] == ["", "cat"]
    without = find_answers(windows, start, end, tokenizer)
    assert without.predictions == {"q": "cat"} and without.null_odds is None


def test_a_passage_without_candidates(tokenizer):
    windows = _windows(tokenizer, " \u200b ")
    nothing = np.zeros((2, 0, 9), "float32")
    assert len(windows) == 0
    assert find_answers(windows, *nothing, tokenizer).predictions == {"q": "empty"}
    found = find_answers(windows, *nothing, tokenizer, may_be_impossible=True)
    assert found.predictions == {"q": ""} and found.null_odds == {"q": 0.0}


@pytest.mark.parametrize(
    ("found", "original", "expected"),
    [
        ("steve smith", "Steve Smith's", "Steve Smith"),
        ("resume", "(Résumé)", "Résumé"),
        ("smith", "Steve Jones", "Steve Jones"),  # not found
        ("ss", "Straße ﬁ", "Straße ﬁ"),
        ("", "Steve", "Steve"),
    ],
)
def test_text_of_the_passage(found, original, expected):
    words = BertTokenizer(VOCAB, google_rules=True).rules.words
    assert OriginalText(words)(found, original) == expected


@pytest.mark.parametrize("logits", [np.zeros((2, 2, 8)), np.full((2, 2, 9), np.nan)])
def test_logits_that_cannot_be_of_the_windows(tokenizer, logits):
    with pytest.raises(KerasBertError, match=r"Expected .*logits"):
        find_answers(_windows(tokenizer), *logits, tokenizer)


# === Files ===


def _squad_file(folder: Path, text: str, answer: str, **changes) -> Path:
    answers = [{"text": answer, "answer_start": text.find(answer)}]
    qa = {"id": "q", "question": "who", "answers": answers} | changes
    path = folder / "squad.json"
    paragraphs = [{"context": text, "qas": [qa]}]
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answers": []}, "exactly one answer to question 'q'.*: 0"),
        ({"answers": [{"text": "the", "answer_start": 99}]}, "'the' at 99"),
        ({"answers": [{"text": " ", "answer_start": 3}]}, "not blank"),
        (
            {"answers": [{"text": "the"}]},
            "'answer_start' in the answer to question 'q'",
        ),
        ({"question": None}, "'question' in question 'q'"),
        ({"id": None}, "'id'"),
    ],
)
def test_files_that_are_not_squads(tmp_path, changes, message):
    path = _squad_file(tmp_path, "the cat", "cat", **changes)
    with pytest.raises(KerasBertError, match=f"(?s){message}"):
        read_squad(path, labeled=True)


@pytest.mark.parametrize("text", ["{", "[]", '{"data": []}', '{"data": [{"x": 1}]}'])
def test_other_json(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(KerasBertError, match=r"x\.json"):
        read_squad(tmp_path / "x.json")


def test_questions_with_one_id(tmp_path, caplog):
    path = _squad_file(tmp_path, "the cat", "cat")
    content = json.loads(path.read_text())
    content["data"] *= 2
    path.write_text(json.dumps(content))
    assert len(read_squad(path)) == 2
    assert "1 question has the id of another" in caplog.text


def test_answers_that_are_elsewhere_are_left_out(tmp_path, caplog):
    answers = [{"text": "mat", "answer_start": 0}]
    path = _squad_file(tmp_path, "the cat", "cat", answers=answers)
    with pytest.raises(KerasBertError, match="Expected questions"):
        read_squad(path, labeled=True)
    assert "left out question 'q'" in caplog.text
    assert read_squad(path)[0].id == "q"


def test_rows_that_are_too_short(tokenizer):
    with pytest.raises(KerasBertError, match="above 4"):
        _windows(tokenizer, length=4)
