"""Answers in a text: `pipeline("question-answering")`."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_bert.errors import InputError, check_counts
from keras_bert.transformers.pipelines import base
from keras_bert.transformers.pipelines.computation import softmax

PARTS = ("question", "context")
IN_CONTEXT = 1  # the second text of the row
NOT_ALLOWED = np.float32(-10000)  # the logit of a token that is no answer's
LARGEST_LENGTH, LARGEST_STRIDE = 384, 128


@dataclass(frozen=True)
class Options(base.Options):
    """The options of `QuestionAnsweringPipeline`."""

    top_k: int = 1
    topk: int | None = None
    doc_stride: int | None = None
    max_answer_len: int = 15
    max_seq_len: int | None = None
    max_question_len: int = 64
    handle_impossible_answer: bool = False
    align_to_words: bool = True
    padding: bool | str = False

    def __post_init__(self) -> None:
        if self.topk is not None:
            warnings.warn("topk is an old spelling; write top_k.", stacklevel=5)
            object.__setattr__(self, "top_k", self.topk)
        check_counts(top_k=self.top_k, max_answer_len=self.max_answer_len)
        check_counts(max_seq_len=1 if self.max_seq_len is None else self.max_seq_len)
        base.check_stride("doc_stride", self.doc_stride)


class QuestionAnsweringPipeline(base.Pipeline):
    """Answers to questions, as places in a text.

    Call arguments:
        question, context: strings, or lists of as many; or
        inputs: a dict of both, or dicts.
        top_k: the number of answers, best first.
        max_answer_len: in tokens.
        max_seq_len: tokens of a row; by default those that the model can take, and at
            most 384. A longer text is read in several rows.
        doc_stride: tokens that the rows have in common; by default 128, and at most
            half of a row.
        max_question_len: has no effect, as with the fast tokenizers of `transformers`.
        handle_impossible_answer: the text may have no answer, which then is "".
        align_to_words: an answer is made of whole words.

    Returns:
        `{"score", "start", "end", "answer"}` of each question, places in characters;
        a list of these where there are several.
    """

    name = "question-answering"
    kinds = ("question_answering",)
    options_type = Options
    advice = "Shorten the question, or lower max_seq_len."

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        parts = {name: options.pop(name) for name in PARTS if name in options}
        for old in ("data", "X"):
            inputs = (*inputs, options.pop(old)) if old in options else inputs
        given = examples(inputs, parts)
        alone = isinstance(given, list) and len(given) == 1
        return super().__call__(given[0] if alone else given, **options)

    predict = transform = __call__

    def prepare(self, item: Any, options: Options) -> list[base.Row]:
        for name in PARTS:
            if not isinstance(item, Mapping) or not isinstance(item.get(name), str):
                raise InputError(
                    f"Expected a dict with a string as {name!r}. {base.received(item)}"
                )
            if not item[name]:
                raise InputError(f"Expected a {name}. Received: an empty string.")
        length = options.max_seq_len or min(self.longest, LARGEST_LENGTH)
        stride = options.doc_stride
        rows = self.encode(
            item["question"],
            item["context"],
            truncation="only_second",
            max_length=length,
            stride=min(length // 2, LARGEST_STRIDE) if stride is None else stride,
            padding=options.padding,
            return_overflowing_tokens=True,
        )
        if not any(IN_CONTEXT in row.encoding.sequence_ids for row in rows):
            raise InputError(f"Expected a context with words. {base.received(item)}")
        return rows

    def answer(
        self,
        item: Mapping[str, str],
        rows: Sequence[base.Row],
        outputs: Sequence[dict[str, np.ndarray]],
        options: Options,
    ) -> Any:
        context, found = item["context"], _Answers()
        # Spans of the same words are one answer: more are looked at than are returned.
        count = options.top_k * 2 + 10 if options.align_to_words else options.top_k
        for row, output in zip(rows, outputs, strict=True):
            start, end = self._probabilities(row, output)
            found.no_answer(float(start[0] * end[0]))
            inside = np.array(row.encoding.sequence_ids) == IN_CONTEXT
            limits = inside, options.max_answer_len, count
            for first, last, score in best_spans(start, end, *limits):
                begin, after = place(row.encoding, first, last, options.align_to_words)
                found.add(score, begin, after, context[begin:after])
        best = found.best(options.top_k, options.handle_impossible_answer)
        return best[0] if len(best) == 1 else best

    def _probabilities(
        self, row: base.Row, output: Mapping[str, np.ndarray]
    ) -> list[np.ndarray]:
        """Returns the probabilities of start and end, among what may be an answer."""
        ids = np.array(row.inputs["input_ids"])
        possible = np.array(row.encoding.sequence_ids) == IN_CONTEXT
        possible |= ids == self.tokenizer.cls_token_id
        possible &= np.array(row.inputs["attention_mask"]) > 0
        return [
            softmax(np.where(possible, output[name], NOT_ALLOWED))
            for name in base.PER_TOKEN
        ]


class _Answers:
    """The answers found to a question, one for each text."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, Any]] = {}
        self._no_answer = np.inf

    def no_answer(self, score: float) -> None:
        """Takes the score of no answer, of which the lowest of all rows counts."""
        self._no_answer = min(self._no_answer, score)

    def add(self, score: float, start: int, end: int, text: str) -> None:
        """Takes an answer; scores of the same text are added up."""
        new = {"score": 0.0, "start": start, "end": end, "answer": text}
        self._found.setdefault(text.lower(), new)["score"] += score

    def best(self, count: int, may_be_none: bool) -> list[dict[str, Any]]:
        """Returns the best answers."""
        none = {"score": self._no_answer, "start": 0, "end": 0, "answer": ""}
        answers = [*self._found.values(), *([none] if may_be_none else [])]
        return sorted(answers, key=lambda each: -each["score"])[:count]


