"""The layers of the encoders and their heads, on `keras.ops` only."""

from keras_bert.layers.attention import SelfAttention, attention_bias
from keras_bert.layers.dropout import Dropout, DropoutSeed, seed_at
from keras_bert.layers.embeddings import Embeddings
from keras_bert.layers.feed_forward import FeedForward, GatedFeedForward
from keras_bert.layers.heads import (
    MaskedLMTransform,
    OutputBias,
    Pooler,
    gather_positions,
)
from keras_bert.layers.normalization import LayerNorm
from keras_bert.layers.rotary import SinusoidTable, rotation
from keras_bert.layers.transformer_block import PreNormBlock, TransformerBlock

__all__ = [
    "Dropout",
    "DropoutSeed",
    "Embeddings",
    "FeedForward",
    "GatedFeedForward",
    "LayerNorm",
    "MaskedLMTransform",
    "OutputBias",
    "Pooler",
    "PreNormBlock",
    "SelfAttention",
    "SinusoidTable",
    "TransformerBlock",
    "attention_bias",
    "gather_positions",
    "rotation",
    "seed_at",
]
