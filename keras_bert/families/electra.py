"""ELECTRA: BERT's encoder with narrow embeddings and no pooler, its discriminator head.

Source: Clark et al. 2020 (arXiv:2003.10555); state dict keys of Hugging Face's
`modeling_electra.py`.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from keras_bert.config import FRACTION, Config
from keras_bert.families.bert import distances, huggingface_block
from keras_bert.families.family import Family, HeadPooler
from keras_bert.families.names import block, decoder, dense, norm, output, table, vector


@dataclass(frozen=True, kw_only=True)
class ElectraConfig(Config):
    """The hyper-parameters of an ELECTRA; see `Config`.

    Args:
        summary_last_dropout: dropout before the output layer of multiple choice.

    Example:
        >>> ElectraConfig().embedding_width
        128
    """

    model_type = "electra"
    rules: ClassVar = {"summary_last_dropout": FRACTION}

    embedding_size: int | None = 128
    hidden_size: int = 256
    num_attention_heads: int = 4
    intermediate_size: int = 1024
    summary_last_dropout: float = 0.1

    @property
    def transform_act(self) -> str:
        return "gelu"  # whatever `hidden_act` is

    def dropout_of(self, head: str) -> float:
        return (
            self.summary_last_dropout
            if head == "multiple_choice"
            else super().dropout_of(head)
        )

    def to_dict(self) -> dict[str, Any]:
        return {"embedding_size": self.embedding_width, **super().to_dict()}


_EMBEDDINGS = "electra.embeddings"
_PARTS = {
    "encoder": [
        *(
            table(
                axis,
                keras=f"embeddings/{name}_embeddings",
                huggingface=f"{_EMBEDDINGS}.{name}_embeddings",
            )
            for name, axis in (
                ("word", "vocab"),
                ("position", "position"),
                ("token_type", "segment"),
            )
        ),
        *norm(
            "embedding",
            keras="embeddings/layer_norm",
            huggingface=f"{_EMBEDDINGS}.LayerNorm",
        ),
        *block(huggingface=huggingface_block("electra.")),
        distances("electra."),
    ],
    "embedding_projection": dense(
        "embedding",
        "hidden",
        keras="embedding_projection",
        huggingface="electra.embeddings_project",
    ),
    "masked_lm": [
        *dense(
            "hidden",
            "embedding",
            keras="masked_lm/dense",
            huggingface="generator_predictions.dense",
        ),
        *norm(
            "embedding",
            keras="masked_lm/layer_norm",
            huggingface="generator_predictions.LayerNorm",
        ),
        vector(
            "vocab", keras="masked_lm_bias/bias", huggingface="generator_lm_head.bias"
        ),
        decoder(keras="masked_lm_decoder", huggingface="generator_lm_head"),
    ],
    "replaced_tokens": [
        *dense(
            "hidden_in",
            "hidden",
            keras="replaced_dense",
            huggingface="discriminator_predictions.dense",
        ),
        *output(
            "one",
            keras="replaced",
            huggingface="discriminator_predictions.dense_prediction",
        ),
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
    "multiple_choice": [
        *dense(
            "hidden_in",
            "hidden",
            keras="pre_classifier/dense",
            huggingface="sequence_summary.summary",
        ),
        *output("one", keras="classifier", huggingface="classifier"),
    ],
    "qa": output("two", keras="qa_outputs", huggingface="qa_outputs"),
}

ELECTRA = Family(
    class_prefix="Electra",
    config=ElectraConfig,
    heads={
        "encoder": ("encoder",),
        "replaced_tokens": ("encoder", "replaced_tokens"),
        "masked_lm": ("encoder", "masked_lm"),
        "causal_lm": ("encoder", "masked_lm"),
        "sequence_classification": ("encoder", "sequence_classifier"),
        "token_classification": ("encoder", "token_classifier"),
        "multiple_choice": ("encoder", "multiple_choice"),
        "question_answering": ("encoder", "qa"),
    },
    parts=_PARTS,
    poolers={
        "sequence_classification": HeadPooler("gelu", drops=True),
        "multiple_choice": HeadPooler("gelu", drops=False),
    },
    prefix="electra.",
    ties={
        "generator_lm_head.weight": "electra.embeddings.word_embeddings.weight",
    },
)
