"""transformers opens what the families write, and computes the same."""

import keras
import numpy as np
import pytest

from keras_bert.models import MODELS
from tests.bounds import assert_close
from tests.families.test_models import FIELDS, SIZES

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
NAMES = sorted(name for name, model in MODELS.items() if not name.startswith("Bert"))
# Fields that change what a model computes, and that no golden case has.
_BIASES = ("attention", "mlp", "norm", "classifier")
_MODERN = {
    **{f"{layer}_bias": True for layer in _BIASES},
    "decoder_bias": False,
    "layer_types": ["sliding_attention", "full_attention"],
    "local_attention": 5,
    "classifier_pooling": "mean",
    "classifier_activation": "silu",
    "hidden_act": "relu",
    "global_rope_theta": 300.0,
    "local_rope_theta": 20.0,
}
_MODERN_NAMES = [name for name in NAMES if name.startswith("ModernBert")]
_DEBERTA = FIELDS["deberta-v2"]
VARIANTS = [
    *(
        (name, FIELDS[MODELS[name].family.model_type])
        for name in NAMES
        if name.startswith("Deberta")
    ),
    ("DebertaModel", {**FIELDS["deberta"], "position_biased_input": False}),
    ("DebertaV2Model", {**_DEBERTA, "share_att_key": True, "norm_rel_ebd": "none"}),
    ("DebertaV2Model", {**_DEBERTA, "pos_att_type": ["p2c"], "conv_kernel_size": 0}),
    ("DebertaV2Model", {**_DEBERTA, "pos_att_type": ["c2p"], "position_buckets": -1}),
    ("DebertaV2Model", {**_DEBERTA, "max_relative_positions": 5}),
    *((name, _MODERN) for name in _MODERN_NAMES),
    ("ModernBertForMaskedLM", {"tie_word_embeddings": False, "decoder_bias": False}),
    ("RoFormerModel", {"rotary_value": True}),
]


@pytest.mark.parametrize("name, fields", [*((name, {}) for name in NAMES), *VARIANTS])
def test_transformers_opens_what_is_written(name, fields, tmp_path):
    model = MODELS[name](MODELS[name].family.config(**SIZES, **fields), seed=1)
    model.save_pretrained(tmp_path / "it", "huggingface")
    theirs, loading = getattr(transformers, name).from_pretrained(
        tmp_path / "it", output_loading_info=True
    )
    assert not any(loading.values()), loading
    shape = (2, 2, 9) if model.choices else (2, 9)
    ids = np.random.default_rng(0).integers(5, SIZES["vocab_size"], shape)
    outputs = model(ids.astype("int32"))
    outputs = outputs if isinstance(outputs, dict) else {"logits": outputs}
    tensor = torch.tensor(ids)
    with torch.no_grad():
        expected = theirs.eval()(tensor, attention_mask=torch.ones_like(tensor))
    for key, value in outputs.items():
        value = keras.ops.convert_to_numpy(value)
        assert_close(value, expected[key].numpy(), name=key)
