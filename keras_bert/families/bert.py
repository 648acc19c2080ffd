"""BERT's weights: their names and axes in every format, part by part.

`PARTS` groups the rows the way checkpoints do: a part is there as a whole or not
at all. `HEADS` says which parts each model class is made of.

Source: variable names of Google's `modeling.py`, `run_pretraining.py`,
`run_classifier.py` and `run_squad.py`; state dict keys of Hugging Face's
`modeling_bert.py` and weight names of its `modeling_tf_bert.py`; attributes of
`BertEncoderV2`, `BertPretrainerV2`, `BertClassifier`, `BertSpanLabeler` and
`BertTokenClassifier` in the Model Garden's `official/nlp`; layers of KerasHub's
`BertBackbone`, `BertMaskedLM` and `BertTextClassifier`.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from keras_bert.config import Config
from keras_bert.errors import choose
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


@dataclass(frozen=True, kw_only=True)
class BertConfig(Config):
    """The hyper-parameters of a BERT encoder and its head; see `Config`.

    Example:
        >>> config = BertConfig(hidden_size=128, num_hidden_layers=2,
        ...                     num_attention_heads=2, intermediate_size=512)
        >>> config.head_dim
        64
        >>> BertConfig.preset("tiny").num_hidden_layers
        2

    Source: Devlin et al. 2018 (arXiv:1810.04805) section 3; `BertConfig` in
    Google's `modeling.py`; Hugging Face `configuration_bert.py`.
    """

    model_type = "bert"

    @classmethod
    def preset(cls, name: str, **changes: Any) -> "BertConfig":
        """Returns a published size by name.

        Args:
            name: "tiny", "mini", "small", "medium", "base", "large", or one of the
                24 sizes as `"L-4_H-256"`.
            **changes: fields to set differently, for instance `vocab_size=8000`.

        Raises:
            UnknownNameError: no such size.

        Example:
            >>> BertConfig.preset("mini", vocab_size=8000).hidden_size
            256

        Source: README of google-research/bert, "Smaller BERT Models".
        """
        known = [*ALIASES, *SMALL_SIZES, ALIASES["large"]]
        size = ALIASES.get(name) or choose("preset", name, known)
        layers, hidden = (int(part[2:]) for part in size.split("_"))
        shape = dict(
            num_hidden_layers=layers,
            hidden_size=hidden,
            num_attention_heads=hidden // 64,
            intermediate_size=4 * hidden,
        )
        cls._refuse_unknown(changes)
        return cls(**{**shape, **changes})


# === The spellings BERT needs ===


class Style(NamedTuple):
    """How a format ends its names and lays out its matrices.

    Attributes:
        kernel, bias, gamma, beta, table: last parts of names.
        turned: kernels are `[out, in]`.
        split: attention heads have a dimension of their own.
    """

    kernel: str = "/kernel"
    bias: str = "/bias"
    gamma: str = "/gamma"
    beta: str = "/beta"
    table: str = "/embeddings"
    turned: bool = False
    split: bool = False

    def axes(self, axes: str) -> str:
        """Writes an axes string as the format has it."""
        return axes.replace(_HEADS_AXIS, _HEADS_AXIS[1:-1]) if self.split else axes

    def matrix(self, inputs: str, outputs: str) -> str:
        """Returns a kernel's axes."""
        order = (outputs, inputs) if self.turned else (inputs, outputs)
        return self.axes(" ".join(order))


_HEADS_AXIS = "(heads head_dim)"
_STYLES = {
    "keras": Style(),
    "google": Style(table=""),
    "huggingface": Style(".weight", ".bias", ".weight", ".bias", ".weight", True),
    "huggingface_tf": Style(),
    "model_garden": Style(split=True),
    "keras_hub": Style(split=True),
}


def _table(rows: str, **names: str) -> Row:
    axes = f"{rows} embedding"
    return Row({f: Placement(n + _STYLES[f].table, axes) for f, n in names.items()})


def _vector(axes: str, **names: str) -> Row:
    return Row({f: Placement(n, _STYLES[f].axes(axes)) for f, n in names.items()})


def _norm(axes: str, **names: str) -> list[Row]:
    return [
        _vector(axes, **{f: n + getattr(_STYLES[f], w) for f, n in names.items()})
        for w in ("gamma", "beta")
    ]


def _dense(inputs: str, outputs: str, **names: str) -> list[Row]:
    """A projection: `[in, out]` in TensorFlow, `[out, in]` in PyTorch."""
    kernel = {
        f: Placement(name + _STYLES[f].kernel, _STYLES[f].matrix(inputs, outputs))
        for f, name in names.items()
    }
    bias = {f: name + _STYLES[f].bias for f, name in names.items()}
    return [Row(kernel), _vector(outputs, **bias)]


