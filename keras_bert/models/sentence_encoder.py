"""An encoder with what makes one vector of a text: pooling, dense layers, scaling."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np

from keras_bert import families
from keras_bert.config import Config
from keras_bert.errors import CheckpointError, ConfigError
from keras_bert.layers import activations
from keras_bert.layers.pooling import pool, unit_length
from keras_bert.models.encoder import Encoded, Encoder
from keras_bert.models.heads import EncoderOutputs
from keras_bert.models.pretrained import PreTrainedModel
from keras_bert.sentence_recipe import DENSE, SentenceRecipe, Step

Tensor = Any
log = logging.getLogger(__name__)
BY_DEFAULT = SentenceRecipe.of("mean", normalize=True)


@keras.saving.register_keras_serializable(package="keras_bert")
class SentenceEncoder(EncoderOutputs):
    """Makes one vector of each text; of any family.

    Args:
        config: the hyper-parameters of the encoder.
        recipe: how vectors are made, or what `SentenceRecipe.to_dict` returned; by
            default the mean of the tokens' states, scaled to length 1.
        pooler: hold BERT's pooler too, also where the recipe does not use it.
        encoder: one to take instead of a new one.
        dtype, seed, name: see `PreTrainedModel`.

    Attributes:
        recipe: how vectors are made.

    Returns:
        A dict: `embeddings`, float32 `(batch, width)`.

    Example:
        >>> from keras_bert import BertConfig, SentenceEncoder
        >>> model = SentenceEncoder(BertConfig.preset("tiny", vocab_size=99))
        >>> model({"input_ids": np.array([[1, 2, 3]])})["embeddings"].shape
        TensorShape([1, 128])

    Source: Reimers and Gurevych 2019 (arXiv:1908.10084); sentence-transformers.
    """

    family = next(iter(families.FAMILIES.values()))  # in a model, that of its config

    def __init__(
        self,
        config: Config,
        recipe: SentenceRecipe | Mapping[str, Any] = BY_DEFAULT,
        *,
        pooler: bool = False,
        encoder: Encoder | None = None,
        **kwargs: Any,
    ):
        if not isinstance(recipe, SentenceRecipe):
            recipe = SentenceRecipe.from_dict(recipe)
        pooler = pooler or "pooler" in recipe.pooling
        pooler = pooler if encoder is None else encoder.pooler is not None
        # The family before anything asks for a name, see `__getattr__`.
        own: Any = vars(self)
        own.update(family=families.of(config), recipe=recipe, _pooler=pooler)
        super().__init__(config, encoder=encoder, **kwargs)
        self._options = {"recipe": recipe.to_dict(), "pooler": pooler}

    @classmethod
    def of(cls, model: PreTrainedModel, recipe: SentenceRecipe = BY_DEFAULT) -> Self:
        """Returns a model that shares the encoder of another one, and its tokenizer.

        Args:
            model: any model of this package.
            recipe: how vectors are made.

        Raises:
            ConfigError: it has no pooler, and the recipe asks for one.
        """
        options = {"dtype": model.dtype_policy, "seed": model.seed}
        made = cls(model.config, recipe, encoder=model.encoder, **options)
        made.find_tokenizer, made._tokenizer = model.find_tokenizer, model._tokenizer
        made.tokenizer_attached = model.tokenizer_attached
        made.sentence_modules = model.sentence_modules
        return made

    def normalized(self) -> "SentenceEncoder":
        """Returns a model with the same encoder whose vectors have length 1."""
        if self.recipe.normalizes:
            return self
        made = type(self).of(self, self.recipe.normalized())
        for new, old in zip(made.dense_layers(), self.dense_layers(), strict=True):
            new.set_weights(old.get_weights())
        return made

    def bare(self) -> PreTrainedModel:
        """Returns a model of the encoder alone, which answers with states."""
        options = {"dtype": self.dtype_policy, "encoder": self.encoder}
        kind = model_class(self.architecture)
        return kind(self.config, add_pooling_layer=self._pooler, **options)

    # === Outputs ===

    @property
    def parts_held(self) -> tuple[str, ...]:
        held = self.family.heads[self.kind]
        return tuple(part for part in held if part != "pooler" or self._pooler)

    def make_head(self) -> None:
        if "pooler" in self.recipe.pooling and self.encoder.pooler is None:
            raise ConfigError(
                "Expected a model with a pooler for the pooling 'pooler'; this one has "
                "none. Choose another pooling: mean, cls, max."
            )
        width = len(self.recipe.pooling) * self.config.hidden_size
        for number, step in enumerate(self.recipe.dense):
            name, options = f"dense_{number}", {"use_bias": step.bias}
            dense = self.add_dense(step.units, name, width, dtype="float32", **options)
            setattr(self, name, dense)
            width = step.units

    # No property, under which Keras' files would hold the layers once more.
    def dense_layers(self) -> list[keras.layers.Dense]:
        """Returns the dense layers, in order."""
        return [getattr(self, f"dense_{i}") for i in range(len(self.recipe.dense))]

    def outputs(
        self, encoded: Encoded, inputs: Mapping[str, Tensor], training: bool
    ) -> dict[str, Tensor]:
        names, pooler_output = self.recipe.pooling, None
        if "pooler" in names:
            pooler_output = self.pooled(encoded, inputs)
        mask = inputs["attention_mask"]
        vectors = pool(encoded.last_hidden_state, mask, names, pooler_output)
        dense = iter(self.dense_layers())
        for step in self.recipe.steps:
            vectors = _applied(step, vectors, dense)
        return {"embeddings": vectors}

    @property
    def width(self) -> int:
        """How many numbers a vector has."""
        return self.recipe.width(self.config.hidden_size)

    def max_text_length(self, tokenizer: Any) -> int:
        limit = self.recipe.max_length or tokenizer.model_max_length
        return min(self.config.max_length, limit)

    # === Files ===

    def modules_to_save(self) -> Any:
        """Returns the modules of sentence-transformers, with today's weights.

        Those of the folder it was read from, if it makes vectors as that does.
        """
        from keras_bert.checkpoints import sentence_weights

        weights = self.merged_weights()
        dense = [_arrays(layer, weights) for layer in self.dense_layers()]
        modules, width = self.sentence_modules, self.config.hidden_size
        if modules is not None and modules.recipe() == self.recipe:
            return sentence_weights.with_weights(modules, dense)
        return sentence_weights.new_modules(self.recipe, width, dense)

    def save_pretrained(
        self, path: str | Path, format: str = "huggingface", *args: Any, **options: Any
    ) -> Path:
        """Writes a folder that `from_pretrained` and sentence-transformers read.

        Args:
            path: the directory; it appears whole or not at all.
            format: see `PreTrainedModel.save_pretrained`; sentence-transformers reads
                "huggingface" alone.
            *args, **options: see there.
        """
        return super().save_pretrained(path, format, *args, **options)

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        recipe: SentenceRecipe | None = None,
        dtype: Any = None,
        seed: int | None = None,
        **options: Any,
    ) -> Self:
        """Loads the encoder of a checkpoint, and the modules of its folder.

        Args:
            path: a folder of sentence-transformers, or a checkpoint of any format, see
                `PreTrainedModel.from_pretrained`.
            recipe: how vectors are made; None takes that of the folder, or else the
                mean of the tokens' states, scaled to length 1, which the log says.
            dtype: dtype policy of the model.
            seed: seed of dense layers that the folder does not have, and of dropout.
            **options: of `PreTrainedModel.from_pretrained`.

        Raises:
            CheckpointError: weights are missing, unexpected or misshapen; or the
                folder has a module that this package does not compute.

        Example:
            >>> SentenceEncoder.from_pretrained("all-MiniLM-L6-v2")  # doctest: +SKIP
        """
        from keras_bert.loading import load_encoder

        pooler = recipe is not None and "pooler" in recipe.pooling
        options |= {"dtype": dtype, "seed": seed}
        encoder = load_encoder(model_class, path, pooler, **options)
        made = cls.of_folder(encoder, getattr(path, "path", path), recipe)
        if made.encoder.pooler and "pooler" not in made.recipe.pooling:
            made.encoder.pooler.trainable = False  # kept for those who read it again
        return made

    @classmethod
    def of_folder(
        cls,
        model: PreTrainedModel,
        path: str | Path = "",
        recipe: SentenceRecipe | None = None,
    ) -> Self:
        """Returns a model of an encoder and the modules that it was read with.

        Args:
            model: an encoder.
            path: of the checkpoint, for messages.
            recipe: see `from_pretrained`.
        """
        modules = model.sentence_modules
        if recipe is None and modules is not None:
            made = cls.of(model, modules.recipe())
            made._take_weights(modules)
            return made
        if recipe is None:
            log.warning(
                "%s does not say how vectors are made: the mean of the tokens' states "
                "is taken, scaled to length 1.",
                path or type(model).__name__,
            )
        return cls.of(model, recipe or BY_DEFAULT)

    def _take_weights(self, modules: Any) -> None:
        from keras_bert.checkpoints import sentence_weights

        read = zip(
            modules.dense,
            self.dense_layers(),
            sentence_weights.read(modules),
            strict=True,
        )
        for folder, layer, arrays in read:
            if unknown := arrays.keys() - {variable.name for variable in layer.weights}:
                raise CheckpointError(
                    f"Expected no {min(unknown)} in {modules.source}/{folder}, as its "
                    "config.json says. Received: one."
                )
            for variable in layer.weights:
                _assign(variable, arrays, f"{modules.source}/{folder}")


def model_class(name: str) -> Any:
    """Returns a model class of this package by its name."""
    return keras.saving.get_registered_object(f"keras_bert>{name}")


def _applied(step: Step, vectors: Tensor, dense: Any) -> Tensor:
    if step.kind != DENSE:
        return unit_length(vectors)
    vectors = next(dense)(vectors)
    return activations.get(step.activation)(vectors)


def _assign(variable: Any, arrays: Mapping[str, np.ndarray], place: str) -> None:
    array = arrays.get(variable.name)
    shape = tuple(variable.shape)
    if array is None or array.shape != shape:
        received = "none" if array is None else f"one of shape {array.shape}"
        raise CheckpointError(
            f"Expected a {variable.name} of shape {shape} (inputs, units) in {place}. "
            f"Received: {received}."
        )
    variable.assign(array)


def _arrays(layer: Any, weights: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    held = {v.name: weights[v.path] for v in layer.weights if v.path in weights}
    return {name: keras.ops.convert_to_numpy(x) for name, x in held.items()}
