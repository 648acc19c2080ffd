"""Configurations: sizes by name, JSON both ways, and what is refused."""

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_bert import BertConfig, BertModel
from keras_bert.config import _RULES, ACTIVATIONS
from keras_bert.errors import ConfigError, MissingFileError, UnknownNameError
from keras_bert.families.bert import ALIASES, SMALL_SIZES

# Encoder with pooler, by layers, for widths 128, 256, 512, 768.
PARAMETERS = {
    2: (4385920, 9591040, 22458880, 38603520),
    4: (4782464, 11170560, 28763648, 52779264),
    6: (5179008, 12750080, 35068416, 66955008),
    8: (5575552, 14329600, 41373184, 81130752),
    10: (5972096, 15909120, 47677952, 95306496),
    12: (6368640, 17488640, 53982720, 109482240),
}
PUBLISHED = {
    f"L-{layers}_H-{hidden}": count
    for layers, counts in PARAMETERS.items()
    for hidden, count in zip((128, 256, 512, 768), counts, strict=True)
}


def _parameters(config: BertConfig) -> int:
    """Counts an encoder's weights without making them."""
    n = config.sizes
    hidden, mlp = n["hidden"], n["mlp"]
    norm = 2 * hidden
    dense = hidden * hidden + hidden
    tables = (n["vocab"] + n["position"] + n["segment"]) * hidden
    feed_forward = hidden * mlp + mlp + mlp * hidden + hidden
    block = 4 * dense + feed_forward + 2 * norm
    return tables + norm + config.num_hidden_layers * block + dense


# === Sizes by name ===


@pytest.mark.parametrize("name", SMALL_SIZES)
def test_small_sizes_have_the_published_number_of_weights(name):
    config = BertConfig.preset(name)
    assert _parameters(config) == PUBLISHED[name]
    assert config.head_dim == 64


def test_the_count_is_that_of_a_model():
    config = BertConfig.preset("tiny")
    trainable = BertModel(config).trainable_weights
    assert sum(math.prod(weight.shape) for weight in trainable) == _parameters(config)


@pytest.mark.parametrize("name", ALIASES)
def test_names_that_stuck_are_sizes(name):
    layers, hidden = (int(part[2:]) for part in ALIASES[name].split("_"))
    config = BertConfig.preset(name)
    assert (config.num_hidden_layers, config.hidden_size) == (layers, hidden)
    assert config == BertConfig.preset(ALIASES[name])


def test_base_is_the_default_and_large_has_340_million():
    assert BertConfig.preset("base") == BertConfig()
    assert _parameters(BertConfig.preset("large")) == 335_141_888


def test_preset_takes_changes():
    config = BertConfig.preset("mini", vocab_size=8000, num_attention_heads=8)
    assert (config.vocab_size, config.head_dim) == (8000, 32)


@pytest.mark.parametrize("name, near", [("tny", "tiny"), ("L-4_H-265", "L-4_H-256")])
def test_unknown_preset_suggests_the_nearest(name, near):
    with pytest.raises(UnknownNameError, match=f"{name}.*Did you mean '{near}'"):
        BertConfig.preset(name)


# === JSON ===

FULL = BertConfig(
    vocab_size=99,
    hidden_size=28,
    num_hidden_layers=3,
    num_attention_heads=7,
    intermediate_size=37,
    hidden_act="gelu_new",
    hidden_dropout_prob=0.2,
    attention_probs_dropout_prob=0.0,
    max_position_embeddings=19,
    type_vocab_size=3,
    initializer_range=0.5,
    layer_norm_eps=1e-6,
    pad_token_id=5,
    position_embedding_type="relative_key",
    embedding_size=17,
    masked_lm_act="gelu",
    masked_lm_layer_norm_eps=1e-5,
    tie_word_embeddings=False,
    classifier_dropout=0.3,
    is_decoder=True,
    add_cross_attention=True,
    id2label={1: "ja", 0: "nein", 2: "vielleicht"},
    problem_type="single_label_classification",
    output_hidden_states=True,
    output_attentions=True,
    extra={"directionality": "bidi", "nested": {"a": [1, None]}, "null": None},
)


def _through_a_file(config, path):
    path.write_text(config.to_json_string(), encoding="utf-8")
    return BertConfig.from_json_file(path)


def test_json_loses_nothing(tmp_path):
    default = BertConfig()
    for field in dataclasses.fields(BertConfig):
        assert getattr(FULL, field.name) != getattr(default, field.name), field.name
    assert _through_a_file(FULL, tmp_path / "config.json") == FULL
    assert _through_a_file(BertConfig(), tmp_path / "config.json") == BertConfig()


