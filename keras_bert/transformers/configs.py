"""Configs as `transformers` has them: any value may be set, and none is missing."""

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from keras_bert import families
from keras_bert.config import Config, read_json_file
from keras_bert.errors import UnknownNameError, choose

FILE = "config.json"
# What every config of `transformers` says, where none of ours does.
DEFAULTS: Mapping[str, Any] = {
    "return_dict": True,
    "use_return_dict": True,
    "finetuning_task": None,
    "is_encoder_decoder": False,
    "use_cache": True,
    "architectures": None,
    "name_or_path": "",
    "_name_or_path": "",
    "torchscript": False,
    "task_specific_params": None,
}


class PretrainedConfig(Config):
    """The hyper-parameters of a model, which can be set after it is made.

    A config of this package with the methods of `transformers`. Values that the model
    has no use for are kept, and are attributes too.

    Args:
        **values: fields of the config, by the names of `config.json`.

    Raises:
        ConfigError: a value cannot be used.

    Example:
        >>> from keras_bert.transformers import BertConfig
        >>> config = BertConfig(num_labels=3)
        >>> config.id2label[2], config.hidden_size
        ('LABEL_2', 768)
        >>> config.num_labels = 5
        >>> len(config.label2id)
        5

    Source: `PretrainedConfig` in `transformers` 4.57.
    """

    native: type[Config]

    def __init__(self, **values: Any):
        kept = values.pop("extra", {})
        made = self.native.from_dict({**kept, **values})
        if made.id2label is None:
            made = made.replace(id2label=dict(enumerate(made.labels)))
        for field in dataclasses.fields(made):
            object.__setattr__(self, field.name, getattr(made, field.name))

    def _values(self) -> dict[str, Any]:
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {**values.pop("extra"), **values}

    def __setattr__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def __getattr__(self, name: str) -> Any:
        extra = self.__dict__.get("extra", {})
        for known in (extra, DEFAULTS):
            if name in known:
                return known[name]
        raise AttributeError(f"{type(self).__name__} has no {name!r}")

    def update(self, values: Mapping[str, Any]) -> None:
        """Sets several values, which are checked together."""
        values = {self.aliases.get(name, name): v for name, v in values.items()}
        kept = self._values()
        if values.get("num_labels", self.num_labels) != self.num_labels:
            kept["id2label"] = None
        if "label2id" in values and "id2label" not in values:
            kept["id2label"] = None
        # Not that of a subclass, which may set values itself.
        PretrainedConfig.__init__(self, **{**kept, **values})

    @property
    def label2id(self) -> dict[str, int]:
        """The classes by name."""
        return {label: index for index, label in enumerate(self.labels)}

    # === Files ===

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, **values: Any
    ) -> Self:
        """Reads the config of a checkpoint of any format.

        Args:
            pretrained_model_name_or_path: a directory, a file, or a name on the
                Hugging Face Hub.
            **values: fields to set differently, and how to find the checkpoint; see
                `keras_bert.transformers.names`.
        """
        from keras_bert.transformers.names import located

        path = located(pretrained_model_name_or_path, values)
        return cls._like(read_config(path), values)

    @classmethod
    def _like(cls, config: Config, values: Mapping[str, Any]) -> Self:
        if config.model_type != cls.model_type:
            cls.from_dict(config.to_dict())  # says so
        fields = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
        made = cls(**{**fields.pop("extra"), **fields})
        made.update(values)
        return made

    def save_pretrained(self, folder: str | Path, **_: Any) -> None:
        """Writes `config.json` into a directory, in the place of one that is there."""
        from keras_bert.atomic_files import new_files

        with new_files(folder, [FILE], overwrite=True) as partial:
            (partial / FILE).write_text(self.to_json_string(), "utf-8")

    def to_json_file(self, file: str | Path, **_: Any) -> None:
        """Writes the config into a file, in the place of one that is there."""
        from keras_bert.atomic_files import new_file

        with new_file(file, overwrite=True) as partial:
            partial.write_text(self.to_json_string(), "utf-8")

    def to_json_string(self, use_diff: bool = True) -> str:
        return super().to_json_string()

    to_diff_dict = Config.to_dict


def read_config(path: Path) -> Config:
    """Reads the config of a checkpoint, or of a directory that has no weights."""
    from keras_bert.checkpoints import formats

    for file in (path, path / FILE, path / "bert_config.json"):
        if file.is_file() and file.suffix == ".json":
            return families.read_config(read_json_file(file))
    return formats.read(path).config


def _config_class(native: type[Config]) -> type[PretrainedConfig]:
    values = {
        "native": native,
        "__module__": __name__,
        "__doc__": f"The config of a {native.model_type}; see `PretrainedConfig`.",
    }
    return type(native.__name__, (PretrainedConfig, native), values)


CONFIGS = {
    model_type: _config_class(family.config)
    for model_type, family in families.FAMILIES.items()
}
vars(sys.modules[__name__]).update({c.__name__: c for c in CONFIGS.values()})


def of(config: Config) -> PretrainedConfig:
    """Returns a config as `transformers` has it."""
    if isinstance(config, PretrainedConfig):
        return config
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    return CONFIGS[config.model_type](**values)


class AutoConfig:
    """The config of a checkpoint of any family."""

    def __init__(self) -> None:
        raise UnknownNameError("Expected AutoConfig.from_pretrained(path).")

    @staticmethod
    def from_pretrained(
        pretrained_model_name_or_path: str | Path, **values: Any
    ) -> PretrainedConfig:
        """Reads the config of a checkpoint; see `PretrainedConfig.from_pretrained`."""
        from keras_bert.transformers.names import located

        config = read_config(located(pretrained_model_name_or_path, values))
        return CONFIGS[config.model_type]._like(config, values)

    @staticmethod
    def for_model(model_type: str, **values: Any) -> PretrainedConfig:
        """Returns a config of a family by its `model_type`."""
        return CONFIGS[choose("model type", model_type, CONFIGS)](**values)
