"""Precision, recall and F1 of entities: right if type and both ends are.

An entity of either side counts once. For tags in IOB1, IOB2 and the other schemes these
are the figures of conlleval, and of seqeval in its default mode.

Source: conlleval of the shared task of CoNLL 2000.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from keras_bert.errors import InputError
from keras_bert.tag_schemes import TagSet
from keras_bert.tasks.conll_files import Sentence, read_sentences

log = logging.getLogger(__name__)

SHOWN = 40  # characters of a word in a message


class Counts(NamedTuple):
    """Numbers of entities.

    Attributes:
        correct: found and right.
        found: by the system.
        gold: that there are.
    """

    correct: int
    found: int
    gold: int

    @property
    def precision(self) -> float:
        """Right ones among those found, in percent; 0 if none is found."""
        return 100 * self.correct / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """Found and right ones among those that there are, in percent."""
        return 100 * self.correct / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of the two."""
        total = self.found + self.gold
        return 200 * self.correct / total if total else 0.0


class EntityCounts:
    """Counts entities by type, sentence by sentence.

    Example:
        >>> counts = EntityCounts()
        >>> counts.add([("PER", 0, 1), ("LOC", 3, 3)], [("PER", 0, 1)])
        >>> counts.scores()["f1"], counts.scores()["PER_f1"]
        (66.66666666666667, 100.0)
    """

    def __init__(self) -> None:
        self._found: Counter[str] = Counter()
        self._gold: Counter[str] = Counter()
        self._correct: Counter[str] = Counter()

    def add(self, gold: Iterable[tuple], found: Iterable[tuple]) -> None:
        """Counts the entities of a sentence.

        Args:
            gold: those that there are: type, and both ends.
            found: those of the system.
        """
        gold, found = {*gold}, {*found}
        self._gold.update(kind for kind, *_ in gold)
        self._found.update(kind for kind, *_ in found)
        self._correct.update(kind for kind, *_ in gold & found)

    @property
    def total(self) -> Counts:
        """The numbers of all entities."""
        columns = (self._correct, self._found, self._gold)
        return Counts(*(column.total() for column in columns))

    @property
    def types(self) -> dict[str, Counts]:
        """The numbers by type, sorted."""
        columns = (self._correct, self._found, self._gold)
        names = sorted({*self._found, *self._gold})
        return {n: Counts(*(column[n] for column in columns)) for n in names}

    def scores(self) -> dict[str, float]:
        """Returns `precision`, `recall` and `f1` in percent, and those of each type.

        Those of a type are called `TYPE_f1` and so on.
        """
        named = {"": self.total} | {f"{n}_": counts for n, counts in self.types.items()}
        return {
            f"{name}{score}": getattr(counts, score)
            for name, counts in named.items()
            for score in ("precision", "recall", "f1")
        }


def score_sentences(
    gold: Sequence[Sentence], found: Sequence[Sentence], *, strict: bool = False
) -> dict[str, float]:
    """Scores the tags, or marks, of sentences.

    Args:
        gold: with the right tags.
        found: the same sentences with those of a system, in any scheme.
        strict: count only entities that are written as their scheme writes them.

    Returns:
        See `EntityCounts.scores`; of tags also `accuracy`, the share of words with the
        right one in percent.

    Raises:
        InputError: tags are of no scheme, or of several.
    """
    counts, words, equal = EntityCounts(), 0, 0
    for entities in entities_of_both(gold, found, strict=strict):
        counts.add(*entities)
    for pair in zip(gold, found, strict=True):
        labels = [sentence.tags for sentence in pair]
        if None not in labels:
            words += len(labels[0])
            equal += sum(a == b for a, b in zip(*labels, strict=True))
    accuracy = {"accuracy": 100 * equal / words} if words else {}
    return {**counts.scores(), **accuracy}


def entities_of_both(
    gold: Sequence[Sentence], found: Sequence[Sentence], *, strict: bool = False
) -> Iterator[tuple[Sequence[tuple], Sequence[tuple]]]:
    """Yields the entities of each sentence, those that there are and those found.

    Args:
        gold, found, strict: see `score_sentences`.

    Yields:
        Types and both ends: the first and the last word; of marks the characters.
    """
    tags = [_tag_set(sentences) for sentences in (gold, found)]
    for right, answer in zip(gold, found, strict=True):
        yield _entities(right, tags[0], strict), _entities(answer, tags[1], strict)


def score_files(
    gold: str | Path, found: str | Path, *, strict: bool = False, **options: Any
) -> dict[str, float]:
    """Scores a file of predictions.

    Args:
        gold: the file with the right tags.
        found: one with the same words and the tags of a system in its last column, or
            with the same texts and its entities.
        strict: see `score_sentences`.
        **options: of the gold file, see `read_sentences`.

    Returns:
        `sentences` and `entities`, their numbers, and the scores.

    Raises:
        MissingFileError: there is no such file.
        InputError: the words differ, naming the line; or a line is invalid.
    """
    encoding = options.get("encoding", "utf-8")
    right = list(read_sentences(gold, **options))
    answers = list(read_sentences(found, encoding=encoding))
    _check_same(right, answers, str(gold), str(found))
    scores = score_sentences(right, answers, strict=strict)
    return {"sentences": len(right), **scores}


def _tag_set(sentences: Iterable[Sentence]) -> TagSet:
    sequences = [sentence.tags or () for sentence in sentences]
    return TagSet(dict.fromkeys(tag for tags in sequences for tag in tags), sequences)


def _entities(sentence: Sentence, tags: TagSet, strict: bool) -> Sequence[tuple]:
    if sentence.marks is not None:
        return sentence.marks
    return tags.entities(sentence.tags or (), strict=strict)


# === The same words ===


def _check_same(
    gold: Sequence[Sentence], found: Sequence[Sentence], *names: str
) -> None:
    if not gold:
        raise InputError(f"Expected sentences in {names[0]}. Received: none.")
    for pair in zip_longest(_units(gold), _units(found)):
        shown = [unit and unit.text for unit in pair]
        if shown[0] != shown[1]:
            places = [
                f"{_shown(unit)} in {name}"
                for unit, name in zip(pair, names, strict=True)
            ]
            raise InputError(
                f"Expected the same words and sentences in both files. Received: "
                f"{places[0]}, and {places[1]}."
            )


class _Unit(NamedTuple):
    """A word, a text, or the end of a sentence (None), and the line it is in."""

    text: str | None
    line: int


def _units(sentences: Iterable[Sentence]) -> Iterator[_Unit]:
    for sentence in sentences:
        texts = sentence.words or (sentence.text,)
        yield from map(_Unit, texts, sentence.lines)
        yield _Unit(None, sentence.lines[-1])


def _shown(unit: _Unit | None) -> str:
    if unit is None:
        return "no more sentences"
    what = "the end of a sentence" if unit.text is None else repr(unit.text[:SHOWN])
    return f"{what} at line {unit.line}"
