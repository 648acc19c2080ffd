"""NomicBERT: BERT with rotary positions and gated feed-forward layers.

Source: Nussbaum et al. 2024 (arXiv:2402.01613); state dict keys and config keys of the
published checkpoints, and of Hugging Face's `modeling_nomic_bert.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from keras_bert.config import ABOVE_ZERO, Config, Reach
from keras_bert.errors import ConfigError
from keras_bert.families.family import Family
from keras_bert.families.names import decoder, dense, norm, output, table, vector
from keras_bert.families.rope import (
    even_heads,
    read_theta,
    take_parameters,
    written_theta,
)

# Fields by the names that the published configs have for them.
_PUBLISHED = {
    "n_embd": "hidden_size",
    "n_head": "num_attention_heads",
    "n_inner": "intermediate_size",
    "n_layer": "num_hidden_layers",
    "layer_norm_epsilon": "layer_norm_eps",
    "activation_function": "hidden_act",
    "attn_pdrop": "attention_probs_dropout_prob",
    "embd_pdrop": "hidden_dropout_prob",
    "resid_pdrop": "hidden_dropout_prob",
    "rotary_emb_base": "rope_theta",
}
_GATED = {"swiglu": "silu", "geglu": "gelu"}  # what they activate with
# Keys of theirs, with the values that say what is built.
_BUILT: Mapping[str, tuple] = {
    "rotary_emb_fraction": (1,),
    "rotary_emb_interleaved": (False,),
    "rotary_emb_scale_base": (None,),
    "rotary_scaling_factor": (None,),
    "qkv_proj_bias": (False,),
    "mlp_fc1_bias": (False,),
    "mlp_fc2_bias": (False,),
    "prenorm": (False,),
    "parallel_block": (False,),
    "use_rms_norm": (False, None),
    "causal": (False,),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "moe_every_n_layers": (0, None),
    "num_experts": (0, None),
}
_UNUSED = ("auto_map",)  # code that belongs to the published names


@dataclass(frozen=True, kw_only=True)
class NomicBertConfig(Config):
    """The hyper-parameters of a NomicBERT; see `Config`.

    Args:
        rope_theta: base of the frequencies of rotary positions.

    Raises:
        ConfigError: heads are of an odd width.

    Example:
        >>> NomicBertConfig.from_dict({"n_embd": 32, "n_head": 4}).hidden_size
        32
    """

    model_type = "nomic_bert"
    absent = (
        *("is_decoder", "add_cross_attention", "position_embedding_type"),
        "rope_theta",
    )
    embeds_positions = False
    gated = True
    fused = ("attention",)
    rotated = ("query", "key")
    rules: ClassVar = {
        "rope_theta": ABOVE_ZERO,
        "is_decoder": ((bool,), lambda v: not v, "False: there is no decoder"),
    }

    vocab_size: int = 30528
    hidden_act: str = "silu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    max_position_embeddings: int = 2048
    rope_theta: float = 1000.0

    def __post_init__(self) -> None:
        super().__post_init__()
        even_heads(self)

    @property
    def reaches(self) -> list[Reach]:
        return [Reach(theta=self.rope_theta)] * self.num_hidden_layers

    def has_bias(self, layer: str) -> bool:
        return layer not in ("attention", "mlp")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads the keys of a `config.json`, published or of transformers 5.

        Rows may be as long as `max_position_embeddings` says, or `n_positions` where
        it is not there. Set it to take longer ones.
        """
        rest = _without_published_names(values)
        if "n_positions" in rest:  # which may be more than it was trained on
            rest.setdefault("max_position_embeddings", rest["n_positions"])
        width = rest.pop("head_dim", None)
        rest |= read_theta(take_parameters(rest) or None, "rope_theta", rest)
        config = super().from_dict(rest)
        if width not in (None, config.head_dim):
            raise ConfigError(
                "Expected head_dim to be hidden_size / num_attention_heads = "
                f"{config.head_dim}. Received: head_dim={width!r}."
            )
        return config

    def to_dict(self) -> dict[str, Any]:
        own = {
            "head_dim": self.head_dim,
            "rope_parameters": written_theta(self.rope_theta),
        }
        return {**super().to_dict(), **own}


