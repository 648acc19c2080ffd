"""ALBERT in the files of google-research/albert: names, there and back, its config."""

import json

import pytest

from keras_bert import families
from keras_bert.checkpoints import convert, formats
from keras_bert.checkpoints.conversion import save
from keras_bert.checkpoints.matching import resolve_contents
from keras_bert.errors import CheckpointError
from tests.checkpoints.fakes import assert_same_bits, fake_tensors, values

FAMILY = families.of("albert")
CONFIG = FAMILY.config(
    vocab_size=37,
    embedding_size=10,
    hidden_size=15,
    num_attention_heads=3,
    num_hidden_layers=4,
    intermediate_size=22,
    max_position_embeddings=11,
    num_hidden_groups=2,
    inner_group_num=3,
    num_labels=7,
)
# What transformers 4 replaced, in this order, in the names of Google's variables.
# Source: `load_tf_weights_in_albert` of its `modeling_albert.py`.
REPLACED = (
    ("ffn_1", "ffn"),
    ("bert/", "albert/"),
    ("attention_1", "attention"),
    ("transform/", ""),
    ("LayerNorm_1", "full_layer_layer_norm"),
    ("LayerNorm", "attention/LayerNorm"),
    ("transformer/", ""),
    ("intermediate/dense/", ""),
    ("ffn/intermediate/output/dense/", "ffn_output/"),
    ("/output/", "/"),
    ("/self/", "/"),
    ("pooler/dense", "pooler"),
    ("cls/predictions", "predictions"),
    ("predictions/attention", "predictions"),
    ("embeddings/attention", "embeddings"),
    ("inner_group_", "albert_layers/"),
    ("group_", "albert_layer_groups/"),
    ("cls/seq_relationship/output_", "sop_classifier/classifier/"),
    ("cls/squad/output_", "qa_outputs/"),
)
ENDS = {
    "kernel": "weight",
    "gamma": "weight",
    "weights": "weight",
    "beta": "bias",
    "output_bias": "bias",
}


def _as_transformers(name: str) -> str:
    if name in ("output_weights", "output_bias"):
        return f"classifier.{name.removeprefix('output_').replace('weights', 'weight')}"
    for old, new in REPLACED:
        name = name.replace(old, new)
    *before, last = name.split("/")
    if last.endswith("_embeddings"):
        return ".".join([*before, last, "weight"])
    return ".".join([*before, ENDS.get(last, last)])


def _save(folder, head: str, config=CONFIG):
    """Google's files of a model, its config as the repository's own code has it."""
    folder.mkdir()
    tensors = fake_tensors(config, head, "google")
    save(folder, "google", config, head, tensors)
    path = folder / "bert_config.json"
    published = json.loads(path.read_text())
    assert published.pop("model_type") == "albert"
    published.pop("architectures", None)
    published |= {"net_structure_type": 0, "layers_to_keep": []}  # as released ones
    published |= {"hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0}
    path.unlink()
    (folder / "albert_config.json").write_text(json.dumps(published))
    return folder


def test_the_names_are_those_that_transformers_replaced():
    rows = FAMILY.rows(FAMILY.parts, CONFIG)
    pairs = {
        row.placements["google"].name: row.placements["huggingface"].name
        for row in rows
    }
    assert {name: _as_transformers(name) for name in pairs} == pairs


@pytest.mark.parametrize(
    "head", ["AlbertModel", "AlbertForPreTraining", "AlbertForQuestionAnswering"]
)
@pytest.mark.parametrize("to", ["huggingface", "keras"])
def test_there_and_back_keeps_every_bit(head, to, tmp_path):
    source = _save(tmp_path / "google", head)
    convert(source, tmp_path / "there", to)
    convert(tmp_path / "there", tmp_path / "back", "google")
    assert_same_bits(values(source), values(tmp_path / "back"))
    again = formats.read(tmp_path / "back")
    assert resolve_contents(again).head == head
    assert again.config.replace(num_labels=7, extra={}) == CONFIG


def test_embeddings_that_google_would_not_project_are_refused(tmp_path):
    config = CONFIG.replace(embedding_size=15)
    head = "AlbertModel"
    tensors = fake_tensors(config, head, "google")
    with pytest.raises(CheckpointError, match="another width than hidden_size"):
        save(tmp_path, "google", config, head, tensors)
    assert not any(tmp_path.iterdir())
