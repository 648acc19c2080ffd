"""ALBERT: layers that share one block, narrow embeddings, sentence order.

Source: Lan et al. 2019 (arXiv:1909.11942); state dict keys of Hugging Face's
`modeling_albert.py`; variable names of google-research/albert's `modeling.py`,
`run_pretraining.py`, `classifier_utils.py`, `race_utils.py` and `squad_utils.py`.
"""

from dataclasses import dataclass
from typing import ClassVar

from keras_bert.config import SIZE, Config, aliased
from keras_bert.families.family import Family
from keras_bert.families.names import block, decoder, dense, norm, output, table, vector
from keras_bert.families.rows import MAX_LAYERS

_LAYERS = ((int,), lambda v: 0 < v <= MAX_LAYERS, f"an integer from 1 to {MAX_LAYERS}")


@aliased(classifier_dropout_prob="classifier_dropout")
@dataclass(frozen=True, kw_only=True)
class AlbertConfig(Config):
    """The hyper-parameters of an ALBERT; see `Config`.

    Args:
        num_hidden_groups: groups of blocks; the layers are divided among them.
        inner_group_num: blocks of a group, which each of its layers runs in turn.

    Example:
        >>> AlbertConfig(num_hidden_layers=3).block_numbers
        [0, 0, 0]
    """

    model_type = "albert"
    absent = ("is_decoder", "add_cross_attention", "position_embedding_type")
    rules: ClassVar = {
        "num_hidden_layers": _LAYERS,
        "num_hidden_groups": SIZE,
        "inner_group_num": _LAYERS,
    }

    vocab_size: int = 30000
    embedding_size: int | None = 128
    hidden_size: int = 4096
    num_attention_heads: int = 64
    intermediate_size: int = 16384
    hidden_act: str = "gelu_new"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    classifier_dropout: float | None = 0.1
    num_hidden_groups: int = 1
    inner_group_num: int = 1

    @property
    def projects_embeddings(self) -> bool:
        return True  # of whatever width

    @property
    def num_blocks(self) -> int:
        return self.num_hidden_groups * self.inner_group_num

    @property
    def inner_blocks(self) -> int:
        return self.inner_group_num

    @property
    def block_numbers(self) -> list[int]:
        layers, groups = self.num_hidden_layers, self.num_hidden_groups
        inner = range(self.inner_group_num)
        firsts = [i * groups // layers * self.inner_group_num for i in range(layers)]
        return [first + i for first in firsts for i in inner]

    def to_dict(self) -> dict:
        return {"embedding_size": self.embedding_width, **super().to_dict()}


_EMBEDDINGS = "albert.embeddings"
_PARTS = {
    "encoder": [
        *(
            table(
                axis,
                keras=f"embeddings/{name}_embeddings",
                google=f"bert/embeddings/{name}_embeddings",
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
            google="bert/embeddings/LayerNorm",
            huggingface=f"{_EMBEDDINGS}.LayerNorm",
        ),
        *block(
            google=(
                "bert/encoder/transformer/group_{group}/inner_group_{inner}/",
                (
                    "attention_1/self/query",
                    "attention_1/self/key",
                    "attention_1/self/value",
                    "attention_1/output/dense",
                    "LayerNorm",
                    "ffn_1/intermediate/dense",
                    "ffn_1/intermediate/output/dense",
                    "LayerNorm_1",
                ),
            ),
            huggingface=(
                "albert.encoder.albert_layer_groups.{group}.albert_layers.{inner}.",
                (
                    "attention.query",
                    "attention.key",
                    "attention.value",
                    "attention.dense",
                    "attention.LayerNorm",
                    "ffn",
                    "ffn_output",
                    "full_layer_layer_norm",
                ),
            ),
        ),
    ],
    "embedding_projection": dense(
        "embedding",
        "hidden",
        keras="embedding_projection",
        google="bert/encoder/embedding_hidden_mapping_in",
        huggingface="albert.encoder.embedding_hidden_mapping_in",
    ),
    "pooler": dense(
        "hidden_in",
        "hidden",
        keras="pooler/dense",
        google="bert/pooler/dense",
        huggingface="albert.pooler",
    ),
    "masked_lm": [
        *dense(
            "hidden",
            "embedding",
            keras="masked_lm/dense",
            google="cls/predictions/transform/dense",
            huggingface="predictions.dense",
        ),
        *norm(
            "embedding",
            keras="masked_lm/layer_norm",
            google="cls/predictions/transform/LayerNorm",
            huggingface="predictions.LayerNorm",
        ),
        vector(
            "vocab",
            keras="masked_lm_bias/bias",
            google="cls/predictions/output_bias",
            huggingface="predictions.bias",
        ),
        decoder(keras="masked_lm_decoder", huggingface="predictions.decoder"),
    ],
    "sentence_order": output(
        "two",
        google="cls/seq_relationship/",
        keras="sentence_order",
        huggingface="sop_classifier.classifier",
    ),
    "sequence_classifier": output(
        "classes", google="", keras="classifier", huggingface="classifier"
    ),
    "token_classifier": output(
        "classes", google="", keras="classifier", huggingface="classifier"
    ),
    "multiple_choice": output(
        "one", google="", keras="classifier", huggingface="classifier"
    ),
    "qa": output(
        "two", google="cls/squad/", keras="qa_outputs", huggingface="qa_outputs"
    ),
}

ALBERT = Family(
    class_prefix="Albert",
    config=AlbertConfig,
    heads={
        "encoder": ("encoder", "pooler"),
        "sentence_order": ("encoder", "pooler", "masked_lm", "sentence_order"),
        "masked_lm": ("encoder", "masked_lm"),
        "sequence_classification": ("encoder", "pooler", "sequence_classifier"),
        "token_classification": ("encoder", "token_classifier"),
        "multiple_choice": ("encoder", "pooler", "multiple_choice"),
        "question_answering": ("encoder", "qa"),
    },
    parts=_PARTS,
    prefix="albert.",
    ties={
        "predictions.decoder.weight": "albert.embeddings.word_embeddings.weight",
        "predictions.decoder.bias": "predictions.bias",
    },
    tokenizer="sentencepiece",
)