def examples(inputs: Sequence[Any], parts: Mapping[str, Any]) -> Any:
    """Returns what a pipeline of questions was called with, as dicts.

    Args:
        inputs: positional arguments: a dict, dicts, or two strings.
        parts: `question` and `context`, each a string or a list.

    Raises:
        InputError: there is neither, or the lists are not of one length.

    Example:
        >>> examples((), {"question": ["Who?"], "context": "It was Ada."})
        [{'question': 'Who?', 'context': 'It was Ada.'}]
    """
    if parts:
        return _paired(parts) if not inputs else _wrong(inputs, parts)
    if len(inputs) == 2 and all(isinstance(text, str) for text in inputs):
        return [dict(zip(PARTS, inputs, strict=True))]
    if not inputs:
        return _wrong(inputs, parts)
    given = inputs[0] if len(inputs) == 1 else list(inputs)
    return given if isinstance(given, Mapping | Iterable) else _wrong(inputs, parts)


def _paired(parts: Mapping[str, Any]) -> list[dict[str, Any]]:
    complete = parts.keys() == {*PARTS}
    if not complete or not all(isinstance(x, str | Sequence) for x in parts.values()):
        return _wrong((), parts)
    questions, contexts = (parts[name] for name in PARTS)
    questions = [questions] if isinstance(questions, str) else list(questions)
    shared = isinstance(contexts, str)
    contexts = [contexts] * len(questions) if shared else list(contexts)
    if len(questions) != len(contexts):
        raise InputError(
            "Expected as many questions as contexts. Received: "
            f"{len(questions)} and {len(contexts)}."
        )
    pairs = zip(questions, contexts, strict=True)
    return [dict(zip(PARTS, pair, strict=True)) for pair in pairs]


def _wrong(inputs: Any, parts: Mapping[str, Any]) -> Any:
    raise InputError(
        "Expected question= and context=, or dicts of both. Received: "
        f"{inputs!r:.60} and {dict(parts)!r:.80}."
    )


def best_spans(
    start: np.ndarray, end: np.ndarray, inside: np.ndarray, longest: int, count: int
) -> list[tuple[int, int, float]]:
    """Returns the likeliest spans of tokens: first, last, probability; best first.

    Args:
        start, end: probabilities of a first and a last token, `(seq,)`.
        inside: whether a token may be part of a span.
        longest: tokens of a span.
        count: of spans.

    Example:
        >>> start, end = np.array([0, 0.75, 0.25]), np.array([0, 0.25, 0.75])
        >>> best_spans(start, end, np.array([False, True, True]), 15, 2)
        [(1, 2, 0.5625), (1, 1, 0.1875)]
    """
    places = np.flatnonzero(inside)
    size = places - places[:, None]
    first, last = np.nonzero((size >= 0) & (size < longest))
    first, last = places[first], places[last]
    scores = start[first] * end[last]
    best = np.argsort(-scores, kind="stable")[:count]
    found = first[best].tolist(), last[best].tolist(), scores[best].tolist()
    return list(zip(*found, strict=True))


def place(encoding: Any, first: int, last: int, whole_words: bool) -> tuple[int, int]:
    """Returns where tokens are in the text, begin and end in characters.

    Args:
        encoding: of the row.
        first, last: tokens.
        whole_words: of which these are parts.
    """
    begin, end = encoding.offsets[first][0], encoding.offsets[last][1]
    words = encoding.word_ids[first], encoding.word_ids[last]
    if not whole_words or None in words:
        return begin, end
    chars = [encoding.word_to_chars(word, IN_CONTEXT) for word in words]
    return chars[0][0], chars[1][1]
