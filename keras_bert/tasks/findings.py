"""What a report shows of answers: tables of classes, confusions, mistakes, charts."""

from collections.abc import Sequence
from typing import Any

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
    if labels is None:
        values = outputs.reshape(-1)
        wrong = np.abs(values - answers)
        measure, found = "error", [f"{v:.4g}" for v in values]
        names = [f"{v:.4g}" for v in answers]
    elif answers.ndim == 2:
        shares = _sigmoid(outputs)
        differs = (outputs > 0) != (answers > 0.5)
        wrong = np.where(differs, np.abs(shares - answers), 0).max(1)
        measure, found = "largest error", _names_of(outputs > 0, labels)
        names = _names_of(answers > 0.5, labels)
    else:
        chosen = outputs.argmax(1)
        wrong = np.where(chosen == answers, 0, softmax(outputs).max(1))
        measure, found = "probability", [labels[i] for i in chosen]
        names = [labels[i] for i in answers]
    order = np.argsort(-wrong, kind="stable")[:MOST_MISTAKES]
    return Mistakes(
        [
            Mistake(
                *(items[i].text, items[i].text_pair, names[i], found[i]),
                *(float(wrong[i]), items[i].row),
            )
            for i in order
            if wrong[i] > 0
        ],
        measure,
    )


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
    bins = np.stack([found.edges[:-1], found.edges[1:]], 1)
    filled = found.counts > 0
    tips = [
        f"probability {low:.1f} to {high:.1f}, mean {claimed:.3f}: {share} {true:.3f} "
        f"of {count:,}"
        for (low, high), claimed, true, count in zip(
            bins, found.claimed, found.right, found.counts, strict=True
        )
    ]
    tips = [tip for tip, kept in zip(tips, filled, strict=True) if kept]
    unit = np.array([0.0, 1.0])
    names = {"x_label": "probability of the answer", "x_range": (0.0, 1.0)}
    diagram = Chart(
        "Are probabilities right?",
        y_label=share,
        y_range=(0.0, 1.0),
        series=[
            Series(bins[filled], found.right[filled], "", "bars", 0, tips),
            Series(unit, unit, "calibrated", "rule", None),
        ],
        **names,
    )
    counts = Chart(
        "How sure are the answers?",
        y_label="answers",
        series=[Series(bins[filled], found.counts[filled], "", "bars", 0, tips)],
        y_range=(0.0, 1.05 * float(found.counts.max())),
        **names,
    )
    error = {
        "expected calibration error": found.error,
        "mean probability": float(np.mean(probabilities)),
        share: float(np.mean(right)),
    }
    return [Facts(error), SideBySide([diagram, counts])]


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
