"""One block of the encoder: attention and feed-forward, each with its residual."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
from keras import ops

from keras_bert.layers.attention import SelfAttention, attend
from keras_bert.layers.base import Layer
from keras_bert.layers.custom_gradient import recompute
from keras_bert.layers.disentangled import DisentangledAttention
from keras_bert.layers.feed_forward import FeedForward, GatedFeedForward
from keras_bert.layers.normalization import LayerNorm

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_bert")
class TransformerBlock(Layer):
    """A post-norm transformer block: `norm(x + dropout(sublayer(x)))`, twice.

    Args:
        config: the hyper-parameters.
        **kwargs: see `Layer`.

    Attributes:
        activation_checkpointing: in training, keep the inputs alone and compute the
            block again for the gradient: less memory, a third more work. Set it before
            training is traced; it is not part of the config.

    Call arguments:
        hidden: `(batch, seq, hidden)`.
        attention_bias: float32 `(batch, 1, seq, seq)`, see `attention_bias`.
        dropout_seed: see `DropoutSeed`.
        positions, attend: see `SelfAttention`.

    Returns:
        The new hidden states `(batch, seq, hidden)`, and the attention probabilities,
        float32 `(batch, heads, seq, seq)`.

    Source: Vaswani et al. 2017 (arXiv:1706.03762) figure 1; `transformer_model` in
    Google's `modeling.py`.
    """

    activation_checkpointing = False

    def build(self, input_shape: Any = None) -> None:
        disentangles = self.config.disentangles
        attention = DisentangledAttention if disentangles else SelfAttention
        self.attention = self.add_layer(attention, "attention")
        rate = self.config.hidden_dropout_prob
        # Residual sums are float32 under every dtype policy.
        dropout = partial(self.add_dropout, rate, dtype="float32")
        self.attention_dropout = dropout("attention_output")
        kind = GatedFeedForward if self.config.gated else FeedForward
        self.feed_forward = self.add_layer(kind, "feed_forward")
        self.feed_forward_dropout = dropout("feed_forward_output")
        self.attention_norm = self.add_layer(LayerNorm, "attention_norm")
        self.feed_forward_norm = self.add_layer(LayerNorm, "feed_forward_norm")

    def call(
        self,
        hidden: Tensor,
        attention_bias: Tensor,
        dropout_seed: Tensor,
        positions: Tensor | None = None,
        attend: Callable = attend,
        training: bool = False,
    ) -> tuple[Tensor, Tensor]:
        forward: Callable = partial(self._forward, attend=attend, training=training)
        if training and self.activation_checkpointing:
            # Right with dropout because the seed comes from outside.
            forward = recompute(forward)
        positions = () if positions is None else (positions,)
        return forward(hidden, attention_bias, dropout_seed, *positions)

    def _forward(
        self,
        hidden: Tensor,
        attention_bias: Tensor,
        dropout_seed: Tensor,
        *positions: Tensor,
        attend: Callable,
        training: bool,
    ) -> tuple[Tensor, Tensor]:
        how = {"attend": attend, "training": training}
        context, probabilities = self.attention(
            hidden, attention_bias, dropout_seed, *positions, **how
        )
        context = self.attention_dropout(context, dropout_seed, training=training)
        hidden = self.attention_norm(context + ops.cast(hidden, "float32"))
        change = self.feed_forward(hidden, dropout_seed, training=training)
        change = self.feed_forward_dropout(change, dropout_seed, training=training)
        hidden = self.feed_forward_norm(change + ops.cast(hidden, "float32"))
        return hidden, probabilities


@keras.saving.register_keras_serializable(package="keras_bert")
class PreNormBlock(TransformerBlock):
    """A pre-norm transformer block: `x + sublayer(norm(x))`, twice.

    Args:
        config: the hyper-parameters.
        normalized: what comes in is normalized, so there is no norm before attention.
        **kwargs: see `Layer`.

    Call arguments:
        As those of `TransformerBlock`.

    Returns:
        The new hidden states, float32 `(batch, seq, hidden)`, and the attention
        probabilities, float32 `(batch, heads, seq, seq)`.

    Source: Xiong et al. 2020 (arXiv:2002.04745) figure 1.
    """

    def __init__(self, config: Any, *, normalized: bool = False, **kwargs: Any):
        super().__init__(config, **kwargs)
        self.normalized = normalized

    def build(self, input_shape: Any = None) -> None:
        self.attention = self.add_layer(SelfAttention, "attention")
        kind = GatedFeedForward if self.config.gated else FeedForward
        self.feed_forward = self.add_layer(kind, "feed_forward")
        rate = self.config.attention_probs_dropout_prob
        self.attention_dropout = self.add_dropout(
            rate, "attention_output", dtype="float32"
        )
        self.attention_norm = None
        if not self.normalized:
            self.attention_norm = self.add_layer(LayerNorm, "attention_norm")
        self.feed_forward_norm = self.add_layer(LayerNorm, "feed_forward_norm")

    def _forward(
        self,
        hidden: Tensor,
        attention_bias: Tensor,
        dropout_seed: Tensor,
        *positions: Tensor,
        attend: Callable,
        training: bool,
    ) -> tuple[Tensor, Tensor]:
        how = {"attend": attend, "training": training}
        normed = self.attention_norm(hidden) if self.attention_norm else hidden
        change, probabilities = self.attention(
            normed, attention_bias, dropout_seed, *positions, **how
        )
        change = self.attention_dropout(change, dropout_seed, training=training)
        hidden = ops.cast(hidden, "float32") + change
        normed = self.feed_forward_norm(hidden)
        change = self.feed_forward(normed, dropout_seed, training=training)
        return hidden + ops.cast(change, "float32"), probabilities

    def get_config(self) -> dict:
        return {**super().get_config(), "normalized": self.normalized}
