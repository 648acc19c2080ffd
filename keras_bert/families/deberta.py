"""DeBERTa: disentangled attention to words and to distances; versions 1, and 2 and 3.

Source: He et al. 2020 (arXiv:2006.03654), 2021 (arXiv:2111.09543); state dict keys of
Hugging Face's `modeling_deberta.py` and `modeling_deberta_v2.py`.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from keras_bert.config import (
    ACTIVATIONS,
    FLAG,
    Config,
    Disentangled,
    aliased,
    one_of,
)
from keras_bert.errors import ConfigError
from keras_bert.families.family import Family, HeadPooler
from keras_bert.families.names import block, decoder, dense, norm, output, table, vector
from keras_bert.families.rows import Placement, Row

_TERMS = ("c2p", "p2c")
_COUNT = ((int,), lambda v: -1 <= v < 1 << 31, "an integer, or -1 for none")
_NAMES = (
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
)


@aliased(cls_dropout="classifier_dropout")
@dataclass(frozen=True, kw_only=True)
class DebertaConfig(Config):
    """The hyper-parameters of a DeBERTa, version 1; see `Config`.

    Args:
        relative_attention: scores of attention depend on distances.
        max_relative_positions: distances from it on are alike; below 1, those from
            `max_position_embeddings` on.
        position_biased_input: positions have embeddings too.
        pos_att_type: of "c2p", content to position, and "p2c", position to content: the
            scores that are added to those of the content.
        pooler_hidden_act, pooler_dropout: "gelu" and 0, in the heads that pool.
        legacy: the masked LM has the weights of BERT's, which is all that is built.

    Raises:
        ConfigError: the config asks for something that is not built.

    Example:
        >>> DebertaConfig(pos_att_type="c2p|p2c").pos_att_type
        ['c2p', 'p2c']
    """

    model_type = "deberta"
    absent = ("is_decoder", "add_cross_attention", "position_embedding_type")
    disentangles = zeroes_padding = splits_biases = True
    fused: ClassVar[tuple[str, ...]] = ("attention",)
    rules: ClassVar = {
        "type_vocab_size": ((int,), lambda v: 0 <= v < 1 << 31, "0 or more"),
        "is_decoder": ((bool,), lambda v: not v, "False: there is no decoder"),
        "relative_attention": FLAG,
        "max_relative_positions": _COUNT,
        "position_biased_input": FLAG,
        "pos_att_type": (
            (list, tuple, type(None)),
            lambda v: v is None or len({*v} & {*_TERMS}) == len(v),
            f"a list of {', '.join(_TERMS)}, each once, or None",
        ),
        "pooler_hidden_act": ((str,), lambda v: v == "gelu", "'gelu', as published"),
        "pooler_dropout": ((int, float), lambda v: v == 0, "0, as published"),
        "legacy": ((bool,), lambda v: v, "True: no other masked LM is built"),
    }

    vocab_size: int = 50265
    type_vocab_size: int = 0
    layer_norm_eps: float = 1e-7
    relative_attention: bool = False
    max_relative_positions: int = -1
    position_biased_input: bool = True
    pos_att_type: list[str] | None = None
    pooler_hidden_act: str = "gelu"
    pooler_dropout: float = 0.0
    legacy: bool = True

    def __post_init__(self) -> None:
        terms: Any = self.pos_att_type
        if isinstance(terms, str):
            terms = [term.strip() for term in terms.lower().split("|") if term]
            object.__setattr__(self, "pos_att_type", terms)
        super().__post_init__()
        kept = {"talking_head": False, "pooler_hidden_size": self.hidden_size}
        kept |= {"attention_head_size": self.head_dim, "conv_groups": 1}
        kept |= {"embedding_size": self.hidden_size}
        asked = {"embedding_size": self.embedding_width, **self.extra}
        for name, built in kept.items():
            if asked.get(name, built) not in (None, built):
                raise ConfigError(
                    f"Expected {name}={built!r}, or none. Received: {asked[name]!r}. "
                    "No other kind of these models is built."
                )

    @property
    def embeds_positions(self) -> bool:
        return self.position_biased_input

    @property
    def _furthest(self) -> int:
        given = self.max_relative_positions
        return self.max_position_embeddings if given < 1 else given

    @property
    def disentangled(self) -> Disentangled:
        rows = self._furthest if self.relative_attention else 0
        terms = tuple(self.pos_att_type or ())
        return Disentangled(terms, rows, self._furthest)

    def dropout_of(self, head: str) -> float:
        if head == "token_classification":
            return self.hidden_dropout_prob
        return super().dropout_of(head)


@aliased(cls_dropout="classifier_dropout")
@dataclass(frozen=True, kw_only=True)
class DebertaV2Config(DebertaConfig):
    """The hyper-parameters of a DeBERTa, version 2 or 3; see `DebertaConfig`.

    Args:
        position_buckets: rows of distances in one direction, which further ones share;
            below 1 each has one.
        share_att_key: queries and keys of distances are made by the matrices of words.
        norm_rel_ebd: "layer_norm" normalizes the vectors of distances; or "none".
        conv_kernel_size: tokens under a convolution after the first layer; 0 for none.
        conv_act: its activation.

    Example:
        >>> config = DebertaV2Config(relative_attention=True, position_buckets=256)
        >>> config.disentangled.rows
        256
    """

    model_type = "deberta-v2"
    splits_biases = False
    fused = ()
    rules: ClassVar = {
        **DebertaConfig.rules,
        "position_buckets": _COUNT,
        "share_att_key": FLAG,
        "norm_rel_ebd": one_of(("none", "layer_norm")),
        "conv_kernel_size": (
            *((int,), lambda v: v == 0 or (0 < v < 100 and v % 2)),
            "an odd number, or 0",
        ),
        "conv_act": one_of(ACTIVATIONS),
    }

    vocab_size: int = 128100
    hidden_size: int = 1536
    num_hidden_layers: int = 24
    num_attention_heads: int = 24
    intermediate_size: int = 6144
    position_buckets: int = -1
    share_att_key: bool = False
    norm_rel_ebd: str = "none"
    conv_kernel_size: int = 0
    conv_act: str = "tanh"

    @property
    def disentangled(self) -> Disentangled:
        how, buckets = super().disentangled, max(self.position_buckets, 0)
        rows = how.rows and (buckets or how.rows)
        shares, norm = self.share_att_key, self.norm_rel_ebd == "layer_norm"
        return how._replace(rows=rows, buckets=buckets > 0, shares=shares, norm=norm)

    @property
    def convolution(self) -> tuple[int, str] | None:
        size = self.conv_kernel_size
        return (size, self.conv_act) if size else None


def _if(option: str, rows: list[Row]) -> list[Row]:
    return [row._replace(option=option) for row in rows]


_HEADS = "(heads head_dim)"
_ENCODER, _SELF = "deberta.encoder", "deberta.encoder.layer.{i}.attention.self"
_ATTENTION = "layer_{i}/attention"


def _own(name: str, huggingface: str) -> list[Row]:
    return dense(
        "hidden",
        _HEADS,
        keras=f"{_ATTENTION}/{name}",
        huggingface=f"{_SELF}.{huggingface}",
    )


_V1_ATTENTION = [
    Row(
        {
            "keras": Placement(f"{_ATTENTION}/qkv/kernel", f"hidden (qkv {_HEADS[1:]}"),
            "huggingface": Placement(
                f"{_SELF}.in_proj.weight", "(heads qkv head_dim) hidden"
            ),
        }
    ),
    *(
        vector(
            _HEADS,
            keras=f"{_ATTENTION}/{name}_bias",
            huggingface=f"{_SELF}.{name[0]}_bias",
        )
        for name in ("query", "value")
    ),
    *_if("c2p", _own("distance_key", "pos_proj")[:1]),
    *_if("p2c", _own("distance_query", "pos_q_proj")),
]
_V2_ATTENTION = [
    *(row for name in ("query", "key", "value") for row in _own(name, f"{name}_proj")),
    *_if("c2p", _own("distance_key", "pos_key_proj")),
    *_if("p2c", _own("distance_query", "pos_query_proj")),
]
_CONVOLUTION = [
    Row(
        {
            "keras": Placement("convolution/kernel", "taps hidden_in hidden"),
            "huggingface": Placement(
                f"{_ENCODER}.conv.conv.weight", "hidden hidden_in taps"
            ),
        }
    ),
    vector(
        "hidden", keras="convolution/bias", huggingface=f"{_ENCODER}.conv.conv.bias"
    ),
    *norm(
        "hidden",
        keras="convolution/layer_norm",
        huggingface=f"{_ENCODER}.conv.LayerNorm",
    ),
]


def _embedding(axis: str, name: str) -> Row:
    return table(
        axis,
        keras=f"embeddings/{name}_embeddings",
        huggingface=f"deberta.embeddings.{name}_embeddings",
    )


_EMBEDDINGS = [
    _embedding("vocab", "word"),
    *_if("positions", [_embedding("position", "position")]),
    *_if("types", [_embedding("segment", "token_type")]),
    *norm(
        "embedding",
        keras="embeddings/layer_norm",
        huggingface="deberta.embeddings.LayerNorm",
    ),
    vector(
        "vectors hidden",
        option="vectors",
        keras="distances/table",
        huggingface=f"{_ENCODER}.rel_embeddings.weight",
    ),
]
_NORM = _if(
    "vectors_norm",
    norm(
        "hidden",
        keras="distances/layer_norm",
        huggingface=f"{_ENCODER}.LayerNorm",
    ),
)
# What there is behind attention.
_REST = block(
    huggingface=("deberta.encoder.layer.{i}.", ("q", "k", "v", *_NAMES)),
)[6:]


def _pooled(outputs: str) -> list[Row]:
    return [
        *dense(
            "hidden_in",
            "hidden",
            keras="pre_classifier/dense",
            huggingface="pooler.dense",
        ),
        *output(outputs, keras="classifier", huggingface="classifier"),
    ]


_PREDICTIONS = "cls.predictions"
_PARTS = {
    "masked_lm": [
        *dense(
            "hidden",
            "embedding",
            keras="masked_lm/dense",
            huggingface=f"{_PREDICTIONS}.transform.dense",
        ),
        *norm(
            "embedding",
            keras="masked_lm/layer_norm",
            huggingface=f"{_PREDICTIONS}.transform.LayerNorm",
        ),
        vector(
            "vocab", keras="masked_lm_bias/bias", huggingface=f"{_PREDICTIONS}.bias"
        ),
        decoder(keras="masked_lm_decoder", huggingface=f"{_PREDICTIONS}.decoder"),
    ],
    "sequence_classifier": _pooled("classes"),
    "token_classifier": output("classes", keras="classifier", huggingface="classifier"),
    "multiple_choice": _pooled("one"),
    "qa": output("two", keras="qa_outputs", huggingface="qa_outputs"),
}
_FAMILY: dict[str, Any] = {
    "poolers": {
        "sequence_classification": HeadPooler("gelu", drops=False),
        "multiple_choice": HeadPooler("gelu", drops=False),
    },
    "prefix": "deberta.",
    "left_behind": ("deberta.embeddings.position_embeddings.weight",),
    "ties": {
        f"{_PREDICTIONS}.decoder.weight": "deberta.embeddings.word_embeddings.weight",
        f"{_PREDICTIONS}.decoder.bias": f"{_PREDICTIONS}.bias",
    },
}
_HEADS_OF_V1 = {
    "encoder": ("encoder",),
    "masked_lm": ("encoder", "masked_lm"),
    "sequence_classification": ("encoder", "sequence_classifier"),
    "token_classification": ("encoder", "token_classifier"),
    "question_answering": ("encoder", "qa"),
}

DEBERTA = Family(
    class_prefix="Deberta",
    config=DebertaConfig,
    heads=_HEADS_OF_V1,
    parts={
        "encoder": [*_EMBEDDINGS, *_V1_ATTENTION, *_REST],
        **{name: rows for name, rows in _PARTS.items() if name != "multiple_choice"},
    },
    tokenizer="byte_level_bpe",
    **_FAMILY,
)
DEBERTA_V2 = Family(
    class_prefix="DebertaV2",
    config=DebertaV2Config,
    heads={**_HEADS_OF_V1, "multiple_choice": ("encoder", "multiple_choice")},
    parts={
        "encoder": [
            *_EMBEDDINGS,
            *_NORM,
            *_V2_ATTENTION,
            *_REST,
            *_if("convolution", _CONVOLUTION),
        ],
        **_PARTS,
    },
    tokenizer="sentencepiece",
    **_FAMILY,
)