def _head(outputs: str, google: str, **names: str) -> list[Row]:
    """An output layer: Google's scripts keep these, and only these, `[out, in]`."""
    kernel, bias = _dense("hidden", outputs, **names)
    weights = Placement(f"{google}output_weights", f"{outputs} hidden")
    kernel.placements["google"] = weights
    bias.placements["google"] = Placement(f"{google}output_bias", outputs)
    return [kernel, bias]


# === The rows ===


def _in_layer(
    keras: str, original: str, model_garden: str, keras_hub: str
) -> dict[str, str]:
    """Names below a layer; Hugging Face took Google's over."""
    return {
        "keras": f"layer_{{i}}/{keras}",
        "google": f"bert/encoder/layer_{{i}}/{original}",
        "huggingface": f"bert/encoder/layer/{{i}}/{original}".replace("/", "."),
        "huggingface_tf": f"bert/encoder/layer_._{{i}}/{original}",
        "model_garden": f"encoder/_transformer_layers/{{i}}/{model_garden}",
        "keras_hub": f"transformer_layer_{{i}}/{keras_hub}",
    }


_EMBEDDINGS = [
    _table(
        rows,
        keras=f"embeddings/{name}_embeddings",
        google=f"bert/embeddings/{name}_embeddings",
        huggingface=f"bert.embeddings.{name}_embeddings",
        huggingface_tf=f"bert/embeddings/{name}_embeddings",
        model_garden=f"encoder/{model_garden}_layer",
        keras_hub=f"{keras_hub}_embedding",
    )
    for name, rows, model_garden, keras_hub in (
        ("word", "vocab", "_embedding", "token"),
        ("position", "position", "_position_embedding", "position"),
        ("token_type", "segment", "_type_embedding", "segment"),
    )
]
# The one table that Hugging Face's TensorFlow models name as PyTorch's.
_EMBEDDINGS[0].placements["huggingface_tf"] = Placement(
    "bert/embeddings/word_embeddings/weight", "vocab embedding"
)

_BLOCK = [
    *(
        row
        for name in ("query", "key", "value")
        for row in _dense(
            "hidden",
            _HEADS_AXIS,
            **_in_layer(
                f"attention/{name}",
                f"attention/self/{name}",
                f"_attention_layer/_{name}_dense",
                f"self_attention_layer/{name}",
            ),
        )
    ),
    *_dense(
        _HEADS_AXIS,
        "hidden",
        **_in_layer(
            "attention/output_dense",
            "attention/output/dense",
            "_attention_layer/_output_dense",
            "self_attention_layer/attention_output",
        ),
    ),
    *_norm(
        "hidden",
        **_in_layer(
            "attention_norm",
            "attention/output/LayerNorm",
            "_attention_layer_norm",
            "self_attention_layer_norm",
        ),
    ),
    *_dense(
        "hidden",
        "mlp",
        **_in_layer(
            "feed_forward/intermediate_dense",
            "intermediate/dense",
            "_intermediate_dense",
            "feedforward_intermediate_dense",
        ),
    ),
    *_dense(
        "mlp",
        "hidden",
        **_in_layer(
            "feed_forward/output_dense",
            "output/dense",
            "_output_dense",
            "feedforward_output_dense",
        ),
    ),
    *_norm(
        "hidden",
        **_in_layer(
            "feed_forward_norm",
            "output/LayerNorm",
            "_output_layer_norm",
            "feedforward_layer_norm",
        ),
    ),
]

