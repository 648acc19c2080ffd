"""Scores of answers to questions, as the scripts of the data sets compute them.

Sources: `evaluate-v1.1.py` and `evaluate-v2.0.py` in rajpurkar/SQuAD-explorer;
`cmrc2018_evaluate.py` in ymcui/cmrc2018.
"""

import logging
import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_bert.errors import InputError, choose
from keras_bert.tasks.chinese_segments import IDEOGRAPH, segments, without_marks
from keras_bert.tasks.questions import Question, json_in

log = logging.getLogger(__name__)

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
NULL_THRESHOLD = 1.0  # of the odds of no answer, as in evaluate-v2.0.py
Score = Callable[[str, str], float]


class Rules(NamedTuple):
    """How an answer is compared with one that was annotated.

    Attributes:
        exact: whether they are the same, from both.
        f1: how much they share, from both.
        with_unanswerable: whether questions may have no answer. Annotated answers of
            which nothing is left without punctuation and articles are then dropped.
    """

    exact: Score
    f1: Score
    with_unanswerable: bool = False


# === Two answers ===


def normalized(text: str) -> str:
    """Returns a text in lower case, without punctuation, articles and extra spaces.

    Example:
        >>> normalized("The  Beatles!")
        'beatles'
    """
    text = text.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", text).split())


def same(gold: str, found: str) -> float:
    """Whether two answers are normalized to the same."""
    return float(normalized(gold) == normalized(found))


def shared_words(gold: str, found: str) -> float:
    """Returns the F1 of the words of an answer; 0 if there are none."""
    words, others = normalized(gold).split(), normalized(found).split()
    common = (Counter(words) & Counter(others)).total()
    return _f1(common, len(others), len(words))


def shared_words_or_none(gold: str, found: str) -> float:
    """Returns the F1 of the words; 1 if neither has any."""
    if normalized(gold) and normalized(found):
        return shared_words(gold, found)
    return same(gold, found)


def same_characters(gold: str, found: str) -> float:
    """Whether two answers are the same without marks, as for CMRC."""
    return float(without_marks(gold) == without_marks(found))


def shared_segments(gold: str, found: str) -> float:
    """Returns the F1 of the longest sequence of segments in both, as for CMRC."""
    words, others = segments(gold), segments(found)
    return _f1(_longest_common(words, others), len(others), len(words))


def _f1(common: int, found: int, gold: int) -> float:
    if not common:
        return 0.0
    precision, recall = common / found, common / gold
    return (2 * precision * recall) / (precision + recall)


def _longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    best, row = 0, [0] * (len(other) + 1)
    for item in one:
        pairs = zip(other, row, strict=False)
        row = [0, *(length + 1 if item == x else 0 for x, length in pairs)]
        best = max(best, *row)
    return best


RULES = {
    "squad-1.1": Rules(same, shared_words),
    "squad-2.0": Rules(same, shared_words_or_none, with_unanswerable=True),
    "cmrc2018": Rules(same_characters, shared_segments),
}

# === All answers ===


