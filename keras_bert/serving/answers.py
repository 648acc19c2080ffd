"""What a served head answers to text: one small table, one function per kind.

An answer function takes the model's named outputs, the encoded features and the
labels, and returns the tensors a client receives. A new head, or a richer answer
of an old one, is a new function and a new row.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from keras_bert.config import BertConfig
from keras_bert.models import BertPreTrainedModel, heads
from keras_bert.tokenization.in_graph import InGraphTokenizer

Tensors = dict[str, tf.Tensor]
Answer = Callable[[Tensors, Tensors, tf.Tensor], Tensors]
Encode = Callable[..., Tensors]

TEXT = {"text": tf.TensorSpec([None], tf.string, name="text")}
PAIR = {**TEXT, "text_pair": tf.TensorSpec([None], tf.string, name="text_pair")}
CHOICES = {
    **TEXT,
    "text_pair": tf.TensorSpec([None, None], tf.string, name="text_pair"),
}

# Features of a serialized tf.Example, by the shape of the text input.
EXAMPLE_FEATURES = {
    1: tf.io.FixedLenFeature([], tf.string),
    2: tf.io.FixedLenSequenceFeature([], tf.string, allow_missing=True),
}


# === Answers ===


def classify(outputs: Tensors, features: Tensors, labels: tf.Tensor) -> Tensors:
    """One label per row: `label` (batch), `probabilities` (batch, classes)."""
    best = tf.argmax(outputs["logits"], axis=-1)
    return {
        **outputs,
        "label": tf.gather(labels, best),
        "probabilities": tf.nn.softmax(outputs["logits"]),
    }


def classify_each(outputs: Tensors, features: Tensors, labels: tf.Tensor) -> Tensors:
    """Every label on its own: `label` is the likeliest, `probabilities` sigmoids."""
    answer = classify(outputs, features, labels)
    return {**answer, "probabilities": tf.sigmoid(outputs["logits"])}


def regress(outputs: Tensors, features: Tensors, labels: tf.Tensor) -> Tensors:
    """The values themselves: `scores` (batch), or (batch, classes) for several."""
    others = {name: value for name, value in outputs.items() if name != "logits"}
    scores = outputs["logits"]
    single = scores.shape[-1] == 1
    return {**others, "scores": tf.squeeze(scores, -1) if single else scores}


def label_tokens(outputs: Tensors, features: Tensors, labels: tf.Tensor) -> Tensors:
    """One label per token: `label` (batch, seq), with the ids it belongs to."""
    return with_ids(classify(outputs, features, labels), features, labels)


def choose(outputs: Tensors, features: Tensors, labels: tf.Tensor) -> Tensors:
    """The index of the best alternative: `choice` (batch), `probabilities`."""
    return {
        **outputs,
        "choice": tf.argmax(outputs["logits"], axis=-1, output_type=tf.int32),
        "probabilities": tf.nn.softmax(outputs["logits"]),
    }


def with_ids(outputs: Tensors, features: Tensors, labels: tf.Tensor) -> Tensors:
    """Values per position, with the encoded features that say which is which."""
    return {**outputs, **features}


# === Answers to serialized Examples, in the form of the Classify and Regress APIs ===


def as_classes(answer: Tensors, labels: tf.Tensor) -> Tensors:
    """`classes` and `scores`, both (batch, classes): what Classify expects."""
    scores = answer["probabilities"]
    return {"classes": tf.repeat(labels[None], len_of(scores), 0), "scores": scores}


def as_values(answer: Tensors, labels: tf.Tensor) -> Tensors:
    """`outputs` (batch): what Regress expects."""
    return {"outputs": answer["scores"]}


def unchanged(answer: Tensors, labels: tf.Tensor) -> Tensors:
    """The same tensors as for text."""
    return answer


def len_of(tensor: tf.Tensor) -> tf.Tensor:
    """Rows of a tensor, at run time."""
    return tf.shape(tensor)[0]


# === Encoding ===


def encode_rows(
    tokenizer: InGraphTokenizer, text: tf.Tensor, text_pair: tf.Tensor | None = None
) -> Tensors:
    """One row of ids per text or pair: (batch, seq)."""
    return tokenizer.encode(text, text_pair)


def encode_choices(
    tokenizer: InGraphTokenizer, text: tf.Tensor, text_pair: tf.Tensor
) -> Tensors:
    """One row of ids per text and alternative: (batch, choices, seq)."""
    shape = tf.shape(text_pair)  # batch choices
    repeated = tf.repeat(text, shape[1])
    rows = tokenizer.encode(repeated, tf.reshape(text_pair, [-1]))
    return {
        name: tf.reshape(ids, tf.concat([shape, tf.shape(ids)[1:]], 0))
        for name, ids in rows.items()
    }


# === The table ===


class Head(NamedTuple):
    """How one kind of model is served.

    Attributes:
        answer: from the model's outputs to what a client receives.
        examples: from an answer to what `serve_examples` returns.
        encode: from text to the model's inputs.
        axes: axes of the inputs, see `keras_bert.axes`.
        pairs: the text inputs of a pair.
        always_pairs: whether the head makes no sense on a single text.
        labels: names of the classes where the config gives none.
    """

    answer: Answer
    examples: Callable[[Tensors, tf.Tensor], Tensors] = unchanged
    encode: Encode = encode_rows
    axes: str = "batch seq"
    pairs: dict[str, tf.TensorSpec] = PAIR
    always_pairs: bool = False
    labels: tuple[str, ...] = ()


SEQUENCE_CLASSIFICATION = {
    "single_label_classification": Head(classify, as_classes),
    "multi_label_classification": Head(classify_each, as_classes),
    "regression": Head(regress, as_values),
}

# By the class of the model's head, or the nearest one it is derived from.
HEADS = {
    heads.TokenClassification: Head(label_tokens),
    heads.QuestionAnswering: Head(with_ids, always_pairs=True),
    heads.MultipleChoice: Head(
        choose,
        encode=encode_choices,
        axes="batch choices seq",
        pairs=CHOICES,
        always_pairs=True,
    ),
    heads.NextSentence: Head(
        classify, as_classes, always_pairs=True, labels=("IsNext", "NotNext")
    ),
    heads.PreTraining: Head(with_ids, always_pairs=True),
    heads.Head: Head(with_ids),  # encoders, language models: values per position
}


def head_of(model: BertPreTrainedModel) -> Head:
    """Returns the row of the table a model is served by.

    Args:
        model: a model of this package, or of a subclass.

    Example:
        >>> import keras_bert
        >>> config = keras_bert.BertConfig.preset("tiny", vocab_size=7)
        >>> head_of(keras_bert.BertForTokenClassification(config)).axes
        'batch seq'
    """
    if issubclass(model.head, heads.SequenceClassification):
        return SEQUENCE_CLASSIFICATION[_problem_type(model.config)]
    return next(HEADS[cls] for cls in model.head.__mro__ if cls in HEADS)


def _problem_type(config: BertConfig) -> str:
    # Without labels to look at, only the number of classes can say.
    one_value = "regression" if config.num_labels == 1 else None
    return config.problem_type or one_value or "single_label_classification"
