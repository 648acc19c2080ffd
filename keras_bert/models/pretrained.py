"""What all models share: an encoder, inputs, other sizes and forms, files."""

from collections import UserList
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import keras

from keras_bert import families
from keras_bert.config import Config
from keras_bert.errors import ConfigError
from keras_bert.families.family import Family
from keras_bert.features import ENCODER_INPUTS
from keras_bert.layers.base import Composite
from keras_bert.models import inputs as model_inputs
from keras_bert.models.encoder import Encoded, Encoder
from keras_bert.models.flat_files import flat_layers, is_flat
from keras_bert.models.quantization import mode_of, quantize
from keras_bert.models.training import Trainable

Tensor = Any
STATES = ("hidden_states", "attentions")


class PreTrainedModel(Composite, Trainable):
    """An encoder with a head.

    A head is a subclass: it makes its layers in `make_head()` and computes its outputs
    in `outputs()`; see `keras_bert.models.heads`. A public model names the family too.

    Args:
        config: the hyper-parameters.
        dtype: dtype policy, for instance "mixed_bfloat16"; None takes Keras' global
            one.
        seed: seed of initial values and dropout; None takes Keras' global one.
        name: name of the model.
        **options: what a head's `parts_for` knows.

    Attributes:
        encoder: the encoder, a Keras model to freeze, call or nest.

    Call arguments:
        inputs: a dict with `input_ids` `(batch, seq)` and, optionally,
            `attention_mask` (derived from the pad id), `token_type_ids` (zeros),
            `position_ids` (0, 1, 2 …); a list of these; or `input_ids` alone. The names
            of Google, the Model Garden and KerasHub are understood. For rows packed
            with several pieces, `cls_positions` `(batch, pieces)`, see
            `keras_bert.layers.attention_bias`.

    Raises:
        InputError: an input is missing, too long, or holds an id out of range.
        UnknownNameError: an input has an unknown name.
    """

    family: ClassVar[Family]
    kind: ClassVar[str]  # of head, a key of `Family.heads`
    choices: ClassVar[bool] = False  # inputs have an axis of choices
    # Outputs are computed token by token, of tokens in any order.
    per_token: ClassVar[bool] = False
    input_names: ClassVar[tuple[str, ...]] = (*ENCODER_INPUTS, "cls_positions")
    _reads_flat_file = False

    def __init__(
        self,
        config: Config,
        *,
        dtype: Any = None,
        seed: int | None = None,
        name: str | None = None,
        **options: Any,
    ):
        super().__init__(name=name, dtype=dtype)
        self.config, self.seed = config, seed
        self._options = options
        pooler = "pooler" in self.parts_held
        self.encoder = Encoder(config, pooler, dtype=dtype, seed=seed)
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

    def __call__(self, inputs: Any, *args: Any, mask: Any = None, **kwargs: Any) -> Any:
        # Before Keras makes tensors of arrays, whose values cannot be checked. Graphs
        # of flat models hold a `mask` that says nothing.
        return super().__call__(self.check(inputs), *args, **kwargs)

    def call(self, inputs: Any, training: bool = False) -> Any:
        inputs = self.complete(inputs)
        encoded = self.encoder.encode(self.rows(inputs), training=training)
        outputs = self.outputs(encoded, inputs, training)
        for name in STATES:
            if getattr(self.config, f"output_{name}"):
                outputs[name] = getattr(encoded, name)
        return outputs["logits"] if list(outputs) == ["logits"] else outputs

    def check(self, inputs: Any) -> dict[str, Any]:
        """Returns inputs by name; refuses rows too long, and ids out of range.

        Raises:
            InputError: naming the input, what it holds and what it may hold.
        """
        inputs = model_inputs.named(inputs)
        model_inputs.check(inputs, self.config)
        return inputs

    def complete(
        self, inputs: Any, names: Iterable[str] | None = None
    ) -> dict[str, Tensor]:
        """Returns inputs of the model: those given, and the others derived.

        Args:
            inputs: see `PreTrainedModel`.
            names: which of them; None takes all.
        """
        inputs, names = model_inputs.named(inputs), names or self.input_names
        return model_inputs.complete(inputs, self.config, names)

    def pooled(self, encoded: Encoded, inputs: Mapping[str, Tensor]) -> Tensor:
        """Pools the first token, or the first of every piece of a packed row."""
        hidden, positions = encoded.last_hidden_state, inputs.get("cls_positions")
        return self.encoder.pooler(hidden, positions)

    def add_output(self, units: int, name: str) -> keras.layers.Dense:
        """Makes a dense layer whose outputs are float32 under every dtype policy."""
        return self.add_dense(units, name, self.config.hidden_size, dtype="float32")

    # === Other sizes and forms ===

    @property
    def policy(self) -> Any:
        """The dtype policy."""
        return self.dtype_policy

    @property
    def layers(self) -> list | UserList:
        """The layers, the encoder first. Keras' files hold a list's by number."""
        if self._reads_flat_file:
            self._reads_flat_file = False
            return flat_layers(self)
        return UserList(super().layers)

    @classmethod
    def parts_for(cls) -> tuple[str, ...]:
        """Returns the parts of a checkpoint that a model of this class holds."""
        return cls.family.heads[cls.kind]

    @property
    def parts_held(self) -> tuple[str, ...]:
        """The parts of a checkpoint that this model holds."""
        return self.parts_for(**self._options)

    def like(self, config: Config, seed: int | None = None) -> "PreTrainedModel":
        """Returns a new model of the same class, dtype and options.

        Args:
            config: its config.
            seed: of its initial values and dropout.
        """
        return type(self)(config, dtype=self.policy, seed=seed, **self._options)

    def resize_token_embeddings(
        self,
        new_size: int | None = None,
        *,
        pad_to_multiple_of: int | None = None,
        seed: int | None = None,
    ) -> "PreTrainedModel":
        """Returns a model with another size of vocabulary.

        The word embeddings, the masked-LM output matrix that is tied to them and the
        masked-LM bias change together; everything else is copied. This model stays as
        it is, and the new one is not compiled. Add the tokens to the tokenizer, at the
        end, too.

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
            "frozen": [_place(x) for x in self._flatten_layers() if not x.trainable],
            **self._options,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: Any = None) -> "PreTrainedModel":
        config = dict(config)
        mode, frozen = config.pop("quantization", None), config.pop("frozen", ())
        model = cls(families.read_config(config.pop("config")), **config)
        for layer in model._flatten_layers() if frozen else ():
            layer.trainable = _place(layer) not in frozen
        if mode:
            model.quantize(mode)
        return model

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
        **overrides: Any,
    ) -> Self:
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


def _place(layer: keras.layers.Layer) -> str:
    return layer.path or layer.name
