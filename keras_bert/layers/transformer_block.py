"""One block of the encoder: attention and feed-forward, each with its residual."""

from functools import partial
from typing import Any

import keras
from keras import ops

from keras_bert.layers.attention import SelfAttention
from keras_bert.layers.dropout import Dropout
from keras_bert.layers.feed_forward import FeedForward
from keras_bert.layers.normalization import LayerNorm

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_bert")
class TransformerBlock(keras.layers.Layer):
    """A post-norm transformer block: `norm(x + dropout(sublayer(x)))`, twice.

    Args:
        num_attention_heads: heads; must divide the width of the input.
        intermediate_size: width of the feed-forward layer.
        hidden_act: activation, by its name in the config.
        hidden_dropout: dropout before each residual sum.
        attention_dropout: dropout on attention probabilities.
        layer_norm_eps: added to the variance.
        initializer_range: standard deviation of the initializer.
        seed: seed of the initial values; None draws from Keras' global one.

    Attributes:
        activation_checkpointing: in training, keep the inputs alone and compute the
            block again for the gradient: less memory, a third more work. Set it
            before training is traced; it is no part of the config.

    Call arguments:
        hidden: `(batch, seq, hidden)`.
        attention_bias: float32 `(batch, 1, seq, seq)`, see `AttentionBias`.
        dropout_seed: see `DropoutSeed`.

    Returns:
        The new hidden states `(batch, seq, hidden)`, and the attention
        probabilities, float32 `(batch, heads, seq, seq)`.

    Example:
        >>> block = TransformerBlock(num_attention_heads=2, intermediate_size=8)
        >>> hidden, bias = np.ones((1, 3, 4)), np.zeros((1, 1, 3, 3), "float32")
        >>> new, probabilities = block(hidden, bias, np.array([0, 0]))
        >>> tuple(new.shape), tuple(probabilities.shape)
        ((1, 3, 4), (1, 2, 3, 3))

    Source: Vaswani et al. 2017 (arXiv:1706.03762) figure 1; `transformer_model` in
    Google's `modeling.py`.
    """

    def __init__(
        self,
        num_attention_heads: int,
        intermediate_size: int,
        hidden_act: str = "gelu",
        hidden_dropout: float = 0.0,
        attention_dropout: float = 0.0,
        layer_norm_eps: float = 1e-12,
        initializer_range: float = 0.02,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**{"autocast": False, **kwargs})  # see SelfAttention
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.hidden_act = hidden_act
        self.hidden_dropout = hidden_dropout
        self.attention_dropout = attention_dropout
        self.layer_norm_eps = layer_norm_eps
        self.initializer_range = initializer_range
        self.seed = seed
        self.activation_checkpointing = False

    def build(self, hidden_shape, attention_bias_shape=None, dropout_seed_shape=None):
        common = dict(
            initializer_range=self.initializer_range,
            seed=self.seed,
            dtype=self.dtype_policy,
        )
        self.attention = SelfAttention(
            self.num_attention_heads,
            self.attention_dropout,
            site=f"{self.name}/attention",
            name="attention",
            **common,
        )
        self.feed_forward = FeedForward(
            self.intermediate_size,
            self.hidden_act,
            site=f"{self.name}/feed_forward",
            name="feed_forward",
            **common,
        )
        self.attention_norm = self._norm("attention_norm")
        self.feed_forward_norm = self._norm("feed_forward_norm")
        self.attention_output_dropout = self._dropout("attention_output")
        self.feed_forward_dropout = self._dropout("feed_forward_output")
        self.attention.build(hidden_shape)
        self.feed_forward.build(hidden_shape)
        self.attention_norm.build(hidden_shape)
        self.feed_forward_norm.build(hidden_shape)
        self.built = True

    def _norm(self, name: str) -> LayerNorm:
        return LayerNorm(
            epsilon=self.layer_norm_eps, dtype=self.dtype_policy, name=name
        )

    def _dropout(self, place: str) -> Dropout:
        site = f"{self.name}/{place}"
        # Residual sums are float32 under every dtype policy.
        return Dropout(
            self.hidden_dropout, site, dtype="float32", name=f"{place}_dropout"
        )

    def call(
        self,
        hidden: Tensor,
        attention_bias: Tensor,
        dropout_seed: Tensor,
        training: bool = False,
    ) -> tuple[Tensor, Tensor]:
        forward = partial(self._forward, training=training)
        if training and self.activation_checkpointing:
            # Right with dropout because the seed comes from outside.
            forward = keras.remat(forward)
        return forward(hidden, attention_bias, dropout_seed)

    def _forward(
        self,
        hidden: Tensor,
        attention_bias: Tensor,
        dropout_seed: Tensor,
        training: bool,
    ) -> tuple[Tensor, Tensor]:
        context, probabilities = self.attention(
            hidden, attention_bias, dropout_seed, training=training
        )
        context = self.attention_output_dropout(
            context, dropout_seed, training=training
        )
        hidden = self.attention_norm(ops.cast(hidden, "float32") + context)
        change = self.feed_forward_dropout(
            self.feed_forward(hidden), dropout_seed, training=training
        )
        hidden = self.feed_forward_norm(ops.cast(hidden, "float32") + change)
        return hidden, probabilities

    def compute_output_spec(self, hidden, attention_bias, dropout_seed, training=False):
        return self.attention.compute_output_spec(
            hidden, attention_bias, dropout_seed, training
        )

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "num_attention_heads": self.num_attention_heads,
            "intermediate_size": self.intermediate_size,
            "hidden_act": self.hidden_act,
            "hidden_dropout": self.hidden_dropout,
            "attention_dropout": self.attention_dropout,
            "layer_norm_eps": self.layer_norm_eps,
            "initializer_range": self.initializer_range,
            "seed": self.seed,
        }
