"""One vector per text: an encoder's states of its tokens, pooled."""

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
        outputs: of an encoder, float32 `last_hidden_state` `(batch, seq, hidden)` and
            `pooler_output` `(batch, hidden)`.
        attention_mask: 0 for padding, `(batch, seq)`.
        pooling: "mean" or "max" over the tokens, [CLS] and [SEP] included; "cls", the
            first token; "pooler", BERT's pooler.
        normalize: scale the vectors to length 1.

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
    """Checks that a model supports a pooling.

    Raises:
        UnknownNameError: there is no such pooling.
        ConfigError: the model is not an encoder, or has no pooler; or `normalize` is
            set without a pooling.
    """
    if pooling is None:
        if normalize:
            raise ConfigError("Expected embeddings if normalize=True. Received: none.")
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
