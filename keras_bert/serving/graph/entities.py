"""Entities in texts of any length, in a graph.

A text that is too long becomes several overlapping rows; each token's label is taken
from the row with the most context on both sides. A word has the label and the
probability of its first token. Adjacent words form an entity by the rule of
`keras_bert.tag_schemes`, whatever the scheme of the labels. The score of an entity is
the mean of its words' probabilities. Labels of a conditional random field are those of
the best sequence of a text, and their probabilities those without the others. For texts
of one row and labels in IOB2 this equals Hugging Face's token classification pipeline
with `aggregation_strategy="first"`.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from keras_bert.layers.crf import best_paths
from keras_bert.serving.graph.characters import cut
from keras_bert.serving.graph.settings import AnswerSettings, Request, Tensors
from keras_bert.tag_schemes import TagSet

Tensor = tf.Tensor


def encode(settings: AnswerSettings, text: Tensor) -> Tensors:
    """Splits texts into rows.

    Args:
        settings: of the model.
        text: `(batch,)`.
    """
    return settings.tokenizer.encode(
        text,
        max_length=settings.max_length,
        stride=settings.doc_stride,
        return_offsets_mapping=True,
    )


def answer(outputs: Tensors, request: Request) -> Tensors:
    """Finds the entities of each text.

    Returns:
        `count` int32 `(batch,)`, and for each entity, `(batch, entities)`: `entity`,
        its type, and `text`, strings; `start` and `end` in code points, int32; `score`,
        float32. Texts with fewer entities than others are padded with empty strings,
        -1 and 0.
    """
    tags = TagSet(request.settings.labels)
    found = _entities(_words(outputs["logits"], request), tags)
    texts = request.texts["text"]
    count = tf.shape(texts)[0]
    pieces = cut(texts, found.samples, found.begins, found.ends)

    def table(values: Tensor, default: str | int) -> Tensor:
        rows = tf.RaggedTensor.from_value_rowids(
            values, found.samples, count, validate=False
        )
        return rows.to_tensor(default)

    return {
        "entity": table(tf.gather(_strings(tags.types), found.kinds), ""),
        "text": table(pieces, ""),
        "start": table(found.begins, -1),
        "end": table(found.ends, -1),
        "score": table(found.scores, 0.0),
        "count": tf.math.bincount(found.samples, minlength=count, maxlength=count),
    }


class _Pieces(NamedTuple):
    """The tokens, words or entities of all texts, in order.

    Attributes:
        samples: the text of each, int32 `(pieces,)`.
        begins: where it begins in the text.
        ends: where it ends.
        scores: probability of its label, float32.
        kinds: its label, or its type for entities, int32.
    """

    samples: Tensor
    begins: Tensor
    ends: Tensor
    scores: Tensor
    kinds: Tensor

    def joined(self, first: Tensor) -> "_Pieces":
        """Joins pieces: each has the values of its first, and the end of its last."""
        last = tf.concat([first[1:], tf.ones_like(first[:1])], 0)
        pieces = _Pieces(*(tf.boolean_mask(values, first) for values in self))
        return pieces._replace(ends=tf.boolean_mask(self.ends, last))


def _words(logits: Tensor, request: Request) -> _Pieces:
    features = request.features
    place = tf.where(kept(features, request.settings))  # row, column
    samples = tf.gather(features["overflow_to_sample_mapping"], place[:, 0])
    begins, ends = tf.unstack(tf.gather_nd(features["offset_mapping"], place), axis=1)
    ids = tf.gather_nd(features["input_ids"], place)
    first = ~request.settings.tokenizer.continues_word(ids) | _changes(samples)
    logits = tf.gather_nd(logits, tf.boolean_mask(place, first))  # (words, labels)
    unknown = tf.zeros_like(samples)
    tokens = _Pieces(samples, begins, ends, tf.cast(unknown, tf.float32), unknown)
    words = tokens.joined(first)
    kinds, alone = tf.argmax(logits, -1, tf.int32), logits
    if logits.shape.rank == 3:  # of a conditional random field
        kinds, alone = _best_paths(logits, words.samples), logits[:, -1]
    scores = tf.gather(tf.nn.softmax(alone), kinds, batch_dims=1)
    return words._replace(scores=scores, kinds=kinds)


def _best_paths(paths: Tensor, samples: Tensor) -> Tensor:
    """Returns the labels of words `(words,)` that are the best for each text.

    Args:
        paths: scores of a label by the one before, `(words, labels + 1, labels)`.
        samples: the text of each word, ascending.
    """
    rows = tf.RaggedTensor.from_value_rowids(paths, samples, validate=False)
    known = tf.sequence_mask(rows.row_lengths())
    padded = rows.to_tensor(shape=[None, None, *paths.shape[1:]])
    return tf.boolean_mask(best_paths(padded, known, _scan), known)


def _scan(step: Callable, init: Tensor, xs: tuple, reverse: bool = False) -> tuple:
    """Does what `keras.ops.scan` does, for any number of steps."""
    found = tf.scan(lambda carry, x: step(carry, x)[0], xs, init, reverse=reverse)
    return None, found


def kept(features: Tensors, settings: AnswerSettings) -> Tensor:
    """Marks the window from which each token is taken, `(rows, seq)`.

    Half of the overlap belongs to the earlier window, half to the later one.

    Args:
        features: the result of `encode`.
        settings: of the model.
    """
    offsets = features["offset_mapping"]
    real = offsets[..., 1] > offsets[..., 0]  # not a special token
    changes = _changes(features["overflow_to_sample_mapping"])[:, None]
    is_last = tf.concat([changes[1:], tf.ones_like(changes[:1])], 0)
    column = tf.range(tf.shape(real)[1]) - 1  # after [CLS]
    begin = settings.doc_stride // 2
    end = begin + settings.max_length - 2 - settings.doc_stride
    return real & (changes | (column >= begin)) & (is_last | (column < end))


def _entities(words: _Pieces, tags: TagSet) -> _Pieces:
    types = tf.gather(tf.constant(tags.type_of, tf.int32), words.kinds)
    begins = tf.gather(tf.constant(tags.begins, tf.bool), words.kinds)
    ends = tf.gather(tf.constant(tags.ends, tf.bool), words.kinds)
    first = begins | _changes(types) | _changes(words.samples)
    first |= tf.concat([tf.ones_like(ends[:1]), ends[:-1]], 0)
    number = tf.cumsum(tf.cast(first, tf.int32)) - 1
    groups = words._replace(kinds=types).joined(first)
    groups = groups._replace(scores=tf.math.segment_mean(words.scores, number))
    return _Pieces(*(tf.boolean_mask(values, groups.kinds >= 0) for values in groups))


def _changes(values: Tensor) -> Tensor:
    """Marks values that differ from the one before, and the first one."""
    changed = tf.not_equal(values[1:], values[:-1])
    return tf.concat([tf.ones_like(values[:1], tf.bool), changed], 0)


def _strings(values: list[str]) -> Tensor:
    return tf.constant(values, tf.string, [len(values)])
