"""What every public layer and model is checked with, as data.

A case makes the object and its inputs; the checks in `models/test_contracts.py` know
nothing of particular classes. Sizes are odd and distinct, so that no axis can
stand for another.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_bert import BertConfig, layers

BATCH, SEQ, PREDICTIONS, CHOICES = 3, 13, 5, 2
CONFIG = BertConfig(
    vocab_size=99,
    hidden_size=28,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=37,
    max_position_embeddings=19,
    type_vocab_size=3,
    num_labels=5,
)


def _floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def _ints(high: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, high, shape).astype("int32")


SEED = np.array([3, 5], "uint32")
HIDDEN = _floats(BATCH, SEQ, 28)
BIAS = np.zeros((BATCH, 1, SEQ, SEQ), "float32")


@dataclass(frozen=True)
class LayerCase:
    """A layer, the arguments of a call, and the shapes that come out."""

    make: Callable[..., Any]
    arguments: tuple
    shapes: tuple[tuple[int, ...], ...]


_WITH_DROPOUT = CONFIG.replace(hidden_act="gelu_new", layer_norm_eps=1e-6)


def _layer(kind: type, **options: Any) -> Callable[..., Any]:
    return lambda **k: kind(_WITH_DROPOUT, seed=1, **options, **k)


LAYERS = {
    "Dropout": LayerCase(
        lambda **k: layers.Dropout(0.5, **k), (HIDDEN, SEED), (HIDDEN.shape,)
    ),
    "DropoutSeed": LayerCase(
        lambda **k: layers.DropoutSeed(7, **k), (_ints(9, BATCH, SEQ),), ((2,),)
    ),
    "Embeddings": LayerCase(
        _layer(layers.Embeddings),
        (_ints(99, BATCH, SEQ), _ints(3, BATCH, SEQ), _ints(19, BATCH, SEQ), SEED),
        (HIDDEN.shape,),
    ),
    "FeedForward": LayerCase(_layer(layers.FeedForward), (HIDDEN,), (HIDDEN.shape,)),
    "GatedFeedForward": LayerCase(
        _layer(layers.GatedFeedForward), (HIDDEN,), (HIDDEN.shape,)
    ),
    "LayerNorm": LayerCase(_layer(layers.LayerNorm), (HIDDEN,), (HIDDEN.shape,)),
    "MaskedLMTransform": LayerCase(
        _layer(layers.MaskedLMTransform), (HIDDEN,), (HIDDEN.shape,)
    ),
    "OutputBias": LayerCase(
        _layer(layers.OutputBias),
        (_floats(BATCH, PREDICTIONS, 99),),
        ((BATCH, PREDICTIONS, 99),),
    ),
    "Pooler": LayerCase(
        _layer(layers.Pooler, activation="relu"),
        (HIDDEN, _ints(SEQ, BATCH, 2)),
        ((BATCH, 2, 28),),
    ),
    "PreNormBlock": LayerCase(
        _layer(layers.PreNormBlock),
        (HIDDEN, BIAS, SEED),
        (HIDDEN.shape, (BATCH, 4, SEQ, SEQ)),
    ),
    "SelfAttention": LayerCase(
        _layer(layers.SelfAttention),
        (HIDDEN, BIAS, SEED),
        (HIDDEN.shape, (BATCH, 4, SEQ, SEQ)),
    ),
    "SinusoidTable": LayerCase(
        lambda **k: layers.SinusoidTable(CONFIG.replace(num_attention_heads=2), **k),
        (_ints(19, BATCH, SEQ),),
        ((2, BATCH, SEQ, 7),),
    ),
    "TransformerBlock": LayerCase(
        _layer(layers.TransformerBlock),
        (HIDDEN, BIAS, SEED),
        (HIDDEN.shape, (BATCH, 4, SEQ, SEQ)),
    ),
}


@dataclass(frozen=True)
class ModelCase:
    """Inputs of a model, its labels, and the shapes of its outputs by name."""

    outputs: dict[str, tuple[int, ...]]
    labels: Any = None
    masked: bool = False
    choices: bool = False

    def features(self) -> dict[str, np.ndarray]:
        """Inputs with padding, other token types, and all optional keys."""
        shape = (BATCH, CHOICES, SEQ) if self.choices else (BATCH, SEQ)
        ids = 1 + _ints(CONFIG.vocab_size - 1, *shape)
        mask = np.ones(shape, "int32")
        mask[1, ..., 9:] = 0
        features = {
            "input_ids": ids * mask,
            "attention_mask": mask,
            "token_type_ids": _ints(3, *shape),
        }
        if self.masked:
            positions = np.sort(_ints(9, BATCH, PREDICTIONS))
            features["masked_lm_positions"] = positions
        return features


_TOKENS = _ints(99, BATCH, PREDICTIONS)
_YES_NO = np.array([0, 1, 1], "int32")
_SPANS = {"start_logits": _ints(9, BATCH), "end_logits": _ints(9, BATCH)}
CASES = {
    "BertModel": ModelCase(
        {"last_hidden_state": (BATCH, SEQ, 28), "pooler_output": (BATCH, 28)}
    ),
    "BertForPreTraining": ModelCase(
        {
            "prediction_logits": (BATCH, PREDICTIONS, 99),
            "seq_relationship_logits": (BATCH, 2),
        },
        {"prediction_logits": _TOKENS, "seq_relationship_logits": _YES_NO},
        masked=True,
    ),
    "BertForMaskedLM": ModelCase(
        {"logits": (BATCH, PREDICTIONS, 99)}, _TOKENS, masked=True
    ),
    "BertLMHeadModel": ModelCase({"logits": (BATCH, SEQ, 99)}, _ints(99, BATCH, SEQ)),
    "BertForNextSentencePrediction": ModelCase({"logits": (BATCH, 2)}, _YES_NO),
    "BertForSequenceClassification": ModelCase({"logits": (BATCH, 5)}, _ints(5, BATCH)),
    "BertForTokenClassification": ModelCase(
        {"logits": (BATCH, SEQ, 5)}, _ints(5, BATCH, SEQ)
    ),
    "BertForQuestionAnswering": ModelCase(
        {"start_logits": (BATCH, SEQ), "end_logits": (BATCH, SEQ)}, _SPANS
    ),
    "BertForMultipleChoice": ModelCase(
        {"logits": (BATCH, CHOICES)}, _YES_NO, choices=True
    ),
}
PUBLIC = {name for name in layers.__all__ if isinstance(getattr(layers, name), type)}
assert set(LAYERS) == PUBLIC, "every public layer needs a case"
