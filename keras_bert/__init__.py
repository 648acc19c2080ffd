"""BERT for Keras 3 and TensorFlow: pretrain, fine-tune, convert and serve.

Names are loaded when first used, so that converting a checkpoint never waits
for Keras and tokenizing never waits for TensorFlow.
"""

import importlib
from typing import Any

from keras_bert.version import __version__

_PUBLIC = {
    "BertConfig": "families.bert",
    "BertForMaskedLM": "models",
    "BertForMultipleChoice": "models",
    "BertForNextSentencePrediction": "models",
    "BertForPreTraining": "models",
    "BertForQuestionAnswering": "models",
    "BertForSequenceClassification": "models",
    "BertForTokenClassification": "models",
    "BertLMHeadModel": "models",
    "BertModel": "models",
    "BertTokenizer": "tokenization",
    "BertTokenizerLayer": "tokenization",
    "KerasBertError": "errors",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'keras_bert' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"keras_bert.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
