"""How served models answer text: one table, and one function per kind of answer.

An answer function takes the model's named outputs and the request, and returns the
tensors that a client receives, the batch as their first axis. A new head needs a new
row of the table, and a new kind of answer a new function.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from keras_bert.config import Config
from keras_bert.features import SERVED_INPUTS
from keras_bert.models import PreTrainedModel, SentenceEncoder, heads
from keras_bert.serving.graph import entities, spans
from keras_bert.serving.graph.settings import AnswerSettings, Request, Tensors

Specs = dict[str, tf.TensorSpec]

TEXT = {"text": tf.TensorSpec([None], tf.string, name="text")}
PAIR = {**TEXT, "text_pair": tf.TensorSpec([None], tf.string, name="text_pair")}
CHOICES = {
    **TEXT,
    "text_pair": tf.TensorSpec([None, None], tf.string, name="text_pair"),
}

# Features of a serialized tf.Example, by the rank of the text input.
EXAMPLE_FEATURES = {
    1: tf.io.FixedLenFeature([], tf.string),
    2: tf.io.FixedLenSequenceFeature([], tf.string, allow_missing=True),
}


# === Answers ===


def classify(outputs: Tensors, request: Request) -> Tensors:
    """One label per row: `label` (batch), `probabilities` (batch, classes)."""
    best = tf.argmax(outputs["logits"], axis=-1)
    return {
        **outputs,
        "label": tf.gather(tf.constant(request.settings.labels), best),
        "probabilities": tf.nn.softmax(outputs["logits"]),
    }


def classify_each(outputs: Tensors, request: Request) -> Tensors:
    """Independent labels: `label` is the likeliest, `probabilities` are sigmoids."""
    answer = classify(outputs, request)
    return {**answer, "probabilities": tf.sigmoid(outputs["logits"])}


def regress(outputs: Tensors, request: Request) -> Tensors:
    """The values themselves: `scores` (batch), or (batch, classes) for several."""
    others = {name: value for name, value in outputs.items() if name != "logits"}
    scores = outputs["logits"]
    single = scores.shape[-1] == 1
    return {**others, "scores": tf.squeeze(scores, -1) if single else scores}


def choose(outputs: Tensors, request: Request) -> Tensors:
    """The index of the best alternative: `choice` (batch), `probabilities`."""
    return {
        **outputs,
        "choice": tf.argmax(outputs["logits"], axis=-1, output_type=tf.int32),
        "probabilities": tf.nn.softmax(outputs["logits"]),
    }


def with_ids(outputs: Tensors, request: Request) -> Tensors:
    """Values per position, with the ids they belong to."""
    return {**outputs, **{name: request.features[name] for name in SERVED_INPUTS}}


def only(outputs: Tensors, request: Request) -> Tensors:
    """The model's outputs, one row per text."""
    return outputs


def with_counts(outputs: Tensors, request: Request) -> Tensors:
    """The model's outputs, and how many `tokens` (batch) each text has."""
    tokens = tf.reduce_sum(request.features["attention_mask"], 1)
    return {**outputs, "tokens": tokens}


# === Answers to serialized Examples, in the form of the Classify and Regress APIs ===


def as_classes(answer: Tensors, settings: AnswerSettings) -> Tensors:
    """`classes` and `scores`, both (batch, classes): what Classify expects."""
    scores, labels = answer["probabilities"], tf.constant(settings.labels)
    return {"classes": tf.repeat(labels[None], len_of(scores), 0), "scores": scores}


def as_values(answer: Tensors, settings: AnswerSettings) -> Tensors:
    """`outputs` (batch): what Regress expects."""
    return {"outputs": answer["scores"]}


def unchanged(answer: Tensors, settings: AnswerSettings) -> Tensors:
    """The same tensors as for text."""
    return answer


def len_of(tensor: tf.Tensor) -> tf.Tensor:
    """Returns the number of rows at run time."""
    return tf.shape(tensor)[0]


# === Encoding ===


