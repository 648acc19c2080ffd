"""What type checkers know of the public names; `make check` reads it, nothing runs."""

from pathlib import Path
from typing import assert_type

import numpy as np

import keras_bert


def tokenize(tokenizer: keras_bert.BertTokenizer) -> None:
    assert_type(tokenizer(["a text"], max_length=8), dict[str, np.ndarray])
    assert_type(tokenizer.tokenize("a text"), list[str])
    assert_type(tokenizer.convert_tokens_to_ids(["a", "text"]), list[int])
    assert_type(tokenizer.convert_tokens_to_ids("a"), int)
    assert_type(tokenizer.convert_ids_to_tokens(3), str)
    assert_type(tokenizer.vocab, dict[str, int])
    assert_type(
        keras_bert.BertTokenizer.from_pretrained("checkpoint"), keras_bert.BertTokenizer
    )


def configure() -> keras_bert.BertConfig:
    config = keras_bert.BertConfig(hidden_size=128, num_attention_heads=2)
    assert_type(config.hidden_size, int)
    assert_type(config.replace(num_labels=3), keras_bert.BertConfig)
    return keras_bert.BertConfig.from_json_file(Path("config.json"))


def load() -> keras_bert.BertForSequenceClassification:
    model = keras_bert.BertForMaskedLM.from_pretrained("checkpoint", seed=1)
    assert_type(model, keras_bert.BertForMaskedLM)
    model.save_pretrained(Path("out"), format="google")
    return keras_bert.BertForSequenceClassification(configure(), dtype="mixed_bfloat16")
