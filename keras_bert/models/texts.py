"""Texts as inputs of a model with a tokenizer: told from ids, and tokenized."""

import logging
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import keras
import numpy as np

from keras_bert.errors import ConfigError, InputError, choose
from keras_bert.models import labels
from keras_bert.models.base import BaseModel
from keras_bert.models.inputs import NO_TOKENIZER, visible, where
from keras_bert.tokenization import BertTokenizer

log = logging.getLogger(__name__)
NAMES = ("text", "text_pair")


class TakesTexts(BaseModel):
    """A model that takes texts where a tokenizer is attached to it.

    Texts are tokenized to rows of at most `config.max_length` tokens, and at most the
    tokenizer's `model_max_length`, padded to the longest of the call. Texts that are
    longer are cut off, of a pair the longer one first, and a warning says how many.
    """

    _tokenizer: BertTokenizer | None = None
    tokenizer_attached = False  # by the user, and not only found next to a checkpoint
    # Of the checkpoint of an encoder: `keras_bert.checkpoints.sentence_modules`.
    sentence_modules: Any = None
    # Reads the tokenizer of a checkpoint, once it is needed.
    find_tokenizer: Callable[[], BertTokenizer | None] | None = None

    @property
    def tokenizer(self) -> BertTokenizer | None:
        """The tokenizer of texts given to the model; None if it takes ids alone.

        After `from_pretrained` it is that of the checkpoint. `model.save` keeps it;
        `save_pretrained` writes one that was set.

        Raises:
            ConfigError: on setting it, for one that makes ids the model does not have.
        """
        if self._tokenizer is None and self.find_tokenizer is not None:
            find, self.find_tokenizer = self.find_tokenizer, None
            found = find()
            fits = found is not None and len(found) <= self.config.vocab_size
            self._tokenizer = found if fits else None
        return self._tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer: BertTokenizer | None) -> None:
        if tokenizer is not None and not isinstance(tokenizer, BertTokenizer):
            raise ConfigError(
                "Expected a keras_bert.BertTokenizer, or None. Received: "
                f"{type(tokenizer).__name__}. BertTokenizer.from_pretrained(directory) "
                "reads what transformers saved."
            )
        size = self.config.vocab_size
        if tokenizer is not None and len(tokenizer) > size:
            raise ConfigError(
                f"Expected a tokenizer of at most {size} tokens, the model's "
                f"vocab_size. Received: {len(tokenizer)}. Take the tokenizer the "
                "model was trained with, or model.resize_token_embeddings()."
            )
        self._tokenizer, self.find_tokenizer = tokenizer, None
        self.tokenizer_attached = tokenizer is not None

    def check(self, inputs: Any) -> dict[str, Any]:
        return super().check(self.tokenized(inputs))

    def tokenized(self, inputs: Any) -> Any:
        """Returns the inputs made of texts; other inputs as they are.

        Args:
            inputs: texts as a list, an array or a tensor of strings; pairs of texts as
                a list of tuples, as a tuple of two columns, or as a dict of `text` and
                `text_pair`. For a model with choices, a list of them for every row.

        Raises:
            InputError: they have another form, or an item is no text.
        """
        if not are_texts(inputs):
            return inputs
        if self.tokenizer is None:
            if isinstance(inputs, Mapping):
                raise InputError(f"Expected input_ids. Received: text. {NO_TOKENIZER}")
            return inputs  # whose first item the checks name
        leaf = _first(inputs)
        if isinstance(leaf, keras.KerasTensor):
            raise InputError(
                "Expected token ids in a functional model. Received: a KerasTensor of "
                "strings. Put BertTokenizerLayer.from_tokenizer(model.tokenizer) "
                "before the model."
            )
        return self._on_host(inputs) if _is_eager(leaf) else self._in_graph(inputs)

    def tokenized_dataset(self, dataset: Any) -> Any:
        """Returns a `tf.data.Dataset` whose batches of texts are tokenized.

        Args:
            dataset: of inputs, labels and weights, as for `fit`; one whose inputs are
                no texts is returned as it is.
        """
        spec = getattr(dataset, "element_spec", None)
        texts, *_ = keras.utils.unpack_x_y_sample_weight(spec)
        if not hasattr(dataset, "map") or not are_texts(texts):
            return dataset

        import tensorflow as tf

        @tf.autograph.experimental.do_not_convert
        def tokenize(*batch: Any) -> Any:
            data = batch[0] if len(batch) == 1 else batch
            x, y, weights = labels.split(data, self.objectives(self.config))
            x = self.tokenized(x)
            return keras.utils.pack_x_y_sample_weight(x, y, weights)

        return dataset.map(tokenize)

    def _on_host(self, inputs: Any) -> dict[str, np.ndarray]:
        first, second = columns(inputs, 1 + self.choices)
        limit = self._text_limit
        pairs = None if second is None else second.ravel().tolist()
        tokenizer: Any = self.tokenizer
        encode = tokenizer.encode_batch
        batch = encode(first.ravel().tolist(), text_pairs=pairs, max_length=limit)
        full = int((batch["attention_mask"].sum(-1) == limit).sum())
        if full:
            log.warning(
                "%d of %d rows have the most tokens, %d: what was longer is cut off.",
                full,
                first.size,
                limit,
            )
        return {k: v.reshape((*first.shape, v.shape[-1])) for k, v in batch.items()}

    def _in_graph(self, inputs: Any) -> dict[str, Any]:
        """Tokenizes tensors of strings `(batch,)` while a graph is traced."""
        texts = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        if isinstance(inputs, Mapping):
            texts = [x for x in _of_names(inputs) if x is not None]
        shapes = [tuple(x.shape) for x in texts]
        if self.choices or not all(len(x) in (1, 2) for x in shapes):
            raise InputError(
                "Expected batches of texts, tensors of shape (batch,). Received: "
                f"{shapes}. Batch the dataset, or give lists of texts."
            )
        tokenizer: Any = self.tokenizer
        made_from = tokenizer, repr(tokenizer.settings()), self._text_limit
        return _tokenizer_layer(*made_from)(texts if len(texts) == 2 else texts[0])

    def modules_to_save(self) -> Any:
        """Returns the modules of sentence-transformers that belong to the model."""
        return self.sentence_modules

    @property
    def _text_limit(self) -> int:
        tokenizer: Any = self.tokenizer
        return min(self.max_text_length(tokenizer), tokenizer.model_max_length)

    def max_text_length(self, tokenizer: Any) -> int:
        """Returns the most tokens of a text: the positions, or what was trained with.

        Args:
            tokenizer: of the texts. The model of a sentence-transformers folder takes
                as many tokens as the folder says, or else its tokenizer.
        """
        limit = self.config.max_length
        if self.sentence_modules is None:
            return limit
        own = self.sentence_modules.max_seq_length
        return min(limit, own or tokenizer.model_max_length)

    def get_config(self) -> dict:
        found = self.tokenizer
        stored = {} if found is None else {"tokenizer": to_config(found)}
        return {**super().get_config(), **stored}


