"""Answers to questions from the logits of a model, with the n best of each.

Equal to the original, whose rules decide what published scores are: which spans are
candidates, how they are ordered, and how tokens become text of the passage again.

Source: `write_predictions` and `get_final_text` in google-research/bert, run_squad.py.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_bert.atomic_files import new_file, new_files
from keras_bert.errors import InputError, check_counts
from keras_bert.tasks.question_characters import AlignedPieces
from keras_bert.tasks.question_windows import Windows

_AT_ONCE = 512  # windows whose spans are compared at once
NOTHING = "empty"  # the answer if there is no candidate at all
# The files of Google's script, and the attribute of `Answers` that is in each.
FILES = {
    "predictions.json": "predictions",
    "nbest_predictions.json": "nbest",
    "null_odds.json": "null_odds",
}


class Spans(NamedTuple):
    """Candidates for answers, those of a window in the order of their logits' ranks.

    Attributes:
        window: index of the window, `(spans,)`, ascending.
        first: column of the first token.
        last: column of the last token.
        start_logit: float64.
        end_logit: float64.
    """

    window: np.ndarray
    first: np.ndarray
    last: np.ndarray
    start_logit: np.ndarray
    end_logit: np.ndarray


@dataclass(frozen=True)
class Answers:
    """Answers by the ids of their questions.

    Attributes:
        predictions: the answer; "" if the passage has none.
        nbest: the best answers, each with `text`, `probability`, `start_logit` and
            `end_logit`; probabilities are relative to each other.
        null_odds: by how much the score of no answer exceeds that of the best answer;
            None unless questions may have none.
    """

    predictions: dict[str | int, str]
    nbest: dict[str | int, list[dict[str, Any]]]
    null_odds: dict[str | int, float] | None = None

    def save(self, folder: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Writes the files of Google's script, all or none.

        Args:
            folder: for `predictions.json`, `nbest_predictions.json` and, if questions
                may have no answer, `null_odds.json`.
            overwrite: replace existing files.

        Returns:
            Their paths.

        Raises:
            ExistingOutputError: a file exists and `overwrite` is False.
        """
        known = {name: getattr(self, part) for name, part in FILES.items()}
        names = [name for name, value in known.items() if value is not None]
        with new_files(folder, names, overwrite) as partial:
            for name in names:
                _write(known[name], partial / name)
        return [Path(folder, name) for name in names]

    def write(
        self, paths: Mapping[str, str | Path], *, overwrite: bool = False
    ) -> None:
        """Writes some of the files to paths of their own.

        Args:
            paths: by the name of the attribute.
            overwrite: replace existing files.

        Raises:
            ExistingOutputError: a file exists and `overwrite` is False.
            InputError: there are no null odds.
        """
        if "null_odds" in paths and self.null_odds is None:
            raise InputError(
                "Expected questions that may have no answer, for a file of null odds. "
                "Received: none."
            )
        with ExitStack() as stack:
            for part, path in paths.items():
                partial = stack.enter_context(new_file(path, overwrite))
                _write(getattr(self, part), partial)


def _write(values: Mapping[Any, Any], path: Path) -> None:
    path.write_text(json.dumps(values, indent=4) + "\n", encoding="utf-8")


