"""One vector of the states of a text's tokens.

Source: `Pooling` in sentence-transformers.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

from keras import ops

from keras_bert.features import MASK_VALUE

Tensor = Any
_prompt_length: ContextVar[int] = ContextVar("prompt_length", default=0)


class _Tokens(NamedTuple):
    """The states of tokens, and which of them count.

    Attributes:
        hidden: float32 `(batch, seq, hidden)`.
        pooler_output: BERT's own pooling, `(batch, hidden)`, where there is one.
        places: numbers of the tokens from 1, 0 for padding, `(batch, seq)`.
        kept: 1 for tokens to pool, `(batch, seq)`.
    """

    hidden: Tensor
    pooler_output: Tensor | None
    places: Tensor
    kept: Tensor

    @classmethod
    def of(cls, hidden: Tensor, mask: Tensor, pooler_output: Tensor | None) -> Any:
        real = ops.cast(mask > 0, "float32")
        places = ops.cumsum(real, axis=1) * real
        kept = ops.cast(places > _prompt_length.get(), "float32")
        return cls(ops.cast(hidden, "float32"), pooler_output, places, kept)

    def sum(self, weights: Tensor) -> Tensor:
        return ops.einsum("bs,bsh->bh", weights, self.hidden)

    def count(self, weights: Tensor) -> Tensor:
        return ops.maximum(ops.sum(weights, axis=1, keepdims=True), 1e-9)

    def mean(self, weights: Tensor) -> Tensor:
        return self.sum(weights) / self.count(weights)

    def mean_by_root(self) -> Tensor:
        return self.sum(self.kept) / ops.sqrt(self.count(self.kept))

    def first(self) -> Tensor:
        before = ops.cumsum(self.kept, axis=1) - self.kept
        return self.sum(ops.where(before == 0, self.kept, 0.0))

    def last(self) -> Tensor:
        places = self.places * self.kept
        last = places == ops.max(places, axis=1, keepdims=True)
        return self.sum(ops.where(last, self.kept, 0.0))

    def max(self) -> Tensor:
        return ops.max(ops.where(self.kept[..., None] > 0, self.hidden, MASK_VALUE), 1)


# By the names that sentence-transformers gives them; `pooler` is BERT's own.
POOLINGS: dict[str, Callable[[_Tokens], Tensor]] = {
    "cls": _Tokens.first,
    "max": _Tokens.max,
    "mean": lambda tokens: tokens.mean(tokens.kept),
    "mean_sqrt_len_tokens": _Tokens.mean_by_root,
    "weightedmean": lambda tokens: tokens.mean(tokens.places * tokens.kept),
    "lasttoken": _Tokens.last,
    "pooler": lambda tokens: ops.cast(tokens.pooler_output, "float32"),
}


def pool(
    hidden: Tensor,
    attention_mask: Tensor,
    poolings: Sequence[str] = ("mean",),
    pooler_output: Tensor | None = None,
) -> Tensor:
    """Pools the states of tokens.

    Args:
        hidden: states, `(batch, seq, hidden)`.
        attention_mask: 0 for padding, `(batch, seq)`.
        poolings: names of `POOLINGS`, whose vectors are concatenated.
        pooler_output: `(batch, hidden)`, for the pooling "pooler".

    Returns:
        float32 `(batch, hidden)`, or several times `hidden`, as there are poolings.

    Example:
        >>> hidden = ops.array([[[1.0, 2.0], [3.0, 0.0], [9.0, 9.0]]])
        >>> ops.convert_to_numpy(pool(hidden, ops.array([[1, 1, 0]]))).tolist()
        [[2.0, 1.0]]
    """
    tokens = _Tokens.of(hidden, attention_mask, pooler_output)
    return ops.concatenate([POOLINGS[name](tokens) for name in poolings], axis=-1)


def unit_length(vectors: Tensor) -> Tensor:
    """Scales vectors `(batch, width)` to length 1; zeros stay zeros."""
    squares = ops.sum(ops.square(vectors), axis=-1, keepdims=True)
    return vectors * ops.rsqrt(ops.maximum(squares, 1e-24))


@contextlib.contextmanager
def without_prompt(tokens: int) -> Iterator[None]:
    """Leaves the first tokens of every row out of what is pooled.

    Args:
        tokens: how many, the first special one included; 0 pools all.
    """
    token = _prompt_length.set(tokens)
    try:
        yield
    finally:
        _prompt_length.reset(token)
