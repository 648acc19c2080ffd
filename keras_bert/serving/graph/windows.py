"""Classification of texts that are too long for one row, by windows of them.

Each window is a row of its own; the mean of their logits, plain or by learned weights,
or the max is that of the text.
"""

from collections.abc import Iterable
from typing import NamedTuple

import tensorflow as tf

from keras_bert.config import Config
from keras_bert.errors import ConfigError, choose
from keras_bert.models.heads import SCORES
from keras_bert.serving.graph.answers import SEQUENCE_CLASSIFICATION, ServedTask
from keras_bert.serving.graph.settings import AnswerSettings, Request, Tensors

# The names of tasks under which settings are kept, by what is served.
_NAMES = {"question answering": ("qa",), "token classification": ("ner",)}
NONE = "none"  # texts are cut off
LEARNED = "learned"


def _mean(outputs: Tensors, text_of: tf.Tensor) -> tf.Tensor:
    return tf.math.segment_mean(outputs["logits"], text_of)


def _max(outputs: Tensors, text_of: tf.Tensor) -> tf.Tensor:
    return tf.math.segment_max(outputs["logits"], text_of)


def _learned(outputs: Tensors, text_of: tf.Tensor) -> tf.Tensor:
    scores = outputs[SCORES]
    highest = tf.gather(tf.math.segment_max(scores, text_of), text_of)
    weights = tf.exp(scores - highest)
    total = tf.math.segment_sum(weights, text_of)
    return tf.math.segment_sum(outputs["logits"] * weights, text_of) / total


# As `keras_bert.layers.heads.WINDOW_POOLINGS`, for the rows of texts one after another.
POOLINGS = {"mean": _mean, "max": _max, LEARNED: _learned}


class Windows(NamedTuple):
    """How long texts are read; see `AnswerSettings`."""

    pooling: str | None = None
    doc_stride: int | None = None
    max_length: int | None = None


def windows_of(
    config: Config, task: ServedTask, doc_stride: int | None, pooling: str | None
) -> Windows:
    """Returns the windows that were asked for, or else those of training.

    Args:
        config: of the model, where training has left its settings.
        task: of the model.
        doc_stride, pooling: what was asked for, or None.

    Raises:
        ConfigError: the task does not read windows in this way.
        UnknownNameError: there is no such pooling.
    """
    if task not in SEQUENCE_CLASSIFICATION.values():
        if pooling is not None:
            raise ConfigError(
                f"Expected no window_pooling: {task.name} does not use it."
            )
        kept = _kept(config, _NAMES.get(task.name, ()))
        return Windows(None, kept.get("doc_stride"), kept.get("max_length"))
    kept = _kept(config, ("classification", "regression"))
    if not (doc_stride or pooling or kept.get("doc_stride")):
        return Windows()
    pooling = pooling or kept.get("window_pooling", "mean")
    if choose("window_pooling", pooling, (*POOLINGS, NONE)) == NONE:
        return Windows()
    if pooling == LEARNED and not config.learned_windows:
        raise ConfigError(
            "Expected window_pooling of mean or max: this model has not learned how "
            f"much a window counts. Received: {pooling!r}. Train it so: keras-bert "
            "finetune --window-pooling learned."
        )
    doc_stride = doc_stride or kept.get("doc_stride")
    return Windows(pooling, doc_stride, kept.get("max_length"))


def _kept(config: Config, names: Iterable[str]) -> dict:
    """Returns the settings that a `keras_bert.tasks.Task` keeps with a model."""
    kept = config.extra.get("task_specific_params") or {}
    return next((dict(kept[name]) for name in names if name in kept), {})


def by_windows(task: ServedTask) -> ServedTask:
    """Returns a task that reads a text in windows, and pools their logits."""

    def answer(outputs: Tensors, request: Request) -> Tensors:
        pool = POOLINGS[request.settings.window_pooling]
        text_of = request.features["overflow_to_sample_mapping"]
        return task.answer({"logits": pool(outputs, text_of)}, request)

    limits = ("doc_stride", "window_pooling")
    return task._replace(encode=_encode, answer=answer, limits=limits)


def _encode(
    settings: AnswerSettings, text: tf.Tensor, text_pair: tf.Tensor | None = None
) -> Tensors:
    """As many overlapping rows per text as it needs: (rows, seq)."""
    stride = settings.doc_stride
    return settings.tokenizer.encode(
        text, text_pair, settings.max_length, stride=stride
    )
