"""What all models share: an encoder, a head, other sizes and forms, files."""

import inspect
from collections import UserList
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import keras

from keras_bert.config import Config
from keras_bert.families.family import Family
from keras_bert.features import SERVED_INPUTS
from keras_bert.layers import MaskedLMTransform
from keras_bert.models import keras_hub, lora, quantization, resizing
from keras_bert.models.encoder import Encoded, Encoder
from keras_bert.models.flat_files import flat_layers, is_flat, refuse_other_layers
from keras_bert.models.texts import TakesTexts
from keras_bert.models.training import Trainable
from keras_bert.tokenization import BertTokenizer

Tensor = Any
STATES = ("hidden_states", "attentions")


class PreTrainedModel(TakesTexts, Trainable):
    """An encoder with a head.

    A head is a subclass: it makes its layers in `make_head()` and computes its outputs
    in `outputs()`; see `keras_bert.models.heads`. A public model names the family too.

    Args:
        config: the hyper-parameters.
        dtype, seed, name: see `BaseModel`.
        encoder: one to take instead of a new one.
        **options: what a head's `parts_for` knows.

    Attributes:
        encoder: the encoder, a Keras model to freeze, call or nest; also under the name
            that Hugging Face's model classes give it, such as `bert`.
        tokenizer: makes ids of texts given to the model, see `TakesTexts`.

    Call arguments:
        inputs: a dict with `input_ids` `(batch, seq)` and, optionally,
            `attention_mask` (derived from the pad id), `token_type_ids` (zeros),
            `position_ids` (0, 1, 2 …); a list of these; or `input_ids` alone, the
            others following by position or by name. The names of Google, the Model
            Garden and KerasHub are understood. With a tokenizer, texts: a list of
            strings, pairs as a list of tuples, or `text` and `text_pair` in a dict. For
            rows packed with several pieces,
            `cls_positions` `(batch, pieces)`, see `keras_bert.layers.attention_bias`.

    Raises:
        InputError: an input is missing, too long, or holds an id out of range.
        UnknownNameError: an input has an unknown name.
    """

    family: ClassVar[Family]
    kind: ClassVar[str]  # of head, a key of `Family.heads`
    # Outputs are computed token by token, of tokens in any order.
    per_token: ClassVar[bool] = False
    internal: ClassVar[tuple[str, ...]] = ()  # outputs that calls do not return
    encoder_class: ClassVar[type[Encoder]] = Encoder
    _reads_flat_file = False

    def __init__(
        self,
        config: Config,
        *,
        dtype: Any = None,
        seed: int | None = None,
        name: str | None = None,
        encoder: Encoder | None = None,
        **options: Any,
    ):
        super().__init__(config, dtype=dtype, seed=seed, name=name)
        del self.quantize  # Keras' wrapper, which knows other modes
        self._options = options
        if encoder is None:
            pooler = "pooler" in self.parts_held
            encoder = self.encoder_class(config, pooler, dtype=dtype, seed=seed)
        self.encoder = encoder
        self.make_head()
        self.built = True

    # === What a head defines ===

    def make_head(self) -> None:
        """Makes the head's layers; called once."""

    def rows(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Returns the inputs as the encoder takes them, `(batch, seq)`."""
        return inputs

    def outputs(
        self, encoded: Encoded, inputs: dict[str, Tensor], training: bool
    ) -> dict[str, Tensor]:
        """Computes the head's outputs by name.

        Args:
            encoded: of the encoder.
            inputs: of the model, completed.
            training: with dropout.
        """
        raise NotImplementedError

    # === Calling ===

    # Not a property: Keras' files would then hold the encoder's weights under it.
    def __getattr__(self, name: str) -> Any:
        if name == self.family.prefix.rstrip("."):
            return self.encoder
        # PyTorch's modules have one; elsewhere this raises what a property raised.
        parent: Any = super()
        return getattr(parent, "__getattr__", parent.__getattribute__)(name)

    def call(self, inputs: Any, training: bool = False) -> Any:
        outputs = self.all_outputs(inputs, training)
        outputs = {k: x for k, x in outputs.items() if k not in self.internal}
        return outputs["logits"] if list(outputs) == ["logits"] else outputs

    def all_outputs(self, inputs: Any, training: bool = False) -> dict[str, Any]:
        """Computes what calls return, and what they do not, by name."""
        asked = [x for x in STATES if getattr(self.config, f"output_{x}")]
        return self.compute(inputs, training, asked)

    def compute(
        self, inputs: Any, training: bool = False, states: Iterable[str] = ()
    ) -> dict[str, Any]:
        """Computes outputs by name.

        Args:
            inputs: of the model.
            training: with dropout.
            states: of `STATES`, those of the encoder to return too.
        """
        inputs = self.complete(inputs)
        encoded = self.encoder.encode(self.rows(inputs), training=training)
        outputs = self.outputs(encoded, inputs, training)
        return {**outputs, **{name: getattr(encoded, name) for name in states}}

    def pooled(self, encoded: Encoded, inputs: Mapping[str, Tensor]) -> Tensor:
        """Pools the first token, or the first of every piece of a packed row."""
        hidden, positions = encoded.last_hidden_state, inputs.get("cls_positions")
        return self.encoder.pooler(hidden, positions)

    def add_transform(self) -> Any:
        """Makes the transform of a masked LM, in families where all heads have it."""
        if not self.family.transforms:
            return None
        return self.add_layer(MaskedLMTransform, "masked_lm")

    def add_output(self, units: int, name: str) -> keras.layers.Dense:
        """Makes a dense layer whose outputs are float32 under every dtype policy."""
        return self.add_dense(units, name, self.config.hidden_size, dtype="float32")

    # === Other sizes and forms ===

    @classmethod
    def parts_for(cls) -> tuple[str, ...]:
        """Returns the parts of a checkpoint that a model of this class holds."""
        return cls.family.heads[cls.kind]

    @property
    def parts_held(self) -> tuple[str, ...]:
        """The parts of a checkpoint that this model holds."""
        return self.parts_for(**self._options)

    @property
    def architecture(self) -> str:
        """The name of this class of model in `config.json`."""
        return self.family.class_name(self.kind)

    def like(self, config: Config, seed: int | None = None) -> "PreTrainedModel":
        """Returns a new model of the same class, dtype and options.

        Args:
            config: its config.
            seed: of its initial values and dropout.
        """
        return type(self)(config, dtype=self.dtype_policy, seed=seed, **self._options)

    resize_token_embeddings = resizing.resize_token_embeddings
    quantize = quantization.quantize
    merged_weights = quantization.merged_weights
    add_lora, merge_lora = lora.add_lora, lora.merge_lora
    save_adapter, load_adapter = lora.save_adapter, lora.load_adapter
    frozen_by_lora: Sequence[Any] = ()
    newly_initialized: Collection[str] = ()  # parts that its checkpoint did not hold

    # === Files ===

    def get_config(self) -> dict:
        mode = quantization.mode_of(self)
        quantized = {"quantization": mode} if mode else {}
        return {**super().get_config(), **quantized, **self._options}

    @classmethod
    def from_config(cls, config: dict, custom_objects: Any = None) -> Self:
        config = dict(config)
        mode, tokenizer = (
            config.pop("quantization", None),
            config.pop("tokenizer", None),
        )
        model = super().from_config(config)
        if tokenizer:
            model.tokenizer = BertTokenizer(**tokenizer)
        if mode:
            model.quantize(mode)
        return model

    @property
    def layers(self) -> list | UserList:
        """The layers, the encoder first."""
        if self._reads_flat_file:
            self._reads_flat_file = False
            return flat_layers(self)
        return super().layers

    def export(self, filepath: str | Path, *args: Any, **kwargs: Any) -> None:
        """Exports the graph by Keras; see `keras.Model.export`.

        Without an `input_signature`, that of `input_ids`, `attention_mask` and
        `token_type_ids`. `keras_bert.serving.export` writes SavedModels that take text
        and hold every weight once.
        """
        given = inspect.signature(super().export).bind(filepath, *args, **kwargs)
        spec = keras.InputSpec(dtype="int32", shape=(None,) * (2 + self.choices))
        inputs = {name: spec for name in SERVED_INPUTS}
        given.arguments.setdefault("input_signature", [inputs])
        super().export(*given.args, **given.kwargs)

    def load_weights(
        self, filepath: str | Path, skip_mismatch: bool = False, **kwargs: Any
    ) -> None:
        """Loads a `.weights.h5` file of a model of this class; see `keras.Model`.

        Args:
            filepath: the file.
            skip_mismatch: read what fits, of a file of another model too.
            **kwargs: further arguments of Keras' method.

        Raises:
            CheckpointError: the file is of another model; nothing is loaded.
        """
        if not skip_mismatch:
            refuse_other_layers(self, filepath)
        super().load_weights(filepath, skip_mismatch=skip_mismatch, **kwargs)

    def load_own_variables(self, store: Any) -> None:
        """Prepares for what Keras then does: reading the file layer by layer."""
        self._reads_flat_file = is_flat(store)
        super().load_own_variables(store)

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        dtype: Any = None,
        seed: int | None = None,
        ignore_mismatched_sizes: bool = False,
        config: Config | None = None,
        config_file: str | Path | None = None,
        drop: Collection[str] = (),
        strict: bool = False,
        **overrides: Any,
    ) -> Self:
        """Loads a checkpoint of any format, recognized by what is in its files.

        Args:
            path: our own directory, a checkpoint of Google's TF1 code or of the
                Model Garden (directory or prefix), a TF-Hub SavedModel, a Hugging
                Face directory, a KerasHub preset, or `hf://org/name@revision`.
            dtype: dtype policy of the model.
            seed: seed of a head that the checkpoint does not hold.
            ignore_mismatched_sizes: make a new head where the checkpoint's has
                another number of labels.
            config: a config to use instead of the one next to the weights.
            config_file: the file of such a config.
            drop: names of tensors or parts of the checkpoint to leave out.
            strict: refuse tensors that belong to no part of a model, which are
                otherwise left out with a warning.
            **overrides: config fields to set differently; and options of the download
                (`revision`, `cache_dir`, `token`, `local_files_only`), see
                `keras_bert.hub.local_path`.

        Returns:
            The model. A head, or a pooler, that the checkpoint does not hold is
            new, and a warning says so.

        Raises:
            CheckpointError: weights are missing, unexpected or misshapen.

        Example:
            >>> model = BertForSequenceClassification.from_pretrained(
            ...     "ckpt/", num_labels=3)  # doctest: +SKIP
        """
        from keras_bert.loading import load_pretrained

        return load_pretrained(
            cls,
            path,
            dtype=dtype,
            seed=seed,
            ignore_mismatched_sizes=ignore_mismatched_sizes,
            config=config,
            config_file=config_file,
            drop=drop,
            strict=strict,
            **overrides,
        )

    def save_pretrained(
        self,
        path: str | Path,
        format: str = "keras",
        tokenizer: Any = None,
        overwrite: bool = False,
        **options: Any,
    ) -> Path:
        """Writes a directory that `from_pretrained` and the format's own library read.

        It holds weights and config. Frozen layers, activation checkpointing and the
        optimizer are kept by `.keras` files (`model.save`).

        Args:
            path: the directory; it appears whole or not at all.
            format: "keras" (our own), "huggingface", "google", "model_garden" or
                "keras_hub".
            tokenizer: written next to the weights; None takes one that was set as
                `model.tokenizer`.
            overwrite: replace the directory if it is there.
            **options: what the format knows, such as `file_format="bin"`.

        Returns:
            The directory.

        Raises:
            ExistingOutputError: the directory is there and `overwrite` is False.
            ConfigError: the model is quantized.
        """
        from keras_bert.loading import save_pretrained

        if tokenizer is None and self.tokenizer_attached:
            tokenizer = self.tokenizer
        return save_pretrained(
            self, path, format, tokenizer=tokenizer, overwrite=overwrite, **options
        )

    @classmethod
    def from_keras_hub(cls, model: Any, **options: Any) -> Self:
        """Builds a model from one of KerasHub in memory, with its tokenizer.

        Args:
            model: a backbone or a task, such as `keras_hub.models.BertBackbone` or
                `BertTextClassifier`.
            **options: of `from_pretrained`; the dtype policy is the backbone's.

        Returns:
            The model. Weights are the same bit by bit; what is frozen, and the
            optimizer, are not taken over.

        Raises:
            InputError: it is no model of KerasHub.
            CheckpointError: it is one of another family, or returns probabilities.

        Example:
            >>> BertModel.from_keras_hub(backbone)  # doctest: +SKIP
        """
        return keras_hub.from_keras_hub(cls, model, **options)

    def to_keras_hub(self) -> Any:
        """Builds a model of KerasHub: a task with its preprocessor, or a backbone.

        Returns:
            A text classifier or masked LM for such a head, which takes texts if a
            tokenizer is attached; the backbone for the encoder alone.

        Raises:
            MissingExtraError: KerasHub is not installed.
            CheckpointError: KerasHub has no such head, or other constants in it.
        """
        return keras_hub.to_keras_hub(self)
