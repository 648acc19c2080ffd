"""The sum of word, position and token-type embeddings."""

from typing import Any

import keras
from keras import ops

from keras_bert.layers.dropout import Dropout
from keras_bert.layers.fused import project
from keras_bert.layers.initializers import normal
from keras_bert.layers.normalization import LayerNorm

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_bert")
class WordEmbeddings(keras.layers.ReversibleEmbedding):
    """Keras' layer, whose way back has a cheaper gradient, see `fused.project`."""

    def call(self, inputs: Tensor, reverse: bool = False) -> Tensor:
        if not reverse:
            return super().call(inputs)
        hidden = ops.cast(inputs, self.compute_dtype)
        table = ops.cast(self.embeddings, self.compute_dtype)
        rows = ops.reshape(hidden, (-1, self.output_dim))
        logits = project(rows, table)  # (batch positions) vocab
        return ops.reshape(logits, (*ops.shape(inputs)[:-1], self.input_dim))


@keras.saving.register_keras_serializable(package="keras_bert")
class Embeddings(keras.layers.Layer):
    """Embeds tokens: word + position + token type, then LayerNorm, then dropout.

    `word_embeddings` is reversible: the masked-LM head projects with it.

    Args:
        vocab_size: rows of the word table.
        hidden_size: width.
        max_position_embeddings: rows of the position table.
        type_vocab_size: rows of the token-type table.
        hidden_dropout: dropout after LayerNorm.
        layer_norm_eps: added to the variance.
        initializer_range: standard deviation of the initializer.
        seed: seed of the initial values; None draws from Keras' global one.

    Call arguments:
        input_ids: integers `(batch, seq)`.
        token_type_ids: integers `(batch, seq)`.
        position_ids: integers `(batch, seq)`.
        dropout_seed: see `DropoutSeed`.

    Returns:
        `(batch, seq, hidden)`.

    Source: Devlin et al. 2018 (arXiv:1810.04805) figure 2;
    `embedding_postprocessor` in Google's `modeling.py`.
    """

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int,
        max_position_embeddings: int = 512,
        type_vocab_size: int = 2,
        hidden_dropout: float = 0.0,
        layer_norm_eps: float = 1e-12,
        initializer_range: float = 0.02,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.max_position_embeddings = max_position_embeddings
        self.type_vocab_size = type_vocab_size
        self.hidden_dropout = hidden_dropout
        self.layer_norm_eps = layer_norm_eps
        self.initializer_range = initializer_range
        self.seed = seed
        self.word_embeddings = self._table(
            WordEmbeddings, vocab_size, "word_embeddings"
        )
        self.position_embeddings = self._table(
            keras.layers.Embedding, max_position_embeddings, "position_embeddings"
        )
        self.token_type_embeddings = self._table(
            keras.layers.Embedding, type_vocab_size, "token_type_embeddings"
        )
        self.layer_norm = LayerNorm(
            epsilon=layer_norm_eps, dtype=self.dtype_policy, name="layer_norm"
        )
        self.dropout = Dropout(
            hidden_dropout, self.name, dtype=self.dtype_policy, name="dropout"
        )

    def _table(self, kind: type, rows: int, name: str) -> keras.layers.Embedding:
        return kind(
            rows,
            self.hidden_size,
            embeddings_initializer=normal(
                self.initializer_range, self.seed, f"{self.name}/{name}"
            ),
            dtype=self.dtype_policy,
            name=name,
        )

    def build(
        self,
        input_ids_shape,
        token_type_ids_shape=None,
        position_ids_shape=None,
        dropout_seed_shape=None,
    ):
        for table in (
            self.word_embeddings,
            self.position_embeddings,
            self.token_type_embeddings,
        ):
            table.build(input_ids_shape)
        self.layer_norm.build((*input_ids_shape, self.hidden_size))
        self.built = True

    def call(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor,
        position_ids: Tensor,
        dropout_seed: Tensor,
        training: bool = False,
    ) -> Tensor:
        hidden = (
            self.word_embeddings(input_ids)  # (batch, seq, hidden)
            + self.token_type_embeddings(token_type_ids)
            + self.position_embeddings(position_ids)
        )
        return self.dropout(self.layer_norm(hidden), dropout_seed, training=training)

    def compute_output_spec(self, input_ids, *_, training=False):
        shape = (*input_ids.shape, self.hidden_size)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "max_position_embeddings": self.max_position_embeddings,
            "type_vocab_size": self.type_vocab_size,
            "hidden_dropout": self.hidden_dropout,
            "layer_norm_eps": self.layer_norm_eps,
            "initializer_range": self.initializer_range,
            "seed": self.seed,
        }
