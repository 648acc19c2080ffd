"""The settings of a served model, and its requests."""

from typing import TYPE_CHECKING, NamedTuple

import tensorflow as tf

if TYPE_CHECKING:
    from keras_bert.tokenization import InGraphTokenizer

Tensors = dict[str, tf.Tensor]

MAX_QUESTION_LENGTH = 64  # Google's `max_query_length`


class AnswerSettings(NamedTuple):
    """What answers depend on, apart from the model.

    Attributes:
        tokenizer: None if only ids are served.
        labels: names of the classes.
        max_length: the most tokens of a row made from text, special ones included.
        doc_stride: tokens by which windows of a long text overlap.
        max_answer_length: the most tokens of an answer to a question.
        window_pooling: how the logits of the windows of a long text become one answer;
            None cuts texts off.
    """

    tokenizer: "InGraphTokenizer | None"
    labels: tuple[str, ...]
    max_length: int
    doc_stride: int
    max_answer_length: int
    window_pooling: str | None = None

    @property
    def max_question_length(self) -> int:
        """The most tokens of a question.

        With short rows it is at most half of what the overlap leaves, so that windows
        advance fast enough and a long passage does not need too many of them.
        """
        room = self.max_length - 3 - self.doc_stride  # [CLS] and two [SEP]
        return min(MAX_QUESTION_LENGTH, room // 2)


class Request(NamedTuple):
    """A request to a served model.

    Attributes:
        texts: as received, by the name of the input.
        features: the encoded texts, the model's inputs included.
        settings: of the model.
    """

    texts: Tensors
    features: Tensors
    settings: AnswerSettings
