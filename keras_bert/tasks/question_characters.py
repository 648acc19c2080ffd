"""Answers as characters of a passage: exact, also inside words and without spaces."""

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


def is_placed(answer: Answer, text: str) -> bool:
    """Whether an answer is in a text at the place it names, and not blank.

    Example:
        >>> is_placed(Answer("Ada", 4), "Was Ada?"), is_placed(Answer("Ada"), "Ada")
        (True, False)
    """
    if answer.start is None or answer.start < 0 or not answer.text.strip():
        return False
    return text.startswith(answer.text, answer.start)
