"""Lists of rows to batches: the data collators of `transformers`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_bert.errors import InputError, choose
from keras_bert.extras import require
from keras_bert.transformers.batch_encoding import BatchEncoding
from keras_bert.transformers.rows import columns_of, tensor_type
from keras_bert.transformers.tokenizers import PreTrainedTokenizerBase
from keras_bert.transformers.utils import to_py_obj

IGNORED = -100  # a label that no loss counts
_LABELS = ("label", "label_ids")
# The types that Python's numbers get in tensors.
_INTEGERS = {"np": "int64", "tf": "int32", "pt": "int64"}
_FLOATS = {"np": "float64", "tf": "float32", "pt": "float32"}


def _kind(return_tensors: str) -> str:
    return choose("return_tensors", return_tensors, _INTEGERS)


def _tensor(array: np.ndarray, kind: str) -> Any:
    if kind == "tf":
        import tensorflow as tf

        return tf.constant(array)
    return require("torch").from_numpy(array) if kind == "pt" else array


def _stacked(name: str, values: Sequence[Any], kind: str, dtype: Any = None) -> Any:
    """Returns a tensor of one value for each row."""
    try:
        array = np.asarray([_numbers(value) for value in values])
    except ValueError as error:
        raise InputError(
            f"Expected values of one shape as {name}. Received others: {error}. Use "
            "DataCollatorWithPadding, or pad when tokenizing."
        ) from error
    if dtype is None and tensor_type(values[0]) is None:
        names = _FLOATS if array.dtype.kind == "f" else _INTEGERS
        dtype = names[kind] if array.dtype.kind in "fi" else None
    return _tensor(array if dtype is None else array.astype(dtype), kind)


def _numbers(value: Any) -> Any:
    return value.numpy() if hasattr(value, "numpy") else value


def _label_type(value: Any) -> str:
    array = np.asarray(_numbers(value))
    return "int64" if array.dtype.kind in "biu" else "float32"


def default_data_collator(
    features: Sequence[Any], return_tensors: str = "pt"
) -> dict[str, Any]:
    """Stacks rows of equal shape.

    Args:
        features: rows: mappings, or objects with attributes.
        return_tensors: "pt", "tf" or "np".

    Returns:
        Tensors by name. `label` or `label_ids` become `labels`, of integers (int64) or
        numbers (float32). Strings and None are left out.

    Raises:
        InputError: values of a name differ in shape, or a row lacks a name.
        UnknownNameError: there is no such type of tensor.

    Example:
        >>> rows = [{"input_ids": [2, 3], "label": i} for i in (1, 0)]
        >>> default_data_collator(rows, "np")["labels"]
        array([1, 0])
    """
    kind = _kind(return_tensors)
    rows = [f if isinstance(f, Mapping) else vars(f) for f in features]
    columns = {
        name: values
        for name, values in columns_of(rows).items()
        if values[0] is not None and not isinstance(values[0], str)
    }
    names = [name for name in _LABELS if name in columns]
    names += ["labels"] if kind == "tf" and "labels" in columns else []
    batch = {}
    if names:
        values = columns[names[0]]
        batch["labels"] = _stacked(names[0], values, kind, _label_type(values[0]))
    others = {k: v for k, v in columns.items() if k not in (*_LABELS, *names[:1])}
    return batch | {k: _stacked(k, v, kind) for k, v in others.items()}


def tf_default_data_collator(features: Sequence[Any]) -> dict[str, Any]:
    """Stacks rows of equal shape; see `default_data_collator`.

    Args:
        features: rows: mappings, or objects with attributes.
    """
    return default_data_collator(features, "tf")


@dataclass
class DefaultDataCollator:
    """`default_data_collator` as an object.

    Args:
        return_tensors: "pt", "tf" or "np".
    """

    return_tensors: str = "pt"

    def __call__(
        self, features: Sequence[Any], return_tensors: str | None = None
    ) -> dict[str, Any]:
        return default_data_collator(features, return_tensors or self.return_tensors)


@dataclass
class DataCollatorWithPadding:
    """Pads rows and stacks them; `label` or `label_ids` become `labels`.

    Args:
        tokenizer: whose padding is used.
        padding: see `keras_bert.transformers.lengths.Options`.
        max_length: likewise.
        pad_to_multiple_of: likewise.
        return_tensors: "pt", "tf" or "np".

    Example:
        >>> collate = DataCollatorWithPadding(tokenizer, return_tensors="tf")
        ... # doctest: +SKIP
        >>> batch = collate([tokenizer("one"), tokenizer("two words")])
        ... # doctest: +SKIP
    """

    tokenizer: PreTrainedTokenizerBase
    padding: bool | str = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    return_tensors: str = "pt"

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> BatchEncoding:
        batch = self.tokenizer.pad(
            features if isinstance(features, Mapping) else list(features),
            self.padding,
            self.max_length,
            self.pad_to_multiple_of,
            return_tensors=self.return_tensors,
        )
        for name in _LABELS:
            if name in batch:
                batch["labels"] = batch.pop(name)
        return batch


@dataclass
class DataCollatorForTokenClassification:
    """Pads rows and their labels, one for each token.

    Args:
        tokenizer: whose padding is used.
        padding: see `keras_bert.transformers.lengths.Options`.
        max_length: likewise.
        pad_to_multiple_of: likewise.
        label_pad_token_id: pads labels.
        return_tensors: "pt", "tf" or "np".

    It returns `labels`, or `label` if rows have that and tensors are PyTorch's.
    """

    tokenizer: PreTrainedTokenizerBase
    padding: bool | str = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    label_pad_token_id: int = IGNORED
    return_tensors: str = "pt"

    def __call__(
        self,
        features: Sequence[Mapping[str, Any]],
        return_tensors: str | None = None,
    ) -> dict[str, Any] | BatchEncoding:
        kind = choose(
            "return_tensors", return_tensors or self.return_tensors, _INTEGERS
        )
        name = "label" if "label" in features[0] else "labels"
        rows = [{k: v for k, v in f.items() if k != name} for f in features]
        batch = self.tokenizer.pad(
            rows, self.padding, self.max_length, self.pad_to_multiple_of
        )
        if name not in features[0]:
            return batch.convert_to_tensors(kind)
        labels = columns_of([{name: f[name]} for f in features])[name]
        rows = [self._padded(to_py_obj(row), batch) for row in labels]
        if kind != "pt":
            every = {**to_py_obj(batch.data), "labels": rows}
            return {k: _stacked(k, v, kind, "int64") for k, v in every.items()}
        batch.convert_to_tensors(kind)
        batch[name] = _stacked(name, rows, kind, "int64")
        return batch

    def _padded(self, labels: list[int], batch: BatchEncoding) -> list[int]:
        width = len(batch["input_ids"][0])
        fill = [self.label_pad_token_id] * (width - len(labels))
        right = self.tokenizer.padding_side == "right"
        return labels + fill if right else fill + labels


@dataclass
class DataCollatorForLanguageModeling:
    """Pads rows, masks tokens of them, and makes labels of what was there.

    Args:
        tokenizer: whose padding and tokens are used.
        mlm: mask; otherwise labels are the ids themselves.
        whole_word_mask: mask all tokens of a word, or none.
        mlm_probability: of a token, or word, to be masked.
        mask_replace_prob: of a masked token to become [MASK].
        random_replace_prob: of a masked token to become any token.
        pad_to_multiple_of: see `keras_bert.transformers.lengths.Options`.
        tf_experimental_compile: has no effect.
        return_tensors: "pt", "tf" or "np".
        seed: of all draws. None draws one from NumPy's generator, which `set_seed`
            seeds.

    Raises:
        InputError: a probability is none, or the tokenizer has no [MASK].
    """

    tokenizer: PreTrainedTokenizerBase
    mlm: bool = True
    whole_word_mask: bool = False
    mlm_probability: float = 0.15
    mask_replace_prob: float = 0.8
    random_replace_prob: float = 0.1
    pad_to_multiple_of: int | None = None
    tf_experimental_compile: bool = False
    return_tensors: str = "pt"
    seed: int | None = None

    def __post_init__(self) -> None:
        replaced = self.mask_replace_prob, self.random_replace_prob
        if not all(
            0 <= p <= 1 for p in (self.mlm_probability, *replaced, sum(replaced))
        ):
            raise InputError(
                "Expected probabilities from 0 to 1, also the sum of mask_replace_prob "
                f"and random_replace_prob. Received: {self.mlm_probability} and "
                f"{replaced}."
            )
        if self.mlm:
            self.tokenizer.mask_token_id  # noqa: B018  raises if there is none
        elif self.whole_word_mask:
            raise InputError("Expected mlm=True with whole_word_mask. Received: False.")
        self._generator: np.random.Generator | None = None

    @property
    def generator(self) -> np.random.Generator:
        """The generator of all draws."""
        if self._generator is None:
            seed = self.seed
            seed = np.random.randint(2**31) if seed is None else seed
            self._generator = np.random.default_rng(seed)
        return self._generator

    def __call__(
        self, features: Sequence[Any], return_tensors: str | None = None
    ) -> BatchEncoding:
        kind = choose(
            "return_tensors", return_tensors or self.return_tensors, _INTEGERS
        )
        are_rows = isinstance(features[0], Mapping)
        rows = list(features) if are_rows else [{"input_ids": f} for f in features]
        batch = self.tokenizer.pad(
            [{k: to_py_obj(v) for k, v in row.items()} for row in rows],
            pad_to_multiple_of=self.pad_to_multiple_of,
            return_attention_mask=None if are_rows else False,
            return_tensors="np",
        )
        ids = batch["input_ids"]
        special = batch.pop("special_tokens_mask", None)
        if self.mlm:
            special = self._special(ids) if special is None else special.astype(bool)
            batch["input_ids"], batch["labels"] = self._masked(ids, special)
        else:
            padding = ids == self.tokenizer.pad_token_id
            batch["labels"] = np.where(padding, IGNORED, ids)
        wide = ("input_ids", "labels") if self.mlm else ()
        for name, array in batch.items():
            narrow = array.dtype.kind == "i" and name not in wide
            dtype = _INTEGERS[kind] if narrow else array.dtype
            batch[name] = _tensor(array.astype(dtype), kind)
        return batch

    def _special(self, ids: np.ndarray) -> np.ndarray:
        return np.isin(ids, self.tokenizer.all_special_ids)

    def _masked(
        self, ids: np.ndarray, special: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns ids with masks, and labels; both int64 `(rows, seq)`."""
        draw: Callable[..., np.ndarray] = self.generator.random
        chosen = draw(ids.shape) < self.mlm_probability
        if self.whole_word_mask:
            words = self._words(ids)
            chosen = np.take_along_axis(chosen, words, axis=1)
        chosen &= ~special
        labels = np.where(chosen, ids, IGNORED)
        kind = draw(ids.shape)
        masked = chosen & (kind < self.mask_replace_prob)
        replaced = chosen & (kind >= 1 - self.random_replace_prob)
        others = self.generator.integers(len(self.tokenizer), size=ids.shape)
        mask = np.where(masked, self.tokenizer.mask_token_id, ids)
        return np.where(replaced & ~masked, others, mask), labels

    def _words(self, ids: np.ndarray) -> np.ndarray:
        """Returns for each token the index of its word in the row."""
        prefix = self.tokenizer.continuing_subword_prefix
        inside = [token.startswith(prefix) for token in self.tokenizer.tokens]
        return np.cumsum(~np.array(inside)[ids], axis=1) - 1


@dataclass
class DataCollatorForWholeWordMask(DataCollatorForLanguageModeling):
    """`DataCollatorForLanguageModeling` with whole words."""

    whole_word_mask: bool = True
