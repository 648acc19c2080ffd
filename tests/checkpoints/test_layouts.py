"""BERT's names and orientation in every format, written down a second time.

Conversion and the reference both take them from the family's rows, so a mistake there
would cancel out in a conversion's own check. Here it shows.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pytest

from keras_bert import axes
from keras_bert.families.bert import BERT


class Layout(NamedTuple):
    """How one format names and lays out BERT.

    Attributes:
        separator: between the parts of a name.
        tables: full names of the embedding tables.
        layer, pooler, transform: name of layer `{i}`, of the pooler, of the masked-LM
            transform.
        blocks: names of a layer's projections and norms, below the layer.
        norm_of_embeddings, norm_of_transform: names of these norms.
        kernel, gamma, beta: last parts of names.
        masked_lm_bias: a full name.
        heads: full names of kernel and bias of output layers, by part.
        transposed: kernels are `[out, in]`.
        heads_transposed: kernels of output layers are.
        projection: name of the projection of embeddings, where the format has one.
    """

    separator: str
    tables: Mapping[str, str]
    layer: str
    pooler: str
    transform: str
    blocks: Mapping[str, str]
    norm_of_embeddings: str
    norm_of_transform: str
    kernel: str
    gamma: str
    beta: str
    masked_lm_bias: str
    heads: Mapping[str, tuple[str, str]]
    transposed: bool
    heads_transposed: bool
    projection: str | None = None


TABLES = ("word", "position", "token_type")
_ORIGINAL_BLOCKS = {
    "query": "attention/self/query",
    "key": "attention/self/key",
    "value": "attention/self/value",
    "mixed": "attention/output/dense",
    "attention_norm": "attention/output/LayerNorm",
    "up": "intermediate/dense",
    "down": "output/dense",
    "output_norm": "output/LayerNorm",
}
LAYOUTS = {
    "google": Layout(
        separator="/",
        tables={name: f"bert/embeddings/{name}_embeddings" for name in TABLES},
        layer="bert/encoder/layer_{i}",
        pooler="bert/pooler/dense",
        transform="cls/predictions/transform/dense",
        blocks=_ORIGINAL_BLOCKS,
        norm_of_embeddings="bert/embeddings/LayerNorm",
        norm_of_transform="cls/predictions/transform/LayerNorm",
        kernel="kernel",
        gamma="gamma",
        beta="beta",
        masked_lm_bias="cls/predictions/output_bias",
        heads={
            "next_sentence": (
                "cls/seq_relationship/output_weights",
                "cls/seq_relationship/output_bias",
            ),
            "classifier": ("output_weights", "output_bias"),
            "qa": ("cls/squad/output_weights", "cls/squad/output_bias"),
        },
        transposed=False,
        heads_transposed=True,
    ),
    "huggingface": Layout(
        separator=".",
        tables={n: f"bert.embeddings.{n}_embeddings.weight" for n in TABLES},
        layer="bert.encoder.layer.{i}",
        pooler="bert.pooler.dense",
        transform="cls.predictions.transform.dense",
        blocks={k: v.replace("/", ".") for k, v in _ORIGINAL_BLOCKS.items()},
        norm_of_embeddings="bert.embeddings.LayerNorm",
        norm_of_transform="cls.predictions.transform.LayerNorm",
        kernel="weight",
        gamma="weight",
        beta="bias",
        masked_lm_bias="cls.predictions.bias",
        heads={
            "next_sentence": (
                "cls.seq_relationship.weight",
                "cls.seq_relationship.bias",
            ),
            "classifier": ("classifier.weight", "classifier.bias"),
            "qa": ("qa_outputs.weight", "qa_outputs.bias"),
        },
        transposed=True,
        heads_transposed=True,
    ),
    "keras": Layout(
        separator="/",
        tables={n: f"embeddings/{n}_embeddings/embeddings" for n in TABLES},
        layer="layer_{i}",
        pooler="pooler/dense",
        transform="masked_lm/dense",
        blocks={
            "query": "attention/query",
            "key": "attention/key",
            "value": "attention/value",
            "mixed": "attention/output_dense",
            "attention_norm": "attention_norm",
            "up": "feed_forward/intermediate_dense",
            "down": "feed_forward/output_dense",
            "output_norm": "feed_forward_norm",
        },
        norm_of_embeddings="embeddings/layer_norm",
        norm_of_transform="masked_lm/layer_norm",
        kernel="kernel",
        gamma="gamma",
        beta="beta",
        masked_lm_bias="masked_lm_bias/bias",
        heads={
            "next_sentence": ("next_sentence/kernel", "next_sentence/bias"),
            "classifier": ("classifier/kernel", "classifier/bias"),
            "qa": ("qa_outputs/kernel", "qa_outputs/bias"),
        },
        transposed=False,
        heads_transposed=False,
        projection="embedding_projection",
    ),
    "huggingface_tf": Layout(
        separator="/",
        tables={
            "word": "bert/embeddings/word_embeddings/weight",
            "position": "bert/embeddings/position_embeddings/embeddings",
            "token_type": "bert/embeddings/token_type_embeddings/embeddings",
        },
        layer="bert/encoder/layer_._{i}",
        pooler="bert/pooler/dense",
        transform="mlm___cls/predictions/transform/dense",
        blocks=_ORIGINAL_BLOCKS,
        norm_of_embeddings="bert/embeddings/LayerNorm",
        norm_of_transform="mlm___cls/predictions/transform/LayerNorm",
        kernel="kernel",
        gamma="gamma",
        beta="beta",
        masked_lm_bias="mlm___cls/predictions/bias",
        heads={
            "next_sentence": (
                "nsp___cls/seq_relationship/kernel",
                "nsp___cls/seq_relationship/bias",
            ),
            "classifier": ("classifier/kernel", "classifier/bias"),
            "qa": ("qa_outputs/kernel", "qa_outputs/bias"),
        },
        transposed=False,
        heads_transposed=False,
    ),
    "model_garden": Layout(
        separator="/",
        tables={
            "word": "encoder/_embedding_layer/embeddings",
            "position": "encoder/_position_embedding_layer/embeddings",
            "token_type": "encoder/_type_embedding_layer/embeddings",
        },
        layer="encoder/_transformer_layers/{i}",
        pooler="encoder/_pooler_layer",
        transform="masked_lm/dense",
        blocks={
            "query": "_attention_layer/_query_dense",
            "key": "_attention_layer/_key_dense",
            "value": "_attention_layer/_value_dense",
            "mixed": "_attention_layer/_output_dense",
            "attention_norm": "_attention_layer_norm",
            "up": "_intermediate_dense",
            "down": "_output_dense",
            "output_norm": "_output_layer_norm",
        },
        norm_of_embeddings="encoder/_embedding_norm_layer",
        norm_of_transform="masked_lm/layer_norm",
        kernel="kernel",
        gamma="gamma",
        beta="beta",
        masked_lm_bias="masked_lm/output_bias.Sbias",
        heads={
            "next_sentence": (
                "model/classification_heads/0/out_proj/kernel",
                "model/classification_heads/0/out_proj/bias",
            ),
            "classifier": (
                "model/layer_with_weights-1/out_proj/kernel",
                "model/layer_with_weights-1/out_proj/bias",
            ),
            "token_classifier": (
                "model/layer_with_weights-1/kernel",
                "model/layer_with_weights-1/bias",
            ),
            "qa": (
                "model/layer_with_weights-1/layer_with_weights-0/kernel",
                "model/layer_with_weights-1/layer_with_weights-0/bias",
            ),
        },
        transposed=False,
        heads_transposed=False,
        projection="encoder/_embedding_projection",
    ),
    "keras_hub": Layout(
        separator="/",
        tables={
            "word": "token_embedding/embeddings",
            "position": "position_embedding/embeddings",
            "token_type": "segment_embedding/embeddings",
        },
        layer="transformer_layer_{i}",
        pooler="pooled_dense",
        transform="mlm_head/intermediate_dense",
        blocks={
            "query": "self_attention_layer/query",
            "key": "self_attention_layer/key",
            "value": "self_attention_layer/value",
            "mixed": "self_attention_layer/attention_output",
            "attention_norm": "self_attention_layer_norm",
            "up": "feedforward_intermediate_dense",
            "down": "feedforward_output_dense",
            "output_norm": "feedforward_layer_norm",
        },
        norm_of_embeddings="embeddings_layer_norm",
        norm_of_transform="mlm_head/intermediate_layer_norm",
        kernel="kernel",
        gamma="gamma",
        beta="beta",
        masked_lm_bias="mlm_head/output_bias",
        heads={"classifier": ("logits/kernel", "logits/bias")},
        transposed=False,
        heads_transposed=False,
    ),
}


def _weights(layout: Layout) -> Iterator[tuple[str, bool]]:
    """Names, and whether the weight is `[out, in]`, in an order of its own."""
    at = layout.separator

    def dense(name: str) -> Iterator[tuple[str, bool]]:
        yield f"{name}{at}{layout.kernel}", layout.transposed
        yield f"{name}{at}bias", False

    def norm(name: str) -> Iterator[tuple[str, bool]]:
        yield f"{name}{at}{layout.gamma}", False
        yield f"{name}{at}{layout.beta}", False

    for name in TABLES:
        yield layout.tables[name], False
    yield from norm(layout.norm_of_embeddings)
    for key, name in layout.blocks.items():
        kind = norm if key.endswith("norm") else dense
        yield from kind(f"{layout.layer}{at}{name}")
    for name in (layout.pooler, layout.transform):
        yield from dense(name)
    yield from norm(layout.norm_of_transform)
    yield layout.masked_lm_bias, False


def _heads(layout: Layout, part: str) -> list[tuple[str, bool]]:
    key = part if part in layout.heads else "classifier"
    kernel, bias = layout.heads[key]
    return [(kernel, layout.heads_transposed), (bias, False)]


def _rows(part: str, format: str) -> dict[str, tuple[str, bool]]:
    """Names by those of our format, and whether the first axis is another's there."""
    found = {}
    for row in BERT.parts[part]:
        if format in row.placements and row.option is None:
            there, ours = row.placements[format], row.placements["keras"]
            firsts = [axes.names(place.axes)[0] for place in (there, ours)]
            found[ours.name] = (there.name, firsts[0] != firsts[1])
    return found


@pytest.mark.parametrize("format", LAYOUTS)
def test_the_rows_say_what_the_layouts_say(format):
    names = [name for name, _ in _weights(LAYOUTS["keras"])]
    expected = dict(zip(names, _weights(LAYOUTS[format]), strict=True))
    found = {}
    for part in ("encoder", "pooler", "masked_lm"):
        found |= _rows(part, format)
    assert found == expected
    projection = LAYOUTS[format].projection
    assert list(_rows("embedding_projection", format).values()) == (
        [(f"{projection}/kernel", False), (f"{projection}/bias", False)]
        if projection
        else []
    )


OUTPUTS = [
    part for part in BERT.parts if part.endswith(("sentence", "classifier", "qa"))
]


@pytest.mark.parametrize("format", LAYOUTS)
@pytest.mark.parametrize("part", [*OUTPUTS, "multiple_choice"])
def test_the_rows_of_output_layers_say_what_the_layouts_say(part, format):
    found = list(_rows(part, format).values())
    if found:
        assert found == _heads(LAYOUTS[format], part)
    else:
        assert format in ("model_garden", "keras_hub")
