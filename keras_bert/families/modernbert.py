"""ModernBERT: pre-norm layers, gated feed-forward layers, rotary positions, windows.

Source: Warner et al. 2024 (arXiv:2412.13663); state dict keys and config keys of
Hugging Face's `modeling_modernbert.py` and `configuration_modernbert.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from keras_bert.config import (
    ABOVE_ZERO,
    ACTIVATIONS,
    FLAG,
    FRACTION,
    SIZE,
    Config,
    Reach,
    aliased,
    one_of,
)
from keras_bert.errors import ConfigError
from keras_bert.families.family import Family
from keras_bert.families.names import decoder, dense, norm, output, table, vector
from keras_bert.families.rope import (
    even_heads,
    read_theta,
    take_parameters,
    written_theta,
)

FULL, SLIDING = "full_attention", "sliding_attention"
_THETAS = {FULL: "global_rope_theta", SLIDING: "local_rope_theta"}
_LAYER_TYPES = (
    (list, tuple, type(None)),
    lambda v: v is None or all(kind in [*_THETAS] for kind in v),
    f"a list of {FULL!r} and {SLIDING!r}, or None",
)


@aliased(
    hidden_activation="hidden_act",
    norm_eps="layer_norm_eps",
    embedding_dropout="hidden_dropout_prob",
    attention_dropout="attention_probs_dropout_prob",
)
@dataclass(frozen=True, kw_only=True)
class ModernBertConfig(Config):
    """The hyper-parameters of a ModernBERT; see `Config`.

    Args:
        attention_bias, mlp_bias, norm_bias, classifier_bias, decoder_bias: whether
            these layers have biases; the classifier's are those of the dense layer
            before the output layer.
        mlp_dropout: dropout within the feed-forward layers.
        classifier_pooling: which tokens classifiers of rows pool, "cls" or "mean".
        classifier_activation: of the dense layer before the output layer of a head.
        global_attn_every_n_layers: layers 0, n, 2n … attend to all tokens, the others
            within a window; where `layer_types` does not say it.
        layer_types: for each layer "full_attention" or "sliding_attention".
        local_attention: width of the window, in tokens; half of it to either side.
        global_rope_theta, local_rope_theta: base of the frequencies of rotary
            positions, in layers of either kind.

    Raises:
        ConfigError: `layer_types` has another length than there are layers, or heads
            are of an odd width.

    Example:
        >>> [reach.window for reach in ModernBertConfig(num_hidden_layers=4).reaches]
        [None, 64, 64, None]
    """

    model_type = "modernbert"
    absent = (
        *("type_vocab_size", "position_embedding_type"),
        *("is_decoder", "add_cross_attention"),
    )
    embeds_positions = False
    pre_norm = gated = True
    fused = ("attention", "gate")
    rotated = ("query", "key")
    rules: ClassVar = {
        "type_vocab_size": ((int,), lambda v: v == 0, "0: there are no token types"),
        "is_decoder": ((bool,), lambda v: not v, "False: there is no decoder"),
        "layer_types": _LAYER_TYPES,
        **dict.fromkeys(("global_attn_every_n_layers", "local_attention"), SIZE),
        **dict.fromkeys(_THETAS.values(), ABOVE_ZERO),
        "mlp_dropout": FRACTION,
        "classifier_activation": one_of(ACTIVATIONS),
        "classifier_pooling": one_of(("cls", "mean")),
        **{
            f"{layer}_bias": FLAG
            for layer in ("attention", "mlp", "norm", "classifier", "decoder")
        },
    }

    vocab_size: int = 50368
    num_hidden_layers: int = 22
    intermediate_size: int = 1152
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    max_position_embeddings: int = 8192
    type_vocab_size: int = 0
    layer_norm_eps: float = 1e-5
    pad_token_id: int = 50283
    classifier_dropout: float | None = 0.0
    attention_bias: bool = False
    mlp_bias: bool = False
    norm_bias: bool = False
    classifier_bias: bool = False
    decoder_bias: bool = True
    mlp_dropout: float = 0.0
    classifier_pooling: str = "cls"
    classifier_activation: str = "gelu"
    global_attn_every_n_layers: int = 3
    layer_types: list[str] | None = None
    local_attention: int = 128
    global_rope_theta: float = 160_000.0
    local_rope_theta: float = 10_000.0

    def __post_init__(self) -> None:
        super().__post_init__()
        even_heads(self)
        given = self.layer_types
        if given is not None and len(given) != self.num_hidden_layers:
            raise ConfigError(
                f"Expected layer_types for num_hidden_layers={self.num_hidden_layers} "
                f"layers. Received: {len(given)} of them. Change one of them, or leave "
                "layer_types out."
            )
        if given is not None and [*given] == self._regular_types:
            object.__setattr__(self, "layer_types", None)  # says no more

    @property
    def _regular_types(self) -> list[str]:
        every = self.global_attn_every_n_layers
        return [SLIDING if i % every else FULL for i in range(self.num_hidden_layers)]

    @property
    def reaches(self) -> list[Reach]:
        kinds = {
            FULL: Reach(None, self.global_rope_theta),
            SLIDING: Reach(self.local_attention // 2, self.local_rope_theta),
        }
        return [kinds[kind] for kind in self.layer_types or self._regular_types]

    @property
    def transform_act(self) -> str:
        return self.classifier_activation

    def has_bias(self, layer: str) -> bool:
        return getattr(self, f"{layer}_bias")

    def dropout_of(self, head: str) -> float:
        return self.head_dropout

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads the keys of a `config.json`, of transformers 4 or 5; see `Config`."""
        rest = dict(values)
        given = take_parameters(rest)
        for kind, name in _THETAS.items():
            rest |= read_theta(given.get(kind), name, rest)
        if rest.get("local_rope_theta", 0) is None:  # then it is that of all layers
            rest["local_rope_theta"] = rest.get(
                "global_rope_theta", cls.global_rope_theta
            )
        return super().from_dict(rest)

    def to_dict(self) -> dict[str, Any]:
        thetas = {kind: getattr(self, name) for kind, name in _THETAS.items()}
        return {
            **super().to_dict(),
            "layer_types": [*(self.layer_types or self._regular_types)],
            "rope_parameters": {k: written_theta(theta) for k, theta in thetas.items()},
        }


