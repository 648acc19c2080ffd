"""Tiny models of every head, and text for them, shared by the serving tests."""

import numpy as np

import keras_bert
from keras_bert.families.bert import BertConfig
from tests.vocabulary import SPECIAL

WORDS = ["a", "good", "bad", "film", "not", "so", "really", "was", "it", "seen"]
VOCAB = SPECIAL + WORDS
CONFIG = BertConfig(
    vocab_size=37,  # more than the vocabulary, as in published models
    hidden_size=12,
    num_hidden_layers=1,
    num_attention_heads=3,
    intermediate_size=14,
    max_position_embeddings=23,
    num_labels=3,
    initializer_range=0.5,  # answers that differ between texts
)
TEXTS = ["a good film", "not so bad", "seen", "it was really really bad"]
PAIRS = ["was it", "so good a film", "not", "really"]
CHOICES = [["good", "bad film"], ["not a", "so"], ["it", "was"], ["a", "a good"]]

# Class, changes to the config, outputs of serve_ids, outputs on text.
CASES = {
    "encoder": ("BertModel", {}, {"last_hidden_state", "pooler_output"}, None),
    "states": (
        "BertModel",
        {"output_hidden_states": True, "output_attentions": True},
        {
            "last_hidden_state",
            "pooler_output",
            *(f"hidden_states_{i}" for i in range(2)),
            "attentions_0",
        },
        None,
    ),
    "pretraining": (
        "BertForPreTraining",
        {},
        {"prediction_logits", "seq_relationship_logits"},
        None,
    ),
    "masked_lm": ("BertForMaskedLM", {}, {"logits"}, None),
    "causal_lm": ("BertLMHeadModel", {"is_decoder": True}, {"logits"}, None),
    "next_sentence": (
        "BertForNextSentencePrediction",
        {},
        {"logits"},
        {"label", "probabilities", "logits"},
    ),
    "classes": (
        "BertForSequenceClassification",
        {"id2label": {0: "bad", 1: "fair", 2: "good"}},
        {"logits"},
        {"label", "probabilities", "logits"},
    ),
    "classes_with_states": (
        "BertForSequenceClassification",
        {"output_hidden_states": True},
        {"logits", *(f"hidden_states_{i}" for i in range(2))},
        {
            "label",
            "probabilities",
            "logits",
            *(f"hidden_states_{i}" for i in range(2)),
        },
    ),
    "many_labels": (
        "BertForSequenceClassification",
        {"problem_type": "multi_label_classification"},
        {"logits"},
        {"label", "probabilities", "logits"},
    ),
    "score": (
        "BertForSequenceClassification",
        {"num_labels": 1},
        {"logits"},
        {"scores"},
    ),
    "tokens": (
        "BertForTokenClassification",
        {},
        {"logits"},
        {"entity", "text", "start", "end", "score", "count"},
    ),
    "answers": (
        "BertForQuestionAnswering",
        {},
        {"start_logits", "end_logits"},
        {"answer", "start", "end", "score", "no_answer_score"},
    ),
    "choices": (
        "BertForMultipleChoice",
        {},
        {"logits"},
        {"choice", "probabilities", "logits"},
    ),
}
ON_PAIRS = {"pretraining", "next_sentence", "answers", "choices"}
ON_SINGLE_TEXTS = {"tokens"}


def make_model(case):
    name, changes, *_ = CASES[case]
    return getattr(keras_bert, name)(CONFIG.replace(**changes), seed=7)


def at_tokens(value, attention_mask):
    """Zeroes values per position at padding, where a served model has no numbers."""
    value, real = np.asarray(value), np.asarray(attention_mask) > 0
    if value.shape[:2] != real.shape:
        return value
    return np.where(real.reshape(real.shape + (1,) * (value.ndim - 2)), value, 0)
