"""Whether XLA compiles is chosen by platform, said, and left to the user."""

import logging

import keras
import pytest

from keras_bert import BertForSequenceClassification
from keras_bert.models import compilation
from tests.cases import CONFIG

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
