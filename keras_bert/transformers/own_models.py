"""Models that scripts make themselves: `class Mine(TFBertPreTrainedModel)`.

Such a class holds a `TFBertMainLayer` in `self.bert`, whose weights are read from any
checkpoint, and layers of its own.
"""

import functools
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import keras
from keras import ops

from keras_bert.atomic_files import new_files
from keras_bert.config import Config
from keras_bert.errors import ConfigError
from keras_bert.families import FAMILIES
from keras_bert.transformers import configs
from keras_bert.transformers.calls import MainLayer
from keras_bert.transformers.models import TF_MODELS, TFPreTrainedModel
from keras_bert.transformers.names import located

log = logging.getLogger(__name__)

# All weights of such a model, as Keras writes them.
WEIGHTS_FILE = "tf_model.weights.h5"


class OwnModel(keras.Model):
    """A model around the encoder of a family, which is in `base_model_prefix`.

    Args:
        config: of the encoder; kept as `self.config`.
        *inputs, **kwargs: for `keras.Model`.

    Source: `TFBertPreTrainedModel` and its like in `transformers` 4.57.
    """

    config_class: ClassVar[type[configs.PretrainedConfig]]
    base_model_prefix: ClassVar[str]
    _encoder_model: ClassVar[type[TFPreTrainedModel]]

    def __init__(self, config: Config, *inputs: Any, **kwargs: Any):
        super().__init__(*inputs, **kwargs)
        self.config = configs.of(config)
        self.built = True  # Keras would build by a call that `**kwargs` make fail

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args = tuple(dict(x) if isinstance(x, Mapping) else x for x in args)
        return super().__call__(*args, **kwargs)

    @property
    def dummy_inputs(self) -> dict[str, Any]:
        """What the model is called with to make its weights."""
        return {"input_ids": ops.convert_to_tensor([[1, 2, 3]], "int32")}

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *model_args: Any,
        config: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Loads the encoder of a checkpoint, or all that `save_pretrained` wrote.

        Args:
            pretrained_model_name_or_path: a directory, a file, or a name on the
                Hugging Face Hub.
            *model_args: for the constructor, after the config.
            config: of the model, or where it is; None takes the checkpoint's.
            **kwargs: fields of the config to set differently; how to find the
                checkpoint, see `located`; others are for the constructor.

        Raises:
            CheckpointError: weights are missing, unexpected or misshapen.
            ConfigError: there is no encoder in `base_model_prefix`.
        """
        path = located(pretrained_model_name_or_path, kwargs)
        if not isinstance(config, Config):
            config = cls.config_class.from_pretrained(config or path)
        config = configs.of(config)
        config.update({k: kwargs.pop(k) for k in [*kwargs] if hasattr(config, k)})
        model = cls(config, *model_args, **kwargs)
        model(model.dummy_inputs)
        if (path / WEIGHTS_FILE).is_file():
            model.load_weights(path / WEIGHTS_FILE)
        else:
            model._load_encoder(path)
        return model

    def _load_encoder(self, path: Path) -> None:
        encoder = self._encoder()
        pooling = {} if encoder.pooler is not None else {"add_pooling_layer": False}
        found = self._encoder_model.from_pretrained(path, config=self.config, **pooling)
        for own, weight in zip(encoder.weights, found.encoder.weights, strict=True):
            own.assign(weight)
        log.warning(
            "The encoder of %s is that of %s; other weights are new. Train them before "
            "using the outputs.",
            type(self).__name__,
            path,
        )

    def _encoder(self) -> MainLayer:
        found = getattr(self, self.base_model_prefix, None)
        found = found.encoder if isinstance(found, TFPreTrainedModel) else found
        if isinstance(found, MainLayer):
            return found
        layer = self._encoder_model.__name__.removesuffix("Model") + "MainLayer"
        raise ConfigError(
            f"Expected {type(self).__name__}.{self.base_model_prefix} to be an "
            f"encoder, such as {layer}(config). Received: {type(found).__name__}."
        )

    def save_pretrained(self, save_directory: str | Path, **_: Any) -> None:
        """Writes `config.json` and all weights, in the place of those that are there.

        Args:
            save_directory: the directory; created. `from_pretrained` of this class
                reads it.
        """
        self(self.dummy_inputs)
        names = [configs.FILE, WEIGHTS_FILE]
        with new_files(Path(save_directory), names, overwrite=True) as partial:
            (partial / configs.FILE).write_text(self.config.to_json_string(), "utf-8")
            self.save_weights(partial / WEIGHTS_FILE)


vars(sys.modules[__name__]).update(
    {
        f"TF{family.class_prefix}PreTrainedModel": type(
            f"TF{family.class_prefix}PreTrainedModel",
            (OwnModel,),
            {
                "__module__": __name__,
                "__doc__": OwnModel.__doc__,
                "config_class": configs.CONFIGS[model_type],
                "base_model_prefix": family.prefix.rstrip("."),
                "_encoder_model": TF_MODELS[f"TF{family.class_name('encoder')}"],
            },
        )
        for model_type, family in FAMILIES.items()
    }
)


def get_initializer(initializer_range: float = 0.02) -> keras.Initializer:
    """Returns the initializer of BERT: normal, cut off at two standard deviations.

    Args:
        initializer_range: the standard deviation.
    """
    return keras.initializers.TruncatedNormal(stddev=initializer_range)


def shape_list(tensor: Any) -> list[Any]:
    """Returns the sizes of a tensor: numbers where known, otherwise scalars.

    Args:
        tensor: of any shape.
    """
    return list(ops.shape(tensor))


def unpack_inputs(call: Callable) -> Callable:
    """Lets a `call` with an argument for each input take a dict or a list of them.

    Args:
        call: the method.
    """

    @functools.wraps(call)
    def unpacked(self: Any, *args: Any, **kwargs: Any) -> Any:
        first = args[0] if args else None
        if isinstance(first, Mapping):
            return call(self, *args[1:], **{**first, **kwargs})
        given = (*first, *args[1:]) if isinstance(first, list | tuple) else args
        return call(self, *given, **kwargs)

    return unpacked
