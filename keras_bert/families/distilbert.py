"""DistilBERT: BERT's encoder without token types and pooler.

Source: Sanh et al. 2019 (arXiv:1910.01108); state dict keys of Hugging Face's
`modeling_distilbert.py`.
"""

from dataclasses import dataclass
from typing import ClassVar

from keras_bert.config import FRACTION, Config, aliased
from keras_bert.families.family import Family, HeadPooler
from keras_bert.families.names import (
    block,
    decoder,
    dense,
    norm,
    output,
    table,
    vector,
)


@aliased(
    dim="hidden_size",
    hidden_dim="intermediate_size",
    n_layers="num_hidden_layers",
    n_heads="num_attention_heads",
    activation="hidden_act",
    dropout="hidden_dropout_prob",
    attention_dropout="attention_probs_dropout_prob",
)
@dataclass(frozen=True, kw_only=True)
class DistilBertConfig(Config):
    """The hyper-parameters of a DistilBERT; see `Config`.

    Args:
        qa_dropout: dropout before the output layer of question answering.
        seq_classif_dropout: dropout before that of sequence classification and
            multiple choice.

    Example:
        >>> DistilBertConfig(dim=32, n_heads=4).hidden_size
        32
    """

    model_type = "distilbert"
    absent = (
        "classifier_dropout",
        "is_decoder",
        "add_cross_attention",
        "layer_norm_eps",
        "position_embedding_type",
        "type_vocab_size",
    )

    rules: ClassVar = {
        "type_vocab_size": ((int,), lambda v: v == 0, "0: there are no token types"),
        "qa_dropout": FRACTION,
        "seq_classif_dropout": FRACTION,
    }

    num_hidden_layers: int = 6
    type_vocab_size: int = 0
    qa_dropout: float = 0.1
    seq_classif_dropout: float = 0.2

    def dropout_of(self, head: str) -> float:
        own = {
            "question_answering": self.qa_dropout,
            "token_classification": self.hidden_dropout_prob,
        }
        return own.get(head, self.seq_classif_dropout)


def _classifier(outputs: str) -> list:
    return [
        *dense(
            "hidden_in",
            "hidden",
            keras="pre_classifier/dense",
            huggingface="pre_classifier",
        ),
        *output(outputs, keras="classifier", huggingface="classifier"),
    ]


_PARTS = {
    "encoder": [
        *(
            table(
                axis,
                keras=f"embeddings/{name}_embeddings",
                huggingface=f"distilbert.embeddings.{name}_embeddings",
            )
            for name, axis in (("word", "vocab"), ("position", "position"))
        ),
        *norm(
            "embedding",
            keras="embeddings/layer_norm",
            huggingface="distilbert.embeddings.LayerNorm",
        ),
        *block(
            huggingface=(
                "distilbert.transformer.layer.{i}.",
                (
                    "attention.q_lin",
                    "attention.k_lin",
                    "attention.v_lin",
                    "attention.out_lin",
                    "sa_layer_norm",
                    "ffn.lin1",
                    "ffn.lin2",
                    "output_layer_norm",
                ),
            )
        ),
    ],
    "masked_lm": [
        *dense(
            "hidden",
            "embedding",
            keras="masked_lm/dense",
            huggingface="vocab_transform",
        ),
        *norm(
            "embedding",
            keras="masked_lm/layer_norm",
            huggingface="vocab_layer_norm",
        ),
        vector(
            "vocab",
            keras="masked_lm_bias/bias",
            huggingface="vocab_projector.bias",
        ),
        decoder(keras="masked_lm_decoder", huggingface="vocab_projector"),
    ],
    "sequence_classifier": _classifier("classes"),
    "token_classifier": output("classes", keras="classifier", huggingface="classifier"),
    "multiple_choice": _classifier("one"),
    "qa": output("two", keras="qa_outputs", huggingface="qa_outputs"),
}

DISTILBERT = Family(
    class_prefix="DistilBert",
    config=DistilBertConfig,
    heads={
        "encoder": ("encoder",),
        "masked_lm": ("encoder", "masked_lm"),
        "sequence_classification": ("encoder", "sequence_classifier"),
        "token_classification": ("encoder", "token_classifier"),
        "multiple_choice": ("encoder", "multiple_choice"),
        "question_answering": ("encoder", "qa"),
    },
    parts=_PARTS,
    poolers={
        "sequence_classification": HeadPooler("relu", drops=False),
        "multiple_choice": HeadPooler("relu", drops=False),
    },
    prefix="distilbert.",
    ties={
        "vocab_projector.weight": "distilbert.embeddings.word_embeddings.weight",
    },
)
