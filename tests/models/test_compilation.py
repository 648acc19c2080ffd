"""How steps are compiled: by XLA where it is faster, and traced once."""

import logging

import keras
import pytest

from keras_bert.models import MODELS, BertForSequenceClassification, compilation
from tests.cases import CASES, CONFIG

LOGGER = compilation.logger.name


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's case")
@pytest.mark.parametrize(("gpu", "expected"), [(False, False), (True, "auto")])
def test_the_choice_and_its_reason_are_logged(monkeypatch, caplog, gpu, expected):
    monkeypatch.setattr(compilation, "_has_gpu", lambda: gpu)
    with caplog.at_level(logging.INFO, LOGGER):
        assert compilation.jit_compile_by_default() == expected
    (line,) = caplog.messages
    assert line.startswith(f"jit_compile={expected!r} on tensorflow: ")


@pytest.mark.parametrize("chosen", [True, False])
def test_what_the_user_says_counts(chosen):
    model = BertForSequenceClassification(CONFIG, seed=1)
    model.compile(jit_compile=chosen)
    assert model.jit_compile is chosen


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="it traces")
@pytest.mark.parametrize("name", ["BertForPreTraining", "BertForMaskedLM"])
def test_a_training_step_is_traced_once(name, monkeypatch):
    traced, train_step = [], keras.Model.train_step

    def counted(self, data):
        traced.append(self)
        return train_step(self, data)

    monkeypatch.setattr(keras.Model, "train_step", counted)
    model = MODELS[name](CONFIG.replace(num_hidden_layers=1), seed=1)
    model.compile()
    model.fit(CASES[name].features(), CASES[name].labels, verbose=0)
    assert len(traced) == 1
