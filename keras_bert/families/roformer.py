"""RoFormer: BERT whose queries and keys are turned by their positions; no pooler.

Source: Su et al. 2021 (arXiv:2104.09864); state dict keys of Hugging Face's
`modeling_roformer.py`.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from keras_bert.config import FLAG, Config
from keras_bert.families.bert import huggingface_block
from keras_bert.families.family import Family, HeadPooler
from keras_bert.families.names import block, decoder, dense, norm, output, table, vector
from keras_bert.families.rope import even_heads


@dataclass(frozen=True, kw_only=True)
class RoFormerConfig(Config):
    """The hyper-parameters of a RoFormer; see `Config`.

    Args:
        rotary_value: turn values by their positions too.

    Raises:
        ConfigError: heads are of an odd width, which has no pairs to turn.

    Example:
        >>> RoFormerConfig(rotary_value=True).rotated
        ('query', 'key', 'value')
    """

    model_type = "roformer"
    absent = ("classifier_dropout", "position_embedding_type")
    embeds_positions = False
    sinusoid_table = True
    rotates_neighbours = True
    rules: ClassVar = {"rotary_value": FLAG}

    vocab_size: int = 50000
    max_position_embeddings: int = 1536
    rotary_value: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        even_heads(self)

    @property
    def rotated(self) -> tuple[str, ...]:
        return ("query", "key", "value") if self.rotary_value else ("query", "key")

    def dropout_of(self, head: str) -> float:
        return 0.0 if head == "question_answering" else self.hidden_dropout_prob

    def to_dict(self) -> dict[str, Any]:
        return {"embedding_size": self.embedding_width, **super().to_dict()}


_EMBEDDINGS, _PREDICTIONS = "roformer.embeddings", "cls.predictions"
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
            "embedding",
            keras="embeddings/layer_norm",
            huggingface=f"{_EMBEDDINGS}.LayerNorm",
        ),
        vector(
            "position head_dim",
            keras="sinusoids/table",
            huggingface="roformer.encoder.embed_positions.weight",
        ),
        *block(huggingface=huggingface_block("roformer.")),
    ],
    "embedding_projection": dense(
        "embedding",
        "hidden",
        keras="embedding_projection",
        huggingface="roformer.embeddings_project",
    ),
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
    "sequence_classifier": [
        *dense(
            "hidden_in",
            "hidden",
            keras="pre_classifier/dense",
            huggingface="classifier.dense",
        ),
        *output("classes", keras="classifier", huggingface="classifier.out_proj"),
    ],
    "token_classifier": output("classes", keras="classifier", huggingface="classifier"),
    "qa": output("two", keras="qa_outputs", huggingface="qa_outputs"),
}

ROFORMER = Family(
    class_prefix="RoFormer",
    config=RoFormerConfig,
    # Not multiple choice: Hugging Face's takes the last token, which may be padding.
    heads={
        "encoder": ("encoder",),
        "masked_lm": ("encoder", "masked_lm"),
        "causal_lm": ("encoder", "masked_lm"),
        "sequence_classification": ("encoder", "sequence_classifier"),
        "token_classification": ("encoder", "token_classifier"),
        "question_answering": ("encoder", "qa"),
    },
    parts=_PARTS,
    poolers={"sequence_classification": HeadPooler(None, drops=True)},
    prefix="roformer.",
    ties={
        f"{_PREDICTIONS}.decoder.weight": f"{_EMBEDDINGS}.word_embeddings.weight",
        f"{_PREDICTIONS}.decoder.bias": f"{_PREDICTIONS}.bias",
    },
    tokenizer="jieba_wordpiece",
)
