"""What all models share: inputs completed, files, a complete `compile()`."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from keras_bert.config import Config
from keras_bert.errors import ConfigError, InputError
from keras_bert.families.bert import BertConfig
from keras_bert.features import ENCODER_INPUTS, INPUTS
from keras_bert.models.compilation import jit_compile_by_default
from keras_bert.models.encoder import Encoder
from keras_bert.models.quantization import mode_of, quantize
from keras_bert.optimizers import AdamW, scale_float16

Tensor = Any


class BertPreTrainedModel(keras.Model):
    """An encoder with a head, as one flat functional model.

    A subclass names the parts of a checkpoint it holds and the head that makes
    its outputs; see `keras_bert.models.heads`.

    Args:
        config: the hyper-parameters.
        dtype: dtype policy, for instance "mixed_bfloat16"; None takes Keras' global
            one.
        seed: seed of initial values and dropout; None takes Keras' global one.
        name: name of the model.
        **options: what a subclass' `parts_for` knows.

    Call arguments:
        inputs: a dict with `input_ids` `(batch, seq)` and, optionally,
            `attention_mask` (derived from the pad id), `token_type_ids` (zeros),
            `position_ids` (0, 1, 2 …); or `input_ids` alone. Unknown keys are
            dropped. For rows packed with several pieces, `cls_positions`
            `(batch, pieces)`, see `keras_bert.layers.AttentionBias`.

    Raises:
        InputError: an input is missing, too long, or holds an id out of range.
    """

    parts: ClassVar[tuple[str, ...]] = ("encoder",)
    head: ClassVar[type]
    input_names: ClassVar[tuple[str, ...]] = ENCODER_INPUTS

    def __init__(
        self,
        config: Config,
        *,
        dtype: Any = None,
        seed: int | None = None,
        name: str | None = None,
        **options: Any,
    ):
        pooler = "pooler" in self.parts_for(**options)
        encoder = Encoder(config, pooler, dtype, seed)
        head = self.head(config, encoder, dtype=dtype, seed=seed)
        inputs = {key: _make_input(key, head.choices) for key in self.input_names}
        encoded = encoder(head.rows(inputs))
        super().__init__(
            inputs=inputs, outputs=_outputs(config, head(encoded, inputs)), name=name
        )
        self.config = config
        self.seed = seed
        self.policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
        self.encoder = encoder
        # Out of Keras' sight: the packed graph owns no layer that this one lacks.
        self._held = SimpleNamespace(
            packed=_packed_graph(head, encoded, inputs), options=options, head=head
        )

    @property
    def parts_held(self) -> tuple[str, ...]:
        """The parts of a checkpoint that this model holds."""
        return self.parts_for(**self._held.options)

    @property
    def head_layers(self) -> Any:
        """The head, an object of the class `head`, to apply once more."""
        return self._held.head

    @classmethod
    def parts_for(cls) -> tuple[str, ...]:
        """Returns the parts of a checkpoint that a model of this class holds."""
        return cls.parts

    # === Vocabulary ===

    def like(self, config: Config, seed: int | None = None):
        """Returns a new model of the same class, dtype and options.

        Args:
            config: its config.
            seed: of its initial values and dropout.
        """
        return type(self)(config, dtype=self.policy, seed=seed, **self._held.options)

    def resize_token_embeddings(
        self,
        new_size: int | None = None,
        *,
        pad_to_multiple_of: int | None = None,
        seed: int | None = None,
    ):
        """Returns a model with another size of vocabulary.

        The word embeddings, the masked-LM output matrix that is tied to them and the
        masked-LM bias change together; all else is copied. A functional model cannot
        change its shapes, so this one stays as it is and the new one is not compiled.
        Add the tokens to the tokenizer, at the end, too.

        Args:
            new_size: number of tokens; fewer cut the last ones off, None keeps the
                number, for padding alone.
            pad_to_multiple_of: rounds the number up; a multiple of 64 or 128 suits
                GPUs and TPUs.
            seed: of the new rows, drawn as for a new model (new biases are zero);
                None takes the model's own.

        Raises:
            InputError: a size below one.
            ConfigError: the pad token would be cut off.

        Example:
            >>> from keras_bert import BertConfig, BertModel
            >>> config = BertConfig(
            ...     vocab_size=37, hidden_size=8, num_hidden_layers=1,
            ...     num_attention_heads=2, intermediate_size=8)
            >>> model = BertModel(config).resize_token_embeddings(
            ...     40, pad_to_multiple_of=16)
            >>> model.config.vocab_size
            48

        Source: Hugging Face's method of this name.
        """
        from keras_bert.models.resizing import resize_token_embeddings

        return resize_token_embeddings(
            self, new_size, pad_to_multiple_of=pad_to_multiple_of, seed=seed
        )

    # === Calling ===

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        inputs = self.complete(inputs)
        if "cls_positions" in inputs:
            return self._held.packed(inputs, *args, **kwargs)
        return super().__call__(inputs, *args, **kwargs)

    # JAX's trainer comes here directly, without `__call__`.
    def call(self, inputs: Any, training=None, mask=None) -> Any:
        inputs = self.complete(inputs)
        if "cls_positions" in inputs:
            return self._held.packed.call(inputs, training=training)
        return super().call(inputs, training=training, mask=mask)

    def complete(self, inputs: Any) -> dict[str, Tensor]:
        """Returns all inputs of the model: those given, and the rest derived.

        Args:
            inputs: a dict, or `input_ids` alone.

        Raises:
            InputError: `input_ids` is missing, or an input cannot be used.
        """
        given = inputs if isinstance(inputs, Mapping) else {"input_ids": inputs}
        given = {k: v for k, v in given.items() if v is not None}
        if "input_ids" not in given:
            raise InputError(
                f"Expected a dict with 'input_ids'. Received keys: {sorted(given)}."
            )
        self.check(given)
        ids = ops.convert_to_tensor(given["input_ids"], dtype="int32")
        packed = "cls_positions" in given and self._held.packed is not None
        names = [*self.input_names, *(["cls_positions"] if packed else [])]
        return {
            key: ops.convert_to_tensor(given[key], dtype="int32")
            if key in given
            else _DERIVED[key](ids, self.config)
            for key in names
        }

    def check(self, inputs: Any) -> None:
        """Refuses rows longer than the position table, and ids out of range.

        Values are looked at only where they are at hand, in NumPy arrays and
        lists; the length is known while tracing too.

        Raises:
            InputError: naming the input, what it holds and what it may hold.
        """
        inputs = inputs if isinstance(inputs, Mapping) else {"input_ids": inputs}
        limits = {
            "input_ids": self.config.vocab_size,
            "token_type_ids": self.config.type_vocab_size,
            "position_ids": self.config.max_position_embeddings,
        }
        for name, limit in limits.items():
            if isinstance(inputs.get(name), (np.ndarray, list, tuple)):
                _check_range(name, np.asarray(inputs[name]), limit)
        ids = inputs.get("input_ids")
        length = np.shape(ids)[-1:] if isinstance(ids, list) else tuple(ids.shape)[-1:]
        longest = self.config.max_position_embeddings
        if length and length[0] is not None and length[0] > longest:
            raise InputError(
                f"Expected rows of at most {longest} tokens "
                f"(max_position_embeddings). Received: {length[0]}. Truncate the "
                "text, for instance with tokenizer(..., max_length=...)."
            )

    # Keras turns the arrays given to these into tensors before it calls the
    # model, and an id out of range is then undefined on most devices.
    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        self._check_arrays(x)
        return super().fit(x, *args, **kwargs)

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        self._check_arrays(x)
        return super().evaluate(x, *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        self._check_arrays(x)
        return super().predict(x, *args, **kwargs)

    def _check_arrays(self, x: Any) -> None:
        values = x if isinstance(x, Mapping) else {"input_ids": x}
        if isinstance(values.get("input_ids"), (np.ndarray, list)):
            self.check(values)

    # === Training ===

    def compile(
        self,
        optimizer: Any = None,
        loss: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """Configures training; without arguments, completely.

        The loss and metrics are the head's; the optimizer is AdamW as BERT was
        trained with, at a constant rate of 5e-5, which is right where Keras' own
        is not (`keras_bert.optimizers`).

        Args:
            optimizer: a Keras optimizer, or its name.
            loss, metrics, weighted_metrics: as for Keras; None takes the head's.
            **kwargs: further arguments of Keras' `compile`.
        """
        if optimizer is None:
            optimizer = AdamW(learning_rate=5e-5)
        if kwargs.pop("auto_scale_loss", True):
            optimizer = scale_float16(keras.optimizers.get(optimizer), self.policy)
        kwargs["auto_scale_loss"] = False  # Keras asks for the global policy alone
        default = loss is None and metrics is None and weighted_metrics is None
        kwargs.setdefault("jit_compile", jit_compile_by_default())
        if default:
            kwargs.setdefault("loss_weights", self.head.loss_weights)
        super().compile(
            optimizer=optimizer,
            loss=self.head.loss(self.config) if loss is None else loss,
            metrics=metrics,
            weighted_metrics=self.head.metrics(self.config)
            if default
            else weighted_metrics,
            **kwargs,
        )

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Computes the loss of the outputs that are learned; see `keras.Model`."""
        rest = map(self._learned, (y, y_pred, sample_weight))
        return super().compute_loss(x, *rest, training=training)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict:
        """Computes the metrics of the outputs that are learned."""
        return super().compute_metrics(
            x, *map(self._learned, (y, y_pred, sample_weight))
        )

    def _learned(self, values: Any) -> Any:
        """Drops outputs without a loss, such as hidden states, and their names."""
        if not isinstance(values, Mapping):
            return values
        if isinstance(self.loss, Mapping):
            return {name: values[name] for name in self.loss if name in values}
        return values.get("logits", values)

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        """Compiles a reloaded model as it was saved, its optimizer included."""
        self.compile(**keras.saving.deserialize_keras_object(dict(config)))
        if self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)

    # === Quantization ===

    def quantize(self, mode: str = "int8", **_: Any) -> None:
        """Stores dense kernels and embedding tables in fewer bits, in place.

        For inference; `.keras` files, `save_weights` and SavedModels keep it, and
        `save_pretrained`, whose formats are floats, refuses.

        Args:
            mode: "int8" or "int4".

        Raises:
            UnknownNameError: there is no such mode.
            ConfigError: the model is quantized already.
        """
        quantize(self, mode)

    # === Files ===

    def get_config(self) -> dict:
        mode = mode_of(self)
        return {
            **({"quantization": mode} if mode else {}),
            "config": self.config.to_dict(),
            "dtype": keras.dtype_policies.serialize(self.policy),
            "seed": self.seed,
            "name": self.name,
            **self._held.options,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: Any = None):
        config = dict(config)
        policy = config.pop("dtype", None)
        if isinstance(policy, dict):
            policy = keras.dtype_policies.deserialize(policy)
        mode = config.pop("quantization", None)
        values = BertConfig.from_dict(config.pop("config"))
        model = cls(values, dtype=policy, **config)
        if mode:
            model.quantize(mode)
        return model

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        dtype: Any = None,
        seed: int | None = None,
        ignore_mismatched_sizes: bool = False,
        **overrides: Any,
    ):
        """Loads a checkpoint of any format, recognized by what is in its files.

        Args:
            path: our own directory, a checkpoint of Google's TF1 code or of the
                Model Garden (directory or prefix), a TF-Hub SavedModel, a Hugging
                Face directory, a KerasHub preset, or `hf://org/name`.
            dtype: dtype policy of the model.
            seed: seed of a head that the checkpoint does not hold.
            ignore_mismatched_sizes: make a new head where the checkpoint's has
                another number of labels.
            **overrides: config fields to set differently.

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

        Args:
            path: the directory; it appears whole or not at all.
            format: "keras" (our own), "huggingface", "google", "model_garden" or
                "keras_hub".
            tokenizer: written beside the weights.
            overwrite: replace the directory if it is there.
            **options: what the format knows, such as `file_format="bin"`.

        Returns:
            The directory.

        Raises:
            ExistingOutputError: the directory is there and `overwrite` is False.
            ConfigError: the model is quantized.
        """
        from keras_bert.loading import save_pretrained

        if mode_of(self):
            raise ConfigError(
                f"Expected weights in floats for a checkpoint. Received: "
                f"{mode_of(self)}. Save it before it is quantized, or use .keras."
            )

        return save_pretrained(
            self, path, format, tokenizer=tokenizer, overwrite=overwrite, **options
        )


