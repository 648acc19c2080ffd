"""Questions as inputs of a model: windows over passages that are too long for a row.

Source: `convert_examples_to_features` in google-research/bert, run_squad.py.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from keras_bert.errors import ConfigError, InputError, check_counts
from keras_bert.tasks.question_characters import AlignedPieces, CharacterReader
from keras_bert.tasks.questions import Passage, Question

log = logging.getLogger(__name__)

_SHOWN = 5  # questions named in a warning
FRAME = 3  # [CLS] question [SEP] passage [SEP]


class Pieces(NamedTuple):
    """The tokens of a passage.

    Attributes:
        ids: `(tokens,)`.
        words: the word of each token, `(tokens,)`.
        begins: the first token of each word, and the number of tokens, `(words + 1,)`.
    """

    ids: np.ndarray
    words: np.ndarray
    begins: np.ndarray


@dataclass(frozen=True)
class Windows:
    """Rows of a question and a window of its passage, in the order of the questions.

    Attributes:
        features: `input_ids`, `attention_mask`, `token_type_ids`, int32 `(rows, seq)`.
        labels: `start_logits` and `end_logits`, the columns of the answer, int32
            `(rows,)`; that of [CLS] where the window does not hold the answer. None if
            the questions are not labeled.
        questions: the questions.
        pieces: the tokens of the passage of each question.
        question: index of the question, `(rows,)`.
        first: the first token of the passage in the window, `(rows,)`.
        column: where it is in the row, `(rows,)`.
        length: tokens of the passage in the window, `(rows,)`.
        is_max_context: whether no other window shows more text around a token,
            `(rows, seq)`.
    """

    features: dict[str, np.ndarray]
    labels: dict[str, np.ndarray] | None
    questions: Sequence[Question]
    pieces: Sequence[Pieces | AlignedPieces]
    question: np.ndarray
    first: np.ndarray
    column: np.ndarray
    length: np.ndarray
    is_max_context: np.ndarray

    def __len__(self) -> int:
        return len(self.question)


class _Sizes(NamedTuple):
    row: int
    stride: int
    overlap: int | None

    def step(self, room: int) -> int:
        """Returns the tokens from a window of `room` tokens to the next."""
        if self.overlap is None:
            return min(room, self.stride)
        return room - self.overlap


class _Row(NamedTuple):
    question: int
    query: np.ndarray
    first: int
    ids: np.ndarray
    is_max_context: np.ndarray
    label: tuple[int, int]


def encode_questions(
    questions: Sequence[Question],
    tokenizer: Any,
    *,
    max_length: int = 384,
    doc_stride: int = 128,
    max_question_length: int = 64,
    labeled: bool = False,
    characters: bool = False,
    overlap: int | None = None,
) -> Windows:
    """Turns questions into rows of a model, as Google's code does.

    Args:
        questions: as `read_squad` returns them.
        tokenizer: a `BertTokenizer`; with `google_rules` the rows are those of Google's
            code.
        max_length: tokens per row, padding included.
        doc_stride: tokens from the beginning of a window to that of the next.
        max_question_length: the most tokens of a question, which is truncated.
        labeled: also return labels; a question without an answer is labeled as
            unanswered.
        characters: tokenize passages as they are rather than word by word, label the
            tokens of the first of the `answers` at its place, and answer in exactly the
            characters of tokens. Of labeled questions those with answers elsewhere
            only are left out, with a warning.
        overlap: tokens that a window shares with the next, as in `transformers` and in
            exported models, instead of `doc_stride`.

    Returns:
        The rows. A passage without tokens has none.

    Raises:
        ConfigError: there is no room for the passage, or windows do not advance.
        InputError: of labeled questions all would be left out.

    Example:
        >>> vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "who", "ada", "wrote"]
        >>> tokenizer = keras_bert.BertTokenizer(vocab)
        >>> question = Question("1", "who", Passage("Ada wrote"))
        >>> lengths = dict(max_length=5, max_question_length=1, doc_stride=1)
        >>> encode_questions([question], tokenizer, **lengths).features["input_ids"]
        array([[2, 4, 3, 5, 3],
               [2, 4, 3, 6, 3]], dtype=int32)
    """
    check_counts(doc_stride=doc_stride, max_question_length=max_question_length)
    if max_length <= max_question_length + FRAME:
        raise ConfigError(
            f"Expected a row longer than a question and {FRAME} special tokens, "
            f"max_seq_length above {max_question_length + FRAME}. Received: "
            f"{max_length}. Raise it, or lower max_query_length."
        )
    if (
        overlap is not None
        and not 0 <= overlap < max_length - max_question_length - FRAME
    ):
        raise ConfigError(
            "Expected windows that overlap by less than their tokens of the passage, "
            f"{max_length - max_question_length - FRAME}. Received: {overlap}. Lower "
            "doc_stride, or raise max_length."
        )
    read = (CharacterReader if characters else _WordReader)(tokenizer)
    if labeled and characters:
        questions = _learnable(questions, read)
    pieces = [read(question.passage) for question in questions]
    rows = [
        row
        for number, question in enumerate(questions)
        for row in _rows(
            number,
            np.array(tokenizer.text_to_ids(question.text)[:max_question_length]),
            pieces[number],
            read.answer(question, pieces[number]) if labeled else None,
            _Sizes(max_length, doc_stride, overlap),
        )
    ]
    return _assembled(rows, questions, pieces, tokenizer, max_length, labeled)


def _learnable(questions: Sequence[Question], read: CharacterReader) -> list[Question]:
    found, lost = [], []
    for question in questions:
        known = read.answer(question, read(question.passage)) or not question.answers
        (found if known else lost).append(question)
    if lost:
        names = ", ".join(repr(question.id) for question in lost[:_SHOWN])
        what = "questions whose answers are not at their places, or have no tokens"
        more = ", …" * (len(lost) > _SHOWN)
        if not found:
            raise InputError(
                "Expected answers at the places that the data names (answer_start). "
                f"Received: {len(lost)} {what}: {names}{more}."
            )
        log.warning(
            "left out %d of %d, %s: %s%s",
            *(len(lost), len(questions), what, names, more),
        )
    return found


class _WordReader:
    """Tokenizes passages, each once, and finds the tokens of answers."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[Passage, Pieces] = {}

    def __call__(self, passage: Passage) -> Pieces:
        if passage not in self._known:
            ids, begins = self._tokenizer.texts_to_ids(passage.words)
            words = np.repeat(np.arange(len(passage.words)), np.diff(begins))
            self._known[passage] = Pieces(ids, words, begins)
        return self._known[passage]

    def answer(self, question: Question, pieces: Pieces) -> tuple[int, int] | None:
        """Returns the first and the last token of the answer, or None.

        That is the annotated text, if it is found among the tokens of its words: of
        "(1895-1943)." only "1895".
        """
        span = question.answer
        if span is None:
            return None
        first = int(pieces.begins[:-1][span.first])
        last = int(pieces.begins[1:][span.last]) - 1
        wanted = self._tokenizer.text_to_ids(span.text)
        for start in range(first, last + 2 - len(wanted)):
            if wanted and pieces.ids[start : start + len(wanted)].tolist() == wanted:
                return start, start + len(wanted) - 1
        return first, last


