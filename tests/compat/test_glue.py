"""Examples of GLUE in `keras_bert.transformers`."""

import json

import pytest

from keras_bert.errors import InputError, UnknownNameError
from keras_bert.transformers import (
    BertTokenizer,
    DistilBertTokenizer,
    InputExample,
    InputFeatures,
    glue_convert_examples_to_features,
    glue_output_modes,
    glue_tasks_num_labels,
)
from tests.compat.tokenizer_calls import VOCAB

EXAMPLES = [
    InputExample("a", "the cat", "the dog", "1"),
    InputExample("b", "the cat sat on the mat", label="0"),
    InputExample("c", "cat"),
]


def test_examples_become_features():
    found = glue_convert_examples_to_features(
        EXAMPLES, BertTokenizer(VOCAB), max_length=7, label_list=["0", "1"]
    )
    assert found[0] == InputFeatures(
        input_ids=[2, 5, 6, 3, 5, 10, 3],
        attention_mask=[1] * 7,
        token_type_ids=[0, 0, 0, 0, 1, 1, 1],
        label=1,
    )
    assert found[1].input_ids == [2, 5, 6, 7, 8, 5, 3]
    assert [f.label for f in found] == [1, 0, None]
    assert json.loads(found[2].to_json_string())["input_ids"][:3] == [2, 6, 3]
    assert json.loads(EXAMPLES[0].to_json_string())["text_b"] == "the dog"
    by_task = glue_convert_examples_to_features(
        EXAMPLES, BertTokenizer(VOCAB, model_max_length=7), task="mrpc"
    )
    assert by_task == found


def test_a_regression_has_numbers():
    example = InputExample("a", "cat", "dog", "2.5")
    (found,) = glue_convert_examples_to_features(
        [example], DistilBertTokenizer(VOCAB), 8, task="sts-b"
    )
    assert (found.label, found.token_type_ids) == (2.5, None)
    assert glue_output_modes["sts-b"] == "regression"
    assert (glue_tasks_num_labels["sts-b"], glue_tasks_num_labels["mnli"]) == (1, 3)


@pytest.mark.parametrize(("task", "dtype"), [("mrpc", "int64"), ("sts-b", "float32")])
def test_a_dataset_becomes_one_of_inputs(task, dtype):
    tf = pytest.importorskip("tensorflow")
    rows = {
        "sentence1": ["the cat", "cat"],
        "sentence2": ["dog", "the mat"],
        "label": [1, 0],
        "idx": [0, 1],
    }
    dataset = glue_convert_examples_to_features(
        tf.data.Dataset.from_tensor_slices(rows), BertTokenizer(VOCAB), 8, task=task
    )
    ((inputs, labels),) = dataset.batch(2)
    assert inputs["input_ids"].numpy().tolist() == [
        [2, 5, 6, 3, 10, 3, 0, 0],
        [2, 6, 3, 5, 9, 3, 0, 0],
    ]
    assert list(inputs) == ["input_ids", "token_type_ids", "attention_mask"]
    assert {t.dtype.name for t in inputs.values()} == {"int32"}
    assert (labels.numpy().tolist(), labels.dtype.name) == ([1, 0], dtype)


@pytest.mark.parametrize(
    ("options", "error", "named"),
    [
        ({"task": "mrcp"}, UnknownNameError, "mrpc"),
        ({"label_list": ["yes"]}, InputError, "'a'.*'1'.*'yes'"),
        ({}, InputError, "'a'.*no list"),
    ],
)
def test_what_is_wrong_is_named(options, error, named):
    with pytest.raises(error, match=named):
        glue_convert_examples_to_features(EXAMPLES, BertTokenizer(VOCAB), 8, **options)
