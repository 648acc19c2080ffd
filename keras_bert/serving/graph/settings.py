"""What a served model was exported with, and what it is asked."""

from typing import TYPE_CHECKING, NamedTuple

import tensorflow as tf

if TYPE_CHECKING:
    from keras_bert.tokenization import InGraphTokenizer

Tensors = dict[str, tf.Tensor]

MAX_QUESTION_LENGTH = 64  # Google's `max_query_length`


class AnswerSettings(NamedTuple):
    """What answers depend on, beside the model.

    Attributes:
        tokenizer: None if only ids are served.
        labels: names of the classes.
        max_length: of a row made from text, in tokens with the special ones.
        doc_stride: tokens that neighboring windows of a long text share.
        max_answer_length: the most tokens of an answer to a question.
    """

    tokenizer: "InGraphTokenizer | None"
    labels: tuple[str, ...]
    max_length: int
    doc_stride: int
    max_answer_length: int

    @property
    def max_question_length(self) -> int:
        """The most tokens of a question.

        Windows of a short row advance by no less than half of what the question and
        the shared tokens leave, so that a long passage is no great number of them.
        """
        room = self.max_length - 3 - self.doc_stride  # [CLS] and two [SEP]
        return min(MAX_QUESTION_LENGTH, room // 2)


class Request(NamedTuple):
    """What is asked of a served model.

    Attributes:
        texts: as they were received, by the name of the input.
        features: what was made of them, the model's inputs among it.
        settings: of the model.
    """

    texts: Tensors
    features: Tensors
    settings: AnswerSettings
