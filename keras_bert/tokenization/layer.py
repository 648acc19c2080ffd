"""The in-graph tokenizer as a Keras layer: strings in, model inputs out."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_bert.errors import InputError
from keras_bert.tokenization.in_graph import InGraphTokenizer
from keras_bert.tokenization.rules import WordRules
from keras_bert.tokenization.tokenizer import BertTokenizer

_OUTPUTS = ("input_ids", "attention_mask", "token_type_ids")


@keras.saving.register_keras_serializable(package="keras_bert")
class BertTokenizerLayer(keras.layers.Layer):
    """Encodes strings, or pairs of strings, into model inputs.

    The vocabulary is part of the layer's config, so a `.keras` file with this layer
    needs no other file. On TensorFlow the layer may be part of a model; on any backend
    it can be mapped over a `tf.data.Dataset`.

    Args:
        vocabulary: the tokens in the order of their ids, or the path of a `vocab.txt`.
        do_lower_case: lower-case the text and strip accents.
        max_length: the most tokens per row, special tokens included.
        padding: True pads to the longest row of a batch, "max_length" to `max_length`.
        strip_accents: None follows `do_lower_case`.
        tokenize_chinese_chars: make every CJK ideograph a separate word.
        special_tokens: other spellings, and any other arguments of `BertTokenizer`.
        **kwargs: `name` and others of `keras.layers.Layer`.

    Example:
        >>> vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "run", "##ning"]
        >>> layer = BertTokenizerLayer(vocab)
        >>> layer(tf.constant(["Running", "run"]))["input_ids"].numpy().tolist()
        [[2, 5, 6, 3], [2, 5, 3, 0]]
    """

    def __init__(
        self,
        vocabulary: Sequence[str] | str,
        do_lower_case: bool = True,
        max_length: int = 128,
        padding: bool | str = True,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
        special_tokens: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if padding not in (True, "max_length"):
            raise InputError(
                f"Expected padding=True or 'max_length'. Received: {padding!r}."
            )
        rules = WordRules(do_lower_case, strip_accents, tokenize_chinese_chars)
        options: dict[str, Any] = {**rules._asdict(), **(special_tokens or {})}
        host = BertTokenizer(vocabulary, **options)
        self.max_length = max_length
        self.padding = padding
        self.tokenizer = host
        self._in_graph = InGraphTokenizer.from_tokenizer(host, max_length)
        self.supports_jit = False
        # Most backends have no tensors of strings.
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True

    @classmethod
    def from_tokenizer(
        cls, tokenizer: BertTokenizer, max_length: int | None = None, **kwargs: Any
    ) -> "BertTokenizerLayer":
        """Returns the layer form of a host tokenizer.

        Args:
            tokenizer: the host tokenizer.
            max_length: None takes the tokenizer's `model_max_length`.
            **kwargs: further arguments of the constructor.
        """
        max_length = tokenizer.model_max_length if max_length is None else max_length
        options = _options(tokenizer) | {"max_length": max_length}
        return cls(tokenizer.base_tokens, **options, **kwargs)

    def call(self, inputs: Any) -> dict[str, tf.Tensor]:
        """Encodes a batch.

        Args:
            inputs: strings `(batch,)` or `(batch, 1)`; for pairs a list of two.

        Returns:
            `input_ids`, `attention_mask` and `token_type_ids`, int32 `(batch, seq)`.
        """
        texts = inputs if _is_pair(inputs) else [inputs]
        return self._in_graph.encode(*map(_vector, texts), padding=self.padding)

    def compute_output_spec(self, inputs: Any) -> dict[str, keras.KerasTensor]:
        """Returns the shapes and dtypes of the outputs."""
        first = inputs[0] if _is_pair(inputs) else inputs
        width = None if self.padding is True else self.max_length
        shape = first.shape[0], width
        return {name: keras.KerasTensor(shape, "int32") for name in _OUTPUTS}

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, the vocabulary included."""
        return {
            **super().get_config(),
            "vocabulary": self.tokenizer.base_tokens,
            "max_length": self.max_length,
            "padding": self.padding,
            **_options(self.tokenizer),
        }


def _options(host: BertTokenizer) -> dict[str, Any]:
    """Returns a tokenizer's settings as arguments of the layer."""
    settings = host.settings()
    named = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
    return {
        **{name: settings.pop(name) for name in named},
        "special_tokens": settings,
    }


def _is_pair(inputs: Any) -> bool:
    """Whether there are two batches of texts; a list of strings is one batch."""
    several = isinstance(inputs, list | tuple)
    return several and not any(isinstance(text, str | bytes) for text in inputs)


def _vector(texts: Any) -> tf.Tensor:
    return tf.reshape(tf.convert_to_tensor(texts, tf.string), [-1])