def encode_rows(
    settings: AnswerSettings, text: tf.Tensor, text_pair: tf.Tensor | None = None
) -> Tensors:
    """One truncated row of ids per text or pair: (batch, seq)."""
    return settings.tokenizer.encode(text, text_pair, settings.max_length)


def encode_choices(
    settings: AnswerSettings, text: tf.Tensor, text_pair: tf.Tensor
) -> Tensors:
    """One row of ids per text and alternative: (batch, choices, seq)."""
    shape = tf.shape(text_pair)  # batch choices
    repeated = tf.repeat(text, shape[1])
    rows = encode_rows(settings, repeated, tf.reshape(text_pair, [-1]))
    return {
        name: tf.reshape(ids, tf.concat([shape, tf.shape(ids)[1:]], 0))
        for name, ids in rows.items()
    }


# === The table ===


class ServedTask(NamedTuple):
    """How one kind of model is served.

    Attributes:
        name: the task in a word or two.
        answer: from the model's outputs to what a client receives.
        examples: from an answer to what `serve_examples` returns.
        encode: from text to the model's inputs.
        axes: axes of the inputs, see `keras_bert.axes`.
        single: the input for single texts; None if the task takes only pairs.
        pairs: the inputs for pairs; None if it takes only single texts.
        limits: the settings for splitting long texts into rows; without any they are
            truncated.
        labels: names of the classes if the config has none.
    """

    name: str
    answer: Callable[[Tensors, Request], Tensors]
    examples: Callable[[Tensors, AnswerSettings], Tensors] = unchanged
    encode: Callable[..., Tensors] = encode_rows
    axes: str = "batch seq"
    single: Specs | None = TEXT
    pairs: Specs | None = PAIR
    limits: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


SEQUENCE_CLASSIFICATION = {
    "single_label_classification": ServedTask("classification", classify, as_classes),
    "multi_label_classification": ServedTask(
        "classification with several labels", classify_each, as_classes
    ),
    "regression": ServedTask("regression", regress, as_values),
}

# By the class of the model's head, or its nearest base class.
TASKS = {
    heads.TokenClassification: ServedTask(
        "token classification",
        entities.answer,
        encode=entities.encode,
        pairs=None,
        limits=("doc_stride",),
    ),
    heads.QuestionAnswering: ServedTask(
        "question answering",
        spans.answer,
        encode=spans.encode,
        single=None,
        limits=("doc_stride", "max_question_length", "max_answer_length"),
    ),
    heads.MultipleChoice: ServedTask(
        "multiple choice",
        choose,
        encode=encode_choices,
        axes="batch choices seq",
        single=None,
        pairs=CHOICES,
    ),
    heads.NextSentence: ServedTask(
        "next sentence prediction",
        classify,
        as_classes,
        single=None,
        labels=("IsNext", "NotNext"),
    ),
    heads.PreTraining: ServedTask("pretraining", with_ids, single=None),
    heads.MaskedLM: ServedTask("masked language modeling", with_ids),
    heads.CausalLM: ServedTask("causal language modeling", with_ids),
    SentenceEncoder: ServedTask("embeddings", only),
    PreTrainedModel: ServedTask("encoding", with_ids),  # values per position
}


def task_of(model: PreTrainedModel) -> ServedTask:
    """Returns the row of the table for a model.

    Args:
        model: a model of this package, or of a subclass.

    Example:
        >>> import keras_bert
        >>> config = keras_bert.BertConfig.preset("tiny", vocab_size=7)
        >>> task_of(keras_bert.BertForTokenClassification(config)).axes
        'batch seq'
    """
    if type(model).kind == heads.SequenceClassification.kind:
        return SEQUENCE_CLASSIFICATION[_problem_type(model.config)]
    return next(TASKS[cls] for cls in type(model).__mro__ if cls in TASKS)


def _problem_type(config: Config) -> str:
    # There are no labels to look at, only the number of classes.
    one_value = "regression" if config.num_labels == 1 else None
    return config.problem_type or one_value or "single_label_classification"
