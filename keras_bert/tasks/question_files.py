"""Questions with all their answers, from files and from memory."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from keras_bert.errors import InputError, MissingFileError
from keras_bert.tasks.questions import (
    Answer,
    Passage,
    Question,
    checked,
    json_in,
    squad_items,
    value_of,
)
from keras_bert.tasks.text_lines import text_lines
from keras_bert.tasks.tfds_tables import is_tfds, open_split

_ANSWER = ("text", "answer_start")


def read_questions(source: Any, *, labeled: bool = True) -> list[Question]:
    """Reads questions and all their answers.

    Args:
        source: a file in the form of SQuAD 1.1 or 2.0, as XQuAD and CMRC 2018 have it,
            or in CMRC's own, which does not say where answers are; a `.jsonl` file, or
            a JSON list, of objects with `question`, `context`, `answers` and, where
            there is one, `id`; or such objects or `Question`s in memory. Answers are a
            list of objects with `text` and `answer_start`, or one object of two lists.
            Or `tfds:` with the name and the split of a data set of such objects.
        labeled: whether answers are read. A question with an empty list of them is
            unanswerable.

    Returns:
        The questions, in order; those about one text share a `Passage`.

    Raises:
        MissingFileError: there is no such file.
        InputError: the data has another structure; the message names the question.

    Example:
        >>> item = {"question": "Who?", "context": "Ada wrote.",
        ...         "answers": [{"text": "Ada", "answer_start": 0}]}
        >>> read_questions([item])[0].answers
        (Answer(text='Ada', start=0),)
    """
    is_path = isinstance(source, str | Path)
    name = str(source) if is_path else "the data"
    read = _Reader(labeled)
    if is_tfds(source):
        items = _objects(_of_tfds(source))
    else:
        items = _file_items(Path(source)) if is_path else _objects(source)
    found = [
        item
        if isinstance(item, Question)
        else read(passage, item, f"{place} of {name}")
        for place, passage, item in items
    ]
    return checked(found, name)


def _file_items(path: Path) -> Iterator[tuple[str, Any, Any]]:
    if path.suffix != ".jsonl":
        content = json_in(path)
        form = squad_items if isinstance(content, dict) else _listed
        for number, (passage, item) in enumerate(form(content, str(path)), 1):
            yield f"question {number}", passage, item
        return
    if not path.is_file():
        raise MissingFileError(f"Expected a file at {path}; none is there.")
    with path.open("rb") as file:
        lines = list(text_lines(file, "utf-8", "\n", name=str(path)))
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield f"line {number}", None, _parsed(line, f"line {number} of {path}")


def _listed(content: Any, name: str) -> Iterator[tuple[Passage | None, Any]]:
    """Yields questions of a JSON list: one in each object, or several, as in CMRC."""
    if not isinstance(content, list):
        raise InputError(
            f"Expected a JSON object or list in {name}. Received: "
            f"{type(content).__name__}."
        )
    for number, item in enumerate(content, 1):
        if not (isinstance(item, Mapping) and "qas" in item):
            yield None, item
            continue
        at = f"text {number} of {name}"
        passage = Passage(value_of(item, "context_text", str, at))
        for qa in value_of(item, "qas", list, at):
            yield passage, _of_cmrc(qa, at)


def _of_cmrc(qa: Any, at: str) -> dict[str, Any]:
    answers = [{"text": text} for text in value_of(qa, "answers", list, at)]
    names = {"id": "query_id", "question": "query_text"}
    values = {key: value_of(qa, name, str, at) for key, name in names.items()}
    return {**values, "answers": answers}


def _of_tfds(source: str | Path) -> Iterator[dict[str, Any]]:
    names, rows = open_split(source)
    known = [name for name in ("id", "question", "context", "answers") if name in names]
    return (dict(zip(known, row, strict=True)) for row in rows(known))


def _parsed(line: str, at: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"Expected JSON in {at}. Received: {error}.") from error


def _objects(source: Iterable[Any]) -> Iterator[tuple[str, Any, Any]]:
    for number, item in enumerate(source, 1):
        yield f"question {number}", None, item


class _Reader:
    """Makes questions, with one `Passage` for each text."""

    def __init__(self, labeled: bool) -> None:
        self._labeled = labeled
        self._passages: dict[str, Passage] = {}

    def __call__(self, passage: Passage | None, item: Any, at: str) -> Question:
        text = value_of(item, "question", str, at)
        if passage is None:
            passage = self._passage(value_of(item, "context", str, at))
        id = value_of(item, "id", str | int, at) if "id" in item else at.split()[1]
        answers = _answers(item, passage, f"question {id!r}") if self._labeled else ()
        return Question(
            id,
            text,
            passage,
            is_impossible=self._labeled and not answers,
            answers=answers,
        )

    def _passage(self, text: str) -> Passage:
        return self._passages.setdefault(text, Passage(text))


def _answers(item: Mapping, passage: Passage, at: str) -> tuple[Answer, ...]:
    answers = value_of(item, "answers", list | dict, at)
    if isinstance(answers, dict):  # as `datasets` has them
        texts, starts = (value_of(answers, key, list, at) for key in _ANSWER)
        if len(texts) != len(starts):
            raise InputError(
                f"Expected as many starts as texts of answers to {at}. Received: "
                f"{len(starts)} and {len(texts)}."
            )
        rows = zip(texts, starts, strict=True)
        answers = [dict(zip(_ANSWER, row, strict=True)) for row in rows]
    return tuple(_answer(answer, f"an answer to {at}") for answer in answers)


def _answer(answer: Any, at: str) -> Answer:
    text = value_of(answer, "text", str, at)
    known = "answer_start" in answer
    return Answer(text, value_of(answer, "answer_start", int, at) if known else None)
