"""Biases of attention by distance."""

import numpy as np
import pytest

from keras_bert import MPNetConfig, MPNetModel
from keras_bert.distances import FURTHEST, bucket_of_distance

SIZES = dict(
    vocab_size=37,
    hidden_size=15,
    num_attention_heads=3,
    num_hidden_layers=2,
    intermediate_size=22,
    max_position_embeddings=15,
)


def test_buckets_are_those_of_transformers():
    torch = pytest.importorskip("torch")
    modeling = pytest.importorskip("transformers.models.mpnet.modeling_mpnet")
    distances = torch.arange(-700, 701)
    expected = modeling.MPNetEncoder.relative_position_bucket(distances).numpy()
    found = bucket_of_distance(16)[np.minimum(abs(distances.numpy()), FURTHEST)]
    np.testing.assert_array_equal(found + 16 * (distances.numpy() > 0), expected)


def test_the_same_bias_in_every_layer_and_row():
    model = MPNetModel(MPNetConfig(**SIZES), seed=1)
    bias = np.array(model.encoder.position_bias(np.array([[0, 1, 2], [3, 5, 9]])))
    table = np.array(model.encoder.position_bias.table)
    assert bias.shape == (2, 3, 3, 3)
    np.testing.assert_array_equal(bias[1, :, 0, 1], table[16 + 2])  # two to the right
    np.testing.assert_array_equal(bias[0, :, 2, 1], table[1])  # one to the left
