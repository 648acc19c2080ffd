"""Layers that are one block: run in turn, trained once, dropped each by itself."""

import numpy as np
import pytest

from keras_bert import AlbertConfig, AlbertModel
from keras_bert.errors import ConfigError
from keras_bert.optimizers import AdamW
from keras_bert.training.distillation import student_of
from keras_bert.training.freezing import freeze

SIZES = dict(
    vocab_size=37,
    embedding_size=11,
    hidden_size=15,
    num_attention_heads=3,
    intermediate_size=22,
    max_position_embeddings=13,
)
IDS = np.random.default_rng(0).integers(1, 37, (5, 13))


@pytest.mark.parametrize(
    ("layers", "groups", "inner", "numbers"),
    [
        (4, 1, 1, [0, 0, 0, 0]),
        (5, 2, 1, [0, 0, 0, 1, 1]),
        (3, 3, 1, [0, 1, 2]),
        (3, 2, 2, [0, 1, 0, 1, 2, 3]),
    ],
)
def test_layers_run_the_blocks_of_their_group(layers, groups, inner, numbers):
    config = AlbertConfig(
        num_hidden_layers=layers,
        num_hidden_groups=groups,
        inner_group_num=inner,
        output_hidden_states=True,
        **SIZES,
    )
    assert config.block_numbers == numbers
    model = AlbertModel(config, seed=1)
    assert len(model.encoder.blocks) == len({*numbers})
    outputs = model(IDS)
    assert len(outputs["hidden_states"]) == 1 + len(numbers)


def test_each_layer_drops_other_units():
    config = AlbertConfig(num_hidden_layers=2, hidden_dropout_prob=0.5, **SIZES)
    model = AlbertModel(config, seed=1)
    seeds = []
    block = type(model.encoder.blocks[0])
    call = block.call

    def spy(self, hidden, bias, seed, *positions, **kwargs):
        seeds.append(np.array(seed).tolist())
        return call(self, hidden, bias, seed, *positions, **kwargs)

    block.call = spy
    try:
        model(IDS, training=True)
    finally:
        block.call = call
    assert len(seeds) == 2 and seeds[0] != seeds[1]


def test_a_block_is_frozen_whole():
    model = AlbertModel(AlbertConfig(num_hidden_layers=3, **SIZES), seed=1)
    optimizer = AdamW()
    optimizer.build(model.trainable_variables)
    with pytest.raises(ConfigError, match="0 to 1 layers"):
        freeze(optimizer, model.config, 2)
    freeze(optimizer, model.config, 1)
    moving = {
        path.split("/")[0]
        for path, on in zip(
            optimizer.paths, np.array(optimizer.update_mask), strict=True
        )
        if on
    }
    assert moving == {"pooler"}


def test_layers_without_weights_of_their_own_make_no_student():
    model = AlbertModel(AlbertConfig(num_hidden_layers=3, **SIZES), seed=1)
    with pytest.raises(ConfigError, match="weights of their own"):
        student_of(model, [0, 2])


def test_a_config_of_endless_layers_is_refused():
    with pytest.raises(ConfigError, match="num_hidden_layers"):
        AlbertConfig(num_hidden_layers=2**30, **SIZES)
