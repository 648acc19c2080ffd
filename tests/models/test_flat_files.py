"""Files that versions before 0.2 wrote still load, to the last bit.

`tests/fixtures/flat_models` was written by version 0.1 (commit b758be1): models with
seeds 1 to 6 of one config, two of them trained for two steps.
"""

import keras
import numpy as np
import pytest

import keras_bert
from tests.paths import ROOT

FILES = ROOT / "tests" / "fixtures" / "flat_models"
INPUTS = dict(np.load(FILES / "inputs.npz"))
EXPECTED = dict(np.load(FILES / "expected.npz"))
TRAINED = ("classifier", "pretraining")


def _features(case: str) -> dict[str, np.ndarray]:
    ids, types = INPUTS["input_ids"], INPUTS["token_type_ids"]
    if case == "choices":
        return {"input_ids": ids.reshape(2, 2, 7)}
    features = {"input_ids": ids, "token_type_ids": types}
    if case == "pretraining":
        features["masked_lm_positions"] = INPUTS["positions"]
    return features


def _assert_as_before(case: str, model) -> None:
    outputs = model(_features(case))
    outputs = outputs if isinstance(outputs, dict) else {"logits": outputs}
    for name, value in outputs.items():
        expected = EXPECTED[f"{case}/{name}"]
        # Another CPU adds up in another order.
        bound = 16 * np.finfo("float32").eps * np.abs(expected).max()
        value = keras.ops.convert_to_numpy(value)
        np.testing.assert_allclose(value, expected, 0, bound, err_msg=name)


@pytest.mark.parametrize(
    "case", ["classifier", "pretraining", "projected", "int8", "choices", "nested"]
)
def test_keras_file_of_a_flat_model(case):
    model = keras.saving.load_model(FILES / f"{case}.keras")
    _assert_as_before(case, model)
    if case != "nested":
        assert model.layers[0] is model.encoder


@pytest.mark.parametrize("case", TRAINED)
def test_weights_and_optimizer_of_a_flat_model(case, tmp_path):
    model = keras.saving.load_model(FILES / f"{case}.keras")
    for kind, variables in (
        ("weights", model.weights),
        ("optimizer", model.optimizer.variables),
    ):
        assert variables
        for variable in variables:
            expected = EXPECTED[f"{case}.{kind}/{variable.path}"]
            np.testing.assert_array_equal(variable.numpy(), expected)
    model.save(tmp_path / "again.keras")
    again = keras.saving.load_model(tmp_path / "again.keras")
    for one, other in zip(
        model.optimizer.variables, again.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


@pytest.mark.parametrize(
    ("case", "name"),
    [("pretraining", "BertForPreTraining"), ("projected", "BertForQuestionAnswering")],
)
def test_directory_of_a_flat_model(case, name):
    _assert_as_before(case, getattr(keras_bert, name).from_pretrained(FILES / case))


def test_weights_file_of_a_flat_model():
    config = keras.saving.load_model(FILES / "classifier.keras").config
    model = keras_bert.BertForSequenceClassification(config, seed=9)
    model.load_weights(FILES / "classifier.weights.h5")
    _assert_as_before("classifier", model)
