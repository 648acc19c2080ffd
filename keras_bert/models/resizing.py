"""Another size of vocabulary for a model that is there."""

from typing import Any

from keras import ops

from keras_bert.errors import InputError


def resize_token_embeddings(
    model: Any,
    new_size: int | None = None,
    *,
    pad_to_multiple_of: int | None = None,
    seed: int | None = None,
) -> Any:
    """Makes a model with another size of vocabulary; see `PreTrainedModel`.

    Args:
        model: a model of this package.
        new_size: number of tokens; None keeps it, for padding alone.
        pad_to_multiple_of: rounds the number up.
        seed: of the new rows.

    Returns:
        A new model.
    """
    size = _rounded(new_size or model.config.vocab_size, pad_to_multiple_of)
    resized = model.like(
        model.config.replace(vocab_size=size), model.seed if seed is None else seed
    )
    kept = min(size, model.config.vocab_size)
    old = {variable.path: variable for variable in model.weights}
    for variable in resized.weights:
        variable.assign(_filled(variable, old[variable.path], kept))
    return resized


def _rounded(size: int, multiple: int | None) -> int:
    if size < 1 or (multiple is not None and multiple < 1):
        raise InputError(
            "Expected a positive number of tokens, and a positive multiple. "
            f"Received: new_size={size}, pad_to_multiple_of={multiple}."
        )
    return size if multiple is None else -(-size // multiple) * multiple


def _filled(variable: Any, old: Any, kept: int) -> Any:
    """The old values, followed by what a new model has where there were none."""
    if variable.shape == old.shape:
        return old.value
    return ops.concatenate([old.value[:kept], variable.value[kept:]])
