"""The model classes of `transformers` for TensorFlow: `TFBertModel` and the others.

Each is the class of this package that has its name without `TF`, called as scripts
written for `transformers` call it.
"""

import dataclasses
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from keras_bert.atomic_files import new_files, whole_directory
from keras_bert.config import Config
from keras_bert.errors import UnknownNameError
from keras_bert.families import FAMILIES
from keras_bert.features import INPUTS
from keras_bert.losses import IGNORED, Objective
from keras_bert.models import MODELS, PreTrainedModel
from keras_bert.models.labels import NAMES as LABELS
from keras_bert.models.labels import split
from keras_bert.transformers import AUTO_KINDS, configs
from keras_bert.transformers.calls import Called, MainLayer
from keras_bert.transformers.names import located

Tensor = Any

# Heads that learn one label of a row; their losses are one for each row too.
ONE_A_ROW = (
    "sequence_classification",
    "multiple_choice",
    "next_sentence",
    "question_answering",
)
OWN_LOSS = ("auto", "auto_with_warning", "passthrough")


class TFPreTrainedModel(Called, PreTrainedModel):
    """What the models of `transformers` have in common; a mixin.

    Args:
        config: of this module or of this package.
        **kwargs: `dtype`, `seed` and `name`, and what the class without `TF` takes.

    Call arguments:
        inputs: `input_ids` `(batch, seq)`, a list of inputs or a dict of them; others
            by position or name.
        labels: and `next_sentence_label`, `start_positions`, `end_positions`: outputs
            then have a `loss`, one for each row where a row has one label, otherwise
            the mean over labels that are not -100.
        output_hidden_states, output_attentions, return_dict: None takes the config's.
        training: with dropout.

    Returns:
        A `ModelOutput`, or a tuple of its values if `return_dict` is False.

    Raises:
        InputError: an input is missing, too long, or holds a value out of range.

    Source: the class of this name in `transformers` 4.57.
    """

    encoder_class = MainLayer

    def call(
        self,
        inputs: Any,
        training: bool = False,
        labels: Any = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> dict[str, Any]:
        asked = {"hidden_states": output_hidden_states, "attentions": output_attentions}
        outputs = self.compute(inputs, training, self.states(asked))
        return (
            outputs
            if labels is None
            else {"loss": self._loss(labels, outputs), **outputs}
        )

    def split_labels(self, given: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        inputs, labels, _ = split(given, self.objectives(self.config))
        inputs = {k: v for k, v in inputs.items() if k not in LABELS or k in INPUTS}
        labels = self._without_padding(labels, inputs)
        return inputs, self._checked_labels(labels, self.check(inputs))

    def _without_padding(self, labels: Any, inputs: Mapping[str, Any]) -> Any:
        """Ignores labels of padding, as the discriminator of `transformers` does."""
        mask = inputs.get("attention_mask")
        if self.kind != "replaced_tokens" or labels is None or mask is None:
            return labels
        return ops.where(ops.convert_to_tensor(mask) > 0, labels, IGNORED)

    def _loss(self, labels: Any, outputs: Mapping[str, Tensor]) -> Tensor:
        objectives = self.objectives(self.config)
        given = (
            labels if isinstance(labels, Mapping) else {next(iter(objectives)): labels}
        )
        parts = [
            self._part(objectives[name], y, outputs[name]) for name, y in given.items()
        ]
        total = sum(parts[1:], parts[0])
        return total

    def _part(self, objective: Objective, labels: Any, logits: Tensor) -> Tensor:
        """Returns the loss of one output: a value, or one for each row."""
        values, weights = objective.new_loss.values(
            ops.convert_to_tensor(labels), ops.cast(logits, "float32")
        )
        if self.kind in ONE_A_ROW:
            values, axes = values * weights, tuple(range(1, len(values.shape)))
            values = ops.mean(values, axis=axes) if axes else values
        else:
            values = ops.sum(values * weights) / ops.sum(weights)
        return values * (objective.loss_weight or 1.0)

    # === Training ===

    def compile(
        self,
        optimizer: Any = None,
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        **kwargs: Any,
    ) -> None:
        """Configures training; without a loss, with the head's own.

        Without metrics there are none: `evaluate` returns the loss.

        Args:
            optimizer, metrics, loss_weights: as for Keras, in this order.
            loss: likewise; it may be `model.hf_compute_loss`.
            **kwargs: further arguments of Keras' `compile`.
        """
        own = getattr(loss, "__self__", None) is self or loss in OWN_LOSS
        if loss_weights is not None:
            kwargs["loss_weights"] = loss_weights
        super().compile(optimizer, None if own else loss, metrics or [], **kwargs)

    def _learned(self, values: Any) -> Any:
        if isinstance(values, tuple):  # with return_dict=False
            values = dict(zip(self.objectives(self.config), values, strict=False))
        return super()._learned(values)

    def hf_compute_loss(self, labels: Any, logits: Any) -> Tensor:
        """Computes the loss of labels, as a call with labels returns it.

        Args:
            labels: of the head; a dict by output where it has several.
            logits: of the model; likewise.
        """
        outputs = logits if isinstance(logits, Mapping) else {"logits": logits}
        return self._loss(labels, outputs)

    def prepare_tf_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        """Returns a `tf.data.Dataset` of batches; see `datasets.prepare_tf_dataset`."""
        from keras_bert.transformers.datasets import prepare_tf_dataset

        return prepare_tf_dataset(self, dataset, *args, **kwargs)

    # === What it holds ===

    def __getattr__(self, name: str) -> Any:
        return self.encoder if name == "base_model" else super().__getattr__(name)

    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        """Returns a layer; the encoder also by its name in `transformers`."""
        is_encoder = name is not None and name == self.base_model_prefix
        return self.encoder if is_encoder else super().get_layer(name, index)

    @property
    def base_model_prefix(self) -> str:
        """The name of the encoder, such as "bert"."""
        return self.family.prefix.rstrip(".")

    @property
    def dummy_inputs(self) -> dict[str, Tensor]:
        """A few ids that the model can be called with."""
        ids = np.arange(1, 6)[None] % self.config.vocab_size
        return {"input_ids": ops.convert_to_tensor(ids, "int32")}

    def num_parameters(self, only_trainable: bool = False) -> int:
        """Returns the number of weights, or of those that are trained."""
        weights = self.trainable_weights if only_trainable else self.weights
        return sum(int(np.prod(w.shape)) for w in weights)

    def get_input_embeddings(self) -> keras.layers.Layer:
        """Returns the layer of word embeddings."""
        return self.encoder.embeddings.word_embeddings

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, **options: Any
    ) -> Any:
        """Changes the size of the vocabulary of this model; returns its embeddings.

        Compile the model afterwards.

        Args:
            new_num_tokens: number of tokens; None changes nothing.
            **options: see `keras_bert.BertModel.resize_token_embeddings`.
        """
        if new_num_tokens is not None or options:
            resized = super().resize_token_embeddings(new_num_tokens, **options)
            # In the place of this one: scripts go on with the model they have.
            self.__dict__.clear()
            self.__dict__.update(resized.__dict__)
        return self.get_input_embeddings()

    # === Files ===

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        config: Any = None,
        **values: Any,
    ) -> Self:
        """Loads a checkpoint of any format.

        Args:
            pretrained_model_name_or_path: a directory, a file, or a name on the
                Hugging Face Hub.
            config: of the model, or where it is; None takes the checkpoint's.
            **values: fields of the config to set differently; `name`, `trainable`,
                `dtype`, `seed`, `ignore_mismatched_sizes`; how to find the checkpoint,
                see `located`.

        Raises:
            CheckpointError: weights are missing, unexpected or misshapen.
        """
        name = str(pretrained_model_name_or_path)
        path = located(name, values)
        if isinstance(config, str | Path):
            config = configs.AutoConfig.from_pretrained(config)
        of_layer = {k: values.pop(k) for k in ("name", "trainable") if k in values}
        fields = cls.family.config.aliases
        values = {fields.get(key, key): value for key, value in values.items()}
        values = {**(_fields(config) if config else {}), **values}
        later = {k: values.pop(k) for k in configs.DEFAULTS if k in values}
        values.update(_named_labels(values.pop("label2id", None), values))
        model = super().from_pretrained(path, **values)
        model.sentence_modules = None  # which transformers does not know
        model.config.update({"name_or_path": name, **later})
        for key, value in of_layer.items():
            setattr(model, key, value)
        return model

    @classmethod
    def from_config(
        cls, config: Any, custom_objects: Any = None, **kwargs: Any
    ) -> Self:
        """Returns a model of a config, or of what Keras stored of one."""
        if isinstance(config, Config):
            return cls(config, **kwargs)
        return super().from_config(config, custom_objects)

    _from_config = from_config

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        saved_model: bool = False,
        version: int = 1,
        push_to_hub: bool = False,
        max_shard_size: Any = None,
        **others: Any,
    ) -> None:
        """Writes `config.json` and weights, in the place of those that are there.

        They are read by `transformers` and by this package. Other files of the
        directory stay.

        Args:
            save_directory: the directory; created.
            saved_model: also export a SavedModel for TF Serving, which takes ids, to
                `saved_model/<version>`.
            version: of the SavedModel.
            push_to_hub: refused.
            max_shard_size: of a file of weights, in bytes or as "5GB".
            **others: accepted where they ask for what is done anyway.
        """
        if push_to_hub:
            self.push_to_hub()
        folder = Path(save_directory)
        _write_checkpoint(self, folder, max_shard_size)
        if saved_model:
            _write_saved_model(self, folder / "saved_model", version)