def test_json_has_the_keys_of_hugging_face():
    values = json.loads(FULL.to_json_string())
    assert values["model_type"] == "bert"
    assert values["id2label"] == {"0": "nein", "1": "ja", "2": "vielleicht"}
    assert values["label2id"] == {"nein": 0, "ja": 1, "vielleicht": 2}
    assert values["directionality"] == "bidi" and "extra" not in values
    assert "num_labels" not in values  # Hugging Face derives it


@given(
    heads=st.integers(1, 9),
    head_dim=st.integers(1, 9),
    labels=st.lists(st.text(), max_size=5, unique=True),
    extra=st.dictionaries(
        st.text().map("x_".__add__), st.none() | st.integers() | st.text()
    ),
)
def test_any_config_survives_json(heads, head_dim, labels, extra):
    config = BertConfig(
        hidden_size=heads * head_dim,
        num_attention_heads=heads,
        id2label=dict(enumerate(labels)) or None,
        extra=extra,
    )
    assert BertConfig.from_dict(json.loads(config.to_json_string())) == config


def test_nulls_of_published_files_are_defaults():
    values = {"pad_token_id": None, "position_embedding_type": None}
    assert BertConfig.from_dict(values) == BertConfig()


def test_googles_file_names_no_family():
    google = {"vocab_size": 99, "hidden_act": "gelu", "pooler_num_fc_layers": 3}
    config = BertConfig.from_dict(google)
    assert (config.vocab_size, config.extra) == (99, {"pooler_num_fc_layers": 3})


def test_another_family_is_refused():
    with pytest.raises(ConfigError, match=r"'bert' model.*model_type='gpt2'"):
        BertConfig.from_dict({"model_type": "gpt2"})


@pytest.mark.parametrize(
    "content, message",
    [
        (b"{", "Expected JSON in"),
        (b"[]", "JSON object"),
        (b"\xff", "Expected JSON"),
        (b'{"vocab_size": 9, "vocab_size": 8}', "the key 'vocab_size' twice"),
        (b'{"id2label": {"0": "a", "0": "b"}}', "the key '0' twice"),
    ],
)
def test_files_that_are_no_config(tmp_path, content, message):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        BertConfig.from_json_file(tmp_path / "config.json")
    with pytest.raises(MissingFileError, match="none is there"):
        BertConfig.from_json_file(tmp_path / "absent.json")


# === Rules ===

_NOT_POSITIVE = (0, -1, 2.0, "8", True, None, 1 << 31)
_NOT_A_FRACTION = (-0.1, 1, 1.5, "0.1", True, float("nan"))
_NOT_ABOVE_ZERO = (0, -1e-12, "x", True, float("nan"), float("inf"), 10**40)
_NOT_A_FLAG = (0, 1, "yes", None)
WRONG = {
    "vocab_size": _NOT_POSITIVE,
    "hidden_size": _NOT_POSITIVE,
    "num_hidden_layers": _NOT_POSITIVE,
    "num_attention_heads": _NOT_POSITIVE,
    "intermediate_size": _NOT_POSITIVE,
    "hidden_act": ("glue", None, 3),
    "hidden_dropout_prob": (*_NOT_A_FRACTION, None),
    "attention_probs_dropout_prob": (*_NOT_A_FRACTION, None),
    "max_position_embeddings": _NOT_POSITIVE,
    "type_vocab_size": _NOT_POSITIVE,
    "initializer_range": _NOT_ABOVE_ZERO,
    "layer_norm_eps": _NOT_ABOVE_ZERO,
    "pad_token_id": (-1, 0.0, None),
    "position_embedding_type": ("rotary", 1),
    "embedding_size": (0, -1, 2.0, "8", True),
    "masked_lm_act": ("glue", 3),
    "masked_lm_layer_norm_eps": _NOT_ABOVE_ZERO,
    "tie_word_embeddings": _NOT_A_FLAG,
    "classifier_dropout": _NOT_A_FRACTION,
    "is_decoder": _NOT_A_FLAG,
    "add_cross_attention": _NOT_A_FLAG,
    "num_labels": _NOT_POSITIVE,
    "id2label": ({}, ["a"]),
    "problem_type": ("ranking", 1),
    "output_hidden_states": _NOT_A_FLAG,
    "output_attentions": _NOT_A_FLAG,
    "extra": (None, []),
}


