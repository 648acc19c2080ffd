"""What a report shows of entities: scores by type, kinds of errors, sentences."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from keras_bert.analysis.report import Mistake, Mistakes, Section, Table
from keras_bert.tasks.conll_files import Mark, Sentence
from keras_bert.tasks.entity_scores import EntityCounts, entities_of_both
from keras_bert.tasks.findings import MOST_MISTAKES, class_table

# Whether type and place are those of one that was found -> what is wrong with it.
ERRORS = {
    (False, True): "at the right place, of another type",
    (True, False): "of the right type, with other ends",
    (False, False): "of another type, with other ends",
}


def sections(gold: Sequence[Sentence], found: Sequence[Sentence]) -> list[Section]:
    """Returns scores by type, in percent, and kinds of errors.

    Args:
        gold: with the right tags or marks.
        found: the same sentences with those of a model.
    """
    counts, errors = EntityCounts(), Counter()
    for right, answers in entities_of_both(gold, found):
        counts.add(right, answers)
        errors.update(_errors({*right}, {*answers}))
    columns = np.array([*counts.types.values()]).reshape(-1, 3).T
    rows = [[name, number] for name, number in errors.most_common()]
    return [
        Section("Entities", [class_table(*columns, [*counts.types], whole=100)]),
        Section("Errors", [Table(["", "entities"], rows)]),
    ]


def _errors(right: set[tuple], answers: set[tuple]) -> list[str]:
    """Returns what is wrong with each entity that is missing, or should not be."""
    missing, wrong = right - answers, answers - right
    kinds = [_error(entity, wrong, "not found") for entity in missing]
    alone = [x for x in wrong if not any(_overlap(x, other) for other in right)]
    return kinds + ["found where there is none"] * len(alone)


def _error(entity: tuple, answers: set[tuple], otherwise: str) -> str:
    touching = [x for x in answers if _overlap(entity, x)]
    if not touching:
        return otherwise
    best = max(touching, key=lambda x: (x[1:] == entity[1:], x[0] == entity[0]))
    return ERRORS[best[0] == entity[0], best[1:] == entity[1:]]


def _overlap(one: tuple, other: tuple) -> bool:
    return one[1] <= _last(other) and other[1] <= _last(one)


def _last(entity: tuple) -> int:
    """Returns the last word, or of a mark the last character."""
    return entity[2] - isinstance(entity, Mark)


def mistakes(gold: Sequence[Sentence], found: Sequence[Sentence]) -> Mistakes:
    """Returns the sentences with most wrong entities.

    Args:
        gold, found: see `sections`.
    """
    rows = []
    for item, both in zip(gold, entities_of_both(gold, found), strict=True):
        right, answers = ({*entities} for entities in both)
        shown = [_shown(item, x) for x in (right - answers, answers - right)]
        line = item.lines[0] if item.lines else None
        text = item.text if item.text is not None else " ".join(item.words)
        rows.append(Mistake(text, None, *shown, len(right ^ answers), line))
    rows.sort(key=lambda mistake: -mistake.value)
    worst = [mistake for mistake in rows[:MOST_MISTAKES] if mistake.value]
    return Mistakes(worst, "wrong or missing entities")


def _shown(item: Sentence, entities: set[tuple]) -> str:
    return ", ".join(
        f"{kind}: {_text(item, first, last)}"
        for kind, first, last in sorted(entities, key=lambda x: x[1:])
    )


def _text(item: Sentence, first: int, last: int) -> str:
    if item.marks is not None and item.text is not None:
        return item.text[first:last]
    return " ".join(item.words[first : last + 1])