_LAYER, _BLOCK = "layer_{i}", "model.layers.{i}"


def _classifier(outputs: str, keras: str = "classifier") -> list:
    return output(outputs, keras=keras, huggingface="classifier")


_PARTS = {
    "encoder": [
        table(
            "vocab",
            keras="embeddings/word_embeddings",
            huggingface="model.embeddings.tok_embeddings",
        ),
        *norm(
            "embedding",
            bias="norm_bias",
            keras="embeddings/layer_norm",
            huggingface="model.embeddings.norm",
        ),
        *(
            row._replace(first=1)  # what comes into layer 0 is normalized
            for row in norm(
                "hidden",
                bias="norm_bias",
                keras=f"{_LAYER}/attention_norm",
                huggingface=f"{_BLOCK}.attn_norm",
            )
        ),
        *dense(
            "hidden",
            "(qkv heads head_dim)",
            bias="attention_bias",
            keras=f"{_LAYER}/attention/qkv",
            huggingface=f"{_BLOCK}.attn.Wqkv",
        ),
        *dense(
            "(heads head_dim)",
            "hidden",
            bias="attention_bias",
            keras=f"{_LAYER}/attention/output_dense",
            huggingface=f"{_BLOCK}.attn.Wo",
        ),
        *norm(
            "hidden",
            bias="norm_bias",
            keras=f"{_LAYER}/feed_forward_norm",
            huggingface=f"{_BLOCK}.mlp_norm",
        ),
        *dense(
            "hidden",
            "(gate mlp)",
            bias="mlp_bias",
            keras=f"{_LAYER}/feed_forward/intermediate_dense",
            huggingface=f"{_BLOCK}.mlp.Wi",
        ),
        *dense(
            "mlp",
            "hidden",
            bias="mlp_bias",
            keras=f"{_LAYER}/feed_forward/output_dense",
            huggingface=f"{_BLOCK}.mlp.Wo",
        ),
        *norm(
            "hidden",
            bias="norm_bias",
            keras="final_norm",
            huggingface="model.final_norm",
        ),
    ],
    # Before the output layer of every head.
    "transform": [
        *dense(
            "hidden_in",
            "hidden",
            bias="classifier_bias",
            keras="masked_lm/dense",
            huggingface="head.dense",
        ),
        *norm(
            "hidden",
            bias="norm_bias",
            keras="masked_lm/layer_norm",
            huggingface="head.norm",
        ),
    ],
    "masked_lm": [
        vector(
            "vocab",
            option="decoder_bias",
            keras="masked_lm_bias/bias",
            huggingface="decoder.bias",
        ),
        decoder(keras="masked_lm_decoder", huggingface="decoder"),
    ],
    "sequence_classifier": _classifier("classes"),
    "token_classifier": _classifier("classes"),
    "multiple_choice": _classifier("one"),
    "qa": _classifier("two", keras="qa_outputs"),
}

MODERNBERT = Family(
    class_prefix="ModernBert",
    config=ModernBertConfig,
    heads={
        "encoder": ("encoder",),
        "masked_lm": ("encoder", "transform", "masked_lm"),
        "sequence_classification": ("encoder", "transform", "sequence_classifier"),
        "token_classification": ("encoder", "transform", "token_classifier"),
        "multiple_choice": ("encoder", "transform", "multiple_choice"),
        "question_answering": ("encoder", "transform", "qa"),
    },
    parts=_PARTS,
    prefix="model.",
    ties={"decoder.weight": "model.embeddings.tok_embeddings.weight"},
    tokenizer="byte_level_bpe",
    tokenizer_class="PreTrainedTokenizerFast",
)
