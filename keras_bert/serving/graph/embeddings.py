"""Models that answer with one vector per text: which, and how."""

from keras_bert.errors import ConfigError, choose
from keras_bert.models import PreTrainedModel, SentenceEncoder, heads
from keras_bert.sentence_recipe import JOIN, POOLINGS, SentenceRecipe

NONE = "none"  # the states of all tokens


def with_embeddings(
    model: PreTrainedModel, embeddings: str | None = None, normalize: bool = False
) -> PreTrainedModel:
    """Returns the model that answers as asked, with the same encoder.

    Args:
        model: the model.
        embeddings: names of poolings, joined by "+"; "none" for the states of all
            tokens; None does what the model or its sentence-transformers folder says.
        normalize: scale the vectors to length 1; without `embeddings`, also where the
            folder does not.

    Returns:
        A `SentenceEncoder` for vectors; otherwise a model that answers with states, or
        as its head does.

    Raises:
        UnknownNameError: there is no such pooling.
        CheckpointError: the folder has modules that this package does not compute.
        ConfigError: the model is not an encoder, or has no pooler; or `normalize` is
            set without a pooling.
    """
    if embeddings is None:
        own = _own(model)
        if normalize and own is None:
            raise ConfigError("Expected embeddings if normalize=True. Received: none.")
        made = model if own is None else own
        return made.normalized() if normalize else made
    names = embeddings.split(JOIN)
    for name in names:
        choose("embeddings", name, (*POOLINGS, NONE))
    if NONE in names:
        _check_none(embeddings, normalize)
        return model.bare() if isinstance(model, SentenceEncoder) else model
    if not isinstance(model, heads.EncoderOutputs):
        raise ConfigError(
            "Expected an encoder for embeddings. Received: "
            f"{type(model).__name__}. Load the checkpoint as "
            f"{model.family.class_name('encoder')}."
        )
    return SentenceEncoder.of(model, SentenceRecipe.of(embeddings, normalize))


def _own(model: PreTrainedModel) -> SentenceEncoder | None:
    """Returns the model, or that of its folder, if it makes vectors by itself."""
    if isinstance(model, SentenceEncoder):
        return model
    known = model.sentence_modules is not None
    return SentenceEncoder.of_folder(model) if known else None


def _check_none(embeddings: str, normalize: bool) -> None:
    if embeddings != NONE:
        raise ConfigError(
            f"Expected {NONE!r} alone, or poolings joined by {JOIN!r}. Received: "
            f"{embeddings!r}."
        )
    if normalize:
        raise ConfigError(f"Expected embeddings if normalize=True. Received: {NONE!r}.")


def describe(model: PreTrainedModel) -> dict[str, str | bool | int] | None:
    """Returns how a model makes vectors, for its card; None if it does not."""
    if not isinstance(model, SentenceEncoder):
        return None
    recipe = model.recipe
    return {
        "pooling": JOIN.join(recipe.pooling),
        "normalize": recipe.normalizes,
        "prompt": recipe.prompt(None),
        "width": model.width,
    }