# === Graphs ===


def _make_input(name: str, choices: bool) -> Tensor:
    per_choice = choices and name in ENCODER_INPUTS
    shape = (None, None) if per_choice else (None,)
    return keras.Input(shape, dtype="int32", name=name)


def _outputs(config: Config, outputs: dict[str, Any]) -> Any:
    """Keeps the outputs the config asks for; a single one stands alone."""
    wanted = {
        key: value
        for key, value in outputs.items()
        if key not in ("hidden_states", "attentions")
        or getattr(config, f"output_{key}")
    }
    return wanted["logits"] if list(wanted) == ["logits"] else wanted


def _packed_graph(head: Any, encoded: dict, inputs: dict) -> keras.Model | None:
    """The same layers, pooling at the start of every piece of a row."""
    if not head.pools:
        return None
    inputs = {**inputs, "cls_positions": _make_input("cls_positions", False)}
    config = head.config
    return keras.Model(inputs, _outputs(config, head(encoded, inputs)), name="packed")


# === Inputs ===


def _count_up(ids: Tensor, config: Config) -> Tensor:
    return ops.cumsum(ops.ones_like(ids), axis=-1) - 1


# Padding is hidden, not only marked: the originals take all ones for a missing
# mask, which lets a row attend to its padding.
_DERIVED = {
    "attention_mask": lambda ids, config: ops.cast(ids != config.pad_token_id, "int32"),
    "token_type_ids": lambda ids, config: ops.zeros_like(ids),
    "position_ids": _count_up,
    "masked_lm_positions": _count_up,  # every position
}
assert set(_DERIVED) < set(INPUTS)


def _check_range(name: str, values: np.ndarray, limit: int) -> None:
    if values.size and (values.min() < 0 or values.max() >= limit):
        raise InputError(
            f"Expected {name} from 0 to {limit - 1}. "
            f"Received: {values.min()} to {values.max()}. Check that tokenizer and "
            "model belong together."
        )