def _without_published_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the keys of a config by the names of fields.

    Raises:
        ConfigError: it is of a model that is not built, or a field has two values.
    """
    for key, built in _BUILT.items():
        if values.get(key, built[0]) not in built:
            raise ConfigError(
                f"Expected {key}={built[0]!r}, the only kind these models build. "
                f"Received: {values[key]!r}. The weights of such a checkpoint would be "
                "computed wrongly, so it is refused."
            )
    act = values.get("activation_function", "swiglu")
    if act not in _GATED:
        raise ConfigError(
            f"Expected activation_function to be one of {', '.join(_GATED)}. "
            f"Received: {act!r}."
        )
    rest: dict[str, Any] = {}
    for key, value in values.items():
        if key in _BUILT or key in _UNUSED:
            continue
        name, found = _PUBLISHED.get(key, key), value
        if key == "activation_function":
            found = _GATED[value]
        if rest.setdefault(name, found) != found:
            raise ConfigError(
                f"Expected {name} once. Received: {rest[name]!r}, and {found!r} under "
                f"the name {key}. Remove one of them."
            )
    return rest


_LAYER, _BLOCK = "layer_{i}", "nomic_bert.encoder.layers.{i}"
_EMBEDDINGS, _PREDICTIONS = "nomic_bert.embeddings", "cls.predictions"


def _mlp(name: str, theirs: str, inputs: str = "hidden", outputs: str = "mlp") -> list:
    return dense(
        inputs,
        outputs,
        bias="mlp_bias",
        keras=f"{_LAYER}/feed_forward/{name}_dense",
        huggingface=f"{_BLOCK}.mlp.{theirs}",
    )


_PARTS = {
    "encoder": [
        *(
            table(
                axis,
                keras=f"embeddings/{name}_embeddings",
                huggingface=f"{_EMBEDDINGS}.{name}_embeddings",
            )
            for name, axis in (("word", "vocab"), ("token_type", "segment"))
        ),
        *norm(
            "embedding", keras="embeddings/layer_norm", huggingface="nomic_bert.emb_ln"
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
            huggingface=f"{_BLOCK}.attn.out_proj",
        ),
        *norm(
            "hidden",
            keras=f"{_LAYER}/attention_norm",
            huggingface=f"{_BLOCK}.norm1",
        ),
        *_mlp("intermediate", "fc12"),  # what is activated
        *_mlp("gate", "fc11"),
        *_mlp("output", "fc2", "mlp", "hidden"),
        *norm(
            "hidden",
            keras=f"{_LAYER}/feed_forward_norm",
            huggingface=f"{_BLOCK}.norm2",
        ),
    ],
    "pooler": dense(
        "hidden_in",
        "hidden",
        keras="pooler/dense",
        huggingface="nomic_bert.pooler.dense",
    ),
    "masked_lm": [
        *dense(
            "hidden_in",
            "hidden",
            keras="masked_lm/dense",
            huggingface=f"{_PREDICTIONS}.transform.dense",
        ),
        *norm(
            "hidden",
            keras="masked_lm/layer_norm",
            huggingface=f"{_PREDICTIONS}.transform.layer_norm",
        ),
        vector(
            "vocab", keras="masked_lm_bias/bias", huggingface=f"{_PREDICTIONS}.bias"
        ),
        decoder(keras="masked_lm_decoder", huggingface=f"{_PREDICTIONS}.decoder"),
    ],
    "sequence_classifier": output(
        "classes", keras="classifier", huggingface="classifier"
    ),
    "token_classifier": output("classes", keras="classifier", huggingface="classifier"),
}

NOMIC_BERT = Family(
    class_prefix="NomicBert",
    config=NomicBertConfig,
    heads={
        "encoder": ("encoder",),
        "masked_lm": ("encoder", "masked_lm"),
        "sequence_classification": ("encoder", "pooler", "sequence_classifier"),
        "token_classification": ("encoder", "token_classifier"),
    },
    parts=_PARTS,
    prefix="nomic_bert.",
    ties={
        f"{_PREDICTIONS}.decoder.weight": f"{_EMBEDDINGS}.word_embeddings.weight",
        f"{_PREDICTIONS}.decoder.bias": f"{_PREDICTIONS}.bias",
    },
    tokenizer_class="BertTokenizer",
)
