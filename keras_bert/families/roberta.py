"""RoBERTa and XLM-RoBERTa: BERT's encoder, with other positions and heads.

Positions begin behind the padding id and count tokens that are not padding; a
classifier has a dense layer of its own.

Source: Liu et al. 2019 (arXiv:1907.11692); Conneau et al. 2019 (arXiv:1911.02116);
state dict keys of Hugging Face's `modeling_roberta.py`.
"""

from dataclasses import dataclass, replace

from keras_bert.config import Config
from keras_bert.families.bert import distances, huggingface_block
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


@dataclass(frozen=True, kw_only=True)
class RobertaConfig(Config):
    """The hyper-parameters of a RoBERTa; see `Config`.

    Example:
        >>> RobertaConfig().max_length
        512
    """

    model_type = "roberta"
    counts_tokens = True

    vocab_size: int = 50265
    max_position_embeddings: int = 514
    type_vocab_size: int = 1
    layer_norm_eps: float = 1e-5
    pad_token_id: int = 1

    @property
    def first_position(self) -> int:
        return self.pad_token_id + 1

    @property
    def transform_act(self) -> str:
        return "gelu"  # whatever `hidden_act` is


@dataclass(frozen=True, kw_only=True)
class XLMRobertaConfig(RobertaConfig):
    """The hyper-parameters of an XLM-RoBERTa; see `Config`."""

    model_type = "xlm-roberta"

    vocab_size: int = 250002


_HEAD = "roberta.embeddings"
# The parts that stand on the encoder.
HEADS = {
    "masked_lm": [
        *dense(
            "hidden",
            "embedding",
            keras="masked_lm/dense",
            huggingface="lm_head.dense",
        ),
        *norm(
            "embedding",
            keras="masked_lm/layer_norm",
            huggingface="lm_head.layer_norm",
        ),
        vector("vocab", keras="masked_lm_bias/bias", huggingface="lm_head.bias"),
        decoder(keras="masked_lm_decoder", huggingface="lm_head.decoder"),
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
    "multiple_choice": output("one", keras="classifier", huggingface="classifier"),
    "qa": output("two", keras="qa_outputs", huggingface="qa_outputs"),
}
_PARTS = {
    "encoder": [
        *(
            table(
                axis,
                keras=f"embeddings/{name}_embeddings",
                huggingface=f"{_HEAD}.{name}_embeddings",
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
            huggingface=f"{_HEAD}.LayerNorm",
        ),
        *block(huggingface=huggingface_block("roberta.")),
        distances("roberta."),
    ],
    "pooler": dense(
        "hidden_in",
        "hidden",
        keras="pooler/dense",
        huggingface="roberta.pooler.dense",
    ),
    **HEADS,
}

ROBERTA = Family(
    class_prefix="Roberta",
    config=RobertaConfig,
    heads={
        "encoder": ("encoder", "pooler"),
        "masked_lm": ("encoder", "masked_lm"),
        "causal_lm": ("encoder", "masked_lm"),
        "sequence_classification": ("encoder", "sequence_classifier"),
        "token_classification": ("encoder", "token_classifier"),
        "multiple_choice": ("encoder", "pooler", "multiple_choice"),
        "question_answering": ("encoder", "qa"),
    },
    parts=_PARTS,
    poolers={"sequence_classification": HeadPooler("tanh", drops=True)},
    prefix="roberta.",
    ties={
        "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    },
    tokenizer="byte_level_bpe",
)
XLM_ROBERTA = replace(
    ROBERTA,
    class_prefix="XLMRoberta",
    config=XLMRobertaConfig,
    tokenizer="sentencepiece",
    tokenizer_class="",  # by its own prefix
)
