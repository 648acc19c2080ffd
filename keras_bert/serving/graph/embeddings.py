"""One vector for a text: a pooling of what an encoder says of its tokens."""

from collections.abc import Callable

import tensorflow as tf

from keras_bert.errors import ConfigError, choose
from keras_bert.features import MASK_VALUE
from keras_bert.models import PreTrainedModel, heads
from keras_bert.serving.graph.settings import Tensors

Tensor = tf.Tensor


def _mean(outputs: Tensors, mask: Tensor) -> Tensor:
    kept = tf.cast(mask, tf.float32)[..., None]  # (batch, seq, 1)
    total = tf.reduce_sum(outputs["last_hidden_state"] * kept, 1)
    return total / tf.maximum(tf.reduce_sum(kept, 1), 1.0)


def _max(outputs: Tensors, mask: Tensor) -> Tensor:
    hidden = outputs["last_hidden_state"]
    return tf.reduce_max(tf.where(mask[..., None], hidden, MASK_VALUE), 1)


# By the names that sentence-transformers gives them; `pooler` is BERT's own.
POOLINGS: dict[str, Callable[[Tensors, Tensor], Tensor]] = {
    "mean": _mean,
    "max": _max,
    "cls": lambda outputs, mask: outputs["last_hidden_state"][:, 0],
    "pooler": lambda outputs, mask: outputs["pooler_output"],
}


def pooled(
    outputs: Tensors, attention_mask: Tensor, pooling: str, normalize: bool
) -> Tensors:
    """Returns one vector per row.

    Args:
        outputs: an encoder's, float32 `last_hidden_state` `(batch, seq, hidden)` and
            `pooler_output` `(batch, hidden)`.
        attention_mask: 0 at padding, `(batch, seq)`.
        pooling: "mean" or "max" of the tokens, [CLS] and [SEP] among them; "cls", the
            first token; "pooler", BERT's pooler.
        normalize: make the vectors of length 1.

    Returns:
        `embeddings` `(batch, hidden)`.

    Example:
        >>> hidden = tf.constant([[[1.0, 2.0], [3.0, 0.0], [9.0, 9.0]]])
        >>> outputs = {"last_hidden_state": hidden}
        >>> mask = tf.constant([[1, 1, 0]])
        >>> pooled(outputs, mask, "mean", normalize=False)["embeddings"].numpy()
        array([[2., 1.]], dtype=float32)
    """
    vectors = POOLINGS[pooling](outputs, attention_mask > 0)
    if normalize:
        vectors = tf.math.l2_normalize(vectors, -1, epsilon=1e-24)
    return {"embeddings": vectors}


def check(model: PreTrainedModel, pooling: str | None, normalize: bool) -> None:
    """Refuses a pooling that a model cannot do.

    Raises:
        UnknownNameError: there is no such pooling.
        ConfigError: the model is no encoder, or has no pooler; or nothing is pooled
            that could be normalized.
    """
    if pooling is None:
        if normalize:
            raise ConfigError("Expected embeddings for normalize=True; none are asked.")
        return
    choose("embeddings", pooling, POOLINGS)
    if not isinstance(model, heads.EncoderOutputs):
        raise ConfigError(
            "Expected an encoder for embeddings. Received: "
            f"{type(model).__name__}. Load the checkpoint as "
            f"{model.family.class_name('encoder')}."
        )
    if pooling == "pooler" and model.encoder.pooler is None:
        raise ConfigError(
            "Expected a model with a pooler for embeddings='pooler'; this one has "
            "none. Choose another pooling: mean, cls, max."
        )