def find_answers(
    windows: Windows,
    start_logits: np.ndarray,
    end_logits: np.ndarray,
    tokenizer: Any,
    *,
    n_best: int = 20,
    max_answer_length: int = 30,
    may_be_impossible: bool = False,
    null_threshold: float = 0.0,
) -> Answers:
    """Finds the answers to questions.

    Args:
        windows: what the model has read.
        start_logits: that an answer starts at a token, `(rows, seq)`.
        end_logits: that it ends there, `(rows, seq)`.
        tokenizer: the one that made the windows.
        n_best: starts and ends of a window that are combined, and answers kept.
        max_answer_length: in tokens.
        may_be_impossible: whether a question may have no answer.
        null_threshold: no answer is predicted where its odds are above this.

    Returns:
        The answers, in the order of the questions.

    Raises:
        InputError: the shape of the logits is not that of the windows, or some are not
            finite.
    """
    check_counts(n_best=n_best, max_answer_length=max_answer_length)
    logits = np.asarray(start_logits), np.asarray(end_logits)
    expected = windows.features["input_ids"].shape
    if any(x.shape != expected for x in logits):
        raise InputError(
            f"Expected start and end logits of shape {expected}, windows by tokens. "
            f"Received: {logits[0].shape} and {logits[1].shape}."
        )
    if not all(np.isfinite(x).all() for x in logits):
        raise InputError("Expected finite logits. Received: some are NaN or infinite.")
    spans = candidate_spans(windows, *logits, n_best, max_answer_length)
    search = _Search(windows, spans, tokenizer, n_best, may_be_impossible)
    predictions, nbest, odds = {}, {}, {}
    for number, question in enumerate(windows.questions):
        null = search.no_answer(number, *logits)
        found = search.best(number, null)
        nbest[question.id] = _with_probabilities(found)
        text, odds[question.id] = _decided(found, null)
        impossible = may_be_impossible and odds[question.id] > null_threshold
        predictions[question.id] = "" if impossible else text
    return Answers(predictions, nbest, odds if may_be_impossible else None)


# === Candidates ===


def candidate_spans(
    windows: Windows,
    start_logits: np.ndarray,
    end_logits: np.ndarray,
    n_best: int,
    max_answer_length: int,
) -> Spans:
    """Returns the spans that may be answers.

    A span starts at one of the `n_best` likeliest starts of a window and ends at one of
    its likeliest ends, among all tokens of the row; both are in the passage, and the
    window shows the most text around the start.

    Args:
        windows: the rows.
        start_logits, end_logits: `(rows, seq)`.
        n_best: starts and ends of a window.
        max_answer_length: in tokens.
    """
    logits = start_logits, end_logits
    blocks = [
        _spans_of_block(windows, begin, *logits, n_best, max_answer_length)
        for begin in range(0, max(1, len(windows)), _AT_ONCE)
    ]
    return Spans(*map(np.concatenate, zip(*blocks, strict=True)))


def _spans_of_block(
    windows: Windows,
    begin: int,
    start_logits: np.ndarray,
    end_logits: np.ndarray,
    n_best: int,
    max_answer_length: int,
) -> Spans:
    rows = slice(begin, begin + _AT_ONCE)
    first = _largest(start_logits[rows], n_best)
    last = _largest(end_logits[rows], n_best)
    most = np.take_along_axis(windows.is_max_context[rows], first, 1)
    end = (windows.column + windows.length)[rows, None]
    possible_start = most & (first >= windows.column[rows, None]) & (first < end)
    size = last[:, None, :] - first[:, :, None] + 1
    possible = possible_start[:, :, None] & (last < end)[:, None, :]
    possible &= (size > 0) & (size <= max_answer_length)
    row, i, j = np.nonzero(possible)
    first, last, row = first[row, i], last[row, j], row + begin
    scores = start_logits[row, first], end_logits[row, last]
    return Spans(row, first, last, *(x.astype("float64") for x in scores))


def _largest(logits: np.ndarray, count: int) -> np.ndarray:
    """Returns the columns of the largest logits; of equal ones the first."""
    return np.argsort(-logits, axis=1, kind="stable")[:, :count]


# === The best of them ===


class _Answer(NamedTuple):
    text: str
    start_logit: float
    end_logit: float

    @property
    def score(self) -> float:
        return self.start_logit + self.end_logit


