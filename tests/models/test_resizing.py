"""Resizing the vocabulary: embeddings, tied decoder and bias together."""

import keras
import numpy as np
import pytest

import keras_bert
from keras_bert.checkpoints import reference
from keras_bert.errors import ConfigError, InputError
from tests.bounds import assert_close
from tests.checkpoints.fakes import assert_same_bits, tiny_config, values

WORDS, BIAS = "embeddings/word_embeddings/embeddings", "masked_lm_bias/bias"


def _weights(model) -> dict[str, np.ndarray]:
    return {v.path: keras.ops.convert_to_numpy(v.value) for v in model.weights}


def _model(head="BertForPreTraining", **options):
    model = getattr(keras_bert, head)(tiny_config(), seed=3, **options)
    for variable in model.weights:  # biases are zero at first
        if variable.path == BIAS:
            variable.assign(np.arange(37, dtype="float32"))
    return model


@pytest.mark.parametrize("size", [37, 41, 29])
def test_all_else_stays_and_what_is_kept_keeps_its_bits(size):
    model = _model()
    resized = model.resize_token_embeddings(size, seed=5)
    before, after = _weights(model), _weights(resized)
    assert resized.config == model.config.replace(vocab_size=size)
    assert after[WORDS].shape == (size, 15) and after[BIAS].shape == (size,)
    kept = min(size, 37)
    for name in (WORDS, BIAS):
        one, other = before.pop(name), after.pop(name)
        np.testing.assert_array_equal(one[:kept], other[:kept])
    assert_same_bits(before, after)


def test_new_rows_are_drawn_as_for_a_new_model_by_their_seed():
    model = _model()
    drawn = [_weights(model.resize_token_embeddings(50, seed=s)) for s in (5, 5, 6)]
    rows = [weights[WORDS][37:] for weights in drawn]
    np.testing.assert_array_equal(rows[0], rows[1])
    assert not np.array_equal(rows[0], rows[2])
    assert 0.01 < rows[0].std() < 0.03  # initializer_range is 0.02
    np.testing.assert_array_equal(drawn[0][BIAS][37:], 0)


def test_the_tied_decoder_scores_old_tokens_as_before_and_new_ones_too():
    model = _model()
    inputs = {k: v for k, v in reference.probe(model.config).items()}
    before = model(inputs)["prediction_logits"]
    after = model.resize_token_embeddings(41)(inputs)["prediction_logits"]
    assert tuple(after.shape) == (*before.shape[:-1], 41)
    assert_close(after[..., :37], before)


@pytest.mark.parametrize(
    "new_size, multiple, expected",
    [(None, 8, 40), (40, 8, 40), (41, 8, 48), (None, None, 37), (37, 1, 37)],
)
def test_sizes_are_rounded_up(new_size, multiple, expected):
    model = _model("BertModel", add_pooling_layer=False)
    resized = model.resize_token_embeddings(new_size, pad_to_multiple_of=multiple)
    assert resized.config.vocab_size == expected
    assert resized.parts_held == ("encoder",)


def test_dtypes_and_files_follow(tmp_path):
    model = keras_bert.BertForMaskedLM(tiny_config(), dtype="bfloat16", seed=3)
    resized = model.resize_token_embeddings(64)
    assert {v.dtype for v in resized.trainable_variables} == {"bfloat16"}
    folder = resized.save_pretrained(tmp_path / "out", format="huggingface")
    assert values(folder)["bert.embeddings.word_embeddings.weight"].shape == (64, 15)
    again = type(model).from_pretrained(folder, dtype="bfloat16")
    assert_same_bits(_weights(resized), _weights(again))


def test_sizes_that_cannot_be():
    model = _model("BertModel")
    with pytest.raises(InputError, match="pad_to_multiple_of=0"):
        model.resize_token_embeddings(40, pad_to_multiple_of=0)
    for size in (0, -1):
        with pytest.raises(InputError, match=f"new_size={size}"):
            model.resize_token_embeddings(size)
    padded = keras_bert.BertModel(tiny_config(pad_token_id=30))
    with pytest.raises(ConfigError, match="pad_token_id"):
        padded.resize_token_embeddings(30)