def _fields(config: Config) -> dict[str, Any]:
    names = (f.name for f in dataclasses.fields(config))
    values = {name: getattr(config, name) for name in names if name != "extra"}
    kept = {k: v for k, v in config.extra.items() if k in configs.DEFAULTS}
    return {**values, **kept}


def _named_labels(ids: Mapping[str, int] | None, values: Mapping[str, Any]) -> dict:
    if ids is None or values.get("id2label") is not None:
        return {}
    return {"id2label": {index: label for label, index in ids.items()}}


def _write_checkpoint(model: Any, folder: Path, max_shard_size: Any) -> None:
    """Writes a checkpoint into a directory that may hold other files."""
    native: Any = super(TFPreTrainedModel, model)
    options = {"max_shard_size": max_shard_size}
    with tempfile.TemporaryDirectory(dir=_existing(folder)) as place:
        new = native.save_pretrained(Path(place, "new"), "huggingface", **options)
        names = sorted((p.name for p in new.iterdir()), key=configs.FILE.__eq__)
        with new_files(folder, names, overwrite=True) as partial:
            _move_all(new, partial)


def _write_saved_model(model: Any, folder: Path, version: int) -> None:
    """Writes a version of a SavedModel, in the place of one that is there."""
    from keras_bert.serving.export import export

    with tempfile.TemporaryDirectory(dir=_existing(folder)) as place:
        new = export(model, Path(place, folder.name), version=version)
        with whole_directory(folder / str(version), replace=True) as partial:
            _move_all(new, partial)


