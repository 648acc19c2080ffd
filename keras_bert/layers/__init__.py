"""The layers a BERT is made of, on `keras.ops` only."""

from keras_bert.layers.attention import AttentionBias, SelfAttention
from keras_bert.layers.dropout import Dropout, DropoutSeed
from keras_bert.layers.embeddings import Embeddings
from keras_bert.layers.feed_forward import FeedForward
from keras_bert.layers.heads import (
    FlattenChoices,
    GatherPositions,
    MaskedLMTransform,
    OutputBias,
    Pooler,
    SplitSpan,
    UnflattenChoices,
)
from keras_bert.layers.normalization import LayerNorm
from keras_bert.layers.transformer_block import TransformerBlock

__all__ = [
    "AttentionBias",
    "Dropout",
    "DropoutSeed",
    "Embeddings",
    "FeedForward",
    "FlattenChoices",
    "GatherPositions",
    "LayerNorm",
    "MaskedLMTransform",
    "OutputBias",
    "Pooler",
    "SelfAttention",
    "SplitSpan",
    "TransformerBlock",
    "UnflattenChoices",
]