# A part without a placement for a format has no place in it.
PARTS: dict[str, list[Row]] = {
    "encoder": [
        *_EMBEDDINGS,
        *_norm(
            "embedding",
            keras="embeddings/layer_norm",
            google="bert/embeddings/LayerNorm",
            huggingface="bert.embeddings.LayerNorm",
            huggingface_tf="bert/embeddings/LayerNorm",
            model_garden="encoder/_embedding_norm_layer",
            keras_hub="embeddings_layer_norm",
        ),
        *_BLOCK,
    ],
    "embedding_projection": _dense(
        "embedding",
        "hidden",
        keras="embedding_projection",
        model_garden="encoder/_embedding_projection",
    ),
    "pooler": _dense(
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
        *_dense(
            "hidden",
            "embedding",
            keras="masked_lm/dense",
            google="cls/predictions/transform/dense",
            huggingface="cls.predictions.transform.dense",
            huggingface_tf="mlm___cls/predictions/transform/dense",
            model_garden="masked_lm/dense",
            keras_hub="mlm_head/intermediate_dense",
        ),
        *_norm(
            "embedding",
            keras="masked_lm/layer_norm",
            google="cls/predictions/transform/LayerNorm",
            huggingface="cls.predictions.transform.LayerNorm",
            huggingface_tf="mlm___cls/predictions/transform/LayerNorm",
            model_garden="masked_lm/layer_norm",
            keras_hub="mlm_head/intermediate_layer_norm",
        ),
        _vector(
            "vocab",
            keras="masked_lm_bias/bias",
            google="cls/predictions/output_bias",
            huggingface="cls.predictions.bias",
            huggingface_tf="mlm___cls/predictions/bias",
            model_garden="masked_lm/output_bias.Sbias",
            keras_hub="mlm_head/output_bias",
        ),
    ],
    "next_sentence": _head(
        "two",
        google="cls/seq_relationship/",
        keras="next_sentence",
        huggingface="cls.seq_relationship",
        huggingface_tf="nsp___cls/seq_relationship",
        model_garden="model/classification_heads/0/out_proj",
    ),
    "sequence_classifier": _head(
        "classes",
        google="",
        keras="classifier",
        huggingface="classifier",
        huggingface_tf="classifier",
        model_garden="model/layer_with_weights-1/out_proj",
        keras_hub="logits",
    ),
    "token_classifier": _head(
        "classes",
        google="",
        keras="classifier",
        huggingface="classifier",
        huggingface_tf="classifier",
        model_garden="model/layer_with_weights-1",
    ),
    "multiple_choice": _head(
        "one",
        google="",
        keras="classifier",
        huggingface="classifier",
        huggingface_tf="classifier",
    ),
    "qa": _head(
        "two",
        google="cls/squad/",
        keras="qa_outputs",
        huggingface="qa_outputs",
        huggingface_tf="qa_outputs",
        model_garden="model/layer_with_weights-1/layer_with_weights-0",
    ),
}
# One place in most formats, three meanings: the model class tells which.
CLASSIFIERS = ("sequence_classifier", "token_classifier", "multiple_choice")
# What does not tell model classes apart.
BODY = ("encoder", "embedding_projection", "pooler")

# === The model classes ===

# The pooler is the one part a checkpoint may carry beyond its class' own:
# Google's fine-tuned checkpoints always have it.
HEADS: dict[str, tuple[str, ...]] = {
    "BertModel": ("encoder", "pooler"),
    "BertForPreTraining": ("encoder", "pooler", "masked_lm", "next_sentence"),
    "BertForMaskedLM": ("encoder", "masked_lm"),
    "BertLMHeadModel": ("encoder", "masked_lm"),
    "BertForNextSentencePrediction": ("encoder", "pooler", "next_sentence"),
    "BertForSequenceClassification": ("encoder", "pooler", "sequence_classifier"),
    "BertForTokenClassification": ("encoder", "token_classifier"),
    "BertForMultipleChoice": ("encoder", "pooler", "multiple_choice"),
    "BertForQuestionAnswering": ("encoder", "qa"),
}
# Without a pooler these are still themselves.
POOLER_OPTIONAL = ("BertModel",)

# Short names for the command line.
HEAD_NAMES = {
    "encoder": "BertModel",
    "pretraining": "BertForPreTraining",
    "masked_lm": "BertForMaskedLM",
    "lm_head": "BertLMHeadModel",
    "next_sentence": "BertForNextSentencePrediction",
    "sequence_classification": "BertForSequenceClassification",
    "token_classification": "BertForTokenClassification",
    "multiple_choice": "BertForMultipleChoice",
    "question_answering": "BertForQuestionAnswering",
}

# Which config field gives an axis its size, for messages.
FIELDS = {
    "vocab": "vocab_size",
    "hidden": "hidden_size",
    "hidden_in": "hidden_size",
    "embedding": "embedding_width",
    "heads": "num_attention_heads",
    "mlp": "intermediate_size",
    "position": "max_position_embeddings",
    "segment": "type_vocab_size",
    "classes": "num_labels",
}


def body(config: Config) -> tuple[str, ...]:
    """Returns the parts that every model of a config has."""
    projected = config.embedding_size is not None
    return ("encoder", "embedding_projection") if projected else ("encoder",)


def sizes(config: Config) -> dict[str, int]:
    """Returns the size of every axis the rows name.

    `hidden_in` is `hidden` again, for matrices that have it twice.
    """
    return {**config.sizes, "hidden_in": config.hidden_size, "two": 2, "one": 1}
