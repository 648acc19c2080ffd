"""Models, configs and tokenizers of the Hub, out of its library's cache; configs."""

import logging
import shutil

import pytest

import keras_bert
from keras_bert.checkpoints.conversion import convert
from keras_bert.config import Config
from keras_bert.errors import (
    CheckpointError,
    ConfigError,
    InputError,
    MissingFileError,
    UnknownNameError,
)
from keras_bert.hub import HUB, local_path
from tests.checkpoints.fakes import VOCABULARY, tiny_config, write_fake

COMMITS = {"main": "a" * 40, "v1": "b" * 40, "refs/pr/1": "c" * 40}
HEAD = "BertForSequenceClassification"
LABELS = {"no": 0, "yes": 1, "maybe": 2}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache of `org/name` in three revisions, of 3, 4 and 5 labels."""
    place = tmp_path_factory.mktemp("cache")
    repository = place / "models--org--name"
    for number, (revision, commit) in enumerate(COMMITS.items(), 3):
        config = tiny_config(num_labels=number)
        folder = write_fake(place / commit, "huggingface", HEAD, config=config)
        (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
        (repository / "refs" / revision).parent.mkdir(parents=True, exist_ok=True)
        (repository / "refs" / revision).write_text(commit)
        shutil.move(folder, repository / "snapshots" / commit)
    return place


@pytest.fixture
def options(cache):
    return {"cache_dir": cache, "local_files_only": True}


@pytest.mark.parametrize(
    ("address", "revision", "labels"),
    [
        ("org/name", {}, 3),
        ("org/name", {"revision": None, "token": None}, 3),
        ("org/name", {"revision": "v1"}, 4),
        ("org/name@v1", {}, 4),
        ("org/name@v1", {"revision": "v1"}, 4),
        ("org/name@refs/pr/1", {}, 5),
        ("org/name@" + COMMITS["v1"], {}, 4),
    ],
)
def test_revisions_are_read_from_the_cache(options, address, revision, labels):
    given = options | revision
    config = keras_bert.BertConfig.from_pretrained(HUB + address, **given)
    assert config.num_labels == labels
    tokenizer = keras_bert.BertTokenizer.from_pretrained(HUB + address, **given)
    assert tokenizer.tokens == VOCABULARY


def test_a_model_takes_the_options_of_a_download(options):
    model = keras_bert.BertForSequenceClassification.from_pretrained(
        "hf://org/name@v1", label2id={**LABELS, "never": 3}, **options
    )
    assert model.config.labels == ["no", "yes", "maybe", "never"]


def test_the_environment_says_where_and_whether(cache, options, monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert local_path("hf://org/name@v1").name == COMMITS["v1"]
    convert("hf://org/name@v1", tmp_path / "out", "keras")
    assert keras_bert.BertConfig.from_pretrained(tmp_path / "out").num_labels == 4
    with pytest.raises(CheckpointError, match=r"'org/other' at v2\. Received: .*"):
        local_path("hf://org/other@v2")


@pytest.mark.parametrize(
    "address", ["hf://", "hf://org/name/file", "hf://org/name@", "hf://@v1", "hf://a b"]
)
def test_addresses_that_are_none(address):
    with pytest.raises(InputError, match="hf://org/name@revision"):
        local_path(address)


def test_two_revisions():
    with pytest.raises(InputError, match=r"'hf://org/name@v1', and revision='v2'"):
        local_path("hf://org/name@v1", revision="v2")


@pytest.mark.parametrize(
    "read",
    [
        keras_bert.BertModel.from_pretrained,
        keras_bert.BertConfig.from_pretrained,
        keras_bert.BertTokenizer.from_pretrained,
    ],
)
def test_names_without_a_path_are_told_how_they_are_written(read, options):
    for name in ("bert-base-uncased", "google-bert/bert-base-uncased"):
        with pytest.raises(MissingFileError, match=f"Hub, write hf://{name}"):
            read(name, **options)


# === Configs ===


@pytest.mark.parametrize("format", ["google", "huggingface", "keras", "keras_hub"])
def test_configs_are_read_as_those_of_models(format, tmp_path):
    changes = {"hidden_act": "gelu_new"} if format != "huggingface" else {}
    path = write_fake(
        tmp_path / "first", format, "BertModel", config=tiny_config(**changes)
    )
    read, model = keras_bert.BertConfig.from_pretrained, keras_bert.BertModel
    assert read(path) == model.from_pretrained(path).config
    assert read(path, num_labels=7).num_labels == 7
    with pytest.raises(ConfigError, match=r"'distilbert' model. Received: .*'bert'"):
        keras_bert.DistilBertConfig.from_pretrained(path)
    assert Config.from_pretrained(path) == read(path)


@pytest.mark.parametrize("name", ["config.json", "bert_config.json"])
def test_configs_without_weights(name, tmp_path):
    config = tiny_config(num_labels=3)
    (tmp_path / name).write_text(config.to_json_string())
    for path in (tmp_path, tmp_path / name):
        read = keras_bert.BertConfig.from_pretrained
        assert read(path, label2id=LABELS).labels == [*LABELS]
        assert read(path, token="secret").num_labels == 3
        with pytest.raises(InputError, match=r"path alone.*Received: from_tf="):
            read(path, from_tf=True)
        with pytest.raises(UnknownNameError, match="num_labels"):
            read(path, num_label=3)


@pytest.mark.parametrize("format", ["google", "huggingface", "keras", "keras_hub"])
def test_a_config_in_the_place_of_the_stored_one(format, tmp_path, caplog):
    stored = tiny_config(hidden_act="gelu_new")
    path = write_fake(tmp_path / "first", format, "BertModel", config=stored)
    config = stored.replace(id2label={0: "a", 1: "b", 2: "c"}, hidden_dropout_prob=0.3)
    if format != "keras_hub":  # whose config.json tells what it is
        next(path.glob("*config.json")).unlink()
    with caplog.at_level(logging.WARNING):
        load = keras_bert.BertForSequenceClassification.from_pretrained
        model = load(path, config=config, classifier_dropout=0.0)
    assert model.config.labels == ["a", "b", "c"]
    rates = model.config.hidden_dropout_prob, model.config.classifier_dropout
    assert rates == (0.3, 0.0)
    for wrong in ({"config": {}}, {"config": config, "config_file": "a.json"}):
        with pytest.raises(InputError, match=r"config of this package as config="):
            load(path, **wrong)
