"""Entities in texts of any length, in a graph.

A text that is too long becomes several overlapping rows; each token's label is taken
from the row with the most context on both sides. A word has the label and the
probability of its first token. Adjacent words form an entity if they have the same type
and the later one does not begin an entity (IOB2: `B-` begins one; labels without `B-`
and `I-` are types themselves). Words labeled `O` are outside of entities. The score of
an entity is the mean of its words' probabilities. For texts of one row this equals
Hugging Face's token classification pipeline with `aggregation_strategy="first"`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_bert.serving.graph.characters import cut
from keras_bert.serving.graph.settings import AnswerSettings, Request, Tensors

Tensor = tf.Tensor

OUTSIDE = "O"


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
    labels = Labels.of(request.settings.labels)
    found = _entities(_words(outputs["logits"], request), labels)
    texts = request.texts["text"]
    count = tf.shape(texts)[0]
    pieces = cut(texts, found.samples, found.begins, found.ends)

    def table(values: Tensor, default: str | int) -> Tensor:
        rows = tf.RaggedTensor.from_value_rowids(
            values, found.samples, count, validate=False
        )
        return rows.to_tensor(default)

    return {
        "entity": table(tf.gather(labels.types, found.kinds), ""),
        "text": table(pieces, ""),
        "start": table(found.begins, -1),
        "end": table(found.ends, -1),
        "score": table(found.scores, 0.0),
        "count": tf.math.bincount(found.samples, minlength=count, maxlength=count),
    }


class Labels(NamedTuple):
    """The meaning of the labels.

    Attributes:
        types: names of the entity types, without prefix.
        type_of: the type of each label, -1 outside of entities, int32 `(labels,)`.
        begins: whether the label always begins an entity.
    """

    types: Tensor
    type_of: Tensor
    begins: Tensor

    @classmethod
    def of(cls, labels: Sequence[str]) -> "Labels":
        """Parses labels.

        Example:
            >>> Labels.of(["O", "B-PER", "I-PER"]).type_of.numpy()
            array([-1,  0,  0], dtype=int32)
        """
        names = [name[2:] if name[:2] in ("B-", "I-") else name for name in labels]
        types = sorted({*names} - {OUTSIDE})
        places = [types.index(name) if name != OUTSIDE else -1 for name in names]
        begins = np.array([name.startswith("B-") for name in labels])
        return cls(
            tf.constant(types, tf.string, [len(types)]),
            tf.constant(places, tf.int32),
            tf.constant(begins),
        )


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
    logits = tf.gather_nd(logits, place)  # (tokens, labels)
    scores = tf.reduce_max(tf.nn.softmax(logits), 1)
    tokens = _Pieces(samples, begins, ends, scores, tf.argmax(logits, 1, tf.int32))
    ids = tf.gather_nd(features["input_ids"], place)
    continues = request.settings.tokenizer.continues_word(ids)
    return tokens.joined(~continues | _changes(samples))


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


def _entities(words: _Pieces, labels: Labels) -> _Pieces:
    types = tf.gather(labels.type_of, words.kinds)
    begins = tf.gather(labels.begins, words.kinds)
    first = begins | _changes(types) | _changes(words.samples)
    number = tf.cumsum(tf.cast(first, tf.int32)) - 1
    groups = words._replace(kinds=types).joined(first)
    groups = groups._replace(scores=tf.math.segment_mean(words.scores, number))
    return _Pieces(*(tf.boolean_mask(values, groups.kinds >= 0) for values in groups))


def _changes(values: Tensor) -> Tensor:
    """Marks values that differ from the one before, and the first one."""
    changed = tf.not_equal(values[1:], values[:-1])
    return tf.concat([tf.ones_like(values[:1], tf.bool), changed], 0)
