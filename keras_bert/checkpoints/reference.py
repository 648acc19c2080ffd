"""A forward pass in NumPy that reads a checkpoint under its own names.

It knows each format's names and orientation by itself, not from the family's
table, so that a mistake in the table shows as a difference between source and
result. Written for clarity, not for speed.

Source: Devlin et al. 2018 (arXiv:1810.04805); Vaswani et al. 2017
(arXiv:1706.03762) section 3.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from keras_bert.checkpoints.checkpoint import Checkpoint, Tensor
from keras_bert.config import ACTIVATIONS, Config

Array = np.ndarray
HIDDEN = -10000.0  # added to the score of a token that is not attended to

# === Where things are ===


class Layout(NamedTuple):
    """How one format spells BERT.

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


_TABLES = ("word", "position", "token_type")
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
        tables={name: f"bert/embeddings/{name}_embeddings" for name in _TABLES},
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
        tables={n: f"bert.embeddings.{n}_embeddings.weight" for n in _TABLES},
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
        tables={n: f"embeddings/{n}_embeddings/embeddings" for n in _TABLES},
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

# === Inputs ===


def probe(config: Config, seed: int = 0) -> dict[str, Array]:
    """Returns two rows, one of them padded, with ids and positions from everywhere.

    Args:
        config: gives the ranges.
        seed: of the draw.

    Returns:
        `input_ids`, `attention_mask`, `token_type_ids`, `position_ids`, each int32
        `(2, seq)`.
    """
    rng = np.random.default_rng(seed)
    length = min(8, config.max_position_embeddings)
    shape = (2, length)
    mask = np.ones(shape, "int32")
    mask[1, length // 2 + 1 :] = 0
    return {
        "input_ids": rng.integers(config.vocab_size, size=shape, dtype="int32"),
        "attention_mask": mask,
        "token_type_ids": rng.integers(
            config.type_vocab_size, size=shape, dtype="int32"
        ),
        "position_ids": rng.integers(
            config.max_position_embeddings, size=shape, dtype="int32"
        ),
    }


# === The forward pass ===


def outputs(
    checkpoint: Checkpoint, head: str, inputs: Mapping[str, Array]
) -> dict[str, Array]:
    """Computes what a checkpoint's model computes.

    Args:
        checkpoint: what was read.
        head: its model class.
        inputs: `input_ids`, `attention_mask`, `token_type_ids` and, if not 0, 1, 2 …,
            `position_ids`, integers `(batch, seq)`.

    Returns:
        float32 arrays: `embeddings`, `hidden_{i}`, `attention_{i}`,
        `sequence_output`; with the parts for it `pooled_output`, `mlm_logits` (every
        position), `nsp_logits`, `logits`, `start_logits` and `end_logits`.

    Example:
        >>> checkpoint = formats.read("ckpt")  # doctest: +SKIP
        >>> outputs(checkpoint, "BertModel", probe(checkpoint.config))  # doctest: +SKIP
    """
    return _Reference(checkpoint).run(head, inputs)


class _Reference:
    def __init__(self, checkpoint: Checkpoint):
        self.tensors = checkpoint.tensors
        self.config = checkpoint.config
        self.layout = LAYOUTS[checkpoint.format]

    def get(self, name: str) -> Array:
        return np.asarray(self.tensors[name].load(), "float32")

    def run(self, head: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        found: dict[str, Array] = {"embeddings": self.embed(inputs)}
        hidden, bias = found["embeddings"], self.attention_bias(inputs)
        for i in range(self.config.num_hidden_layers):
            hidden, found[f"attention_{i}"] = self.block(i, hidden, bias)
            found[f"hidden_{i}"] = hidden
        found["sequence_output"] = hidden
        if self.has(f"{self.layout.pooler}{self.layout.separator}bias"):
            found["pooled_output"] = np.tanh(
                self.dense(self.layout.pooler, hidden[:, 0])
            )
        if self.has(self.layout.masked_lm_bias):
            found["mlm_logits"] = self.masked_lm(hidden)
        return found | self.head(head, found)

    def has(self, name: str) -> bool:
        return name in self.tensors

    # === Pieces ===

    def dense(self, name: str, x: Array) -> Array:
        at = f"{name}{self.layout.separator}"
        kernel = self.tensors[f"{at}{self.layout.kernel}"]
        rows = x.reshape(-1, x.shape[-1])  # one product reads the kernel once
        product = _by_columns if self.layout.transposed else _by_rows
        y = product(rows, kernel) + self.get(f"{at}bias").reshape(-1)
        return y.reshape(*x.shape[:-1], -1)

    def norm(self, name: str, x: Array, eps: float | None = None) -> Array:
        at = f"{name}{self.layout.separator}"
        centered = x - x.mean(-1, keepdims=True)
        variance = (centered**2).mean(-1, keepdims=True)
        scaled = centered / np.sqrt(variance + (eps or self.config.layer_norm_eps))
        gamma, beta = self.get(at + self.layout.gamma), self.get(at + self.layout.beta)
        return (scaled * gamma + beta).astype("float32")

    def table(self, name: str) -> Tensor:
        return self.tensors[self.layout.tables[name]]

    def look_up(self, name: str, ids: Array) -> Array:
        return np.asarray(self.table(name).rows(ids), "float32")

    def embed(self, inputs: Mapping[str, Array]) -> Array:
        ids = inputs["input_ids"]
        positions = inputs.get("position_ids", np.arange(ids.shape[1]))
        total = (
            self.look_up("word", ids)
            + self.look_up("position", positions)
            + self.look_up("token_type", inputs["token_type_ids"])
        )
        normed = self.norm(self.layout.norm_of_embeddings, total)
        if self.config.embedding_size is None:
            return normed
        return self.dense(self.layout.projection, normed)

    def attention_bias(self, inputs: Mapping[str, Array]) -> Array:
        attended = inputs["attention_mask"][:, None, None, :] != 0  # batch 1 1 seq
        if self.config.is_decoder:
            length = inputs["input_ids"].shape[1]
            attended = attended & np.tri(length, dtype=bool)
        return np.where(attended, np.float32(0), np.float32(HIDDEN))

    def block(self, i: int, x: Array, bias: Array) -> tuple[Array, Array]:
        prefix = self.layout.layer.format(i=i) + self.layout.separator
        name = {key: prefix + value for key, value in self.layout.blocks.items()}
        q, k, v = (
            self.split(self.dense(name[n], x)) for n in ("query", "key", "value")
        )
        scores = q @ k.swapaxes(-1, -2) / math.sqrt(self.config.head_dim)
        attention = _softmax(scores.astype("float32") + bias)
        mixed = self.dense(name["mixed"], self.join(attention @ v))
        x = self.norm(name["attention_norm"], x + mixed)
        up = self.activate(self.dense(name["up"], x))
        return self.norm(
            name["output_norm"], x + self.dense(name["down"], up)
        ), attention

    def split(self, x: Array) -> Array:
        batch, seq, _ = x.shape
        heads = self.config.num_attention_heads
        return x.reshape(batch, seq, heads, -1).swapaxes(
            1, 2
        )  # batch heads seq head_dim

    def join(self, x: Array) -> Array:
        x = x.swapaxes(1, 2)  # batch seq heads head_dim
        return x.reshape(*x.shape[:2], -1)

    def activate(self, x: Array, name: str | None = None) -> Array:
        return _ACTIVATIONS[ACTIVATIONS[name or self.config.hidden_act]](x)

    # === Heads ===

    def masked_lm(self, hidden: Array) -> Array:
        config = self.config
        x = self.dense(self.layout.transform, hidden)
        x = self.activate(x, config.transform_act)
        x = self.norm(self.layout.norm_of_transform, x, config.transform_eps)
        logits = _by_columns(x, self.table("word"))
        return logits + self.get(self.layout.masked_lm_bias)

    def head(self, head: str, found: Mapping[str, Array]) -> dict[str, Array]:
        per_token = head == "BertForTokenClassification"
        source = {
            "next_sentence": "pooled_output",
            "classifier": "sequence_output" if per_token else "pooled_output",
            "token_classifier": "sequence_output",
            "qa": "sequence_output",
        }
        results: dict[str, Array] = {}
        for part, (kernel, bias) in self.layout.heads.items():
            if self.has(bias):
                logits = self.project(kernel, bias, found[source[part]])
                results |= _NAMED[part](logits)
        return results

    def project(self, kernel: str, bias: str, x: Array) -> Array:
        weights = self.get(kernel)
        turned = weights.T if self.layout.heads_transposed else weights
        return x @ turned + self.get(bias)


_NAMED = {
    "next_sentence": lambda x: {"nsp_logits": x},
    "classifier": lambda x: {"logits": x},
    "token_classifier": lambda x: {"logits": x},
    "qa": lambda x: {"start_logits": x[..., 0], "end_logits": x[..., 1]},
}


# === Functions ===

# Products with a matrix that is read piece by piece.


def _by_columns(x: Array, weight: Tensor) -> Array:
    """`x @ weight.T`, the weight `[out, in]`."""
    pieces = (np.asarray(piece, "float32") for piece in weight.pieces())
    return np.concatenate([x @ piece.T for piece in pieces], -1)


def _by_rows(x: Array, weight: Tensor) -> Array:
    """`x @ weight`, the weight `[in, out]`; heads may be an axis of either."""
    total, at = np.float32(0), 0
    outputs = math.prod(weight.shape) // x.shape[-1]
    for piece in weight.pieces():
        matrix = np.asarray(piece, "float32").reshape(-1, outputs)
        total = total + x[..., at : at + len(matrix)] @ matrix
        at += len(matrix)
    return total


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _erf(x: Array) -> Array:
    return np.frompyfunc(math.erf, 1, 1)(x).astype("float32")


def _gelu(x: Array) -> Array:
    return 0.5 * x * (1 + _erf(x / np.float32(math.sqrt(2))))


def _gelu_new(x: Array) -> Array:
    inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x**3)
    return 0.5 * x * (1 + np.tanh(inner))


_ACTIVATIONS = {
    "gelu": _gelu,
    "gelu_new": _gelu_new,
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "linear": lambda x: x,
}