# === Windows ===


def _rows(
    number: int,
    query: np.ndarray,
    pieces: Pieces | AlignedPieces,
    answer: tuple[int, int] | None,
    sizes: _Sizes,
) -> Iterator[_Row]:
    room = sizes.row - len(query) - FRAME
    starts = _starts(len(pieces.ids), room, sizes.step(room))
    lengths = np.minimum(room, len(pieces.ids) - starts)
    best = _best_windows(starts, lengths, len(pieces.ids))
    for window, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        ids = pieces.ids[start : start + length]
        most = best[start : start + length] == window
        label = _label(answer, start, length, len(query) + 2)
        yield _Row(number, query, start, ids, most, label)


def _starts(tokens: int, room: int, step: int) -> np.ndarray:
    """Returns the first token of each window; the last one reaches the end."""
    count = 1 + max(0, -(-(tokens - room) // step)) if tokens else 0
    return np.arange(count) * step


def _best_windows(starts: np.ndarray, lengths: np.ndarray, tokens: int) -> np.ndarray:
    """Returns the window that shows the most text around each token, `(tokens,)`.

    That is the largest minimum of the tokens to the left and to the right; a longer
    window counts for a little more, and of equal ones the first is taken.
    """
    places = np.arange(tokens)
    left = places - starts[:, None]
    right = (starts + lengths - 1)[:, None] - places
    score = np.minimum(left, right) + 0.01 * lengths[:, None]
    score = np.where((left < 0) | (right < 0), -np.inf, score)
    return score.argmax(0) if len(starts) else places


# === Labels ===


def _label(
    answer: tuple[int, int] | None, start: int, length: int, column: int
) -> tuple[int, int]:
    """Returns the columns of an answer in a window; (0, 0) if it is not all there."""
    if answer is None or answer[0] < start or answer[1] >= start + length:
        return 0, 0
    return answer[0] - start + column, answer[1] - start + column


# === Arrays ===


def _assembled(
    rows: Sequence[_Row],
    questions: Sequence[Question],
    pieces: Sequence[Pieces | AlignedPieces],
    tokenizer: Any,
    width: int,
    labeled: bool,
) -> Windows:
    ids = np.full((len(rows), width), tokenizer.pad_token_id, "int32")
    mask, types = np.zeros_like(ids), np.zeros_like(ids)
    most = np.zeros(ids.shape, bool)
    for i, row in enumerate(rows):
        column = len(row.query) + 2
        end = column + len(row.ids)
        ids[i, 0] = tokenizer.cls_token_id
        ids[i, 1 : column - 1] = row.query
        ids[i, [column - 1, end]] = tokenizer.sep_token_id
        ids[i, column:end] = row.ids
        mask[i, : end + 1] = 1
        types[i, column : end + 1] = 1
        most[i, column:end] = row.is_max_context
    names = ("input_ids", "attention_mask", "token_type_ids")
    labels = np.array([row.label for row in rows], "int32").reshape(-1, 2)
    return Windows(
        features=dict(zip(names, (ids, mask, types), strict=True)),
        labels={"start_logits": labels[:, 0], "end_logits": labels[:, 1]}
        if labeled
        else None,
        questions=questions,
        pieces=pieces,
        question=np.array([row.question for row in rows], int),
        first=np.array([row.first for row in rows], int),
        column=np.array([len(row.query) + 2 for row in rows], int),
        length=np.array([len(row.ids) for row in rows], int),
        is_max_context=most,
    )