def score_answers(
    questions: Iterable[Question],
    predictions: Mapping[Any, str],
    *,
    rules: str | None = None,
    null_odds: Mapping[Any, float] | None = None,
    null_threshold: float = NULL_THRESHOLD,
) -> dict[str, float]:
    """Scores predicted answers.

    Args:
        questions: with all their `answers`; those without any are unanswerable.
        predictions: the answer to each question by its id, "" for none. A question
            without a prediction scores 0, and a warning names it.
        rules: a name of `RULES`: "squad-1.1"; "squad-2.0", the default where a question
            is unanswerable; "cmrc2018" for Chinese.
        null_odds: of each question, how likely it has no answer, in any scale.
        null_threshold: a question whose odds are above it counts as predicted to have
            no answer.

    Returns:
        In percent `exact_match` and `f1`, and the number of questions, `total`, and of
        those without a prediction, `missing`. By squad-2.0 also `HasAns_exact`,
        `HasAns_f1`, `HasAns_total`, and of unanswerable questions the same as
        `NoAns_…`, and `NoAns_acc`, which equals `NoAns_exact`. With `null_odds` the
        best scores that a threshold reaches: `best_exact`, `best_exact_thresh`,
        `best_f1`, `best_f1_thresh`; the threshold is 0 if none is better than no answer
        to any question.

    Raises:
        InputError: there are no questions; the rules do not have unanswerable ones;
            or odds are missing.
        UnknownNameError: there are no such rules.

    Example:
        >>> from keras_bert.tasks.questions import Answer, Passage
        >>> question = Question("1", "Who?", Passage("Ada"), answers=(Answer("Ada"),))
        >>> score_answers([question], {"1": "the Ada."})
        {'exact_match': 100.0, 'f1': 100.0, 'total': 1, 'missing': 0}
    """
    questions = list(questions)
    known = RULES[_rules_for(questions, rules)]
    if known.with_unanswerable:  # its script keeps the last of those with one id
        questions = list({question.id: question for question in questions}.values())
    found = _Scores(questions, predictions, known)
    found.warn_of_missing()
    if null_odds is None:
        return found.summary(None, null_threshold)
    odds = {str(id): value for id, value in null_odds.items()}  # as JSON has ids
    return found.summary(odds, null_threshold) | found.best(odds)


def scores_of_each(
    questions: Sequence[Question],
    predictions: Mapping[Any, str],
    rules: str | None = None,
) -> tuple[list[float], list[float]]:
    """Returns whether each answer is exact, and its F1, from 0 to 1.

    Args:
        questions, predictions, rules: see `score_answers`.
    """
    found = _Scores(questions, predictions, RULES[_rules_for(questions, rules)])
    return found.exact, found.f1


def read_predictions(path: str | Path) -> dict[str, str]:
    """Reads a file of predictions in SQuAD's form, answers by the ids of questions.

    Raises:
        MissingFileError: there is no such file.
        InputError: it has another form.
    """
    return _strings_to(str, path, "the text of an answer")


def read_null_odds(path: str | Path) -> dict[str, float]:
    """Reads a file of the odds of no answer, numbers by the ids of questions.

    Raises:
        MissingFileError: there is no such file.
        InputError: it has another form.
    """
    return _strings_to((int, float), path, "a number")


def _strings_to(kind: Any, path: str | Path, expected: str) -> dict[str, Any]:
    content = json_in(Path(path))
    if not isinstance(content, dict):
        raise InputError(
            f"Expected one JSON object in {path}, {expected} by the id of each "
            f"question. Received: {type(content).__name__}."
        )
    for id, value in content.items():
        if not isinstance(value, kind) or value != value:
            raise InputError(
                f"Expected {expected} for question {id!r} in {path}. Received: "
                f"{str(value)[:40]!r}."
            )
    return content


def _rules_for(questions: Sequence[Question], name: str | None) -> str:
    if not questions:
        raise InputError("Expected at least one question to score. Received: none.")
    unanswerable = next((q.id for q in questions if not q.answers), None)
    if name is None:
        name = "squad-1.1" if unanswerable is None else "squad-2.0"
        _warn_of_ideographs(questions, name)
    if unanswerable is not None and not RULES[choose("rules", name, RULES)][2]:
        raise InputError(
            f"Expected an annotated answer to every question, as {name} needs. "
            f"Received: none to question {unanswerable!r}. Score with squad-2.0."
        )
    return choose("rules", name, RULES)


def _warn_of_ideographs(questions: Sequence[Question], name: str) -> None:
    texts = [answer.text for question in questions for answer in question.answers]
    if 2 * sum(IDEOGRAPH.search(text) is not None for text in texts) > len(texts):
        log.warning(
            "most answers are Chinese; scored by %s, whose words are between spaces. "
            "Choose the rules cmrc2018 to count characters.",
            name,
        )