class _Search:
    """Finds the best answers to one question after the other."""

    def __init__(
        self,
        windows: Windows,
        spans: Spans,
        tokenizer: Any,
        n_best: int,
        may_be_impossible: bool,
    ) -> None:
        self._windows, self._spans, self._n_best = windows, spans, n_best
        self._tokens = tokenizer.convert_ids_to_tokens
        self._may_be_impossible = may_be_impossible
        self._original = OriginalText(tokenizer.rules.words)
        numbers = np.arange(len(windows.questions) + 1)
        self._rows = np.searchsorted(windows.question, numbers)
        self._ends = np.searchsorted(spans.window, self._rows)

    def no_answer(self, number: int, start: np.ndarray, end: np.ndarray) -> _Answer:
        """Returns no answer, with its lowest logits of all windows, those of [CLS]."""
        rows = slice(*self._rows[number : number + 2])
        starts, ends = start[rows, 0].astype("float64"), end[rows, 0].astype("float64")
        if not len(starts):
            return _Answer("", 0.0, 0.0)
        least = int((starts + ends).argmin())
        return _Answer("", float(starts[least]), float(ends[least]))

    def best(self, number: int, null: _Answer) -> list[_Answer]:
        """Returns the best answers with different texts, and no answer, if possible."""
        found: dict[str, _Answer] = {}
        for answer in self._in_order(number, null):
            if len(found) >= self._n_best:
                break
            found.setdefault(answer.text, answer)
        if self._may_be_impossible:
            found.setdefault("", null)
        return list(found.values()) or [_Answer(NOTHING, 0.0, 0.0)]

    def _in_order(self, number: int, null: _Answer) -> Iterator[_Answer]:
        spans = slice(*self._ends[number : number + 2])
        starts, ends = self._spans.start_logit[spans], self._spans.end_logit[spans]
        scores = starts + ends
        if self._may_be_impossible:
            scores = np.append(scores, null.score)
        for place in np.argsort(-scores, kind="stable").tolist():
            if place == len(starts):
                yield null
                continue
            text = self._text(spans.start + place)
            yield _Answer(text, float(starts[place]), float(ends[place]))

    def _text(self, span: int) -> str:
        windows = self._windows
        row, first, last, *_ = (int(x[span]) for x in self._spans)
        number = int(windows.question[row])
        ids = windows.features["input_ids"][row, first : last + 1]
        offset = int(windows.first[row] - windows.column[row])
        pieces = windows.pieces[number]
        if isinstance(pieces, AlignedPieces):
            return pieces.text(first + offset, last + offset)
        words = windows.questions[number].passage.words
        begin, end = pieces.words[first + offset], pieces.words[last + offset]
        return self._original(
            joined(self._tokens(ids.tolist())), " ".join(words[begin : end + 1])
        )


def _decided(found: Sequence[_Answer], null: _Answer) -> tuple[str, float]:
    """Returns the best answer with a text, and the odds of no answer against it."""
    best = next((answer for answer in found if answer.text), None)
    if best is None:  # the original has no rule for this
        return "", null.score
    return best.text, null.score - best.start_logit - best.end_logit


def _with_probabilities(found: Sequence[_Answer]) -> list[dict[str, Any]]:
    scores = [answer.score for answer in found]
    exponents = [math.exp(score - max(scores)) for score in scores]
    total = 0.0
    for exponent in exponents:  # in this order, so that the last digit is the same
        total += exponent
    return [
        {
            "text": answer.text,
            "probability": exponent / total,
            "start_logit": answer.start_logit,
            "end_logit": answer.end_logit,
        }
        for answer, exponent in zip(found, exponents, strict=True)
    ]


# === Text ===


def joined(tokens: Sequence[str]) -> str:
    """Returns the words of tokens.

    Example:
        >>> joined(["steve", "smith", "##son"])
        'steve smithson'
    """
    text = " ".join(tokens).replace(" ##", "").replace("##", "")
    return " ".join(text.split())


class OriginalText:
    """Finds in a passage what was made lower case and cut into tokens.

    Args:
        split: cuts a text into normalized words, such as `BertTokenizer.rules.words`.

    Example:
        >>> original = OriginalText(lambda x: x.lower().replace("'", " '").split())
        >>> original("steve smith", "Steve Smith's")
        'Steve Smith'
    """

    def __init__(self, split: Any) -> None:
        self._normalized = lru_cache(1 << 16)(lambda text: " ".join(split(text)))

    def __call__(self, found: str, original: str) -> str:
        """Returns the part of the original that was found, or all of it if in doubt.

        Args:
            found: normalized words.
            original: words of the passage that contain it.

        Returns:
            The part. The characters of both are matched one by one, spaces apart: if
            normalizing has changed their number, the whole original is returned.
        """
        text = self._normalized(original)
        start = text.find(found) if found else -1
        places = [place for place, char in enumerate(original) if char != " "]
        if start < 0 or len(places) != len(text) - text.count(" "):
            return original
        first = start - text.count(" ", 0, start)
        count = len(found) - found.count(" ")
        return original[places[first] : places[first + count - 1] + 1]
