"""What a tokenizer returns: ids by name, and where they come from in the text."""

from collections import UserDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import optree
from tokenizers import Encoding

from keras_bert.errors import InputError, UnknownNameError
from keras_bert.extras import require
from keras_bert.transformers.utils import TensorType


class CharSpan(NamedTuple):
    """Characters of a text, from `start` to before `end`."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Tokens of a row, from `start` to before `end`."""

    start: int
    end: int


class BatchEncoding(UserDict):
    """The inputs of a model: `enc["input_ids"]` and `enc.input_ids` are the same.

    Args:
        data: the values by name.
        encoding: one for each row: tokens, words and places in the text, as
            `tokenizers` has them. None if they are not known.
        tensor_type: see `convert_to_tensors`.
        prepend_batch_axis: see `convert_to_tensors`.
        n_sequences: texts per row, 1 or 2; None takes those of the first encoding.

    Methods about tokens, words and characters take the index of a row first, or take
    row 0 if they get one number: `enc.token_to_chars(3)`, `enc.token_to_chars(0, 3)`.

    Raises:
        InputError: the values have no common shape.

    Example:
        >>> BatchEncoding({"input_ids": [[2, 5], [2, 3]]}, tensor_type="np").input_ids
        array([[2, 5],
               [2, 3]])

    Source: the class of this name in `transformers`.
    """

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        encoding: Encoding | Sequence[Encoding] | None = None,
        tensor_type: str | None = None,
        prepend_batch_axis: bool = False,
        n_sequences: int | None = None,
    ) -> None:
        super().__init__(data)
        one = isinstance(encoding, Encoding)
        self._encodings = [encoding] if one else encoding
        if n_sequences is None and self._encodings:
            n_sequences = self._encodings[0].n_sequences
        self._n_sequences = n_sequences
        self.convert_to_tensors(tensor_type, prepend_batch_axis)

    @property
    def n_sequences(self) -> int | None:
        """Texts per row, or None if that is not known."""
        return self._n_sequences

    @property
    def is_fast(self) -> bool:
        """Whether places in the text are known."""
        return self._encodings is not None

    @property
    def encodings(self) -> Sequence[Encoding] | None:
        """What `tokenizers` knows of each row."""
        return self._encodings

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return self.data[key]
        if self._encodings is not None:
            return self._encodings[key]
        if isinstance(key, slice):
            return {name: value[key] for name, value in self.data.items()}
        raise UnknownNameError(
            f"Expected a name, {', '.join(map(repr, self.data))}, or a slice; a number "
            f"needs what a tokenizer returned for texts. Received: {key!r}."
        )

    def __getattr__(self, name: str) -> Any:
        # `data` itself is missing while an object is unpickled.
        if name == "data" or name not in self.data:
            raise AttributeError(f"{type(self).__name__} has no {name!r}")
        return self.data[name]

    def __getstate__(self) -> dict[str, Any]:
        return {"data": self.data, "encodings": self._encodings}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        BatchEncoding.__init__(self, state["data"], state["encodings"])

    # === Where tokens come from ===

    def _row(self, index: int) -> Encoding:
        if not self._encodings:
            raise InputError(
                "Expected what a tokenizer returned for texts: after pad or "
                "prepare_for_model, places in the text are not known."
            )
        return self._encodings[index]

    def tokens(self, batch_index: int = 0) -> list[str]:
        """Returns the tokens of a row."""
        return self._row(batch_index).tokens

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """Returns for each token 0 or 1, its text; None for a special token."""
        return self._row(batch_index).sequence_ids

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """Returns for each token the index of its word; None for a special token."""
        return self._row(batch_index).word_ids

    words = word_ids

    def _find(
        self,
        method: str,
        first: int,
        second: int | None,
        *sequence: int,
        span: Callable[..., Any] | None = None,
    ) -> Any:
        row, index = (0, first) if second is None else (first, second)
        found = getattr(self._row(row), method)(index, *sequence)
        return span(*found) if span and found is not None else found

    def token_to_sequence(self, row: int, token: int | None = None) -> int | None:
        """Returns 0 or 1, the text of a token."""
        return self._find("token_to_sequence", row, token)

    def token_to_word(self, row: int, token: int | None = None) -> int | None:
        """Returns the word of a token."""
        return self._find("token_to_word", row, token)

    def token_to_chars(self, row: int, token: int | None = None) -> CharSpan | None:
        """Returns the characters of a token."""
        return self._find("token_to_chars", row, token, span=CharSpan)

    def word_to_tokens(
        self, row: int, word: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """Returns the tokens of a word of a text of the row."""
        return self._find("word_to_tokens", row, word, sequence_index, span=TokenSpan)

    def word_to_chars(
        self, row: int, word: int | None = None, sequence_index: int = 0
    ) -> CharSpan | None:
        """Returns the characters of a word of a text of the row."""
        return self._find("word_to_chars", row, word, sequence_index, span=CharSpan)

    def char_to_token(
        self, row: int, char: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """Returns the token of a character of a text of the row."""
        return self._find("char_to_token", row, char, sequence_index)

    def char_to_word(
        self, row: int, char: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """Returns the word of a character of a text of the row."""
        return self._find("char_to_word", row, char, sequence_index)

    # === Tensors ===

    def convert_to_tensors(
        self, tensor_type: str | None = None, prepend_batch_axis: bool = False
    ) -> Self:
        """Makes tensors of the lists.

        Args:
            tensor_type: "np", "tf" or "pt"; None does nothing.
            prepend_batch_axis: make a batch of one row.

        Returns:
            This object.

        Raises:
            InputError: there is no such type, or the values have no common shape.
            MissingExtraError: the library is not installed.
        """
        if tensor_type is None:
            return self
        convert, is_tensor = _CONVERTERS[TensorType(tensor_type)]()
        for name, value in self.data.items():
            value = [value] if prepend_batch_axis else value
            if is_tensor(value):
                continue
            try:
                self.data[name] = convert(value)
            except (ValueError, TypeError) as error:
                raise InputError(
                    f"Expected rows of one length for a tensor of {name!r}. Received: "
                    f"{_lengths(value)}. Pad them with padding=True, and shorten long "
                    "ones with truncation=True; or leave out return_tensors."
                ) from error
        return self

    def to(self, device: Any, *, non_blocking: bool = False) -> Self:
        """Moves PyTorch's tensors to a device.

        Args:
            device: such as "cuda"; anything else is left alone.
            non_blocking: return before they are there.

        Returns:
            This object.

        Raises:
            MissingExtraError: PyTorch is not installed.
        """
        torch = require("torch")
        if isinstance(device, str | int | torch.device):
            for name, value in self.data.items():
                if isinstance(value, torch.Tensor):
                    self.data[name] = value.to(device, non_blocking=non_blocking)
        return self


Converter = tuple[Callable[[Any], Any], Callable[[Any], bool]]


def _numpy() -> Converter:
    return _array, lambda value: isinstance(value, np.ndarray)


def _array(value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:  # rows of several lengths
        array = np.empty(len(value), object)
        array[:] = [np.asarray(row) for row in value]
    return array if array.size else array.astype(np.int64)


def _tensorflow() -> Converter:
    import tensorflow as tf

    def convert(value: Any) -> Any:
        return tf.constant(value, None if np.size(value) else tf.int32)

    return convert, tf.is_tensor


def _torch() -> Converter:
    torch = require("torch")

    def convert(value: Any) -> Any:
        arrays = bool(value) and isinstance(value[0], np.ndarray)  # slow one by one
        value = np.array(value) if arrays else value
        return torch.tensor(value, dtype=None if np.size(value) else torch.int64)

    return convert, torch.is_tensor


_CONVERTERS = {
    TensorType.NUMPY: _numpy,
    TensorType.TENSORFLOW: _tensorflow,
    TensorType.PYTORCH: _torch,
}


def _lengths(value: Any) -> str:
    rows = [len(row) if hasattr(row, "__len__") else type(row) for row in value]
    return f"lengths {sorted(set(map(str, rows)))[:5]}"


# Keras and JAX look inside, as into a dict; what they make of it is a dict.
def _flatten(encoding: BatchEncoding) -> tuple[list[Any], list[str], list[str]]:
    names = sorted(encoding.data)
    return [encoding.data[name] for name in names], names, names


def _unflatten(names: Any, values: Any) -> dict[str, Any]:
    return dict(zip(names, values, strict=True))


optree.register_pytree_node(BatchEncoding, _flatten, _unflatten, namespace="keras")
