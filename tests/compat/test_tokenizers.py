"""The tokenizers of `keras_bert.transformers` against `transformers` 4.57."""

import copy
import json

import pytest

from keras_bert.transformers import BertTokenizerFast
from tests.compat.make_golden import PATH
from tests.compat.tokenizer_calls import VOCAB, answer, calls

GOLDEN = json.loads(PATH.read_text("utf-8"))


@pytest.fixture(scope="module")
def tokenizer() -> BertTokenizerFast:
    return BertTokenizerFast(VOCAB, model_max_length=32)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("call", calls(), ids=lambda call: call.name)
def test_calls_return_what_transformers_does(tokenizer, call):
    found = answer(tokenizer, copy.deepcopy(call))
    assert json.loads(json.dumps(found)) == GOLDEN[call.name]


def test_most_calls_return_something():
    errors = [name for name, found in GOLDEN.items() if found == "an error"]
    assert len(GOLDEN) > 390
    assert len(errors) < 70
