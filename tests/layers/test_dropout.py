"""Every place that drops draws a mask of its own, in every step."""

import functools
import itertools

import keras
import numpy as np
import pytest

from keras_bert import families
from keras_bert.layers import Dropout
from keras_bert.models import MODELS

# All masks have 64 entries but those of the heads: seq x hidden, heads x seq x seq.
SIZES = dict(
    vocab_size=9,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=6,
    max_position_embeddings=8,
    hidden_dropout_prob=0.5,
    attention_probs_dropout_prob=0.5,
    pad_token_id=1,
)
OWN = {
    "deberta": dict(relative_attention=True, pos_att_type=["c2p"]),
    "modernbert": dict(mlp_dropout=0.5, classifier_dropout=0.5),
}
IDS = np.array([[3, 4, 5, 6]], "int32")


@pytest.fixture
def masks(monkeypatch):
    """What every place has kept, call by call."""
    drop, kept = Dropout.call, {}

    @functools.wraps(drop)  # Keras reads the names of the arguments
    def call(self, inputs, *args, **kwargs):
        ones = keras.ops.ones_like(inputs)
        mask = keras.ops.convert_to_numpy(drop(self, ones, *args, **kwargs)) > 0
        kept.setdefault(self.path, []).append(mask.ravel())
        return drop(self, inputs, *args, **kwargs)

    monkeypatch.setattr(Dropout, "call", call)
    return kept


def _dropouts(model) -> int:
    return sum(isinstance(layer, Dropout) for layer in model._flatten_layers())


def _differ(one, other) -> bool:
    size = min(len(one), len(other))
    return (one[:size] != other[:size]).any()


@pytest.mark.parametrize("name", families.FAMILIES)
@pytest.mark.parametrize("kind", ["sequence_classification", "token_classification"])
def test_every_place_draws_a_mask_of_its_own(name, kind, masks):
    family = families.FAMILIES[name]
    config = family.config(**SIZES, **OWN.get(name, {}))
    model = MODELS[family.class_name(kind)](config, seed=3)
    for _ in range(2):
        model(IDS, training=True)
    # The embeddings; of a block the attention, its output, the feed-forward; a head.
    layers, blocks = len(model.config.block_numbers), model.config.num_blocks
    assert len(masks) == _dropouts(model) >= 1 + blocks * 3 + 1
    drawn = [mask for calls in masks.values() for mask in calls]
    assert len(drawn) == 2 * (len(masks) + (layers - blocks) * 3)
    assert all(_differ(*pair) for pair in itertools.combinations(drawn, 2))


def test_nothing_is_dropped_outside_of_training(masks):
    family = families.of("bert")
    model = MODELS["BertForSequenceClassification"](family.config(**SIZES), seed=3)
    model(IDS)
    assert masks and all(mask.all() for calls in masks.values() for mask in calls)