class _Scores:
    """The scores of each question, in order; 0 for those without a prediction."""

    def __init__(
        self,
        questions: Sequence[Question],
        predictions: Mapping[Any, str],
        rules: Rules,
    ) -> None:
        self.questions, self.rules = questions, rules
        self.predictions = {str(id): text for id, text in predictions.items()}
        self.exact = [self._best(question, rules.exact) for question in questions]
        self.f1 = [self._best(question, rules.f1) for question in questions]

    def _best(self, question: Question, score: Score) -> float:
        found = self.predictions.get(str(question.id))
        if found is None:
            return 0.0
        texts = [answer.text for answer in question.answers]
        if self.rules.with_unanswerable:
            texts = [text for text in texts if normalized(text)] or [""]
        return max(score(text, found) for text in texts)

    def missing(self) -> list[Any]:
        return [q.id for q in self.questions if str(q.id) not in self.predictions]

    def warn_of_missing(self) -> None:
        for id in self.missing():
            log.warning("unanswered question %s receives a score of 0", id)

    def summary(
        self, odds: Mapping[Any, float] | None, threshold: float
    ) -> dict[str, float]:
        exact, f1 = self.exact, self.f1
        if odds is not None:
            self._check(odds)
            null = [odds[str(q.id)] > threshold for q in self.questions]
            exact, f1 = self._without(exact, null), self._without(f1, null)
        every = range(len(exact))
        overall = {
            "exact_match": _percent(exact, every),
            "f1": _percent(f1, every),
            "total": len(exact),
            "missing": len(self.missing()),
        }
        kinds = self.rules.with_unanswerable
        return overall | (self._by_kind(exact, f1) if kinds else {})

    def _check(self, odds: Mapping[Any, float]) -> None:
        for question in self.questions:
            if str(question.id) not in odds:
                raise InputError(
                    "Expected odds of no answer for every question. Received: none for "
                    f"{question.id!r}."
                )

    def _without(self, scores: list[float], null: list[bool]) -> list[float]:
        """Returns the scores if some questions are predicted to have no answer."""
        rows = zip(self.questions, scores, null, strict=True)
        return [float(not q.answers) if none else score for q, score, none in rows]

    def _unanswerable(self) -> int:
        return sum(not question.answers for question in self.questions)

    def _by_kind(self, exact: list[float], f1: list[float]) -> dict[str, float]:
        scores = {}
        for kind, answered in (("HasAns", True), ("NoAns", False)):
            rows = [
                i for i, q in enumerate(self.questions) if answered == bool(q.answers)
            ]
            if rows:
                scores[f"{kind}_exact"] = _percent(exact, rows)
                scores[f"{kind}_f1"] = _percent(f1, rows)
                scores[f"{kind}_total"] = len(rows)
        if "NoAns_exact" in scores:
            scores["NoAns_acc"] = scores["NoAns_exact"]  # its other name
        return scores

    def best(self, odds: Mapping[Any, float]) -> dict[str, float]:
        """Returns the best scores over all thresholds, and the thresholds."""
        best = {}
        for name, scores in (("exact", self.exact), ("f1", self.f1)):
            score, best[f"best_{name}_thresh"] = self._best_threshold(scores, odds)
            best[f"best_{name}"] = 100.0 * score / len(scores)
        return dict(sorted(best.items()))

    def _best_threshold(
        self, scores: list[float], odds: Mapping[Any, float]
    ) -> tuple[float, float]:
        current = best = float(self._unanswerable())  # none is answered
        threshold = 0.0
        places = {str(q.id): i for i, q in enumerate(self.questions)}
        for id in sorted((id for id in odds if id in places), key=lambda id: odds[id]):
            question = self.questions[places[id]]
            if question.answers:
                current += scores[places[id]]
            elif self.predictions.get(id):
                current -= 1
            if current > best:
                best, threshold = current, odds[id]
        return best, threshold


def _percent(scores: Sequence[float], rows: Sequence[int]) -> float:
    # In this order, and not by a mean, so that every digit is the script's.
    return 100.0 * sum(scores[i] for i in rows) / len(rows)
