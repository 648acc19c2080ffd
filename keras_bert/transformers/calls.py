"""Calls as in `transformers`: inputs by position, by name, in a list or a dict."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_bert.config import Config
from keras_bert.errors import InputError
from keras_bert.families import FAMILIES
from keras_bert.models import Encoder
from keras_bert.models import inputs as model_inputs
from keras_bert.models.base import BaseModel
from keras_bert.models.pretrained import STATES
from keras_bert.transformers import configs
from keras_bert.transformers.outputs import ModelOutput

Tensor = Any
log = logging.getLogger(__name__)

# What these models do not take; None and False ask for nothing.
ABSENT = (
    "head_mask",
    "inputs_embeds",
    "encoder_hidden_states",
    "encoder_attention_mask",
    "past_key_values",
    "use_cache",
)
OPTIONS = ("training", *(f"output_{name}" for name in STATES))


class Called(BaseModel):
    """Called with inputs by position, by name, in a list or in a dict.

    A mixin of models and encoders. Where `attention_mask` is missing, every token is
    attended to, as in `transformers`, padding included.
    """

    config: configs.PretrainedConfig

    def __init__(self, config: Config, *args: Any, **kwargs: Any):
        super().__init__(configs.of(config), *args, **kwargs)

    def __call__(self, inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
        given = self._given(inputs, args, kwargs)
        as_dict = given.pop("return_dict", None)
        options = {name: given.pop(name) for name in OPTIONS if name in given}
        given, labels = self.split_labels(given)
        options |= {} if labels is None else {"labels": labels}
        outputs = ModelOutput.of(super().__call__(given, **options))
        as_dict = self.config.return_dict if as_dict is None else as_dict
        return outputs if as_dict else outputs.to_tuple()

    def _given(self, inputs: Any, args: Sequence[Any], kwargs: Mapping) -> dict:
        """Returns all that a call is given by name, without what is None."""
        rank = 2 + self.choices
        args, kwargs = _without_last_none(args), dict(kwargs)
        _refuse_absent(kwargs)
        inputs, others = model_inputs.joined(inputs, args, kwargs, rank)
        if not isinstance(inputs, Mapping):
            inputs = model_inputs.named(inputs, rank)
        given = {**inputs, **others}
        _refuse_absent(given)
        return {name: x for name, x in given.items() if x is not None}

    def split_labels(self, given: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        """Returns inputs, and labels that were among them."""
        return given, None

    def states(self, asked: Mapping[str, bool | None]) -> list[str]:
        """Returns the states of the encoder that a call returns."""
        return [
            name
            for name in STATES
            if (
                getattr(self.config, f"output_{name}")
                if asked[name] is None
                else asked[name]
            )
        ]

    def complete(self, inputs: Any, names: Any = None) -> dict[str, Tensor]:
        """Returns inputs of the model: those given, and the others derived."""
        inputs = self.check(inputs)
        if "attention_mask" not in inputs:
            _warn_of_padding(inputs["input_ids"], self.config.pad_token_id)
            ids = ops.convert_to_tensor(inputs["input_ids"])
            inputs = {**inputs, "attention_mask": ops.ones_like(ids, "int32")}
        return super().complete(inputs, names)


def _without_last_none(values: Sequence[Any]) -> list[Any]:
    values = list(values)
    while values and values[-1] is None:
        values.pop()
    return values


def _refuse_absent(given: dict[str, Any]) -> None:
    for name in ABSENT:
        value = given.pop(name, None)
        if value is not None and value is not False:
            raise InputError(
                f"Expected no {name}: these encoders do not take it. Received: "
                f"{name} of type {type(value).__name__}. Leave it out."
            )


def _warn_of_padding(ids: Any, pad: int) -> None:
    values = model_inputs.visible(ids)
    if values is not None and (values == pad).any():
        log.warning(
            "There are pad tokens (id %d) and no attention_mask: they are attended to "
            "like others, as in transformers. Pass the tokenizer's attention_mask.",
            pad,
        )


@keras.saving.register_keras_serializable("keras_bert.transformers")
class MainLayer(Called, Encoder):
    """The encoder of a model, such as `model.bert`.

    Args:
        config: of the encoder.
        pooler: make the pooling layer too, where the family has one.
        add_pooling_layer: likewise; it goes before `pooler`.
        **kwargs: see `keras_bert.models.Encoder`.
    """

    def __init__(
        self,
        config: Config,
        pooler: bool = True,
        add_pooling_layer: bool | None = None,
        **kwargs: Any,
    ):
        asked = pooler if add_pooling_layer is None else add_pooling_layer
        has_one = "pooler" in FAMILIES[config.model_type].parts
        super().__init__(config, asked and has_one, **kwargs)

    def get_input_embeddings(self) -> keras.layers.Layer:
        """Returns the layer of word embeddings."""
        return self.embeddings.word_embeddings

    def call(
        self,
        inputs: Any,
        training: bool = False,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> dict[str, Any]:
        outputs = super().call(inputs, training=training)
        asked = {"hidden_states": output_hidden_states, "attentions": output_attentions}
        for name in {*STATES} - {*self.states(asked)}:
            del outputs[name]
        return outputs

    @property
    def encoder(self) -> "BlockList":
        """The transformer blocks: `model.bert.encoder.layer[0]`."""
        return BlockList(self.blocks)

    transformer = encoder  # its other name


class BlockList:
    """The transformer blocks of an encoder.

    Attributes:
        layer: a list of them, from the input on.
    """

    def __init__(self, blocks: Iterable[keras.layers.Layer]):
        self.layer = list(blocks)

    @property
    def trainable(self) -> bool:
        """Whether any block is trained; setting it freezes or thaws all of them."""
        return any(block.trainable for block in self.layer)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for block in self.layer:
            block.trainable = value

    @property
    def trainable_variables(self) -> list[Any]:
        """The variables of all blocks that are trained."""
        return [v for block in self.layer for v in block.trainable_variables]
