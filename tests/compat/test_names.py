"""The names of `keras_bert.transformers`, and its small functions."""

import logging
import subprocess
import sys

import numpy as np
import pytest

from keras_bert import transformers
from keras_bert.errors import KerasBertError, UnavailableNameError
from keras_bert.transformers import utils


@pytest.mark.parametrize("name", transformers.__all__)
def test_public_names_load(name):
    assert getattr(transformers, name) is not None
    assert name in dir(transformers)


def test_a_tokenizer_needs_neither_keras_nor_tensorflow():
    code = (
        "import sys; from keras_bert.transformers import AutoTokenizer, BertTokenizer, "
        "BatchEncoding, logging; "
        "tokenizer = BertTokenizer(['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'a']); "
        "assert tokenizer('a', return_tensors='np').input_ids.tolist() == [[2, 4, 3]]; "
        "from keras_bert.transformers import RobertaTokenizer, XLMRobertaTokenizer; "
        "assert not {'keras', 'tensorflow', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("TFGPT2Model", "BERT and its relatives"),
        ("BertTokeniser", "Did you mean BertTokenizer"),
        ("RobertaTokenizr", "Did you mean RobertaTokenizer"),
        ("BertForMaskedLM", "Did you mean TFBertForMaskedLM"),
        ("Trainer", "model.fit"),
        ("squad_convert_examples_to_features", "run_squad"),
        ("GradientAccumulator", "gradient_accumulation_steps"),
    ],
)
def test_a_name_that_is_missing_says_what_instead(name, said):
    with pytest.raises(UnavailableNameError, match=said) as raised:
        exec(f"from keras_bert.transformers import {name}")
    assert isinstance(raised.value, ImportError)
    assert isinstance(raised.value, KerasBertError)


@pytest.mark.parametrize(
    "line",
    [
        "modeling_tf_utils import TFPreTrainedModel, get_initializer, shape_list",
        "modeling_tf_outputs import TFSequenceClassifierOutput",
        "models.bert.modeling_tf_bert import TFBertMainLayer",
        "models.xlm_roberta import TFXLMRobertaModel",
        "tokenization_bert import BertTokenizer",
        "data.data_collator import tf_default_data_collator",
    ],
)
def test_names_are_also_in_the_modules_of_transformers(line):
    names = {}
    exec(f"from keras_bert.transformers.{line}", names)
    name = line.rpartition(" ")[2]
    assert names[name] is getattr(transformers, name)
    with pytest.raises(ImportError, match="nothing"):
        exec("from keras_bert.transformers.modeling_tf_utils import nothing")


def test_other_names_are_missing_as_usual():
    assert not hasattr(transformers, "nothing")
    with pytest.raises(ImportError):
        exec("from keras_bert.transformers import nothing")


def test_a_seed_makes_the_same_numbers():
    drawn = []
    for seed in (3, 3, 4):
        transformers.set_seed(seed)
        drawn.append(np.random.rand(4).tolist())
    assert drawn[0] == drawn[1] != drawn[2]


def test_verbosity_is_that_of_this_package():
    ours = logging.getLogger("keras_bert")
    before = ours.level
    try:
        for name in ("error", "warning", "info", "debug"):
            getattr(transformers.logging, f"set_verbosity_{name}")()
            level = getattr(transformers.logging, name.upper())
            assert transformers.logging.get_verbosity() == ours.level == level
            child = logging.getLogger("keras_bert.transformers.lengths")
            assert child.getEffectiveLevel() == level
        assert transformers.logging.get_logger() is ours
        assert utils.logging.get_logger("x") is logging.getLogger("x")
        transformers.logging.enable_explicit_format()
        transformers.logging.enable_default_handler()
        assert len(ours.handlers) == 1
        assert "levelname" in ours.handlers[0].formatter._fmt
        transformers.logging.disable_propagation()
        assert not ours.propagate
    finally:
        transformers.logging.disable_default_handler()
        transformers.logging.enable_propagation()
        ours.setLevel(before)
    assert not ours.handlers and ours.propagate


def test_what_is_installed_is_known():
    assert utils.is_tokenizers_available() is True
    assert transformers.is_tf_available() in (True, False)
    assert transformers.is_torch_available() in (True, False)


def test_strategies_are_strings():
    assert transformers.PaddingStrategy("max_length") == "max_length"
    assert transformers.TensorType.NUMPY == "np"
    with pytest.raises(KerasBertError, match=r"TensorType.*'xx'"):
        transformers.TensorType("xx")


def test_tensors_become_lists():
    nested = {"a": [np.array([1, 2]), 3], "b": np.float32(0.5)}
    assert utils.to_py_obj(nested) == {"a": [[1, 2], 3], "b": 0.5}
