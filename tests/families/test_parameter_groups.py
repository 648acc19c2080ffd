"""Freezing, layer-wise rates and decay know every weight of every family's encoder."""

import pytest

from keras_bert.families import FAMILIES
from keras_bert.models import MODELS
from keras_bert.optimizers import AdamW
from keras_bert.optimizers.parameter_groups import block_of, depths, layer_rates
from keras_bert.training.freezing import update_mask
from tests.families.test_models import SIZES

# What makes an encoder have all the weights that its family can have.
EVERYTHING = {
    "deberta": dict(relative_attention=True, pos_att_type=["c2p", "p2c"]),
    "deberta-v2": dict(
        relative_attention=True,
        pos_att_type=["c2p", "p2c"],
        norm_rel_ebd="layer_norm",
        conv_kernel_size=3,
    ),
    "bert": dict(position_embedding_type="relative_key"),
    "modernbert": dict(attention_bias=True, mlp_bias=True, norm_bias=True),
}


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    family = FAMILIES[request.param]
    config = family.config(**{**SIZES, **EVERYTHING.get(request.param, {})})
    return MODELS[family.class_name("encoder")](config, seed=1)


def test_every_weight_of_the_encoder_has_a_depth(model):
    blocks = {block_of(v.path) for v in model.trainable_variables}
    assert blocks - {"pooler"} <= depths(model.config).keys()
    assert max(layer_rates(model.config, 0.5).values()) == 0.5


def test_freezing_all_layers_leaves_the_pooler(model):
    optimizer = AdamW()
    optimizer.build(model.trainable_variables)
    mask = update_mask(optimizer, model.config, model.config.num_blocks)
    moving = {block_of(p) for p, on in zip(optimizer.paths, mask, strict=True) if on}
    assert moving <= {"pooler"}


def test_biases_and_norms_are_not_decayed(model):
    optimizer = AdamW(weight_decay=0.1)
    optimizer.build(model.trainable_variables)
    paths = zip(optimizer.paths, optimizer._decayed, strict=True)
    wrong = [
        p for p, decays in paths if decays == p.endswith(("bias", "gamma", "beta"))
    ]
    assert wrong == []
