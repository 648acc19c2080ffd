"""Small things that scripts take from `transformers` and `transformers.utils`."""

from enum import StrEnum
from typing import Any, Self

import numpy as np

from keras_bert.errors import InputError
from keras_bert.extras import installed
from keras_bert.transformers import logging

__all__ = ["logging"]


class Choice(StrEnum):
    @classmethod
    def _missing_(cls, value: Any) -> Self:
        known = ", ".join(repr(str(member)) for member in cls)
        raise InputError(f"Expected a {cls.__name__}: {known}. Received: {value!r}.")


class PaddingStrategy(Choice):
    """How far rows are padded."""

    LONGEST = "longest"
    MAX_LENGTH = "max_length"
    DO_NOT_PAD = "do_not_pad"


class TruncationStrategy(Choice):
    """Which text of a pair is truncated."""

    ONLY_FIRST = "only_first"
    ONLY_SECOND = "only_second"
    LONGEST_FIRST = "longest_first"
    DO_NOT_TRUNCATE = "do_not_truncate"


class TensorType(Choice):
    """What holds numbers."""

    PYTORCH = "pt"
    TENSORFLOW = "tf"
    NUMPY = "np"


def set_seed(seed: int) -> None:
    """Seeds Python, NumPy and Keras with its backend.

    Args:
        seed: 0 or more.

    Example:
        >>> set_seed(0)
        >>> first = np.random.rand()
        >>> set_seed(0)
        >>> bool(np.random.rand() == first)
        True
    """
    import keras

    keras.utils.set_random_seed(seed)


def is_tf_available() -> bool:
    """Tells whether TensorFlow is installed."""
    return installed("tensorflow")


def is_torch_available() -> bool:
    """Tells whether PyTorch is installed."""
    return installed("torch")


def is_tokenizers_available() -> bool:
    """Tells whether `tokenizers` is installed, which this package needs."""
    return installed("tokenizers")


def to_py_obj(value: Any) -> Any:
    """Returns tensors and arrays as lists and numbers, also those inside of lists.

    Example:
        >>> to_py_obj({"input_ids": np.array([[1, 2]])})
        {'input_ids': [[1, 2]]}
    """
    if isinstance(value, dict):
        return {k: to_py_obj(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_py_obj(v) for v in value]
    if hasattr(value, "numpy"):  # a tensor of TensorFlow or PyTorch
        value = value.numpy()
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
