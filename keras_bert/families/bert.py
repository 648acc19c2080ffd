"""BERT: its config, and its weights' names and axes in every format, part by part.

Source: variable names of Google's `modeling.py`, `run_pretraining.py`,
`run_classifier.py` and `run_squad.py`; state dict keys of Hugging Face's
`modeling_bert.py` and weight names of its `modeling_tf_bert.py`; attributes of
`BertEncoderV2`, `BertPretrainerV2`, `BertClassifier`, `BertSpanLabeler` and
`BertTokenClassifier` in the Model Garden's `official/nlp`; layers of KerasHub's
`BertBackbone`, `BertMaskedLM` and `BertTextClassifier`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from keras_bert.config import Config
from keras_bert.families.family import AddedRow, Family, KerasHub
from keras_bert.families.names import (
    block,
    decoder,
    dense,
    norm,
    output,
    table,
    vector,
)
from keras_bert.families.rows import Placement, Row

# === Config ===

# The 24 sizes of "Well-Read Students Learn Better" (arXiv:1908.08962), by
# layers and width, and the names that stuck. BERT-large is 2018's.
SMALL_SIZES = [
    f"L-{layers}_H-{hidden}"
    for layers in (2, 4, 6, 8, 10, 12)
    for hidden in (128, 256, 512, 768)
]
ALIASES = {
    "tiny": "L-2_H-128",
    "mini": "L-4_H-256",
    "small": "L-4_H-512",
    "medium": "L-8_H-512",
    "base": "L-12_H-768",
    "large": "L-24_H-1024",
}


def _presets() -> dict[str, dict[str, int]]:
    sizes = [*SMALL_SIZES, ALIASES["large"]]
    shapes = {size: [int(part[2:]) for part in size.split("_")] for size in sizes}
    fields = {
        size: dict(
            num_hidden_layers=layers,
            hidden_size=hidden,
            num_attention_heads=hidden // 64,
            intermediate_size=4 * hidden,
        )
        for size, (layers, hidden) in shapes.items()
    }
    return {**{name: fields[size] for name, size in ALIASES.items()}, **fields}


@dataclass(frozen=True, kw_only=True)
class BertConfig(Config):
    """The hyper-parameters of a BERT encoder and its head; see `Config`.

    Its presets are "tiny", "mini", "small", "medium", "base", "large", and the 24 sizes
    of the smaller models as `"L-4_H-256"`.

    Example:
        >>> config = BertConfig(hidden_size=128, num_hidden_layers=2,
        ...                     num_attention_heads=2, intermediate_size=512)
        >>> config.head_dim
        64
        >>> BertConfig.preset("tiny").num_hidden_layers
        2

    Source: Devlin et al. 2018 (arXiv:1810.04805) section 3; `BertConfig` in
    Google's `modeling.py`; Hugging Face `configuration_bert.py`; README of
    google-research/bert, "Smaller BERT Models".
    """

    model_type = "bert"
    presets = _presets()


# === Weights ===

# The layers of a block, in the order that `names.block` asks for.
BLOCK = (
    "attention/self/query",
    "attention/self/key",
    "attention/self/value",
    "attention/output/dense",
    "attention/output/LayerNorm",
    "intermediate/dense",
    "output/dense",
    "output/LayerNorm",
)
_MODEL_GARDEN_BLOCK = (
    "_attention_layer/_query_dense",
    "_attention_layer/_key_dense",
    "_attention_layer/_value_dense",
    "_attention_layer/_output_dense",
    "_attention_layer_norm",
    "_intermediate_dense",
    "_output_dense",
    "_output_layer_norm",
)
_KERAS_HUB_BLOCK = (
    "self_attention_layer/query",
    "self_attention_layer/key",
    "self_attention_layer/value",
    "self_attention_layer/attention_output",
    "self_attention_layer_norm",
    "feedforward_intermediate_dense",
    "feedforward_output_dense",
    "feedforward_layer_norm",
)
_TABLES = {  # axes of the rows; the Model Garden's and KerasHub's names
    "word": ("vocab", "_embedding", "token"),
    "position": ("position", "_position_embedding", "position"),
    "token_type": ("segment", "_type_embedding", "segment"),
}


def huggingface_block(prefix: str) -> tuple[str, list[str]]:
    """Names of a block's layers where Hugging Face took over BERT's."""
    return f"{prefix}encoder.layer.{{i}}.", [n.replace("/", ".") for n in BLOCK]


def distances(prefix: str) -> Row:
    """The vectors of distances of models with relative positions."""
    return vector(
        "distances head_dim",
        option="relative",
        keras="layer_{i}/attention/relative/table",
        huggingface=f"{prefix}encoder.layer.{{i}}.attention.self."
        "distance_embedding.weight",
    )


def _embeddings() -> list[Row]:
    rows = [
        table(
            axis,
            keras=f"embeddings/{name}_embeddings",
            google=f"bert/embeddings/{name}_embeddings",
            huggingface=f"bert.embeddings.{name}_embeddings",
            huggingface_tf=f"bert/embeddings/{name}_embeddings",
            model_garden=f"encoder/{model_garden}_layer",
            keras_hub=f"{keras_hub}_embedding",
        )
        for name, (axis, model_garden, keras_hub) in _TABLES.items()
    ]
    # The one table that Hugging Face's TensorFlow models name as PyTorch's.
    rows[0].placements["huggingface_tf"] = Placement(
        "bert/embeddings/word_embeddings/weight", "vocab embedding"
    )
    return rows


# A part without a placement for a format has no place in it.
_PARTS: Mapping[str, list[Row]] = {
    "encoder": [
        *_embeddings(),
        *norm(
            "embedding",
            keras="embeddings/layer_norm",
            google="bert/embeddings/LayerNorm",
            huggingface="bert.embeddings.LayerNorm",
            huggingface_tf="bert/embeddings/LayerNorm",
            model_garden="encoder/_embedding_norm_layer",
            keras_hub="embeddings_layer_norm",
        ),
        *block(
            google=("bert/encoder/layer_{i}/", BLOCK),
            huggingface=huggingface_block("bert."),
            huggingface_tf=("bert/encoder/layer_._{i}/", BLOCK),
            model_garden=("encoder/_transformer_layers/{i}/", _MODEL_GARDEN_BLOCK),
            keras_hub=("transformer_layer_{i}/", _KERAS_HUB_BLOCK),
        ),
        distances("bert."),
    ],
    "embedding_projection": dense(
        "embedding",
        "hidden",
        keras="embedding_projection",
        model_garden="encoder/_embedding_projection",
    ),
    "pooler": dense(
        "hidden_in",
        "hidden",
        keras="pooler/dense",
        google="bert/pooler/dense",
        huggingface="bert.pooler.dense",
        huggingface_tf="bert/pooler/dense",
        model_garden="encoder/_pooler_layer",
        keras_hub="pooled_dense",
    ),
    "masked_lm": [
        *dense(
            "hidden",
            "embedding",
            keras="masked_lm/dense",
            google="cls/predictions/transform/dense",
            huggingface="cls.predictions.transform.dense",
            huggingface_tf="mlm___cls/predictions/transform/dense",
            model_garden="masked_lm/dense",
            keras_hub="mlm_head/intermediate_dense",
        ),
        *norm(
            "embedding",
            keras="masked_lm/layer_norm",
            google="cls/predictions/transform/LayerNorm",
            huggingface="cls.predictions.transform.LayerNorm",
            huggingface_tf="mlm___cls/predictions/transform/LayerNorm",
            model_garden="masked_lm/layer_norm",
            keras_hub="mlm_head/intermediate_layer_norm",
        ),
        vector(
            "vocab",
            keras="masked_lm_bias/bias",
            google="cls/predictions/output_bias",
            huggingface="cls.predictions.bias",
            huggingface_tf="mlm___cls/predictions/bias",
            model_garden="masked_lm/output_bias.Sbias",
            keras_hub="mlm_head/output_bias",
        ),
        decoder(keras="masked_lm_decoder", huggingface="cls.predictions.decoder"),
    ],
    "next_sentence": output(
        "two",
        google="cls/seq_relationship/",
        keras="next_sentence",
        huggingface="cls.seq_relationship",
        huggingface_tf="nsp___cls/seq_relationship",
        model_garden="model/classification_heads/0/out_proj",
    ),
    "sequence_classifier": output(
        "classes",
        google="",
        keras="classifier",
        huggingface="classifier",
        huggingface_tf="classifier",
        model_garden="model/layer_with_weights-1/out_proj",
        keras_hub="logits",
    ),
    "token_classifier": output(
        "classes",
        google="",
        keras="classifier",
        huggingface="classifier",
        huggingface_tf="classifier",
        model_garden="model/layer_with_weights-1",
    ),
    "multiple_choice": output(
        "one",
        google="",
        keras="classifier",
        huggingface="classifier",
        huggingface_tf="classifier",
    ),
    "qa": output(
        "two",
        google="cls/squad/",
        keras="qa_outputs",
        huggingface="qa_outputs",
        huggingface_tf="qa_outputs",
        model_garden="model/layer_with_weights-1/layer_with_weights-0",
    ),
}

BERT = Family(
    class_prefix="Bert",
    config=BertConfig,
    # The pooler is the one part a checkpoint may carry beyond its class' own: Google's
    # fine-tuned checkpoints always have it.
    heads={
        "encoder": ("encoder", "pooler"),
        "pretraining": ("encoder", "pooler", "masked_lm", "next_sentence"),
        "masked_lm": ("encoder", "masked_lm"),
        "lm_head": ("encoder", "masked_lm"),
        "next_sentence": ("encoder", "pooler", "next_sentence"),
        "sequence_classification": ("encoder", "pooler", "sequence_classifier"),
        "token_classification": ("encoder", "token_classifier"),
        "multiple_choice": ("encoder", "pooler", "multiple_choice"),
        "question_answering": ("encoder", "qa"),
    },
    parts=_PARTS,
    prefix="bert.",
    ties={
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    keras_hub=KerasHub(
        module="bert",
        numbers={"hidden_act": "gelu_new", "layer_norm_eps": 1e-12},
        masked_lm_numbers={"masked_lm_act": "gelu", "masked_lm_layer_norm_eps": 1e-5},
    ),
    # ERNIE (Sun et al. 2020, arXiv:1907.12412) is BERT plus an embedding of the task.
    read_as={"ernie": "Ernie"},
    added_row=AddedRow(
        switch="use_task_id",
        size="task_type_vocab_size",
        table="bert.embeddings.task_type_embeddings.weight",
        target="bert.embeddings.token_type_embeddings.weight",
    ),
)
