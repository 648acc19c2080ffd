"""Another size of vocabulary for a model that is there."""

from typing import Any, TypeVar

from keras import ops

from keras_bert.errors import InputError
from keras_bert.models.quantization import merged_weights

Model = TypeVar("Model", bound=Any)


def resize_token_embeddings(
    model: Model,
    new_size: int | None = None,
    *,
    pad_to_multiple_of: int | None = None,
    seed: int | None = None,
) -> Model:
    """Returns a model with another size of vocabulary.

    The word embeddings, the masked-LM output matrix that is tied to them and the
    masked-LM bias change together; everything else is copied, and what is frozen stays
    so. This model stays as it is, and the new one is not compiled. Add the tokens to
    the tokenizer, at the end, too.

    Args:
        model: a model of this package.
        new_size: number of tokens; fewer cut the last ones off, None keeps the number,
            for padding alone.
        pad_to_multiple_of: rounds the number up; a multiple of 64 or 128 suits GPUs
            and TPUs.
        seed: of the new rows, drawn as for a new model (new biases are zero); None
            takes the model's own.

    Raises:
        InputError: a size below one.
        ConfigError: the pad token would be cut off, or the model is quantized.

    Example:
        >>> from keras_bert import BertConfig, BertModel
        >>> model = BertModel(BertConfig.preset("tiny", vocab_size=37))
        >>> model.resize_token_embeddings(40, pad_to_multiple_of=16).config.vocab_size
        48

    Source: Hugging Face's method of this name.
    """
    size = model.config.vocab_size if new_size is None else new_size
    size = _rounded(size, pad_to_multiple_of)
    resized = model.like(
        model.config.replace(vocab_size=size), model.seed if seed is None else seed
    )
    kept = min(size, model.config.vocab_size)
    old = merged_weights(model)
    for variable in resized.weights:
        variable.assign(_filled(variable, old[variable.path], kept))
    resized.set_layers(**model.layer_settings())
    if model.tokenizer_attached and len(model.tokenizer) <= size:
        resized.tokenizer = model.tokenizer
    resized.sentence_modules = model.sentence_modules
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
    if tuple(variable.shape) == tuple(old.shape):
        return old
    return ops.concatenate([old[:kept], variable.value[kept:]])
