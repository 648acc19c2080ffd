"""Answers to questions: the best span of a passage of any length, in a graph.

A passage that is too long becomes several rows, each with a best span. As in Hugging
Face's question-answering pipeline, the probability that an answer starts (or ends) at a
token is the softmax over the tokens of the window and [CLS], the score of a span is the
product of the two, and the answer is the best span of all windows, extended to whole
words. No answer is the span of [CLS]; its score is the lowest of all windows.
"""

from typing import NamedTuple

import tensorflow as tf

from keras_bert.features import MASK_VALUE
from keras_bert.serving.graph.characters import cut
from keras_bert.serving.graph.settings import AnswerSettings, Request, Tensors
from keras_bert.tokenization.rows import RaggedTokens

Tensor = tf.Tensor


def encode(settings: AnswerSettings, text: Tensor, text_pair: Tensor) -> Tensors:
    """Makes rows of a question and a window of its passage.

    Args:
        settings: of the model.
        text: questions `(batch,)`, truncated if too long.
        text_pair: as many passages.
    """
    tokenizer = settings.tokenizer
    question = tokenizer.tokenize_with_offsets(text)
    parts = [part[:, : settings.max_question_length] for part in question]
    passage = tokenizer.tokenize_with_offsets(text_pair)
    return tokenizer.assemble(
        [RaggedTokens(*parts), passage], settings.max_length, stride=settings.doc_stride
    )


def answer(outputs: Tensors, request: Request) -> Tensors:
    """Finds the best answer of each passage.

    Returns:
        `answer`, a substring of the passage; `start` and `end`, in code points, int32;
        `score` and `no_answer_score`, float32; all `(batch,)`. If the passage has no
        tokens, the answer is empty, at 0, with score 0.
    """
    features, texts = request.features, request.texts
    spans = best_spans(
        outputs["start_logits"],
        outputs["end_logits"],
        _in_passage(features),
        request.settings.max_answer_length,
    )
    samples = features["overflow_to_sample_mapping"]
    best = _best_rows(spans.score, samples)
    score, first, last = (tf.gather(x, best) for x in spans[:3])
    chosen = {name: tf.gather(value, best) for name, value in features.items()}
    start, end = _whole_words(chosen, first, last, request.settings)
    found = score > MASK_VALUE / 2
    start, end = (tf.where(found, place, 0) for place in (start, end))
    rows = tf.range(tf.size(best))
    return {
        "answer": cut(texts["text_pair"], rows, start, end),
        "start": start,
        "end": end,
        "score": tf.where(found, tf.exp(score), 0.0),
        "no_answer_score": tf.exp(tf.math.segment_min(spans.none, samples)),
    }


class Spans(NamedTuple):
    """The best span of each row.

    Attributes:
        score: log of its probability, float32 `(rows,)`.
        first: its first token, int32 `(rows,)`.
        last: its last.
        none: log of the probability that there is no answer.
    """

    score: Tensor
    first: Tensor
    last: Tensor
    none: Tensor


def best_spans(
    start_logits: Tensor, end_logits: Tensor, allowed: Tensor, max_answer_length: int
) -> Spans:
    """Finds the best span of each row.

    Args:
        start_logits: float32 `(rows, seq)`.
        end_logits: as many.
        allowed: the tokens at which an answer may start or end. The first token stands
            for no answer, and is not one of them.
        max_answer_length: the most tokens of a span.

    Example:
        >>> logits = tf.constant([[0.0, 1.0, 5.0, 2.0, 7.0]])
        >>> allowed = tf.constant([[False, True, True, True, False]])
        >>> spans = best_spans(logits, logits, allowed, max_answer_length=2)
        >>> int(spans.first[0]), int(spans.last[0])
        (2, 2)
    """
    shown = allowed | (tf.range(tf.shape(allowed)[1]) == 0)
    start, end = (
        tf.nn.log_softmax(tf.where(shown, logits, MASK_VALUE))
        for logits in (start_logits, end_logits)
    )
    none = start[:, 0] + end[:, 0]
    start, end = (tf.where(allowed, x, MASK_VALUE) for x in (start, end))
    score = start + _best_ahead(end, max_answer_length)
    first = tf.argmax(score, 1, tf.int32)
    place = tf.range(tf.shape(end)[1])
    within = (place >= first[:, None]) & (place < first[:, None] + max_answer_length)
    last = tf.argmax(tf.where(within, end, -tf.float32.max), 1, tf.int32)
    return Spans(tf.reduce_max(score, 1), first, last, none)


def _best_ahead(values: Tensor, length: int) -> Tensor:
    """Returns the maximum of each value and the `length - 1` that follow it."""
    padded = tf.pad(values, [[0, 0], [0, length - 1]], constant_values=-tf.float32.max)
    return tf.nn.max_pool1d(padded[..., None], length, 1, "VALID")[..., 0]


def _in_passage(features: Tensors) -> Tensor:
    offsets = features["offset_mapping"]
    return (features["token_type_ids"] == 1) & (offsets[..., 1] > offsets[..., 0])


def _best_rows(score: Tensor, samples: Tensor) -> Tensor:
    """Returns the row with the highest score for each sample, `(batch,)`."""
    row = tf.range(tf.size(score))
    is_best = score == tf.gather(tf.math.segment_max(score, samples), samples)
    return tf.math.segment_min(tf.where(is_best, row, tf.size(score)), samples)


def _whole_words(
    features: Tensors, first: Tensor, last: Tensor, settings: AnswerSettings
) -> tuple[Tensor, Tensor]:
    """Returns the begin of the first token's word and the end of the last's."""
    place = tf.range(tf.shape(features["input_ids"])[1])
    inside = _in_passage(features)
    begins = inside & ~settings.tokenizer.continues_word(features["input_ids"])
    # A window may begin inside a word.
    earliest = tf.argmax(tf.cast(inside, tf.int32), 1, tf.int32)[:, None]
    before = begins & (place <= first[:, None])
    after = (begins | ~inside) & (place > last[:, None])
    first = tf.reduce_max(tf.where(before, place, earliest), 1)
    last = tf.reduce_min(tf.where(after, place, tf.size(place)), 1) - 1
    places = tf.stack([first, last], 1)  # (batch, 2)
    offsets = tf.gather(features["offset_mapping"], places, batch_dims=1)
    return offsets[:, 0, 0], offsets[:, 1, 1]
