"""The inputs of a model: named, checked, and completed with what was left out."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from keras import ops

from keras_bert.config import Config
from keras_bert.errors import InputError, choose
from keras_bert.features import ALIASES, ENCODER_INPUTS, INPUTS

Tensor = Any


def named(inputs: Any) -> dict[str, Any]:
    """Returns inputs by the names of this package.

    Args:
        inputs: a dict, by these names or those of Google, the Model Garden or
            KerasHub; a list of arrays in the order of `ENCODER_INPUTS`; or
            `input_ids` alone.

    Raises:
        UnknownNameError: a name is not that of an input.
        InputError: `input_ids` is missing, or an input is given twice.

    Example:
        >>> named({"input_word_ids": [[1, 2]], "input_mask": None})
        {'input_ids': [[1, 2]]}
    """
    if not isinstance(inputs, Mapping):
        inputs = _by_position(inputs)
    given = {name: value for name, value in inputs.items() if value is not None}
    found = {
        ALIASES.get(name) or choose("input", name, INPUTS): value
        for name, value in given.items()
    }
    if "input_ids" not in found or len(found) < len(given):
        raise InputError(
            "Expected a dict with 'input_ids', and each input once. "
            f"Received keys: {sorted(given)}."
        )
    return found


def _by_position(inputs: Any) -> dict[str, Any]:
    several = isinstance(inputs, list | tuple) and len(inputs)
    if several and len(getattr(inputs[0], "shape", ())) > 1:
        return dict(zip(ENCODER_INPUTS, inputs, strict=False))
    return {"input_ids": inputs}


def check(inputs: Mapping[str, Any], config: Config) -> None:
    """Refuses rows longer than the position table, and ids out of range.

    Values are looked at only where they are at hand, in NumPy arrays and lists; the
    length is known while tracing too.

    Args:
        inputs: see `named`.
        config: the model's.

    Raises:
        InputError: naming the input, what it holds and what it may hold.
    """
    ids = inputs["input_ids"]
    shape = np.shape(ids) if isinstance(ids, list | tuple) else tuple(ids.shape)
    length = shape[-1] if shape else None
    if length is not None and length > config.max_length:
        raise InputError(
            f"Expected rows of at most {config.max_length} tokens "
            f"(max_position_embeddings). Received: {length}. Truncate the text, for "
            "instance with tokenizer(..., max_length=...)."
        )
    limits = {
        "input_ids": config.vocab_size,
        "token_type_ids": config.type_vocab_size,
        "position_ids": config.max_position_embeddings,
        "masked_lm_positions": length,
        "cls_positions": length,
    }
    for name, limit in limits.items():
        if limit and isinstance(inputs.get(name), np.ndarray | list | tuple):
            _check_range(name, np.asarray(inputs[name]), limit)


def _check_range(name: str, values: np.ndarray, limit: int) -> None:
    if values.size and (values.min() < 0 or values.max() >= limit):
        raise InputError(
            f"Expected {name} from 0 to {limit - 1}. "
            f"Received: {values.min()} to {values.max()}. Check that tokenizer and "
            "model belong together."
        )


def complete(
    inputs: Mapping[str, Any], config: Config, names: Iterable[str]
) -> dict[str, Tensor]:
    """Returns the inputs a model takes: those given, and the others derived.

    Args:
        inputs: see `named`; what the model has no use for is left out.
        config: the model's.
        names: inputs of the model.

    Returns:
        int32 tensors; `cls_positions` only where it was given.
    """
    given = {k: ops.convert_to_tensor(v, "int32") for k, v in inputs.items()}
    return {
        name: given[name]
        if name in given
        else DERIVED[name](given["input_ids"], config)
        for name in names
        if name in given or name in DERIVED
    }


def _count_up(ids: Tensor, config: Config) -> Tensor:
    return ops.cumsum(ops.ones_like(ids), axis=-1) - 1


def _positions(ids: Tensor, config: Config) -> Tensor:
    if not config.counts_tokens:
        return _count_up(ids, config)
    is_token = ops.cast(ids != config.pad_token_id, "int32")
    return ops.cumsum(is_token, axis=-1) * is_token + config.pad_token_id


# Padding is hidden, not only marked: the originals take all ones for a missing mask,
# which lets a row attend to its padding.
DERIVED = {
    "attention_mask": lambda ids, config: ops.cast(ids != config.pad_token_id, "int32"),
    "token_type_ids": lambda ids, config: ops.zeros_like(ids),
    "position_ids": _positions,
    "masked_lm_positions": _count_up,  # every position
}
