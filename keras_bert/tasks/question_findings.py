"""What a report shows of answers to questions."""

from collections.abc import Mapping, Sequence

import numpy as np

from keras_bert.analysis.report import Chart, Mistake, Mistakes, Section
from keras_bert.tasks.findings import MOST_MISTAKES, histogram
from keras_bert.tasks.questions import Question
from keras_bert.tasks.squad_scores import scores_of_each

AROUND = 240  # characters of a passage that are shown before and after an answer


def sections(
    questions: Sequence[Question],
    predictions: Mapping[str | int, str],
    rules: str | None,
) -> list[Section]:
    """Returns how the F1 of the answers is distributed.

    Args:
        questions: with their answers.
        predictions: the answers of a model.
        rules: see `keras_bert.tasks.squad_scores.score_answers`.
    """
    _, f1 = scores_of_each(questions, predictions, rules)
    bars = histogram(np.array(f1), ends=(0.0, 1.0))
    chart = Chart("F1 of the answers", "F1", "questions", [bars], (0.0, 1.0))
    return [Section("Answers", [chart])]


def mistakes(
    questions: Sequence[Question],
    predictions: Mapping[str | int, str],
    rules: str | None,
) -> Mistakes:
    """Returns the questions whose answers share least with those annotated.

    Args:
        questions, predictions, rules: see `sections`.
    """
    exact, f1 = scores_of_each(questions, predictions, rules)
    wrong = [i for i in np.argsort(f1, kind="stable") if not exact[i]]
    found = [
        Mistake(
            *(questions[i].text, _excerpt(questions[i]), _gold(questions[i])),
            *(predictions.get(questions[i].id, ""), f1[i], questions[i].id),
        )
        for i in wrong[:MOST_MISTAKES]
    ]
    return Mistakes(found, "F1")


def _gold(question: Question) -> str:
    return " / ".join(dict.fromkeys(answer.text for answer in question.answers))


def _excerpt(question: Question) -> str:
    """Returns the passage around the first answer, or its beginning."""
    text = question.passage.text
    starts = [a.start for a in question.answers if a.start is not None]
    begin = max(0, starts[0] - AROUND) if starts else 0
    end = (starts[0] if starts else 0) + AROUND
    before, after = "…" if begin else "", "…" if end < len(text) else ""
    return f"{before}{text[begin:end]}{after}"