@lru_cache(maxsize=4)  # making one takes a second
def _tokenizer_layer(tokenizer: BertTokenizer, settings: str, limit: int) -> Any:
    import tensorflow as tf

    from keras_bert.tokenization import BertTokenizerLayer

    with tf.init_scope():  # the vocabulary must not belong to one graph alone
        return BertTokenizerLayer.from_tokenizer(tokenizer, limit)


def to_config(tokenizer: BertTokenizer) -> dict[str, Any]:
    """Returns a tokenizer as JSON, its vocabulary included."""
    return {"vocab_file": tokenizer.base_tokens, **tokenizer.settings()}


# === Forms of texts ===


def are_texts(inputs: Any) -> bool:
    """Whether inputs are texts, not ids; the first item tells.

    Example:
        >>> [are_texts(x) for x in (["a film"], {"text": "a film"}, [[1, 2]])]
        [True, True, False]
    """
    leaf = _first(inputs)
    if isinstance(leaf, str | bytes):
        return True
    dtype = getattr(leaf, "dtype", None)
    if getattr(dtype, "kind", None) == "O":  # of NumPy or pandas
        return isinstance(next(iter(np.asarray(leaf).flat), None), str | bytes)
    return getattr(dtype, "kind", None) in ("U", "S", "T") or "string" in str(dtype)


