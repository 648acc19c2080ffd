"""What a report shows of answers: tables of classes, confusions, mistakes, charts."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from keras_bert.analysis.calibration import calibration
from keras_bert.analysis.report import (
    Chart,
    ConfusionMatrix,
    Facts,
    Mistake,
    Mistakes,
    Section,
    Series,
    SideBySide,
    Table,
)

MOST_MISTAKES = 25
MOST_POINTS = 1500  # of a chart in which each has its text
TIP = 160  # characters of a text that is shown for a point


def sections(
    answers: np.ndarray,
    outputs: np.ndarray,
    labels: Sequence[str] | None,
    texts: Sequence[str],
) -> list[Section]:
    """Returns sections about classes, lists of labels, or numbers.

    Args:
        answers: the right ones, as `keras_bert.tasks.encode` returns them.
        outputs: logits of a model, `(examples, classes)`, or numbers.
        labels: the classes; None for numbers.
        texts: of the examples.
    """
    if labels is None:
        return [_numbers(answers, outputs.reshape(-1), texts)]
    if answers.ndim == 2:
        return _lists(answers, outputs, labels)
    return _classes(answers, outputs, labels)


def mistakes(
    items: Sequence[Any],
    answers: np.ndarray,
    outputs: np.ndarray,
    labels: Sequence[str] | None,
) -> Mistakes:
    """Returns the worst mistakes, that with most confidence first.

    Args:
        items: the examples.
        answers, outputs, labels: see `sections`.
    """
    judged = _judged(answers, outputs, labels)
    order = np.argsort(-judged.wrong, kind="stable")[:MOST_MISTAKES]
    found = [
        Mistake(
            *(items[i].text, items[i].text_pair, judged.gold[i], judged.found[i]),
            *(float(judged.wrong[i]), items[i].row),
        )
        for i in order
        if judged.wrong[i] > 0
    ]
    return Mistakes(found, judged.measure)


class _Judged(NamedTuple):
    """How wrong each answer is, 0 if it is right; the right ones, and the answers."""

    wrong: np.ndarray
    gold: list[str]
    found: list[str]
    measure: str


def _judged(
    answers: np.ndarray, outputs: np.ndarray, labels: Sequence[str] | None
) -> _Judged:
    if labels is None:
        return _judged_numbers(answers, outputs.reshape(-1))
    judge = _judged_lists if answers.ndim == 2 else _judged_classes
    return judge(answers, outputs, labels)


def _judged_numbers(answers: np.ndarray, values: np.ndarray) -> _Judged:
    gold, found = ([f"{x:.4g}" for x in numbers] for numbers in (answers, values))
    return _Judged(np.abs(values - answers), gold, found, "error")


def _judged_lists(
    answers: np.ndarray, logits: np.ndarray, labels: Sequence[str]
) -> _Judged:
    gold, chosen = answers > 0.5, logits > 0
    apart = np.where(chosen != gold, np.abs(_sigmoid(logits) - answers), 0).max(1)
    names = _names_of(gold, labels), _names_of(chosen, labels)
    return _Judged(apart, *names, "largest error")


def _judged_classes(
    answers: np.ndarray, logits: np.ndarray, labels: Sequence[str]
) -> _Judged:
    chosen = logits.argmax(1)
    sure = np.where(chosen == answers, 0, softmax(logits).max(1))
    gold, found = ([labels[i] for i in ids] for ids in (answers, chosen))
    return _Judged(sure, gold, found, "probability")


def _names_of(flags: np.ndarray, labels: Sequence[str]) -> list[str]:
    return [", ".join(labels[i] for i in np.flatnonzero(row)) for row in flags]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns the probabilities of classes, `(examples, classes)`."""
    exponents = np.exp(np.float64(logits) - logits.max(-1, keepdims=True))
    return exponents / exponents.sum(-1, keepdims=True)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -np.float64(logits)))  # no overflow


# === Classes ===


def _classes(
    answers: np.ndarray, logits: np.ndarray, labels: Sequence[str]
) -> list[Section]:
    chosen, shares = logits.argmax(1), softmax(logits)
    size = len(labels)
    counts = np.bincount(answers * size + chosen, minlength=size**2)
    matrix = ConfusionMatrix(counts.reshape(size, size), labels)
    right, found, gold = np.diag(matrix.counts), *(matrix.counts.sum(a) for a in (0, 1))
    calibrated = reliability(shares.max(1), chosen == answers, "accuracy")
    return [
        Section("Classes", [class_table(right, found, gold, labels)]),
        Section("Confusion matrix", [matrix, matrix.confusions()]),
        Section("Reliability", calibrated),
    ]


def _lists(
    answers: np.ndarray, logits: np.ndarray, labels: Sequence[str]
) -> list[Section]:
    chosen, gold = logits > 0, answers > 0.5
    counts = ((chosen & gold).sum(0), chosen.sum(0), gold.sum(0))
    calibrated = reliability(_sigmoid(logits).ravel(), gold.ravel(), "share that apply")
    return [
        Section("Classes", [class_table(*counts, labels)]),
        Section("Reliability", calibrated),
    ]


