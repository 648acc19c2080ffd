"""What stands on the encoder: pooling, gathering, the masked-LM transform."""

from typing import Any

import keras
from keras import ops

from keras_bert.layers import activations
from keras_bert.layers.initializers import normal
from keras_bert.layers.normalization import LayerNorm

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_bert")
class GatherPositions(keras.layers.Layer):
    """Picks the hidden states at some positions of every row.

    Gathering before the vocabulary projection is what makes pretraining
    affordable: 20 positions of 128 go through the largest matrix of the model.

    Call arguments:
        hidden: `(batch, seq, hidden)`.
        positions: integers `(batch, predictions)`.

    Returns:
        `(batch, predictions, hidden)`.

    Source: `gather_indexes` in Google's `run_pretraining.py`.
    """

    def build(self, hidden_shape=None, positions_shape=None):
        self.built = True

    def call(self, hidden: Tensor, positions: Tensor) -> Tensor:
        batch, seq, width = ops.shape(hidden)
        start = ops.arange(batch, dtype=positions.dtype)[:, None] * seq
        rows = ops.reshape(hidden, (batch * seq, width))  # (batch seq) hidden
        return ops.take(rows, positions + start, axis=0)

    def compute_output_spec(self, hidden, positions):
        shape = (*positions.shape, hidden.shape[-1])
        return keras.KerasTensor(shape, dtype=hidden.dtype)


@keras.saving.register_keras_serializable(package="keras_bert")
class Pooler(keras.layers.Layer):
    """A dense tanh layer on the first token, or on the first of every piece.

    Args:
        initializer_range: standard deviation of the initializer.
        seed: seed of the initial values; None draws from Keras' global one.

    Call arguments:
        hidden: `(batch, seq, hidden)`.
        cls_positions: integers `(batch, pieces)`, where the pieces of packed
            rows begin; None means one piece, at the start.

    Returns:
        `(batch, hidden)`, or `(batch, pieces, hidden)` with `cls_positions`.

    Source: `BertModel` in Google's `modeling.py`, scope "pooler".
    """

    def __init__(
        self, initializer_range: float = 0.02, seed: int | None = None, **kwargs
    ):
        super().__init__(**kwargs)
        self.initializer_range = initializer_range
        self.seed = seed
        self.gather = GatherPositions(dtype=self.dtype_policy, name="gather")

    def build(self, hidden_shape, cls_positions_shape=None):
        width = hidden_shape[-1]
        self.dense = keras.layers.Dense(
            width,
            activation="tanh",
            kernel_initializer=normal(self.initializer_range, self.seed, self.name),
            dtype=self.dtype_policy,
            name="dense",
        )
        self.dense.build((None, width))
        self.built = True

    def call(self, hidden: Tensor, cls_positions: Tensor | None = None) -> Tensor:
        if cls_positions is None:
            return self.dense(hidden[:, 0])
        return self.dense(self.gather(hidden, cls_positions))

    def compute_output_spec(self, hidden, cls_positions=None):
        rows = hidden.shape[:1] if cls_positions is None else cls_positions.shape
        shape = (*rows, hidden.shape[-1])
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "initializer_range": self.initializer_range,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="keras_bert")
class MaskedLMTransform(keras.layers.Layer):
    """Dense, activation, LayerNorm: what comes before the vocabulary projection.

    Args:
        hidden_act: activation, by its name in the config.
        layer_norm_eps: added to the variance.
        initializer_range: standard deviation of the initializer.
        seed: seed of the initial values; None draws from Keras' global one.
        embedding_width: width of the output, that of the embedding tables; None
            keeps the input's.

    Call arguments:
        hidden: `(batch, predictions, hidden)`.

    Returns:
        `(batch, predictions, embedding)`.

    Source: `get_masked_lm_output` in Google's `run_pretraining.py`.
    """

    def __init__(
        self,
        hidden_act: str = "gelu",
        layer_norm_eps: float = 1e-12,
        initializer_range: float = 0.02,
        seed: int | None = None,
        embedding_width: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.hidden_act = hidden_act
        self.layer_norm_eps = layer_norm_eps
        self.initializer_range = initializer_range
        self.seed = seed
        self.embedding_width = embedding_width
        self.activation = activations.get(hidden_act)

    def build(self, hidden_shape):
        shape = self.compute_output_shape(hidden_shape)
        self.dense = keras.layers.Dense(
            shape[-1],
            kernel_initializer=normal(self.initializer_range, self.seed, self.name),
            dtype=self.dtype_policy,
            name="dense",
        )
        self.layer_norm = LayerNorm(
            epsilon=self.layer_norm_eps, dtype=self.dtype_policy, name="layer_norm"
        )
        self.dense.build(hidden_shape)
        self.layer_norm.build(shape)
        self.built = True

    def call(self, hidden: Tensor) -> Tensor:
        return self.layer_norm(self.activation(self.dense(hidden)))

    def compute_output_shape(self, hidden_shape):
        return (*hidden_shape[:-1], self.embedding_width or hidden_shape[-1])

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "hidden_act": self.hidden_act,
            "layer_norm_eps": self.layer_norm_eps,
            "initializer_range": self.initializer_range,
            "seed": self.seed,
            "embedding_width": self.embedding_width,
        }


@keras.saving.register_keras_serializable(package="keras_bert")
class OutputBias(keras.layers.Layer):
    """Adds a bias to logits and makes them float32.

    Call arguments:
        logits: `(..., vocab)`.

    Returns:
        float32 `(..., vocab)`.
    """

    def build(self, logits_shape):
        self.bias = self.add_weight(
            shape=(logits_shape[-1],), initializer="zeros", name="bias"
        )
        self.built = True

    def call(self, logits: Tensor) -> Tensor:
        return ops.cast(logits, "float32") + ops.cast(self.bias, "float32")

    def compute_output_spec(self, logits):
        return keras.KerasTensor(logits.shape, dtype="float32")


@keras.saving.register_keras_serializable(package="keras_bert")
class FlattenChoices(keras.layers.Layer):
    """Makes every choice a row: `(batch, choices, seq)` -> `(batch choices, seq)`."""

    def build(self, ids_shape):
        self.built = True

    def call(self, ids: Tensor) -> Tensor:
        return ops.reshape(ids, (-1, ops.shape(ids)[-1]))

    def compute_output_spec(self, ids):
        return keras.KerasTensor((None, ids.shape[-1]), dtype=ids.dtype)


@keras.saving.register_keras_serializable(package="keras_bert")
class UnflattenChoices(keras.layers.Layer):
    """Gives scores back their rows: `(batch choices, 1)` -> `(batch, choices)`.

    Call arguments:
        scores: `(batch choices, 1)`.
        ids: `(batch, choices, seq)`, for its shape.
    """

    def build(self, scores_shape=None, ids_shape=None):
        self.built = True

    def call(self, scores: Tensor, ids: Tensor) -> Tensor:
        return ops.reshape(scores, (-1, ops.shape(ids)[1]))

    def compute_output_spec(self, scores, ids):
        return keras.KerasTensor(ids.shape[:2], dtype=scores.dtype)


@keras.saving.register_keras_serializable(package="keras_bert")
class SplitSpan(keras.layers.Layer):
    """Splits `(batch, seq, 2)` into start and end logits, each `(batch, seq)`."""

    def build(self, shape):
        self.built = True

    def call(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        return logits[..., 0], logits[..., 1]

    def compute_output_spec(self, logits):
        # Two objects: one returned twice would be one output of the graph.
        spec = {"shape": logits.shape[:-1], "dtype": logits.dtype}
        return keras.KerasTensor(**spec), keras.KerasTensor(**spec)
