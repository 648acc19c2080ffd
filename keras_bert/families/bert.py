"""BERT's weights: their names and axes in every format, part by part.

`PARTS` groups the rows the way checkpoints do: a part is there as a whole or not
at all. `HEADS` says which parts each model class is made of.

Source: variable names of Google's `modeling.py`, `run_pretraining.py`,
`run_classifier.py` and `run_squad.py`; state dict keys of Hugging Face's
`modeling_bert.py`.
"""

from keras_bert.checkpoints.table import Row, Slot
from keras_bert.config import BertConfig

# === The spellings BERT needs ===


def _slots(keras: Slot, google: Slot, huggingface: Slot) -> dict[str, Slot]:
    return {"keras": keras, "google": google, "huggingface": huggingface}


def _embedding(keras: str, google: str, huggingface: str, rows: str) -> Row:
    axes = f"{rows} hidden"
    return Row(
        "embedding",
        _slots(
            Slot(f"{keras}/embeddings", axes),
            Slot(google, axes),
            Slot(f"{huggingface}.weight", axes),
        ),
    )


def _vector(kind: str, keras: str, google: str, huggingface: str, axes: str) -> Row:
    names = (keras, google, huggingface)
    return Row(kind, _slots(*(Slot(name, axes) for name in names)))


def _norm(keras: str, google: str, huggingface: str) -> list[Row]:
    return [
        _vector(
            "norm",
            f"{keras}/{ours}",
            f"{google}/{ours}",
            f"{huggingface}.{hf}",
            "hidden",
        )
        for ours, hf in (("gamma", "weight"), ("beta", "bias"))
    ]


def _dense(
    keras: str, google: str, huggingface: str, inputs: str, outputs: str
) -> list[Row]:
    """A projection: `[in, out]` in TensorFlow, `[out, in]` in PyTorch."""
    kernel = _slots(
        Slot(f"{keras}/kernel", f"{inputs} {outputs}"),
        Slot(f"{google}/kernel", f"{inputs} {outputs}"),
        Slot(f"{huggingface}.weight", f"{outputs} {inputs}"),
    )
    bias = (f"{keras}/bias", f"{google}/bias", f"{huggingface}.bias")
    return [Row("kernel", kernel), _vector("bias", *bias, outputs)]


def _head(keras: str, google: str, huggingface: str, outputs: str) -> list[Row]:
    """An output layer: Google's scripts keep these, and only these, `[out, in]`."""
    kernel = _slots(
        Slot(f"{keras}/kernel", f"hidden {outputs}"),
        Slot(f"{google}output_weights", f"{outputs} hidden"),
        Slot(f"{huggingface}.weight", f"{outputs} hidden"),
    )
    bias = (f"{keras}/bias", f"{google}output_bias", f"{huggingface}.bias")
    return [Row("kernel", kernel), _vector("bias", *bias, outputs)]


# === The rows ===

_HEADS_AXIS = "(heads head_dim)"
_OURS = "layer_{i}"
_GOOGLE = "bert/encoder/layer_{i}"
_HF = "bert.encoder.layer.{i}"

_EMBEDDINGS = [
    _embedding(
        f"embeddings/{table}_embeddings",
        f"bert/embeddings/{table}_embeddings",
        f"bert.embeddings.{table}_embeddings",
        rows,
    )
    for table, rows in (
        ("word", "vocab"),
        ("position", "position"),
        ("token_type", "segment"),
    )
]

_BLOCK = [
    *(
        row
        for name in ("query", "key", "value")
        for row in _dense(
            f"{_OURS}/attention/{name}",
            f"{_GOOGLE}/attention/self/{name}",
            f"{_HF}.attention.self.{name}",
            "hidden",
            _HEADS_AXIS,
        )
    ),
    *_dense(
        f"{_OURS}/attention/output_dense",
        f"{_GOOGLE}/attention/output/dense",
        f"{_HF}.attention.output.dense",
        _HEADS_AXIS,
        "hidden",
    ),
    *_norm(
        f"{_OURS}/attention_norm",
        f"{_GOOGLE}/attention/output/LayerNorm",
        f"{_HF}.attention.output.LayerNorm",
    ),
    *_dense(
        f"{_OURS}/feed_forward/intermediate_dense",
        f"{_GOOGLE}/intermediate/dense",
        f"{_HF}.intermediate.dense",
        "hidden",
        "mlp",
    ),
    *_dense(
        f"{_OURS}/feed_forward/output_dense",
        f"{_GOOGLE}/output/dense",
        f"{_HF}.output.dense",
        "mlp",
        "hidden",
    ),
    *_norm(
        f"{_OURS}/feed_forward_norm",
        f"{_GOOGLE}/output/LayerNorm",
        f"{_HF}.output.LayerNorm",
    ),
]

PARTS: dict[str, list[Row]] = {
    "encoder": [
        *_EMBEDDINGS,
        *_norm(
            "embeddings/layer_norm",
            "bert/embeddings/LayerNorm",
            "bert.embeddings.LayerNorm",
        ),
        *_BLOCK,
    ],
    "pooler": _dense(
        "pooler/dense", "bert/pooler/dense", "bert.pooler.dense", "hidden_in", "hidden"
    ),
    "masked_lm": [
        *_dense(
            "masked_lm/dense",
            "cls/predictions/transform/dense",
            "cls.predictions.transform.dense",
            "hidden_in",
            "hidden",
        ),
        *_norm(
            "masked_lm/layer_norm",
            "cls/predictions/transform/LayerNorm",
            "cls.predictions.transform.LayerNorm",
        ),
        _vector(
            "bias",
            "masked_lm_bias/bias",
            "cls/predictions/output_bias",
            "cls.predictions.bias",
            "vocab",
        ),
    ],
    "next_sentence": _head(
        "next_sentence", "cls/seq_relationship/", "cls.seq_relationship", "two"
    ),
    "sequence_classifier": _head("classifier", "", "classifier", "classes"),
    "token_classifier": _head("classifier", "", "classifier", "classes"),
    "multiple_choice": _head("classifier", "", "classifier", "one"),
    "qa": _head("qa_outputs", "cls/squad/", "qa_outputs", "two"),
}
# One place, three meanings: the model class tells which.
CLASSIFIERS = ("sequence_classifier", "token_classifier", "multiple_choice")

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
    "heads": "num_attention_heads",
    "mlp": "intermediate_size",
    "position": "max_position_embeddings",
    "segment": "type_vocab_size",
    "classes": "num_labels",
}


def sizes(config: BertConfig) -> dict[str, int]:
    """Returns the size of every axis the rows name.

    `hidden_in` is `hidden` again, for matrices that have it twice.
    """
    return {**config.sizes, "hidden_in": config.hidden_size, "two": 2, "one": 1}