def class_table(
    right: np.ndarray,
    found: np.ndarray,
    gold: np.ndarray,
    labels: Sequence[str],
    *,
    whole: float = 1.0,
) -> Table:
    """Returns precision, recall and F1 of classes or types of entities.

    Args:
        right: how many were found and are right, `(classes,)`.
        found: how many were found.
        gold: how many there are.
        labels: the classes. Those that are neither there nor found are left out.
        whole: what the best score is called, 1 or 100.
    """
    counts = np.float64([right, found, gold])
    precision, recall, f1 = (
        whole * np.divide(a, b, out=np.zeros(len(labels)), where=b > 0)
        for a, b in (
            (counts[0], counts[1]),
            (counts[0], counts[2]),
            (2 * counts[0], counts[1] + counts[2]),
        )
    )
    order = [i for i in np.argsort(f1, kind="stable") if found[i] or gold[i]]
    columns = (precision, recall, f1)
    rows = [
        [labels[i], *(float(c[i]) for c in columns), int(gold[i]), int(found[i])]
        for i in order
    ]
    if rows:
        means = [float(np.mean(c[order])) for c in columns]
        rows.append(["mean", *means, int(gold.sum()), int(found.sum())])
    header = ["", "precision", "recall", "F1", "expected", "predicted"]
    return Table(header, rows, "Lowest F1 first", emphasized=[len(rows) - 1])


def reliability(
    probabilities: np.ndarray, right: np.ndarray, share: str
) -> list[SideBySide | Facts]:
    """Returns the reliability diagram, and the distribution of probabilities.

    Args:
        probabilities: of the answers, `(answers,)`.
        right: whether they are right.
        share: what the share of right ones is called.
    """
    found = calibration(probabilities, right)
    filled = found.counts > 0
    bins = np.stack([found.edges[:-1], found.edges[1:]], 1)[filled]
    columns = (x[filled] for x in (found.claimed, found.right, found.counts))
    tips = [
        f"probability {low:.1f} to {high:.1f}, mean {claimed:.3f}: {share} {true:.3f} "
        f"of {count:,}"
        for (low, high), claimed, true, count in zip(bins, *columns, strict=True)
    ]
    bars = partial(Series, bins, name="", mark="bars", tips=tips)
    unit, x_label = (0.0, 1.0), "probability of the answer"
    calibrated = Series(np.array(unit), np.array(unit), "calibrated", "rule", None)
    shares = [bars(y=found.right[filled]), calibrated]
    counts = [bars(y=found.counts[filled])]
    facts = {
        "expected calibration error": found.error,
        "mean probability": float(np.mean(probabilities)),
        share: float(np.mean(right)),
    }
    charts = [
        Chart("Are probabilities right?", x_label, share, shares, unit, unit),
        Chart("How sure are the answers?", x_label, "answers", counts, unit),
    ]
    return [Facts(facts), SideBySide(charts)]


# === Numbers ===


def _numbers(answers: np.ndarray, values: np.ndarray, texts: Sequence[str]) -> Section:
    shown = spread(len(answers))
    low = float(min(answers.min(), values.min()))
    high = float(max(answers.max(), values.max()))
    tips = [
        f"expected {answers[i]:.4g}, received {values[i]:.4g}: {texts[i][:TIP]}"
        for i in shown
    ]
    chart = Chart(
        "Expected and predicted numbers",
        "expected",
        "predicted",
        [
            Series(np.array([low, high]), np.array([low, high]), "equal", "rule", None),
            Series(answers[shown], values[shown], "", "points", 0, tips),
        ],
        note=shown_of(shown, len(answers)),
    )
    errors = values - answers
    distribution = Chart(
        "Errors",
        "predicted - expected",
        "examples",
        [histogram(errors)],
    )
    return Section("Predictions", [SideBySide([chart, distribution])])


def histogram(
    values: np.ndarray, name: str = "", color: int = 0, ends: Any = None
) -> Series:
    """Returns how often values are in each of twenty bins.

    Args:
        values: `(values,)`.
        name, color: of the series.
        ends: of the bins; None takes those of the values.
    """
    counts, edges = np.histogram(values, 20, ends)
    bins = np.stack([edges[:-1], edges[1:]], 1)
    tips = [
        f"{low:.3g} to {high:.3g}: {n:,}"
        for (low, high), n in zip(bins, counts, strict=True)
    ]
    return Series(bins, counts.astype("float64"), name, "bars", color, tips)


def spread(count: int, most: int = MOST_POINTS) -> np.ndarray:
    """Returns at most so many indices, at equal distances."""
    return np.linspace(0, count - 1, min(count, most)).round().astype("int64")


def shown_of(shown: np.ndarray, count: int) -> str:
    """Returns a sentence about examples that are not drawn, or nothing."""
    if len(shown) == count:
        return ""
    return f"{len(shown):,} of {count:,} examples, at equal distances."