def _move_all(source: Path, target: Path) -> None:
    for path in source.iterdir():
        os.replace(path, target / path.name)


def _existing(folder: Path) -> Path:
    return next(p for p in folder.absolute().parents if p.is_dir())


# === What these models cannot do ===

INSTEAD = {
    "push_to_hub": "huggingface_hub.upload_folder on what save_pretrained() wrote",
    "generate": "a model that generates; an encoder's LMHeadModel gives logits alone",
    "prune_heads": "no pruning: heads are stored together",
    "create_model_card": "a README.md of your own",
    "set_input_embeddings": "model.get_input_embeddings().set_weights([...])",
}


def _refusing(name: str, instead: str) -> Any:
    def refuse(self: Any, *args: Any, **kwargs: Any) -> None:
        raise UnknownNameError(f"Expected {instead}. Received: {name}().")

    refuse.__name__ = name
    refuse.__doc__ = f"Raises: expects {instead}."
    return refuse


for _name, _instead in INSTEAD.items():
    setattr(TFPreTrainedModel, _name, _refusing(_name, _instead))


# === The classes ===


def _class(name: str, bases: tuple[type, ...], doc: str | None) -> type:
    values = {"__doc__": doc, "__module__": __name__}
    register = keras.saving.register_keras_serializable("keras_bert.transformers")
    return register(type(name, bases, values))


TF_MODELS = {
    f"TF{name}": _class(f"TF{name}", (TFPreTrainedModel, model), model.__doc__)
    for name, model in MODELS.items()
}
MAIN_LAYERS = {
    name: _class(name, (MainLayer,), MainLayer.__doc__)
    for name in (f"TF{f.class_prefix}MainLayer" for f in FAMILIES.values())
}


# Kinds of head that an automatic class stands for: a family has one of them.
SAME = {"causal_lm", "lm_head"}, {"pretraining", "replaced_tokens", "sentence_order"}


class _AutoModel:
    """The model of a checkpoint of any family."""

    kind = "encoder"

    def __init__(self) -> None:
        name = type(self).__name__
        raise UnknownNameError(
            f"Expected {name}.from_pretrained(path). Received: {name}()."
        )

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        config: Any = None,
        **values: Any,
    ) -> Any:
        """Loads a checkpoint; see `TFPreTrainedModel.from_pretrained`."""
        finding = dict(values)
        path = located(pretrained_model_name_or_path, finding)
        found = config if isinstance(config, Config) else configs.read_config(path)
        return cls._class_for(found).from_pretrained(path, config=config, **values)

    @classmethod
    def from_config(cls, config: Config, **kwargs: Any) -> Any:
        """Returns a new model of a config."""
        return cls._class_for(config)(config, **kwargs)

    @classmethod
    def _class_for(cls, config: Config) -> type[TFPreTrainedModel]:
        family = FAMILIES[config.model_type]
        same = next((kinds for kinds in SAME if cls.kind in kinds), {cls.kind})
        kind = next(iter(same & {*family.heads}), cls.kind)
        return TF_MODELS[f"TF{family.class_name(kind)}"]


AUTO_MODELS = {
    name: type(name, (_AutoModel,), {"kind": kind, "__module__": __name__})
    for name, kind in AUTO_KINDS.items()
}
vars(sys.modules[__name__]).update({**TF_MODELS, **MAIN_LAYERS, **AUTO_MODELS})
