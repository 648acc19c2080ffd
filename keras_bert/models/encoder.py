"""The encoder: its layers, made once and applied to symbolic inputs."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_bert.config import Config
from keras_bert.errors import ConfigError
from keras_bert.layers import (
    AttentionBias,
    Embeddings,
    Pooler,
    TransformerBlock,
)
from keras_bert.layers.initializers import normal
from keras_bert.layers.replicas import ReplicaDropoutSeed

Tensor = Any


class Encoder:
    """The layers of a BERT encoder.

    Not a Keras object itself: every model applies it to its own inputs, so all
    models are flat graphs and a weight's path is the same in each of them.

    Args:
        config: the hyper-parameters.
        pooler: make the pooling layer too.
        dtype: dtype policy; None takes Keras' global one.
        seed: seed of initial values and dropout; None takes Keras' global one.

    Raises:
        ConfigError: the config asks for something that is not built.
    """

    def __init__(
        self,
        config: Config,
        pooler: bool = True,
        dtype: Any = None,
        seed: int | None = None,
    ):
        _refuse_unbuilt(config)
        self.config = config
        common = dict(
            initializer_range=config.initializer_range, seed=seed, dtype=dtype
        )
        sizes = dict(layer_norm_eps=config.layer_norm_eps, **common)
        self.attention_bias = AttentionBias(config.is_decoder, name="attention_bias")
        self.dropout_seed = ReplicaDropoutSeed(seed, name="dropout_seed")
        self.embeddings = Embeddings(
            vocab_size=config.vocab_size,
            hidden_size=config.embedding_width,
            max_position_embeddings=config.max_position_embeddings,
            type_vocab_size=config.type_vocab_size,
            hidden_dropout=config.hidden_dropout_prob,
            name="embeddings",
            **sizes,
        )
        self.projection = _projection(config, seed, dtype)
        self.blocks = [
            TransformerBlock(
                num_attention_heads=config.num_attention_heads,
                intermediate_size=config.intermediate_size,
                hidden_act=config.hidden_act,
                hidden_dropout=config.hidden_dropout_prob,
                attention_dropout=config.attention_probs_dropout_prob,
                name=f"layer_{i}",
                **sizes,
            )
            for i in range(config.num_hidden_layers)
        ]
        self.pooler = Pooler(name="pooler", **common) if pooler else None

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Any]:
        """Applies the layers.

        Args:
            inputs: `input_ids`, `attention_mask`, `token_type_ids`,
                `position_ids`, each `(batch, seq)`.

        Returns:
            `last_hidden_state` `(batch, seq, hidden)`; `hidden_states`, a tuple of
            layers + 1; `attentions`, a tuple of layers; `dropout_seed`.
        """
        seed = self.dropout_seed(inputs["input_ids"])
        bias = self.attention_bias(inputs["attention_mask"])
        hidden = self.embeddings(
            inputs["input_ids"], inputs["token_type_ids"], inputs["position_ids"], seed
        )
        if self.projection:
            hidden = self.projection(hidden)  # (batch, seq, hidden)
        hidden_states, attentions = [hidden], []
        for block in self.blocks:
            hidden, probabilities = block(hidden, bias, seed)
            hidden_states.append(hidden)
            attentions.append(probabilities)
        return {
            "last_hidden_state": hidden,
            "hidden_states": tuple(hidden_states),
            "attentions": tuple(attentions),
            "dropout_seed": seed,
        }

    @property
    def activation_checkpointing(self) -> bool:
        """Keep the inputs of blocks alone, and compute the rest again for gradients.

        Memory of a training step then grows with one block, not with all of them, for
        a third more work; the gradient is the same, dropout included. Set it before
        the first training step.
        """
        return any(block.activation_checkpointing for block in self.blocks)

    @activation_checkpointing.setter
    def activation_checkpointing(self, value: bool) -> None:
        for block in self.blocks:
            block.activation_checkpointing = value

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """The layers that hold weights, from the input on."""
        layers = [self.embeddings, self.projection, *self.blocks, self.pooler]
        return [layer for layer in layers if layer is not None]


def _projection(
    config: Config, seed: int | None, dtype: Any
) -> keras.layers.Dense | None:
    """From the width of the embedding tables to that of the encoder, if they differ."""
    if config.embedding_size is None:
        return None
    name = "embedding_projection"
    return keras.layers.Dense(
        config.hidden_size,
        kernel_initializer=normal(config.initializer_range, seed, name),
        dtype=dtype,
        name=name,
    )


def _refuse_unbuilt(config: Config) -> None:
    for name, built in (
        ("position_embedding_type", "absolute"),
        ("add_cross_attention", False),
    ):
        if getattr(config, name) != built:
            raise ConfigError(
                f"Expected {name}={built!r}, the only kind these models build. "
                f"Received: {getattr(config, name)!r}. The weights of such a "
                "checkpoint would be computed wrongly, so it is refused."
            )