def _first(inputs: Any) -> Any:
    if isinstance(inputs, Mapping):
        return _first(inputs.get(NAMES[0]))
    while isinstance(inputs, list | tuple) and len(inputs):
        inputs = inputs[0]
    return inputs


def _is_eager(leaf: Any) -> bool:
    return visible(leaf) is not None


def columns(inputs: Any, rank: int = 1) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns first texts, and second ones if there are any, as arrays of strings.

    Args:
        inputs: see `TakesTexts.tokenized`.
        rank: axes of an array of texts: `(batch,)` or `(batch, choices)`.

    Raises:
        InputError: naming what cannot be told, or the item that is no text.

    Example:
        >>> columns([("a", "b"), ("c", "d")])
        (array(['a', 'c'], dtype=object), array(['b', 'd'], dtype=object))
    """
    if isinstance(inputs, Mapping):
        first, second = _of_names(inputs)
    elif _are_columns(inputs):
        first, second = inputs
    else:
        first, second = _of_rows(inputs, rank)
    first = _array(first, rank)
    return first, None if second is None else _array(second, rank, first.shape)


def _of_names(inputs: Mapping[str, Any]) -> list[Any]:
    for name in inputs:
        choose("input of texts", name, NAMES)
    return [inputs.get(name) for name in NAMES]


def _are_columns(inputs: Any) -> bool:
    """Whether two batches are given side by side, as KerasHub takes them."""
    if not isinstance(inputs, list | tuple) or len(inputs) != 2:
        return False
    kinds = list if isinstance(inputs, tuple) else ()
    return all(isinstance(x, kinds) or hasattr(x, "dtype") for x in inputs)


def _of_rows(inputs: Any, rank: int) -> tuple[Any, Any]:
    """Returns the columns of an array or a list of rows, which may be pairs."""
    pair = isinstance(inputs, tuple) and len(inputs) == 2
    listed = isinstance(inputs, list) and rank == 1
    if pair or (listed and any(isinstance(row, list) for row in inputs)):
        raise InputError(
            "Expected texts as a list of strings, or pairs as a list of tuples, or as "
            "{'text': …, 'text_pair': …}. Received: "
            f"{str(inputs)[:60]}, which may be texts or pairs."
        )
    array = _objects(inputs)
    if array.ndim == rank + 1 and array.shape[-1] == 2:
        return array[..., 0], array[..., 1]
    return array, None


def _array(texts: Any, rank: int, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Returns an array of strings of so many axes, and of this shape."""
    array = _objects(texts)
    if array.ndim == rank + 1 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != rank or shape not in (None, array.shape):
        axes = {1: "(batch,)", 2: "(batch, choices)"}[rank]
        raise InputError(
            f"Expected texts of shape {shape or axes}. Received: {array.shape}. Give "
            "one text, or one pair, for each row."
        )
    for place, item in np.ndenumerate(array):
        if isinstance(item, bytes):
            array[place] = item.decode()
        elif not isinstance(item, str):
            raise InputError(f"Expected a text. Received: {item!r} {where(place)}.")
    return array


def _objects(texts: Any) -> np.ndarray:
    values = [texts] if isinstance(texts, str | bytes) else texts
    values = values if isinstance(values, list | tuple) else np.asarray(values)
    return np.array(values, dtype=object)
