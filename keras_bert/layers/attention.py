"""Multi-head self-attention, and who may attend to whom."""

from typing import Any

import keras
from keras import ops

from keras_bert.layers.dropout import Dropout
from keras_bert.layers.initializers import normal

Tensor = Any

# Finite, so that a row with nothing to attend to gives numbers; and added in
# float32, where exp(-1e9) is exactly zero beside any real score.
HIDDEN = -1e9


@keras.saving.register_keras_serializable(package="keras_bert")
class AttentionBias(keras.layers.Layer):
    """Turns an attention mask into what is added to the scores.

    A mask numbers the pieces packed into a row from 1; 0 is padding. Tokens
    attend to tokens of equal number; a plain 0/1 mask is the case of one piece.
    Padding attends to every real token, as in Google's and Hugging Face's code.

    Args:
        causal: attend to earlier positions only.

    Call arguments:
        attention_mask: integers `(batch, seq)`.

    Returns:
        float32 `(batch, 1, seq, seq)`: 0 where attention may go, -1e9 elsewhere.

    Example:
        >>> tuple(AttentionBias()(np.array([[1, 2, 0]])).shape)
        (1, 1, 3, 3)

    Source: `create_attention_mask_from_input_mask` in Google's `modeling.py`.
    """

    def __init__(self, causal: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.causal = causal

    def build(self, attention_mask_shape=None):
        self.built = True

    def call(self, attention_mask: Tensor) -> Tensor:
        to = attention_mask[:, None, None, :]  # (batch, 1, 1, seq)
        origin = attention_mask[:, None, :, None]  # (batch, 1, seq, 1)
        visible = (to > 0) & ((origin == to) | (origin == 0))
        if self.causal:
            order = ops.cumsum(ops.ones_like(attention_mask), axis=1)
            visible &= order[:, None, None, :] <= order[:, None, :, None]
        return (1.0 - ops.cast(visible, "float32")) * HIDDEN

    def compute_output_spec(self, attention_mask):
        batch, seq = attention_mask.shape
        return keras.KerasTensor((batch, 1, seq, seq), dtype="float32")

    def get_config(self) -> dict:
        return {**super().get_config(), "causal": self.causal}


@keras.saving.register_keras_serializable(package="keras_bert")
class SelfAttention(keras.layers.Layer):
    """Multi-head scaled dot-product self-attention.

    Query, key, value and output are plain `(hidden, hidden)` kernels: the form
    of Google's checkpoints, and as fast as a fused kernel. Softmax is float32
    under every dtype policy.

    Args:
        num_attention_heads: heads; must divide the width of the input.
        attention_dropout: dropout on the probabilities.
        initializer_range: standard deviation of the initializer.
        site: name of this place in the model, for dropout and initial values.
        seed: seed of the initial values; None draws from Keras' global one.

    Call arguments:
        hidden: `(batch, seq, hidden)`.
        attention_bias: float32 `(batch, 1, seq, seq)`, see `AttentionBias`.
        dropout_seed: see `DropoutSeed`.

    Returns:
        The context `(batch, seq, hidden)`, and the probabilities before dropout,
        float32 `(batch, heads, seq, seq)`.

    Source: Vaswani et al. 2017 (arXiv:1706.03762) section 3.2; `attention_layer`
    in Google's `modeling.py`.
    """

    def __init__(
        self,
        num_attention_heads: int,
        attention_dropout: float = 0.0,
        initializer_range: float = 0.02,
        site: str = "attention",
        seed: int | None = None,
        **kwargs,
    ):
        # The bias must stay float32: -1e9 is infinite in float16. The sublayers
        # cast what they are given.
        super().__init__(**{"autocast": False, **kwargs})
        self.num_attention_heads = num_attention_heads
        self.attention_dropout = attention_dropout
        self.initializer_range = initializer_range
        self.site = site
        self.seed = seed

    def build(self, hidden_shape, attention_bias_shape=None, dropout_seed_shape=None):
        width = hidden_shape[-1]
        for name in ("query", "key", "value", "output_dense"):
            place = f"{self.site}/{name}"
            dense = keras.layers.Dense(
                width,
                kernel_initializer=normal(self.initializer_range, self.seed, place),
                dtype=self.dtype_policy,
                name=name,
            )
            dense.build(hidden_shape)
            setattr(self, name, dense)
        self.dropout = Dropout(
            self.attention_dropout, self.site, dtype="float32", name="dropout"
        )
        self.head_dim = width // self.num_attention_heads
        self.built = True

    def call(
        self,
        hidden: Tensor,
        attention_bias: Tensor,
        dropout_seed: Tensor,
        training: bool = False,
    ) -> tuple[Tensor, Tensor]:
        # Scaling the query is cheaper than scaling the scores, and keeps them
        # inside float16's range.
        query = self._heads(self.query(hidden) * self.head_dim**-0.5)
        key = self._heads(self.key(hidden), (0, 2, 3, 1))
        value = self._heads(self.value(hidden))
        scores = ops.cast(ops.matmul(query, key), "float32")  # batch heads seq seq
        probabilities = ops.softmax(scores + attention_bias, axis=-1)
        dropped = self.dropout(probabilities, dropout_seed, training=training)
        dropped = ops.cast(dropped, self.compute_dtype)
        context = ops.transpose(ops.matmul(dropped, value), (0, 2, 1, 3))
        context = ops.reshape(context, ops.shape(hidden))  # batch seq (heads head_dim)
        return self.output_dense(context), probabilities

    def _heads(self, x: Tensor, order: tuple[int, ...] = (0, 2, 1, 3)) -> Tensor:
        batch, seq = ops.shape(x)[:2]
        x = ops.reshape(x, (batch, seq, self.num_attention_heads, self.head_dim))
        return ops.transpose(x, order)  # batch heads seq head_dim, or as asked

    def compute_output_spec(self, hidden, attention_bias, dropout_seed, training=False):
        batch, seq, _ = hidden.shape
        scores = (batch, self.num_attention_heads, seq, seq)
        return (
            keras.KerasTensor(hidden.shape, dtype=self.compute_dtype),
            keras.KerasTensor(scores, dtype="float32"),
        )

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "num_attention_heads": self.num_attention_heads,
            "attention_dropout": self.attention_dropout,
            "initializer_range": self.initializer_range,
            "site": self.site,
            "seed": self.seed,
        }
