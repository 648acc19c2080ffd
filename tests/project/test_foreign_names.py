"""Names of other packages: an error with the lines that replace them, which run."""

import importlib

import numpy as np
import pytest

import keras_bert
from keras_bert import foreign_names
from keras_bert.errors import KerasBertError
from tests.vocabulary import SPECIAL

LINES = sorted({*foreign_names.CYBERZHG.values()})
TOKENS = [*SPECIAL, "good", "film", "bad", "##s"]


@pytest.mark.parametrize("name", ["Tokenizer", "load_trained_model_from_checkpoint"])
def test_both_forms_of_import_show_the_message(name):
    with pytest.raises(
        ImportError, match=r"PyPI calls keras-bert.*\n\n    token"
    ) as one:
        getattr(keras_bert, name)
    with pytest.raises(ImportError) as other:
        exec(f"from keras_bert import {name}")
    assert str(one.value) == str(other.value)
    assert isinstance(one.value, KerasBertError)
    assert not isinstance(one.value, AttributeError)


@pytest.mark.parametrize(
    "name", ["TFBertModel", "AutoTokenizer", "TFAutoModelForMaskedLM"]
)
def test_names_of_transformers_say_where_they_are(name):
    line = f"from keras_bert.transformers import {name}"
    with pytest.raises(ImportError, match=line):
        exec(f"from keras_bert import {name}")
    assert hasattr(importlib.import_module("keras_bert.transformers"), name)


def test_other_names_are_no_attributes():
    assert not hasattr(keras_bert, "no_such_name")
    with pytest.raises(ImportError, match="no_such_name"):
        exec("from keras_bert import no_such_name")
    exec("from keras_bert import hub")  # a module


def test_none_is_a_name_of_this_package():
    ours = {*keras_bert.__all__}
    assert not ours & {*foreign_names.CYBERZHG, *foreign_names.TRANSFORMERS}
    assert all(1 <= lines.count("\n") <= 2 for lines in LINES)


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """What the lines take for granted."""
    folder = tmp_path_factory.mktemp("google")
    sizes = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    config = keras_bert.BertConfig(
        vocab_size=len(TOKENS), intermediate_size=8, hidden_act="gelu_new", **sizes
    )
    model = keras_bert.BertForPreTraining(config)
    tokenizer = keras_bert.BertTokenizer(TOKENS)
    place = folder / "model"
    model.save_pretrained(place, format="google", tokenizer=tokenizer)
    (folder / "a.txt").write_text("good film\nbad films\n\nbad film\ngood\n" * 9)
    (folder / "records").mkdir()
    return {
        "keras_bert": keras_bert,
        "folder": str(place),
        "texts": ["good films", "bad"],
        "steps": 100,
        "text_files": str(folder / "a.txt"),
        "model": model,
        "tokenizer": tokenizer,
        "hidden": np.zeros((1, 3, 16), "float32"),
    }


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(lines, marks=[pytest.mark.slow] * ("Predictor" in lines))
        for lines in LINES
    ],
    ids=lambda text: text.split("\n")[1][:30],
)
def test_the_lines_run(lines, names, monkeypatch):
    monkeypatch.chdir(f"{names['folder']}/..")
    found = dict(names)
    exec(lines.replace('"hf://google-bert/bert-base-uncased"', "folder"), found)
    assert {*found} > {*names}  # they made something
