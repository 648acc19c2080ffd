"""SavedModels of every family: `serve_ids`, without padding, computes as Keras does."""

import keras
import numpy as np
import pytest

from keras_bert.models import MODELS
from tests.bounds import assert_close
from tests.families.test_models import SIZES, features_of

if keras.backend.backend() != "tensorflow":
    pytest.skip("a TensorFlow feature", allow_module_level=True)

import tensorflow as tf

from keras_bert.serving.export import export
from keras_bert.serving.graph import unpadded
from keras_bert.serving.graph.servable import named_outputs
from tests.serving.cases import at_tokens

# BERT's own are exported in `tests/serving`.
NAMES = sorted(name for name in MODELS if not name.startswith("Bert"))
# A head of tokens, which shows every state; the pass without padding is that of all
# heads in `test_models.py`, not yet in a file.
FIRST = "token_classification"


def _case(name: str):
    marks = [] if MODELS[name].kind == FIRST else [pytest.mark.slow]
    return pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", map(_case, NAMES))
def test_saved_models_equal_keras_without_padding(name, tmp_path):
    model = MODELS[name](MODELS[name].family.config(**SIZES), seed=3)
    assert unpadded.supports(model)
    loaded = tf.saved_model.load(str(export(model, tmp_path)))
    features = features_of(name, model.config)
    outputs = loaded.signatures["serve_ids"](
        **{key: tf.constant(value) for key, value in features.items()}
    )
    expected = {k: v.numpy() for k, v in named_outputs(model(features)).items()}
    assert outputs.keys() == expected.keys()
    mask = features["attention_mask"]
    for key, value in expected.items():
        here, there = at_tokens(outputs[key], mask), at_tokens(value, mask)
        assert np.abs(there).max() > 0
        assert_close(here, there, name=key)
