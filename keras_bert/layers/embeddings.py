"""The sum of word, position and token-type embeddings."""

from typing import Any

import keras
from keras import ops

from keras_bert.layers.base import Layer
from keras_bert.layers.fused import project
from keras_bert.layers.lookup import Table, rows_of, sum_of_rows
from keras_bert.layers.normalization import LayerNorm

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_bert")
class WordEmbeddings(keras.layers.ReversibleEmbedding):
    """Keras' layer, with the gradients of `rows_of` and of `fused.project`."""

    def call(self, inputs: Tensor, reverse: bool = False) -> Tensor:
        if not reverse:
            return ops.cast(rows_of(self.embeddings, inputs), self.compute_dtype)
        hidden = ops.cast(inputs, self.compute_dtype)
        table = ops.cast(self.embeddings, self.compute_dtype)
        rows = ops.reshape(hidden, (-1, self.output_dim))
        logits = project(rows, table)  # (batch positions) vocab
        return ops.reshape(logits, (*ops.shape(inputs)[:-1], self.input_dim))


@keras.saving.register_keras_serializable(package="keras_bert")
class Embeddings(Layer):
    """Embeds tokens: word + position + token type, then LayerNorm, then dropout.

    `word_embeddings` is reversible: the masked-LM head projects with it. A config
    without token types (`type_vocab_size=0`) has no table for them, and one whose
    positions are not embedded (`embeds_positions`) none for these.

    Args:
        config: gives the sizes, `hidden_dropout_prob` and `layer_norm_eps`.
        **kwargs: see `Layer`.

    Call arguments:
        input_ids: integers `(batch, seq)`.
        token_type_ids: integers `(batch, seq)`.
        position_ids: integers `(batch, seq)`.
        dropout_seed: see `DropoutSeed`.

    Returns:
        `(batch, seq, embedding)`; NaN for a token with a number out of range.

    Source: Devlin et al. 2018 (arXiv:1810.04805) figure 2; `embedding_postprocessor`
    in Google's `modeling.py`.
    """

    def build(self, input_shape: Any = None) -> None:
        config = self.config
        self.word_embeddings = self.add_table(
            WordEmbeddings, "word_embeddings", config.vocab_size
        )
        positions, types = config.max_position_embeddings, config.type_vocab_size
        self.position_embeddings = (
            self.add_table(Table, "position_embeddings", positions)
            if config.embeds_positions
            else None
        )
        self.token_type_embeddings = (
            self.add_table(Table, "token_type_embeddings", types) if types else None
        )
        self.layer_norm = self.add_layer(
            LayerNorm, "layer_norm", width="embedding_width"
        )
        self.dropout = self.add_dropout(config.hidden_dropout_prob, "dropout")

    @property
    def _added_positions(self) -> Any:
        # Models with relative positions have a table that they do not use.
        return None if self.config.relative_positions else self.position_embeddings

    def call(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor,
        position_ids: Tensor,
        dropout_seed: Tensor,
        training: bool = False,
    ) -> Tensor:
        hidden = sum_of_rows(  # (batch, seq, embedding)
            (self.word_embeddings, input_ids),
            (self.token_type_embeddings, token_type_ids),
            (self._added_positions, position_ids),
        )
        return self.dropout(self.layer_norm(hidden), dropout_seed, training=training)
