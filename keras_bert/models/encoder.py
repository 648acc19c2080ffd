"""The encoder: embeddings, blocks, pooler, and the way through them."""

from collections import UserList
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras

from keras_bert import families, layers
from keras_bert.config import Config, Reach
from keras_bert.errors import ConfigError
from keras_bert.layers.attention import attend as attend_in_rows
from keras_bert.layers.convolution import Convolution, shift_columns
from keras_bert.layers.disentangled import DistanceVectors
from keras_bert.layers.position_bias import PositionBias
from keras_bert.models.base import BaseModel

Tensor = Any


class Encoded(NamedTuple):
    """What an encoder computes.

    Attributes:
        last_hidden_state: `(batch, seq, hidden)`.
        hidden_states: layers + 1 of them, the embeddings first.
        attentions: probabilities of each layer, `(batch, heads, seq, seq)`.
        dropout_seed: of this pass, for the head.
    """

    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...]
    attentions: tuple[Tensor, ...]
    dropout_seed: Tensor


@keras.saving.register_keras_serializable(package="keras_bert")
class Encoder(BaseModel):
    """A transformer encoder.

    Args:
        config: the hyper-parameters.
        pooler: make the pooling layer too.
        dtype, seed, name: see `BaseModel`.

    Call arguments:
        inputs: see `PreTrainedModel`.

    Returns:
        A dict: `last_hidden_state` `(batch, seq, hidden)`; `pooler_output`
        `(batch, hidden)`; `hidden_states`, a tuple of layers + 1; `attentions`, a tuple
        of `(batch, heads, seq, seq)`.

    Raises:
        ConfigError: the config asks for something that is not built.

    Example:
        >>> from keras_bert import BertConfig
        >>> encoder = Encoder(BertConfig.preset("tiny", vocab_size=99))
        >>> encoder(np.array([[1, 2, 3]]))["pooler_output"].shape
        TensorShape([1, 128])
    """

    def __init__(self, config: Config, pooler: bool = True, **kwargs: Any):
        super().__init__(config, **{"name": "encoder", **kwargs})
        _refuse_unbuilt(config)
        self.dropout_seed = layers.DropoutSeed(self.seed, name="dropout_seed")
        self.dropout_seed.build()
        self.embeddings = self.add_layer(layers.Embeddings, "embeddings")
        self.embedding_projection = None
        if config.projects_embeddings:
            self.embedding_projection = self.add_dense(
                config.hidden_size, "embedding_projection", config.embedding_width
            )
        self.sinusoids = None
        if config.sinusoid_table:
            self.sinusoids = self.add_layer(layers.SinusoidTable, "sinusoids")
        self.position_bias = None
        if config.distance_buckets:
            self.position_bias = self.add_layer(PositionBias, "position_bias")
        self.distances = None
        if config.disentangled.rows:
            self.distances = self.add_layer(DistanceVectors, "distances")
        self.convolution = None
        if config.convolution:
            self.convolution = self.add_layer(Convolution, "convolution")
        # By their names, which is where Keras' files then hold their weights.
        for number, name in enumerate(self._block_names):
            setattr(self, name, self._make_block(name, first=number == 0))
        self.final_norm = None
        if config.pre_norm:
            self.final_norm = self.add_layer(layers.LayerNorm, "final_norm")
        self.pooler: Any = self.add_layer(layers.Pooler, "pooler") if pooler else None
        self.built = True

    def _make_block(self, name: str, first: bool) -> Any:
        if self.config.pre_norm:
            return self.add_layer(layers.PreNormBlock, name, normalized=first)
        return self.add_layer(layers.TransformerBlock, name)

    def encode(
        self,
        inputs: Mapping[str, Tensor],
        attend: Callable | None = None,
        shift: Callable = shift_columns,
        training: bool = False,
    ) -> Encoded:
        """Takes complete inputs through embeddings and blocks.

        Args:
            inputs: `input_ids`, `attention_mask`, `token_type_ids`, `position_ids`,
                each `(batch, seq)`.
            attend: returns, given the window of a layer, the attention of tokens that
                are not in padded rows, see `keras_bert.layers.attention.attend`; their
                shape may then be another.
            shift: shifts values along the rows, see
                `keras_bert.layers.convolution.shift_columns`.
            training: with dropout.
        """
        seed = self.dropout_seed(inputs["input_ids"], training=training)
        ids = (inputs[k] for k in ("input_ids", "token_type_ids", "position_ids"))
        hidden = self.embeddings(*ids, seed, training=training)
        if self.embedding_projection:
            hidden = self.embedding_projection(hidden)  # (batch, seq, hidden)
        mask = inputs["attention_mask"]
        if self.config.zeroes_padding:
            hidden = hidden * keras.ops.cast(mask > 0, hidden.dtype)[..., None]
        reaches = self.config.reaches
        ways = {r: self._attention(r, inputs, attend) for r in dict.fromkeys(reaches)}
        hidden_states, attentions = [hidden], []
        for number, block in enumerate(self.layers_run):
            own = layers.seed_at(seed, number) if self.shares_blocks else seed
            bias, positions, how = ways[reaches[number]]
            hidden, probabilities = block(
                hidden, bias, own, positions, attend=how, training=training
            )
            if self.convolution and number == 0:
                hidden = self.convolution(
                    hidden_states[0], hidden, mask, seed, shift=shift, training=training
                )
            hidden_states.append(hidden)
            attentions.append(probabilities)
        if self.final_norm:
            hidden = hidden_states[-1] = self.final_norm(hidden)
        return Encoded(hidden, tuple(hidden_states), tuple(attentions), seed)

    def _attention(
        self, reach: Reach, inputs: Mapping[str, Tensor], attend: Callable | None
    ) -> tuple[Tensor | None, Tensor | None, Callable]:
        """Returns attention bias, positions and attention of layers of one kind."""
        positions = self._positions(inputs["position_ids"], reach.theta)
        if attend is not None:
            return None, positions, attend(reach.window)
        mask, causal = inputs["attention_mask"], self.config.is_decoder
        bias = layers.attention_bias(
            mask, causal, reach.window, padding=not self.config.zeroes_padding
        )
        if self.position_bias:
            columns = keras.ops.arange(keras.ops.shape(mask)[1], dtype="int32")
            bias = bias + self.position_bias(columns[None])
        return bias, positions, attend_in_rows

    def _positions(self, position_ids: Tensor, theta: float | None) -> Tensor | None:
        if self.sinusoids:
            return self.sinusoids(position_ids)
        if self.distances:
            return self.distances.vectors()
        return theta and layers.rotation(position_ids, self.config, theta)

    def call(self, inputs: Any, training: bool = False) -> dict[str, Any]:
        inputs = self.complete(inputs)
        encoded = self.encode(inputs, training=training)
        outputs = encoded._asdict()
        del outputs["dropout_seed"]
        if self.pooler:
            outputs["pooler_output"] = self.pooler(
                encoded.last_hidden_state, inputs.get("cls_positions")
            )
        return outputs

    @property
    def blocks(self) -> UserList:
        """The transformer blocks, each once."""
        return UserList(getattr(self, name) for name in self._block_names)

    @property
    def layers_run(self) -> UserList:
        """The block of each layer, from the input on; layers may share one."""
        blocks = self.blocks
        return UserList(blocks[number] for number in self.config.block_numbers)

    @property
    def shares_blocks(self) -> bool:
        """Whether several layers are one block."""
        return len(self.config.block_numbers) > self.config.num_blocks

    @property
    def _block_names(self) -> list[str]:
        return [f"layer_{i}" for i in range(self.config.num_blocks)]

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

    def get_config(self) -> dict:
        return {**super().get_config(), "pooler": self.pooler is not None}


def _refuse_unbuilt(config: Config) -> None:
    relative = families.of(config).has_relative_positions
    for name, built in (
        *([] if relative else [("position_embedding_type", "absolute")]),
        ("add_cross_attention", False),
    ):
        if getattr(config, name) != built:
            raise ConfigError(
                f"Expected {name}={built!r}, the only kind these models build. "
                f"Received: {getattr(config, name)!r}. The weights of such a "
                "checkpoint would be computed wrongly, so it is refused."
            )
