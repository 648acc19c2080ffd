"""Multi-head self-attention, and which tokens attend to which."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
from keras import ops

from keras_bert.features import LOWEST, MASK_VALUE
from keras_bert.layers.base import Layer
from keras_bert.layers.relative_positions import RelativePositions
from keras_bert.layers.rotary import rotate

Tensor = Any


def attention_bias(
    attention_mask: Tensor,
    causal: bool = False,
    window: int | None = None,
    padding: bool = True,
) -> Tensor:
    """Turns an attention mask into what is added to the scores.

    A mask numbers the pieces packed into a row from 1; 0 is padding. Tokens attend to
    tokens of equal number; a plain 0/1 mask is the case of one piece. Padding attends
    to every real token, as in Google's and Hugging Face's code.

    Args:
        attention_mask: integers `(batch, seq)`.
        causal: attend to earlier positions only.
        window: attend to so many positions to either side, and no further.
        padding: it attends to real tokens; otherwise to nothing, so that its
            probabilities are all equal.

    Returns:
        float32 `(batch, 1, seq, seq)`: 0 where attention may go, -1e9 elsewhere, or
        with `padding=False` -1e38.

    Example:
        >>> attention_bias(np.array([[1, 0]]))[0, 0, 0].numpy().tolist()
        [-0.0, -1000000000.0]

    Source: `create_attention_mask_from_input_mask` in Google's `modeling.py`.
    """
    to = attention_mask[:, None, None, :]  # (batch, 1, 1, seq)
    origin = attention_mask[:, None, :, None]  # (batch, 1, seq, 1)
    within = (origin == to) | (origin == 0) if padding else origin == to
    visible = (to > 0) & within
    if causal or window is not None:
        order = ops.cumsum(ops.ones_like(attention_mask), axis=1)
        ahead = order[:, None, None, :] - order[:, None, :, None]
        if causal:
            visible &= ahead <= 0
        if window is not None:
            visible &= ops.abs(ahead) <= window
    hidden = MASK_VALUE if padding else LOWEST
    return (1.0 - ops.cast(visible, "float32")) * hidden


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor,
    num_heads: int,
    drop: Callable[[Tensor], Tensor],
    relative: Callable | None = None,
) -> tuple[Tensor, Tensor]:
    """Scaled dot-product attention within the rows of a padded batch.

    Args:
        query, key, value: `(batch, seq, hidden)`.
        bias: added to the scores, float32 `(batch, 1, seq, seq)`.
        num_heads: heads; divides hidden.
        drop: applied to the probabilities.
        relative: computes what distances add to the scores, see `RelativePositions`.

    Returns:
        The context `(batch, seq, hidden)`, and the probabilities before dropout,
        float32 `(batch, heads, seq, seq)`.

    Source: Vaswani et al. 2017 (arXiv:1706.03762), equation 1.
    """
    shape, head_dim = ops.shape(query), query.shape[-1] // num_heads

    def heads(x: Tensor, order: tuple[int, ...]) -> Tensor:
        x = ops.reshape(x, (*shape[:2], num_heads, head_dim))
        return ops.transpose(x, order)

    # Scaling the query is cheaper than scaling the scores, and keeps them inside
    # float16's range.
    query = heads(query * head_dim**-0.5, (0, 2, 1, 3))  # batch heads seq head_dim
    if relative is not None:
        columns = ops.arange(shape[1], dtype="int32")[None]
        bias = bias + relative(query, heads(key, (0, 2, 1, 3)), columns, span=shape[1])
    key, value = heads(key, (0, 2, 3, 1)), heads(value, (0, 2, 1, 3))
    scores = ops.cast(ops.matmul(query, key), "float32")  # batch heads seq seq
    probabilities = ops.softmax(scores + bias, axis=-1)
    dropped = ops.cast(drop(probabilities), value.dtype)
    context = ops.transpose(ops.matmul(dropped, value), (0, 2, 1, 3))
    return ops.reshape(context, shape), probabilities  # batch seq (heads head_dim)


@keras.saving.register_keras_serializable(package="keras_bert")
class SelfAttention(Layer):
    """Multi-head scaled dot-product self-attention.

    Query, key, value and output are plain `(hidden, hidden)` kernels: the form of
    Google's checkpoints, and as fast as a fused kernel. Those of a config that fuses
    them are one, `(hidden, 3 hidden)`, as in its checkpoints. Softmax is float32 under
    every dtype policy.

    Args:
        config: gives `hidden_size`, `num_attention_heads` and
            `attention_probs_dropout_prob`.
        **kwargs: see `Layer`.

    Call arguments:
        hidden: `(batch, seq, hidden)`.
        attention_bias: float32 `(batch, 1, seq, seq)`, see `attention_bias`.
        dropout_seed: see `DropoutSeed`.
        positions: what attention takes of positions: the rotation of rotary ones, see
            `keras_bert.layers.rotary.rotate`, or vectors of distances.
        attend: computes the context of tokens that are not in padded rows.

    Returns:
        What `attend` returns, the context projected.

    Source: Vaswani et al. 2017 (arXiv:1706.03762) section 3.2; `attention_layer` in
    Google's `modeling.py`.
    """

    def build(self, input_shape: Any = None) -> None:
        width, bias = self.config.hidden_size, self.config.has_bias("attention")
        dense = partial(self.add_dense, inputs=width, use_bias=bias)
        if "attention" in self.config.fused:
            biased = bias and not self.config.splits_biases
            self.qkv = dense(3 * width, "qkv", use_bias=biased)
        else:
            self.query = dense(width, "query")
            self.key = dense(width, "key")
            self.value = dense(width, "value")
        self.output_dense = dense(width, "output_dense")
        rate = self.config.attention_probs_dropout_prob
        self.dropout = self.add_dropout(rate, "dropout", dtype="float32")
        self.relative = None
        if self.config.relative_positions:
            self.relative = self.add_layer(RelativePositions, "relative")

    def call(
        self,
        hidden: Tensor,
        attention_bias: Tensor,
        dropout_seed: Tensor,
        positions: Tensor | None = None,
        attend: Callable = attend,
        training: bool = False,
    ) -> tuple[Tensor, Tensor]:
        drop = {"training": training}
        projected = self.project(hidden, dropout_seed, **drop)
        for name in self.config.rotated:
            projected[name] = self.rotate(projected[name], positions)
        relative = self.gains(positions, dropout_seed, **drop)
        context, probabilities = attend(
            *projected.values(),
            attention_bias,
            self.config.num_attention_heads,
            partial(self.dropout, seed=dropout_seed, **drop),
            relative=relative,
        )
        return self.output_dense(context, dropout_seed, **drop), probabilities

    def gains(
        self, positions: Tensor | None, dropout_seed: Tensor, training: bool
    ) -> Callable | None:
        """Returns what computes the scores of distances, for `attend`, or None."""
        return self.relative

    def project(
        self, hidden: Tensor, dropout_seed: Tensor, training: bool
    ) -> dict[str, Tensor]:
        """Returns "query", "key" and "value", each `(batch, seq, hidden)`."""
        names = ("query", "key", "value")
        if "attention" in self.config.fused:
            fused = self.qkv(hidden, dropout_seed, training=training)
            return dict(zip(names, ops.split(fused, 3, axis=-1), strict=True))
        return {
            name: getattr(self, name)(hidden, dropout_seed, training=training)
            for name in names
        }

    def rotate(self, x: Tensor, rotation: Tensor | None) -> Tensor:
        """Turns queries or keys by their positions."""
        config = self.config
        return rotate(
            x, rotation, config.num_attention_heads, config.rotates_neighbours
        )
