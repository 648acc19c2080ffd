"""A model that is served, exported once for all files."""

from pathlib import Path

import pytest

from keras_bert import BertTokenizer
from keras_bert.serving.export import export
from tests.serving.cases import VOCAB, make_model
from tests.serving.conformance import NAME, REAL, REAL_DIRECTORY


@pytest.fixture(scope="session")
def tokenizer() -> BertTokenizer:
    return BertTokenizer(VOCAB)


@pytest.fixture(scope="session")
def model():
    """A text classifier."""
    return make_model("classes")


@pytest.fixture(scope="session")
def directory(tmp_path_factory, model, tokenizer) -> Path:
    """Where version 1 of that model is served from; a real server looks there too."""
    path = REAL_DIRECTORY if REAL else tmp_path_factory.mktemp("models") / NAME
    export(model, path, tokenizer, max_length=13)
    return path
