"""Questions about passages, from files in the format of SQuAD 1.1 and 2.0.

Source: `read_squad_examples` in google-research/bert, run_squad.py.
"""

import json
import logging
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from keras_bert.errors import InputError, MissingFileError

log = logging.getLogger(__name__)

# What Google's code takes for whitespace in a passage; other spaces are in words.
_WORD = re.compile("[^ \t\r\n\u202f]+")


class Passage:
    """A text, and its words between whitespace.

    Args:
        text: the text.

    Example:
        >>> passage = Passage("Ada  wrote.")
        >>> passage.words, passage.word_at(5)
        (['Ada', 'wrote.'], 1)
    """

    def __init__(self, text: str) -> None:
        found = list(_WORD.finditer(text))
        self.text = text
        self.words = [match[0] for match in found]
        self._begins = [match.start() for match in found]

    def word_at(self, place: int) -> int:
        """Returns the index of the word at a character, or of the last one before."""
        return bisect_right(self._begins, place) - 1


class Span(NamedTuple):
    """An answer in a passage.

    Attributes:
        text: as it was annotated.
        first: index of its first word.
        last: index of its last word.
    """

    text: str
    first: int
    last: int


class Answer(NamedTuple):
    """An answer as it was annotated.

    Attributes:
        text: a part of the passage.
        start: index of its first character; None if only the text is known.
    """

    text: str
    start: int | None = None


@dataclass(frozen=True)
class Question:
    """A question about a passage.

    Attributes:
        id: its name, in predictions too.
        text: the question.
        passage: where the answer is, shared by all questions about it.
        answer: to learn from, in words; None if there is none or it is not known.
        is_impossible: whether the passage is known not to answer it.
        answers: all that were annotated, each right.
    """

    id: str | int
    text: str
    passage: Passage = field(repr=False)
    answer: Span | None = None
    is_impossible: bool = False
    answers: tuple[Answer, ...] = ()


def read_squad(
    path: str | Path, *, labeled: bool = False, with_impossible: bool = False
) -> list[Question]:
    """Reads questions from a JSON file of SQuAD.

    Args:
        path: the file.
        labeled: also read the answers, exactly one for each question, to learn from. A
            question is left out, with a warning, if its answer is not in the passage at
            the place that the file names.
        with_impossible: whether the file says which questions have no answer, as
            SQuAD 2.0 does.

    Returns:
        The questions, in order.

    Raises:
        MissingFileError: there is no such file.
        InputError: the file has another structure, or an answer is missing or outside
            of its passage; the message names the question.

    Example:
        >>> import json, tempfile
        >>> path = Path(tempfile.mkdtemp()) / "squad.json"
        >>> qa = {"id": "1", "question": "Who?",
        ...       "answers": [{"text": "Ada", "answer_start": 0}]}
        >>> data = [{"paragraphs": [{"context": "Ada wrote.", "qas": [qa]}]}]
        >>> _ = path.write_text(json.dumps({"data": data}))
        >>> read_squad(path, labeled=True)[0].answer
        Span(text='Ada', first=0, last=0)
    """
    questions = [
        _question(passage, qa, labeled, with_impossible)
        for passage, qa in squad_items(json_in(Path(path)), str(path))
    ]
    found = [question for question in questions if question is not None]
    return checked(found, str(path))


def checked(found: list[Question], path: str) -> list[Question]:
    """Returns questions; warns if some have the id of another.

    Raises:
        InputError: there are none.
    """
    if not found:
        raise InputError(f"Expected questions in {path}. Received: none.")
    if again := len(found) - len({question.id for question in found}):
        log.warning(
            "%s: %d question%s the id of another, whose prediction is replaced",
            *(path, again, " has" if again == 1 else "s have"),
        )
    return found


def json_in(path: Path) -> Any:
    """Returns the content of a JSON file.

    Raises:
        MissingFileError: there is no such file.
        InputError: it holds something else.
    """
    if not path.is_file():
        raise MissingFileError(f"Expected a file at {path}; none is there.")
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"Expected JSON in {path}. Received: {error}.") from error


def squad_items(content: Any, name: str) -> Iterator[tuple[Passage, Any]]:
    """Yields each question of a file of SQuAD as it is there, and its passage."""
    for article in value_of(content, "data", list, name):
        for paragraph in value_of(article, "paragraphs", list, f"an article of {name}"):
            at = f"a paragraph of {name}"
            passage = Passage(value_of(paragraph, "context", str, at))
            for qa in value_of(paragraph, "qas", list, at):
                yield passage, qa


def value_of(mapping: Any, key: str, kind: Any, at: str) -> Any:
    """Returns a value of a JSON object, or raises InputError if it has another type."""
    value = mapping.get(key) if isinstance(mapping, Mapping) else None
    if not isinstance(value, kind):
        shown = "nothing" if value is None else f"{str(value)[:40]!r}"
        raise InputError(
            f"Expected {key!r} in {at}, as in SQuAD's files. Received: {shown}."
        )
    return value


def _question(
    passage: Passage, qa: Any, labeled: bool, with_impossible: bool
) -> Question | None:
    """Returns a question, or None if its answer is not in the passage."""
    id = value_of(qa, "id", str | int, "a question")
    at = f"question {id!r}"
    question = Question(id, value_of(qa, "question", str, at), passage)
    if not labeled:
        return question
    if with_impossible and value_of(qa, "is_impossible", bool, at):
        return Question(id, question.text, passage, is_impossible=True)
    answers = value_of(qa, "answers", list, at)
    if len(answers) != 1:
        raise InputError(
            f"Expected exactly one answer to {at}, to learn from. Received: "
            f"{len(answers)}. Train on the training file; if some of its questions "
            "have no answer, as in SQuAD 2.0, say so (--version_2_with_negative)."
        )
    answer = _span(passage, answers[0], at)
    return answer and Question(id, question.text, passage, answer)


def _span(passage: Passage, answer: Any, at: str) -> Span | None:
    text = value_of(answer, "text", str, f"the answer to {at}")
    start = value_of(answer, "answer_start", int, f"the answer to {at}")
    end = start + len(text) - 1
    if not text.strip() or not 0 <= start <= end < len(passage.text):
        raise InputError(
            f"Expected the answer to {at} inside its passage of {len(passage.text)} "
            f"characters, and not blank. Received: {text[:40]!r} at {start}."
        )
    first, last = passage.word_at(start), passage.word_at(end)
    there = " ".join(passage.words[first : last + 1])
    if " ".join(text.split()) not in there:
        log.warning(
            "left out %s: its answer %r is not at its place in the passage, %r",
            *(at, text, there),
        )
        return None
    return Span(text, first, last)
