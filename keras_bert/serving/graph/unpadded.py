"""A model on the real tokens of a batch only: no padding in the heavy part.

Rows of a batch differ in length, and a padded batch computes as many tokens as its
longest row has for every one of them. Here embeddings and dense layers see the real
tokens alone, in one long row; only attention goes back to rows, in a few groups of
rows of similar length. The layers are the model's own, called on other shapes, so
there is one set of weights and the numbers are the same.

For graphs of TensorFlow: the operations are arranged such that it runs a dense layer
with its bias, its gelu or its residual sum, and attention scores with their scale and
mask, as one operation each on CPUs.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from keras_bert.layers import activations
from keras_bert.layers.convolution import shift_columns
from keras_bert.models import Encoder, PreTrainedModel

Tensor = tf.Tensor
Tensors = dict[str, Tensor]

GROUPS = 3  # of rows; more groups compute less padding, and start more operations

# The count of tokens is rounded up to a multiple of this: oneDNN compiles a kernel for
# every new one.
MULTIPLE = 16

# Added to scores. Finite in float16, and next to any real score as good as infinite.
# The own tokens of a row of padding come before those of other rows.
HIDDEN, OUTSIDE = -3e4, -6e4

# What an output holds at padding, where it is not 0: no answer begins or ends there.
AT_PADDING = {"start_logits": -1e9, "end_logits": -1e9}


def supports(model: PreTrainedModel) -> bool:
    """Tells whether `forward` can compute a model.

    It cannot if the model returns hidden states or attentions.

    Args:
        model: any model of this package, or of a subclass.

    Example:
        >>> import keras_bert
        >>> config = keras_bert.BertConfig.preset("tiny", vocab_size=7)
        >>> supports(keras_bert.BertForMaskedLM(config))
        True
    """
    config = model.config
    return not (config.output_hidden_states or config.output_attentions)


def forward(
    model: PreTrainedModel, inputs: Tensors, multiple: int = MULTIPLE
) -> Tensors:
    """Computes a model's outputs without its padding.

    Args:
        model: one that `supports` accepts.
        inputs: `input_ids`, `attention_mask` and `token_type_ids`, int32
            `(batch, seq)` or `(batch, choices, seq)`.
        multiple: what the count of tokens is rounded up to a multiple of.

    Returns:
        The model's outputs by name, in the shapes the model gives them. At padding
        they hold zeros, start and end logits -1e9. The first token of a row counts
        as real, whatever the mask says of others attending to it.
    """
    inputs = model.complete(inputs)
    rows = model.rows(inputs)
    tokens = Tokens.of(rows["attention_mask"], multiple)
    with activations.forms(**_GELU):
        encoded = model.encoder.encode(
            {name: tokens.take(ids) for name, ids in rows.items()},
            attend=tokens.attention(model.encoder),
            shift=tokens.shift,
        )
        hidden = encoded.last_hidden_state  # (tokens, hidden)
        if not model.per_token:
            encoded = encoded._replace(last_hidden_state=tokens.put_back(hidden))
            return model.outputs(encoded, inputs, training=False)
        encoded = encoded._replace(last_hidden_state=hidden[None])  # one row
        every = {"masked_lm_positions": tf.range(tf.shape(hidden)[0])[None]}
        outputs = model.outputs(encoded, every, training=False)
    return {
        name: tokens.put_back(value[0], AT_PADDING.get(name, 0.0))
        for name, value in outputs.items()
    }


# In the forms that TensorFlow recognizes next to a matrix product.
_GELU: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": functools.partial(tf.nn.gelu, approximate=False),
    "gelu_new": functools.partial(tf.nn.gelu, approximate=True),
}


# === Where the tokens are ===


class Tokens(NamedTuple):
    """The real tokens of a padded batch, longest row first.

    Attributes:
        batch, seq: shape of the padded batch.
        lengths: of the rows, descending, `(batch,)`.
        places: of the tokens in the flattened batch, `(tokens,)`.
        surplus: tokens to add to make a round number; None if every number is round.
        pieces: what the mask says of each, `(tokens + surplus,)`.
    """

    batch: Tensor
    seq: Tensor
    lengths: Tensor
    places: Tensor
    surplus: Tensor | None
    pieces: Tensor

    @classmethod
    def of(cls, attention_mask: Tensor, multiple: int) -> "Tokens":
        """Finds the real tokens.

        Args:
            attention_mask: integers `(batch, seq)`, see `attention_bias`.
            multiple: see `forward`.
        """
        batch, seq = tf.unstack(tf.shape(attention_mask))
        # The first token is what classifiers pool, and every row then has one.
        kept = (attention_mask > 0) | (tf.range(seq) == 0)
        lengths = tf.reduce_sum(tf.cast(kept, tf.int32), 1)
        order = tf.argsort(lengths, direction="DESCENDING", stable=True)
        found = tf.cast(tf.where(tf.gather(kept, order)), tf.int32)  # row, column
        places = tf.gather(order, found[:, 0]) * seq + found[:, 1]
        surplus = None if multiple == 1 else _surplus(tf.shape(places)[0], multiple)
        lengths = tf.gather(lengths, order)
        tokens = cls(batch, seq, lengths, places, surplus, attention_mask)
        return tokens._replace(pieces=tokens.take(attention_mask))

    def take(self, values: Tensor) -> Tensor:
        """Takes the tokens of a padded batch: `(batch, seq, …)` -> `(tokens, …)`."""
        flat = tf.reshape(values, [-1, *values.shape[2:]])
        return self.add_surplus(tf.gather(flat, self.places))

    def shift(self, values: Tensor, by: int) -> Tensor:
        """Shifts values along the rows of the padded batch, see `Encoder.encode`."""
        return self.take(shift_columns(self.put_back(values), by))

    def add_surplus(self, values: Tensor) -> Tensor:
        """Adds zeros to make a round number of tokens."""
        if self.surplus is None:
            return values
        return tf.pad(values, [[0, self.surplus], *[[0, 0]] * (values.shape.rank - 1)])

    def put_back(self, values: Tensor, at_padding: float = 0.0) -> Tensor:
        """Makes a padded batch: `(tokens, …)` -> `(batch, seq, …)`."""
        if self.surplus is not None:
            values = values[: tf.shape(self.places)[0]]
        rest = tf.shape(values)[1:]
        size = tf.concat([[self.batch * self.seq], rest], 0)
        if at_padding:
            padded = tf.tensor_scatter_nd_update(
                tf.fill(size, tf.cast(at_padding, values.dtype)),
                self.places[:, None],
                values,
            )
        else:
            padded = tf.scatter_nd(self.places[:, None], values, size)
        shape = tf.concat([[self.batch, self.seq], rest], 0)
        return tf.ensure_shape(
            tf.reshape(padded, shape), [None, None, *values.shape[1:]]
        )

    def attention(self, encoder: Encoder) -> Callable[[int | None], Callable]:
        """Returns, given a layer's window, what computes attention within the rows.

        See `Encoder.encode` and `layers.attention`.

        Args:
            encoder: gives the number of heads, and which tokens attend to which.
        """
        config, rows = encoder.config, self._rows()
        index = [r.of_heads(config.num_attention_heads) for r in rows]

        def within(window: int | None) -> Callable:
            biases = [r.bias(config.is_decoder, window)[:, None] for r in rows]
            if encoder.position_bias:
                gained = [encoder.position_bias(r.columns) for r in rows]
                biases = [b + g for b, g in zip(biases, gained, strict=True)]
            found = zip(index, biases, rows, strict=True)
            groups = [Group(*i, bias, r.columns) for i, bias, r in found]
            return self._attend(groups)

        return within

    def _attend(self, groups: Sequence["Group"]) -> Callable:
        def attend(
            query: Tensor,
            key: Tensor,
            value: Tensor,
            bias: None,
            heads: int,
            drop: Any,
            relative: Callable | None = None,
        ) -> tuple[Tensor, None]:
            width = query.shape[-1]
            query, key, value = (  # (tokens heads) head_dim
                tf.reshape(x, [-1, width // heads]) for x in (query, key, value)
            )
            gains = relative and functools.partial(relative, span=self.seq)
            context = [_context(query, key, value, group, gains) for group in groups]
            context = tf.reshape(tf.concat(context, 0), [-1, width])
            return self.add_surplus(context), None

        return attend

    def _rows(self) -> list["_Rows"]:
        """Divides the rows into groups for attention."""
        columns = self.add_surplus(self.places % self.seq)
        starts = tf.cumsum(self.lengths, exclusive=True)
        inner = [self.batch * i // GROUPS for i in range(1, GROUPS)]
        return [
            _Rows.of(self.lengths[a:b], starts[a:b], self.pieces, columns)
            for a, b in itertools.pairwise([0, *inner, self.batch])
        ]


def _surplus(count: Tensor, multiple: int) -> Tensor:
    # At least one token, so that there is something to gather from.
    return tf.maximum(-(-count // multiple), 1) * multiple - count


class Group(NamedTuple):
    """Some rows of similar length, for attention.

    Tokens are divided into heads, so that one gathering both makes rows and brings
    the heads to the front.

    Attributes:
        rows: index of each position in `(tokens heads)`, `(rows, heads, longest)`.
        tokens: index of each token in `(rows heads longest)`, `(tokens, heads)`.
        bias: what is added to the scores, `(rows, 1 or heads, longest, longest)`.
        columns: of the padded batch, `(rows, longest)`.
    """

    rows: Tensor
    tokens: Tensor
    bias: Tensor
    columns: Tensor


class _Rows(NamedTuple):
    """Some rows, longest first.

    Attributes:
        token: the token at each position, `(rows, longest)`.
        inside: whether the position is one of the row's own.
        pieces: what the mask says of it.
        longest: tokens of the longest row, 0 if there are no rows.
        columns: in the padded batch.
    """

    token: Tensor
    inside: Tensor
    pieces: Tensor
    longest: Tensor
    columns: Tensor

    @classmethod
    def of(
        cls, lengths: Tensor, starts: Tensor, pieces: Tensor, columns: Tensor
    ) -> "_Rows":
        longest = tf.reduce_sum(lengths[:1])
        column = tf.range(longest)
        token = tf.minimum(starts[:, None] + column, tf.size(pieces) - 1)
        inside = column < lengths[:, None]
        pieces, columns = tf.gather(pieces, token), tf.gather(columns, token)
        return cls(token, inside, pieces, longest, columns)

    def bias(self, causal: bool, window: int | None) -> Tensor:
        """Returns what `attention_bias` does, `(rows, longest, longest)`."""
        to, origin = self.pieces[:, None, :], self.pieces[:, :, None]
        visible = (to > 0) & ((origin == to) | (origin == 0))
        if causal:
            column = tf.range(self.longest)
            visible &= column <= column[:, None]
        if window is not None:
            apart = self.columns[:, None, :] - self.columns[:, :, None]
            visible &= tf.abs(apart) <= window
        shown = tf.where(visible, 0.0, HIDDEN)
        return tf.where(self.inside[:, None, :], shown, OUTSIDE)

    def of_heads(self, num_heads: int) -> tuple[Tensor, Tensor]:
        """Returns indices from tokens to rows and back, see `Group`."""
        head = tf.range(num_heads)
        found = tf.cast(tf.where(self.inside), tf.int32)  # row, column
        rows = self.token[:, None, :] * num_heads + head[:, None]
        return rows, (found[:, :1] * num_heads + head) * self.longest + found[:, 1:]


def _context(
    query: Tensor, key: Tensor, value: Tensor, group: Group, relative: Callable | None
) -> Tensor:
    """Attends within the rows of a group: `(tokens, heads, head_dim)`."""
    query, key, value = (tf.gather(x, group.rows) for x in (query, key, value))
    scale = tf.cast(query.shape[-1] ** -0.5, query.dtype)
    bias = tf.cast(group.bias, query.dtype)
    if relative:
        gains = relative(query * scale, key, group.columns)
        bias += tf.cast(gains, bias.dtype)
    scores = tf.matmul(query, key, transpose_b=True) * scale + bias
    probabilities = tf.nn.softmax(tf.cast(scores, tf.float32))
    context = tf.matmul(tf.cast(probabilities, value.dtype), value)
    return tf.gather(tf.reshape(context, [-1, value.shape[-1]]), group.tokens)
