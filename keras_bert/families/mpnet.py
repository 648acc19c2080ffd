"""MPNet: BERT's encoder with a bias of attention by distance, RoBERTa's positions.

Source: Song et al. 2020 (arXiv:2004.09297); state dict keys of Hugging Face's
`modeling_mpnet.py`.
"""

from dataclasses import dataclass
from typing import ClassVar

from keras_bert.config import Config
from keras_bert.families.family import Family, HeadPooler
from keras_bert.families.names import block, dense, norm, table, vector
from keras_bert.families.roberta import HEADS

BUCKETS = 32  # transformers computes with these, whatever a config says


@dataclass(frozen=True, kw_only=True)
class MPNetConfig(Config):
    """The hyper-parameters of an MPNet; see `Config`.

    Args:
        relative_attention_num_buckets: of distances in both directions, 32.

    Example:
        >>> MPNetConfig().max_length
        510
    """

    model_type = "mpnet"
    counts_tokens = True
    absent = (
        *("classifier_dropout", "is_decoder", "add_cross_attention"),
        *("position_embedding_type", "type_vocab_size"),
    )
    rules: ClassVar = {
        "type_vocab_size": ((int,), lambda v: v == 0, "0: there are no token types"),
        "relative_attention_num_buckets": (
            *((int,), lambda v: v == BUCKETS),
            f"{BUCKETS}, the number that transformers computes with",
        ),
    }

    vocab_size: int = 30527
    type_vocab_size: int = 0
    pad_token_id: int = 1
    relative_attention_num_buckets: int = BUCKETS

    @property
    def distance_buckets(self) -> int:
        return self.relative_attention_num_buckets

    @property
    def first_position(self) -> int:
        return self.pad_token_id + 1

    @property
    def transform_act(self) -> str:
        return "gelu"  # whatever `hidden_act` is

    @property
    def sizes(self) -> dict[str, int]:
        return {**super().sizes, "buckets": self.distance_buckets}


_PARTS = {
    "encoder": [
        *(
            table(
                axis,
                keras=f"embeddings/{name}_embeddings",
                huggingface=f"mpnet.embeddings.{name}_embeddings",
            )
            for name, axis in (("word", "vocab"), ("position", "position"))
        ),
        *norm(
            "embedding",
            keras="embeddings/layer_norm",
            huggingface="mpnet.embeddings.LayerNorm",
        ),
        vector(
            "buckets heads",
            keras="position_bias/table",
            huggingface="mpnet.encoder.relative_attention_bias.weight",
        ),
        *block(
            huggingface=(
                "mpnet.encoder.layer.{i}.",
                (
                    "attention.attn.q",
                    "attention.attn.k",
                    "attention.attn.v",
                    "attention.attn.o",
                    "attention.LayerNorm",
                    "intermediate.dense",
                    "output.dense",
                    "output.LayerNorm",
                ),
            )
        ),
    ],
    "pooler": dense(
        "hidden_in", "hidden", keras="pooler/dense", huggingface="mpnet.pooler.dense"
    ),
    **HEADS,
}

MPNET = Family(
    class_prefix="MPNet",
    config=MPNetConfig,
    heads={
        "encoder": ("encoder", "pooler"),
        "masked_lm": ("encoder", "masked_lm"),
        "sequence_classification": ("encoder", "sequence_classifier"),
        "token_classification": ("encoder", "token_classifier"),
        "multiple_choice": ("encoder", "pooler", "multiple_choice"),
        "question_answering": ("encoder", "qa"),
    },
    parts=_PARTS,
    poolers={"sequence_classification": HeadPooler("tanh", drops=True)},
    prefix="mpnet.",
    ties={
        "lm_head.decoder.weight": "mpnet.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    },
    tokenizer="wordpiece_of_mpnet",
)