def test_every_field_has_a_rule_and_a_counterexample():
    fields = {field.name for field in dataclasses.fields(BertConfig)}
    assert set(_RULES) == set(WRONG) == fields


@pytest.mark.parametrize(
    "name, value", [(name, value) for name in WRONG for value in WRONG[name]]
)
def test_wrong_values_are_named_with_what_was_expected(name, value):
    with pytest.raises(ConfigError) as error:
        BertConfig(**{name: value})
    message = str(error.value)
    assert message.startswith(f"Expected {name} to be {_RULES[name][2]}.")
    assert message.endswith(f"Received: {value!r}.")


@pytest.mark.parametrize(
    "values, named",
    [
        ({"hidden_size": 10, "num_attention_heads": 3}, ["hidden_size=10", "heads=3"]),
        ({"vocab_size": 7, "pad_token_id": 7}, ["vocab_size=7", "pad_token_id=7"]),
        ({"id2label": {0: "a", 2: "b"}}, ["id2label", "[0, 2]"]),
        ({"id2label": {"no": 0, "yes": 1}}, ["id2label", "no"]),
    ],
)
def test_wrong_combinations_are_named(values, named):
    with pytest.raises(ConfigError) as error:
        BertConfig(**values)
    assert all(part in str(error.value) for part in named)


def test_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        BertConfig().hidden_size = 5


# === Values ===


@pytest.mark.parametrize("spelling", ACTIVATIONS)
def test_every_spelling_of_an_activation_is_kept(spelling):
    config = BertConfig(hidden_act=spelling)
    assert config.to_dict()["hidden_act"] == spelling
    assert ACTIVATIONS[ACTIVATIONS[spelling]] == ACTIVATIONS[spelling]


def test_what_repeats_the_default_is_left_out():
    same = BertConfig(
        embedding_size=768, masked_lm_act="gelu_python", masked_lm_layer_norm_eps=1e-12
    )
    assert same == BertConfig()
    assert "embedding_size" not in same.to_dict()
    other = BertConfig(
        embedding_size=128, masked_lm_act="gelu_new", masked_lm_layer_norm_eps=1e-5
    )
    assert (other.embedding_width, same.embedding_width) == (128, 768)
    assert (other.transform_act, same.transform_act) == ("gelu_new", "gelu")
    assert (other.transform_eps, same.transform_eps) == (1e-5, 1e-12)
    assert other.replace(masked_lm_act=None).transform_act == "gelu"


def test_labels_and_their_number_agree():
    assert BertConfig(num_labels=3).labels == ["LABEL_0", "LABEL_1", "LABEL_2"]
    config = BertConfig(num_labels=7, id2label={"1": "b", "0": "a"})
    assert (config.num_labels, config.labels) == (2, ["a", "b"])


def test_head_dropout_falls_back():
    assert BertConfig(hidden_dropout_prob=0.3).head_dropout == 0.3
    assert BertConfig(classifier_dropout=0.0).head_dropout == 0.0


def test_replace_changes_a_checked_copy():
    changed = FULL.replace(vocab_size=101)
    assert (changed.vocab_size, FULL.vocab_size) == (101, 99)
    assert changed.replace(vocab_size=99) == FULL
    with pytest.raises(ConfigError, match="vocab_size"):
        FULL.replace(vocab_size=-1)
    with pytest.raises(UnknownNameError, match="Did you mean 'vocab_size'"):
        FULL.replace(vocabsize=5)


def test_replace_drops_names_of_another_number_of_labels():
    assert FULL.replace(num_labels=3).labels == FULL.labels
    assert FULL.replace(num_labels=5).labels == [f"LABEL_{i}" for i in range(5)]
    assert FULL.replace(id2label={0: "x", 1: "y"}).num_labels == 2


def test_ids_of_labels_that_contradict_their_names(caplog):
    values = FULL.to_dict()
    names = FULL.id2label
    assert BertConfig.from_dict(values).id2label == names
    assert not caplog.records
    other = values | {"label2id": {"nein": 1, "ja": 0, "vielleicht": 2}}
    assert BertConfig.from_dict(other).id2label == names
    assert "not the inverse of id2label" in caplog.text
    with pytest.raises(ConfigError, match="each id once"):
        BertConfig.from_dict(other | {"id2label": None, "label2id": {"a": 0, "b": 0}})


def test_nan_is_refused_for_what_it_is():
    with pytest.raises(ConfigError, match="layer_norm_eps to be a number above 0"):
        BertConfig.from_dict({"layer_norm_eps": float("nan")})
