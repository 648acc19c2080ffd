"""A tokenizer and a checkpoint for commands that read one."""

import pytest

from keras_bert import BertTokenizer
from tests.serving.cases import VOCAB, make_model


@pytest.fixture(scope="session")
def tokenizer() -> BertTokenizer:
    return BertTokenizer(VOCAB)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory, tokenizer) -> str:
    """A text classifier and its tokenizer."""
    path = tmp_path_factory.mktemp("checkpoints") / "classes"
    make_model("classes").save_pretrained(path, tokenizer=tokenizer)
    return str(path)
