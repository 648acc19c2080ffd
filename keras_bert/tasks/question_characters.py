"""Answers as characters of a passage: exact, also inside words and without spaces."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from keras_bert.tasks.alignment import Alignment, TokenSpan
from keras_bert.tasks.questions import Answer, Passage, Question


class AlignedPieces(NamedTuple):
    """The tokens of a passage, and the characters they cover.

    Attributes:
        ids: `(tokens,)`.
        alignment: with the text.
    """

    ids: np.ndarray
    alignment: Alignment

    def text(self, first: int, last: int) -> str:
        """Returns what the tokens from `first` to `last` cover."""
        start, end = self.alignment.characters(first, last)
        return self.alignment.text[start:end]


class CharacterReader:
    """Tokenizes passages, each once, and finds the tokens of answers.

    Args:
        tokenizer: a `BertTokenizer`.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[Passage, AlignedPieces] = {}

    def __call__(self, passage: Passage) -> AlignedPieces:
        if passage not in self._known:
            options = {"truncation": False, "return_offsets_mapping": True}
            batch = self._tokenizer.encode_batch(passage.text, **options)
            ids, offsets = (batch[k][0, 1:-1] for k in ("input_ids", "offset_mapping"))
            self._known[passage] = AlignedPieces(ids, Alignment(passage.text, offsets))
        return self._known[passage]

    def answer(self, question: Question, pieces: AlignedPieces) -> TokenSpan | None:
        """Returns the tokens of the first answer that is at its place in the passage.

        Returns:
            The tokens that share characters with it; None if there is no such answer.
        """
        for answer in question.answers:
            if is_placed(answer, question.passage.text):
                found = pieces.alignment.tokens(
                    answer.start, answer.start + len(answer.text)
                )
                if found is not None:
                    return found
        return None


class Misaligned(NamedTuple):
    """An answer that its tokens do not give back.

    Attributes:
        id: of the question.
        text: the answer.
        reason: why.
    """

    id: str | int
    text: str
    reason: str


def misaligned_answers(
    questions: Iterable[Question], tokenizer: Any
) -> list[Misaligned]:
    """Returns the annotated answers that cannot be predicted exactly, and why.

    Args:
        questions: with all their `answers`.
        tokenizer: a `BertTokenizer`.

    Example:
        >>> tokenizer = keras_bert.BertTokenizer(
        ...     ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "golden"])
        >>> question = Question("1", "Which?", Passage("golden"),
        ...                     answers=(Answer("gold", 0),))
        >>> misaligned_answers([question], tokenizer)[0].reason
        "ends inside the token 'golden'"
    """
    read, found = CharacterReader(tokenizer), []
    for question in questions:
        alignment = read(question.passage).alignment
        for answer in question.answers:
            if reason := _mismatch(answer, alignment):
                found.append(Misaligned(question.id, answer.text, reason))
    return found


def _mismatch(answer: Answer, alignment: Alignment) -> str | None:
    if not is_placed(answer, alignment.text):
        return "is not at its place in the passage"
    return alignment.mismatch(answer.start, answer.start + len(answer.text))


def is_placed(answer: Answer, text: str) -> bool:
    """Whether an answer is in a text at the place it names, and not blank.

    Example:
        >>> is_placed(Answer("Ada", 4), "Was Ada?"), is_placed(Answer("Ada"), "Ada")
        (True, False)
    """
    if answer.start is None or answer.start < 0 or not answer.text.strip():
        return False
    return text.startswith(answer.text, answer.start)
