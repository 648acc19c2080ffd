"""What the encoder and all models share: inputs by name, and their config."""

from collections import UserList
from collections.abc import Iterable
from typing import Any, ClassVar, Self

import keras

from keras_bert.config import Config
from keras_bert.errors import ConfigError
from keras_bert.features import ENCODER_INPUTS
from keras_bert.layers.base import Composite
from keras_bert.layers.transformer_block import TransformerBlock
from keras_bert.models import inputs as model_inputs

Tensor = Any


class BaseModel(Composite, keras.Model):
    """A Keras model made from a config.

    Args:
        config: the hyper-parameters.
        dtype: dtype policy, for instance "mixed_bfloat16"; None takes Keras' global
            one.
        seed: seed of initial values and dropout; None takes Keras' global one.
        name: name of the model.
    """

    choices: ClassVar[bool] = False  # inputs have an axis of choices
    input_names: ClassVar[tuple[str, ...]] = (*ENCODER_INPUTS, "cls_positions")

    def __init__(
        self,
        config: Config,
        *,
        dtype: Any = None,
        seed: int | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name, dtype=_floating(dtype))
        self.config, self.seed = config, seed

    # === Inputs ===

    def __call__(
        self, inputs: Any = None, *args: Any, mask: Any = None, **kwargs: Any
    ) -> Any:
        # Before Keras makes tensors of arrays, whose values cannot be checked.
        model_inputs.refuse_mask(mask)
        rank = self.rank_of(inputs)
        inputs, options = model_inputs.joined(inputs, args, kwargs, rank)
        return super().__call__(self.check(inputs), **options)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the symbolic output; see `keras.Layer`."""
        with model_inputs.invented_lengths():
            return super().compute_output_spec(*args, **kwargs)

    def check(self, inputs: Any) -> dict[str, Any]:
        """Returns inputs by name; refuses what cannot be used, where it can be seen.

        Raises:
            InputError: naming the input, row, column, value and what it may hold.
        """
        rank = self.rank_of(inputs)
        return model_inputs.check(model_inputs.named(inputs, rank), self.config, rank)

    def rank_of(self, inputs: Any) -> int:
        """Returns how many axes `input_ids` has."""
        return 2 + self.choices

    def complete(
        self, inputs: Any, names: Iterable[str] | None = None
    ) -> dict[str, Tensor]:
        """Returns inputs of the model: those given, and the others derived.

        Args:
            inputs: see `PreTrainedModel`.
            names: which of them; None takes all.
        """
        inputs, names = self.check(inputs), names or self.input_names
        return model_inputs.complete(inputs, self.config, names)

    # === Files ===

    @property
    def layers(self) -> list | UserList:
        """All layers. Not a list, which Keras' files would hold by number."""
        return UserList(super().layers)

    def get_config(self) -> dict:
        return {
            "config": self.config.to_dict(),
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "seed": self.seed,
            "name": self.name,
            **self.layer_settings(),
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: Any = None) -> Self:
        config = dict(config)
        settings = {name: config.pop(name, ()) for name in ("frozen", "recomputed")}
        model = super().from_config(config)
        model.set_layers(**settings)
        return model

    def layer_settings(self) -> dict[str, list[str]]:
        """Returns what was set on layers: those that are frozen, or computed twice."""
        return {
            "frozen": [_place(x) for x in self._flatten_layers() if not x.trainable],
            "recomputed": [
                _place(x) for x in self._blocks() if x.activation_checkpointing
            ],
        }

    def set_layers(self, frozen: Iterable[str], recomputed: Iterable[str]) -> None:
        """Sets on layers what `layer_settings` returned of a model like this one."""
        for layer in self._flatten_layers() if frozen else ():
            layer.trainable = _place(layer) not in frozen
        for block in self._blocks() if recomputed else ():
            block.activation_checkpointing = _place(block) in recomputed

    def _blocks(self) -> list[TransformerBlock]:
        layers = self._flatten_layers()
        return [layer for layer in layers if isinstance(layer, TransformerBlock)]


def _floating(dtype: Any) -> keras.DTypePolicy:
    """Returns a dtype policy, which must compute in floats."""
    try:
        policy = keras.dtype_policies.get(dtype)
    except (TypeError, ValueError):
        policy = None
    few_bits = getattr(policy, "quantization_mode", None)
    if policy is None or few_bits or "float" not in str(policy.compute_dtype):
        raise ConfigError(
            "Expected a dtype policy of floats, such as 'float32', 'bfloat16' or "
            f"'mixed_bfloat16'. Received: {dtype!r}. For fewer bits, make the model in "
            "float32 and call quantize('int8')."
        )
    return policy


def _place(layer: keras.layers.Layer) -> str:
    return layer.path or layer.name
