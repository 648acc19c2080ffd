"""One vector per text: an encoder's states of its tokens, pooled."""

from collections.abc import Callable

import tensorflow as tf

from keras_bert.checkpoints.sentence_modules import Recipe
from keras_bert.errors import ConfigError, choose
from keras_bert.features import MASK_VALUE
from keras_bert.models import PreTrainedModel, heads
from keras_bert.serving.graph.settings import Tensors

Tensor = tf.Tensor


def _weighted(
    outputs: Tensors, weights: Tensor, scale: Callable[[Tensor], Tensor] = tf.identity
) -> Tensor:
    """Sums states by weights `(batch, seq)`, over the scaled sum of these."""
    total = tf.einsum("bs,bsh->bh", weights, outputs["last_hidden_state"])
    return total / scale(tf.maximum(tf.reduce_sum(weights, 1), 1.0))[:, None]


def _places(mask: Tensor) -> Tensor:
    """Numbers the tokens from 1, the first that is no padding; padding is 0."""
    first = tf.argmax(tf.cast(mask, tf.int32), 1, tf.int32)
    numbers = tf.range(1, tf.shape(mask)[1] + 1) - first[:, None]
    return tf.cast(numbers, tf.float32) * tf.cast(mask, tf.float32)


def _last(outputs: Tensors, mask: Tensor) -> Tensor:
    last = tf.argmax(_places(mask), 1, tf.int32)
    return tf.gather(outputs["last_hidden_state"], last, batch_dims=1)


def _max(outputs: Tensors, mask: Tensor) -> Tensor:
    hidden = outputs["last_hidden_state"]
    return tf.reduce_max(tf.where(mask[..., None], hidden, MASK_VALUE), 1)


# By the names that sentence-transformers gives them; `pooler` is BERT's own.
POOLINGS: dict[str, Callable[[Tensors, Tensor], Tensor]] = {
    "mean": lambda outputs, mask: _weighted(outputs, tf.cast(mask, tf.float32)),
    "max": _max,
    "cls": lambda outputs, mask: outputs["last_hidden_state"][:, 0],
    "pooler": lambda outputs, mask: outputs["pooler_output"],
    "mean_sqrt_len_tokens": lambda outputs, mask: _weighted(
        outputs, tf.cast(mask, tf.float32), tf.sqrt
    ),
    "weightedmean": lambda outputs, mask: _weighted(outputs, _places(mask)),
    "lasttoken": _last,
}
NONE = "none"  # the states of all tokens
JOIN = "+"  # between the names of poolings whose vectors are concatenated


def pooled(outputs: Tensors, attention_mask: Tensor, recipe: Recipe) -> Tensors:
    """Returns one vector per row.

    Args:
        outputs: of an encoder, float32 `last_hidden_state` `(batch, seq, hidden)` and
            `pooler_output` `(batch, hidden)`.
        attention_mask: 0 for padding, `(batch, seq)`.
        recipe: the poolings, of `POOLINGS`, and whether to scale to length 1.

    Returns:
        `embeddings` `(batch, hidden)`, or several times `hidden`, as the recipe has
        poolings.

    Example:
        >>> hidden = tf.constant([[[1.0, 2.0], [3.0, 0.0], [9.0, 9.0]]])
        >>> outputs = {"last_hidden_state": hidden}
        >>> mask = tf.constant([[1, 1, 0]])
        >>> pooled(outputs, mask, Recipe(("mean",)))["embeddings"].numpy()
        array([[2., 1.]], dtype=float32)
    """
    mask = attention_mask > 0
    vectors = tf.concat([POOLINGS[n](outputs, mask) for n in recipe.pooling], -1)
    if recipe.normalize:
        vectors = tf.math.l2_normalize(vectors, -1, epsilon=1e-24)
    return {"embeddings": vectors}


def recipe_of(
    model: PreTrainedModel, embeddings: str | None, normalize: bool
) -> Recipe | None:
    """Returns how vectors are made of a model's states; None if they are not.

    Args:
        model: the model.
        embeddings: names of `POOLINGS`, joined by "+"; "none" for the states of all
            tokens; None does what the model's sentence-transformers folder says.
        normalize: scale the vectors to length 1; without `embeddings`, also where the
            folder does not.

    Raises:
        UnknownNameError: there is no such pooling.
        CheckpointError: the folder has modules that this package does not compute.
        ConfigError: the model is not an encoder, or has no pooler; or `normalize` is
            set without a pooling.
    """
    if embeddings is None and model.sentence_modules is not None:
        recipe = model.sentence_modules.recipe()
        return recipe._replace(normalize=recipe.normalize or normalize)
    if embeddings in (None, NONE):
        if normalize:
            raise ConfigError(
                "Expected embeddings if normalize=True. Received: "
                f"{'none' if embeddings is None else repr(embeddings)}."
            )
        return None
    names = tuple(embeddings.split(JOIN))
    for name in names:
        choose("embeddings", name, (*POOLINGS, NONE))
    _check(model, names)
    return Recipe(names, normalize)


def _check(model: PreTrainedModel, names: tuple[str, ...]) -> None:
    if NONE in names:
        raise ConfigError(
            f"Expected {NONE!r} alone, or poolings joined by {JOIN!r}. Received: "
            f"{JOIN.join(names)!r}."
        )
    if not isinstance(model, heads.EncoderOutputs):
        raise ConfigError(
            "Expected an encoder for embeddings. Received: "
            f"{type(model).__name__}. Load the checkpoint as "
            f"{model.family.class_name('encoder')}."
        )
    if "pooler" in names and model.encoder.pooler is None:
        raise ConfigError(
            "Expected a model with a pooler for embeddings='pooler'; this one has "
            "none. Choose another pooling: mean, cls, max."
        )


def describe(recipe: Recipe | None) -> dict[str, str | bool] | None:
    """Returns a recipe for the card of a model."""
    if recipe is None:
        return None
    return {**recipe._asdict(), "pooling": JOIN.join(recipe.pooling)}
