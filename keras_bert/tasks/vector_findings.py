"""What a report shows of vectors of texts: a map, similarities, texts not found."""

from collections.abc import Sequence

import numpy as np

from keras_bert.analysis.projection import principal_components
from keras_bert.analysis.report import (
    Chart,
    Mistake,
    Mistakes,
    Section,
    Series,
    SideBySide,
)
from keras_bert.analysis.report.charts import COLORS
from keras_bert.tasks.findings import (
    MOST_MISTAKES,
    TIP,
    histogram,
    shown_of,
    spread,
)
from keras_bert.tasks.similarity import unit

MOST_ROWS = 2000  # that are compared with each other
COLUMNS = ("first texts", "second texts", "third texts")


def sections(
    vectors: np.ndarray, texts: Sequence[Sequence[str]], labels: np.ndarray | None
) -> list[Section]:
    """Returns sections about similarities, and a map of all texts.

    Args:
        vectors: `(rows, texts, dim)`, the same number of texts in each row.
        texts: those of each row.
        labels: how similar the two texts of each row are; None where those of a row
            belong together.
    """
    columns = vectors.shape[1]
    names = [COLUMNS[min(n, len(COLUMNS) - 1)] for n in range(columns)] * len(vectors)
    flat = [text for row in texts for text in row]
    chart = _together(vectors) if labels is None else _scored(vectors, texts, labels)
    points = vectors.reshape(-1, vectors.shape[-1])
    map_of_all = vector_map(points, flat, names)
    return [Section("Vectors", [SideBySide([chart, map_of_all])])]


def cosines(vectors: np.ndarray) -> np.ndarray:
    """Returns the cosine of the first two texts of each row, `(rows,)`."""
    first, second = unit(vectors[:, 0]), unit(vectors[:, 1])
    return (first * second).sum(-1)


def _scored(
    vectors: np.ndarray, texts: Sequence[Sequence[str]], labels: np.ndarray
) -> Chart:
    shown, values = spread(len(labels)), cosines(vectors)
    tips = [
        f"expected {labels[i]:.4g}, cosine {values[i]:.3f}: "
        f"{texts[i][0][:TIP]} | {texts[i][1][:TIP]}"
        for i in shown
    ]
    points = Series(labels[shown], values[shown], "", "points", 0, tips)
    title, note = "Expected scores and cosines", shown_of(shown, len(labels))
    return Chart(title, "expected", "cosine", [points], note=note)


def _together(vectors: np.ndarray) -> Chart:
    others = np.stack([vectors[:, 0], np.roll(vectors[:, 1], 1, 0)], 1)
    found = cosines(vectors), cosines(others)
    ends = float(min(map(np.min, found))), float(max(map(np.max, found)))
    series = [
        histogram(found[1], "of different rows", 1, ends),
        histogram(found[0], "of one row", 0, ends),
    ]
    return Chart("Cosines of two texts", "cosine", "pairs", series)


def vector_map(
    vectors: np.ndarray, texts: Sequence[str], labels: Sequence[str] | None = None
) -> Chart:
    """Returns a map of vectors in two dimensions.

    Args:
        vectors: of the texts, `(texts, dimensions)`.
        texts: shown when a point is touched.
        labels: a class for each text, which gives it its color; the most frequent ones
            have one each.
    """
    shown = spread(len(vectors))
    plane = principal_components(vectors)
    names = np.array(labels if labels is not None else [""] * len(texts))
    kinds, counts = np.unique(names, return_counts=True)
    colored = kinds[np.argsort(-counts, kind="stable")][:COLORS]
    groups = [(name, n, names == name) for n, name in enumerate(colored)]
    groups.insert(0, ("others", None, ~np.isin(names, colored)))
    series = [
        Series(
            *plane.points[chosen].T,
            str(name),
            "points",
            color,
            [
                f"{names[i]}: {texts[i][:TIP]}" if names[i] else texts[i][:TIP]
                for i in chosen
            ],
        )
        for name, color, members in groups
        if len(chosen := shown[members[shown]])
    ]
    first, second = (
        f"component {n}, {s:.0%} of the variance" for n, s in enumerate(plane.shares, 1)
    )
    note = shown_of(shown, len(vectors))
    return Chart("Map of the vectors", first, second, series, note=note)


# === Mistakes ===


def mistakes(
    vectors: np.ndarray,
    texts: Sequence[Sequence[str]],
    labels: np.ndarray | None,
    places: Sequence[int | None],
) -> Mistakes:
    """Returns the pairs whose similarity is furthest from what is expected.

    Args:
        vectors, texts, labels: see `sections`.
        places: numbers of the rows.
    """
    if labels is None:
        return _not_found(vectors, texts, places)
    values = cosines(vectors)
    apart = np.abs(_ranks(labels) - _ranks(values))
    return Mistakes(
        [
            Mistake(
                *(*texts[i][:2], f"{labels[i]:.4g}", f"cosine {values[i]:.3f}"),
                *(float(apart[i]), places[i]),
            )
            for i in np.argsort(-apart, kind="stable")[:MOST_MISTAKES]
            if apart[i] > 0
        ],
        "rank difference",
    )


def _ranks(values: np.ndarray) -> np.ndarray:
    """Returns ranks from 0 to 1; equal values have their mean rank."""
    _, kinds, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[kinds] / max(1, len(values) - 1)


def _not_found(
    vectors: np.ndarray, texts: Sequence[Sequence[str]], places: Sequence[int | None]
) -> Mistakes:
    """Returns first texts to which second texts of other rows are more similar."""
    rows = spread(len(vectors), MOST_ROWS)
    pairs = unit(vectors[rows, :2])
    similar = pairs[:, 0] @ pairs[:, 1].T
    _, kinds = np.unique([texts[i][1] for i in rows], return_inverse=True)
    similar[(kinds[:, None] == kinds) & ~np.eye(len(rows), dtype=bool)] = -np.inf
    before = (similar > np.diag(similar)[:, None]).sum(1)
    return Mistakes(
        [
            Mistake(
                *(texts[rows[n]][0], None, texts[rows[n]][1]),
                texts[rows[similar[n].argmax()]][1],
                *(int(before[n]) + 1, places[rows[n]]),
            )
            for n in np.argsort(-before, kind="stable")[:MOST_MISTAKES]
            if before[n]
        ],
        "rank of the expected text",
    )
