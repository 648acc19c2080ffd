"""A forward pass in NumPy that reads a checkpoint of any format as it is.

Names and axes come from the family's rows; nothing else is shared with conversion, so a
mistake in reading, rearranging or writing shows as a difference between source and
result. Written for clarity, not for speed.

Source: Devlin et al. 2018 (arXiv:1810.04805); Vaswani et al. 2017
(arXiv:1706.03762) section 3.
"""

import math
from collections.abc import Mapping

import numpy as np

from keras_bert import axes, families
from keras_bert.checkpoints.checkpoint import Checkpoint, Tensor
from keras_bert.config import ACTIVATIONS, Config
from keras_bert.distances import FURTHEST, bucket_of_distance, rows_of_distances
from keras_bert.errors import CheckpointError
from keras_bert.families.family import OUTPUTS
from keras_bert.features import LOWEST, MASK_VALUE

Array = np.ndarray


class UnusedWeightsError(CheckpointError):
    """A checkpoint holds weights that the forward pass here does not use."""


# Names of what output layers compute, by part, from every token or from the row.
PER_TOKEN = {"token_classifier": ["logits"], "qa": ["start_logits", "end_logits"]}
PER_ROW = {
    "next_sentence": ["nsp_logits"],
    "sentence_order": ["sop_logits"],
    "sequence_classifier": ["logits"],
    "multiple_choice": ["logits"],
}

# === Inputs ===


def probe(config: Config, seed: int = 0) -> dict[str, Array]:
    """Draws two rows, one of them padded, with ids and positions of the whole range.

    Args:
        config: gives the ranges.
        seed: seed of the draw.

    Returns:
        `input_ids`, `attention_mask` and, where they are embedded, `position_ids` and
        `token_type_ids`; each int32 `(2, seq)`.
    """
    rng = np.random.default_rng(seed)
    shape = (2, min(8, config.max_position_embeddings))
    mask = np.ones(shape, "int32")
    mask[1, shape[1] // 2 + 1 :] = 0
    limits = {
        "input_ids": config.vocab_size,
        "token_type_ids": config.type_vocab_size,
        "position_ids": config.max_position_embeddings * config.embeds_positions,
    }
    drawn = {
        k: rng.integers(n, size=shape, dtype="int32") for k, n in limits.items() if n
    }
    return {"attention_mask": mask, **drawn}


# === The forward pass ===


def outputs(
    checkpoint: Checkpoint, head: str, inputs: Mapping[str, Array]
) -> dict[str, Array]:
    """Computes what a checkpoint's model computes.

    Args:
        checkpoint: what was read.
        head: its model class.
        inputs: `input_ids`, `attention_mask` and, where they are not the family's
            default, `token_type_ids` and `position_ids`; integers `(batch, seq)`.

    Returns:
        float32 arrays: `embeddings`, `hidden_{i}`, `attention_{i}`,
        `sequence_output`; with the parts for it `pooled_output`, `mlm_logits` (every
        position), `nsp_logits`, `logits`, `start_logits` and `end_logits`.

    Raises:
        UnusedWeightsError: the model has weights that this forward pass does not use,
            so it would compute something else.

    Example:
        >>> checkpoint = formats.read("ckpt")  # doctest: +SKIP
        >>> outputs(checkpoint, "BertModel", probe(checkpoint.config))  # doctest: +SKIP
    """
    model = _Reference(checkpoint, head)
    found = model.run(inputs)
    model.refuse_unused(head)
    return found


class _Reference:
    """The model of a checkpoint; weights go by the names of our own format."""

    def __init__(self, checkpoint: Checkpoint, head: str):
        self.tensors, self.config = checkpoint.tensors, checkpoint.config
        family = families.of(self.config)
        # Classifiers share their names: only the one of this class is meant.
        others = {*OUTPUTS} - {*family.parts_of(head)}
        self.parts = [part for part in family.parts if part not in others]
        self.family, self.pooler = family, family.poolers.get(family.models[head])
        self.places = {
            row.placements["keras"].name: (
                row.placements[checkpoint.format],
                row.placements["keras"],
            )
            for row in family.rows_of(self.parts, self.config)
            if checkpoint.format in row.placements
        }
        self.predicts = not family.transforms or "masked_lm" in family.parts_of(head)
        self.used: set[str] = set()

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        found: dict[str, Array] = {"embeddings": self.embed(inputs)}
        hidden, positions = found["embeddings"], self.positions(inputs)
        run = self.pre_norm_block if self.config.pre_norm else self.block
        layers = zip(self.config.block_numbers, self.config.reaches, strict=True)
        for i, (block, (window, theta)) in enumerate(layers):
            bias = self.attention_bias(inputs, window)
            rotation = self.rotation(positions, theta)
            hidden, found[f"attention_{i}"] = run(
                f"layer_{block}", hidden, bias, rotation
            )
            if i == 0 and self.has("convolution/kernel"):
                hidden = self.convolve(found["embeddings"], hidden, inputs)
            found[f"hidden_{i}"] = hidden
        if self.has("final_norm/gamma"):
            hidden = found[f"hidden_{i}"] = self.norm("final_norm", hidden)
        self.mask = inputs["attention_mask"][..., None]
        found["sequence_output"] = hidden
        if self.has("pooler/dense/bias"):
            found["pooled_output"] = np.tanh(self.dense("pooler/dense", hidden[:, 0]))
        if self.predicts and self.has("masked_lm/dense/kernel"):
            found["mlm_logits"] = self.masked_lm(hidden)
        if self.has("replaced/bias"):
            found["logits"] = self.replaced(hidden)
        return found | self.heads(found)

    # === Weights ===

    def has(self, name: str) -> bool:
        return name in self.places and self.places[name][0].name in self.tensors

    def refuse_unused(self, head: str) -> None:
        unused = [name for name in self.places if self.has(name)]
        unused = [name for name in unused if name not in self.used]
        if unused:
            raise UnusedWeightsError(
                f"Expected a model that the reference in NumPy computes. Received a "
                f"{head} with weights it does not use: {', '.join(unused[:5])}."
            )

    def tensor(self, name: str) -> Tensor:
        self.used.add(name)
        return self.tensors[self.places[name][0].name]

    def get(self, name: str) -> Array:
        return np.asarray(self.tensor(name).load(), "float32")

    # === Layers ===

    def dense(self, name: str, x: Array) -> Array:
        there, ours = (
            axes.names(place.axes) for place in self.places[f"{name}/kernel"]
        )
        product = _by_rows if there[0] == ours[0] else _by_columns
        rows = x.reshape(-1, x.shape[-1])  # one product reads the kernel once
        y = product(rows, self.tensor(f"{name}/kernel")) + self.bias(name)
        return y.reshape(*x.shape[:-1], -1)

    def bias(self, name: str, of: str = "bias") -> Array:
        """Returns a layer's bias, or 0 where it has none."""
        has = self.has(f"{name}/{of}")
        return self.get(f"{name}/{of}").reshape(-1) if has else np.float32(0)

    def norm(self, name: str, x: Array, eps: float | None = None) -> Array:
        centered = x - x.mean(-1, keepdims=True)
        variance = (centered**2).mean(-1, keepdims=True)
        scaled = centered / np.sqrt(variance + (eps or self.config.layer_norm_eps))
        scaled = scaled * self.get(f"{name}/gamma") + self.bias(name, "beta")
        return scaled.astype("float32")

    def look_up(self, name: str, ids: Array) -> Array:
        table = self.tensor(f"embeddings/{name}_embeddings/embeddings")
        return np.asarray(table.rows(ids), "float32")

    def embed(self, inputs: Mapping[str, Array]) -> Array:
        total = self.look_up("word", inputs["input_ids"])
        if self.has("embeddings/position_embeddings/embeddings"):
            rows = self.look_up("position", self.positions(inputs))
            # Models with relative positions have a table that they do not use.
            total = total if self.config.relative_positions else total + rows
        if self.has("embeddings/token_type_embeddings/embeddings"):
            types = inputs.get("token_type_ids", np.zeros_like(inputs["input_ids"]))
            total = total + self.look_up("token_type", types)
        normed = self.norm("embeddings/layer_norm", total)
        if self.config.zeroes_padding:
            normed = normed * (inputs["attention_mask"] != 0)[..., None]
        projected = self.config.projects_embeddings
        return self.dense("embedding_projection", normed) if projected else normed

    def positions(self, inputs: Mapping[str, Array]) -> Array:
        if "position_ids" in inputs:
            return inputs["position_ids"]
        ids, config = inputs["input_ids"], self.config
        if not config.counts_tokens:
            return np.arange(ids.shape[1])
        real = ids != config.pad_token_id
        return np.where(
            real, real.cumsum(1) - 1 + config.first_position, config.pad_token_id
        )

    def attention_bias(self, inputs: Mapping[str, Array], window: int | None) -> Array:
        attended = inputs["attention_mask"][:, None, None, :] != 0  # batch 1 1 seq
        hidden = MASK_VALUE
        if self.config.zeroes_padding:
            attended, hidden = attended & attended.swapaxes(-1, -2), LOWEST
        if self.config.is_decoder:
            length = inputs["input_ids"].shape[1]
            attended = attended & np.tri(length, dtype=bool)
        if window is not None:
            column = np.arange(inputs["input_ids"].shape[1])
            attended = attended & (abs(column - column[:, None]) <= window)
        bias = np.where(attended, np.float32(0), np.float32(hidden))
        if not self.has("position_bias/table"):
            return bias
        return bias + self.position_bias(inputs["input_ids"].shape[1])

    def position_bias(self, length: int) -> Array:
        """Returns what scores gain by distance, `(1, heads, seq, seq)`."""
        table, columns = self.get("position_bias/table"), np.arange(length)
        distance, half = columns - columns[:, None], len(table) // 2
        bucket = bucket_of_distance(half)[np.minimum(np.abs(distance), FURTHEST)]
        return table[bucket + half * (distance > 0)].transpose(2, 0, 1)[None]

    def rotation(self, positions: Array, theta: float | None) -> Array | None:
        """Returns for every position the turn of each pair, a complex number."""
        if self.config.sinusoid_table:
            sin, cos = np.split(self.get("sinusoids/table")[positions], 2, -1)
            turns = cos + 1j * sin
        elif theta is not None:
            steps = np.arange(0, 1, 2 / self.config.head_dim)
            turns = np.exp(1j * positions[..., None] * theta**-steps)
        else:
            return None
        return turns[..., None, :, :]  # (batch) 1 seq head_dim/2

    def rotate(self, x: Array, rotation: Array) -> Array:
        """Turns pairs, as the product of complex numbers does."""
        if self.config.rotates_neighbours:
            pairs = x.reshape(*x.shape[:-1], -1, 2)
        else:
            pairs = x.reshape(*x.shape[:-1], 2, -1).swapaxes(-1, -2)
        turned = (pairs[..., 0] + 1j * pairs[..., 1]) * rotation
        parts = np.stack([turned.real, turned.imag], -1)
        parts = parts if self.config.rotates_neighbours else parts.swapaxes(-1, -2)
        return parts.reshape(x.shape).astype("float32")

    def attend(
        self, name: str, x: Array, bias: Array, rotation: Array | None
    ) -> tuple[Array, Array]:
        names = ("query", "key", "value")
        if "attention" in self.config.fused:
            parts = self.fused(f"{name}/qkv", x)
        else:
            parts = [self.dense(f"{name}/{n}", x) for n in names]
        parts = [
            p + self.bias(name, f"{n}_bias") for p, n in zip(parts, names, strict=True)
        ]
        heads = dict(zip(names, map(self.split, parts), strict=True))
        if rotation is not None:
            heads |= {n: self.rotate(heads[n], rotation) for n in self.config.rotated}
        q, k, v = heads.values()
        how = self.config.disentangled
        q = q * np.float32(how.scale)
        scores = q @ k.swapaxes(-1, -2)
        if self.config.relative_positions:
            scores = scores + self.by_distance(name, q, k)
        if self.has("distances/table"):
            scores = scores + self.disentangled(name, q, k)
        scores = scores / math.sqrt(self.config.head_dim)
        attention = _softmax(scores.astype("float32") + bias)
        mixed = self.join(attention @ v)
        return self.dense(f"{name}/output_dense", mixed), attention

    def fused(self, name: str, x: Array) -> list[Array]:
        """Returns queries, keys and values of one matrix."""
        product, there = self.dense(name, x), self.places[f"{name}/kernel"][0]
        order = axes.names(there.axes)
        if order.index("heads") < order.index("qkv"):  # those of a head are neighbours
            heads = self.config.num_attention_heads
            parts = product.reshape(*x.shape[:-1], heads, 3, -1).swapaxes(-2, -3)
            product = parts.reshape(product.shape)
        return np.split(product, 3, -1)

    def disentangled(self, name: str, q: Array, k: Array) -> Array:
        """Returns products with vectors of distances, `(batch, heads, seq, seq)`."""
        how, vectors = self.config.disentangled, self.get("distances/table")
        if how.norm:
            vectors = self.norm("distances/layer_norm", vectors)
        length = q.shape[2]
        columns = np.arange(length)
        rows = rows_of_distances(length, how.furthest, how.rows * how.buckets)
        place = rows[columns[:, None] - columns + length - 1]
        scores = np.float32(0)
        for term, x, form in (
            ("c2p", "key", "bhld,hlrd->bhlr"),
            ("p2c", "query", "bhrd,hlrd->bhlr"),
        ):
            if term not in how.terms:
                continue
            own = f"{name}/distance_{x}" if how.projects(term) else f"{name}/{x}"
            projected = self.split(self.dense(own, vectors[None]))[0]
            of = q if term == "c2p" else k * np.float32(how.scale)
            scores = scores + np.einsum(form, of, projected[:, place])
        return scores

    def convolve(self, x: Array, hidden: Array, inputs: Mapping[str, Array]) -> Array:
        """Adds the convolution of the embeddings to the first layer's states."""
        taps, activation = self.config.convolution or (0, "linear")
        there, ours = (axes.names(p.axes) for p in self.places["convolution/kernel"])
        order = [there.index(axis) for axis in ours]
        kernel = self.get("convolution/kernel").transpose(order)
        around, length = (taps - 1) // 2, x.shape[1]
        padded = np.pad(x, ((0, 0), (around, around), (0, 0)))
        total = self.bias("convolution") + sum(
            padded[:, tap : tap + length] @ kernel[tap] for tap in range(taps)
        )
        changed = hidden + self.activate(total, activation)
        mask = (inputs["attention_mask"] != 0)[..., None]
        return self.norm("convolution/layer_norm", changed) * mask

    def feed_forward(self, name: str, x: Array) -> Array:
        up = self.dense(f"{name}/intermediate_dense", x)
        gate: Array | float = 1.0
        if self.has(f"{name}/gate_dense/kernel"):
            gate = self.dense(f"{name}/gate_dense", x)
        elif self.config.gated:
            up, gate = np.split(up, 2, -1)
        return self.dense(f"{name}/output_dense", self.activate(up) * gate)

    def block(self, name: str, x: Array, *how: Array | None) -> tuple[Array, Array]:
        mixed, attention = self.attend(f"{name}/attention", x, *how)
        x = self.norm(f"{name}/attention_norm", x + mixed)
        change = self.feed_forward(f"{name}/feed_forward", x)
        return self.norm(f"{name}/feed_forward_norm", x + change), attention

    def pre_norm_block(
        self, name: str, x: Array, *how: Array | None
    ) -> tuple[Array, Array]:
        norm = f"{name}/attention_norm"
        normed = self.norm(norm, x) if self.has(f"{norm}/gamma") else x
        mixed, attention = self.attend(f"{name}/attention", normed, *how)
        x = x + mixed
        normed = self.norm(f"{name}/feed_forward_norm", x)
        return x + self.feed_forward(f"{name}/feed_forward", normed), attention

    def by_distance(self, name: str, q: Array, k: Array) -> Array:
        """Returns products with vectors of distances, `(batch, heads, seq, seq)`."""
        table, columns = (
            self.get(f"{name}/relative/table"),
            np.arange(q.shape[2]),
        )
        vectors = table[columns[:, None] - columns + (len(table) - 1) // 2]
        scores = np.einsum("bhld,lrd->bhlr", q, vectors)
        if self.config.position_embedding_type == "relative_key":
            return scores
        return scores + np.einsum("bhrd,lrd->bhlr", k, vectors)

    def split(self, x: Array) -> Array:
        x = x.reshape(*x.shape[:2], self.config.num_attention_heads, -1)
        return x.swapaxes(1, 2)  # batch heads seq head_dim

    def join(self, x: Array) -> Array:
        x = x.swapaxes(1, 2)  # batch seq heads head_dim
        return x.reshape(*x.shape[:2], -1)

    def activate(self, x: Array, name: str | None = None) -> Array:
        return _ACTIVATIONS[ACTIVATIONS[name or self.config.hidden_act]](x)

    # === Heads ===

    def transform(self, x: Array) -> Array:
        config = self.config
        x = self.activate(self.dense("masked_lm/dense", x), config.transform_act)
        return self.norm("masked_lm/layer_norm", x, config.transform_eps)

    def masked_lm(self, hidden: Array) -> Array:
        x = self.transform(hidden)
        own = "masked_lm_decoder/embeddings"
        shared = "embeddings/word_embeddings/embeddings"
        logits = _by_columns(x, self.tensor(own if self.has(own) else shared))
        return logits + self.bias("masked_lm_bias")

    def replaced(self, hidden: Array) -> Array:
        x = self.activate(self.dense("replaced_dense", hidden))
        return self.dense("replaced", x)[..., 0]

    def heads(self, found: Mapping[str, Array]) -> dict[str, Array]:
        results: dict[str, Array] = {}
        for part in self.parts:
            names = (PER_TOKEN | PER_ROW).get(part)
            layer = (
                self.family.parts[part][-1].placements["keras"].name.rpartition("/")[0]
            )
            if names is None or not self.has(f"{layer}/bias"):
                continue
            x = found["sequence_output"] if part in PER_TOKEN else self.pooled(found)
            x = self.transform(x) if self.family.transforms else x
            logits = self.dense(layer, x)
            columns = np.moveaxis(logits, -1, 0) if len(names) > 1 else [logits]
            results |= zip(names, columns, strict=True)
        return results

    def pooled(self, found: Mapping[str, Array]) -> Array:
        hidden = found["sequence_output"]
        if self.family.transforms and self.config.classifier_pooling == "mean":
            return (hidden * self.mask).sum(1) / self.mask.sum(1)
        if self.family.transforms:
            return hidden[:, 0]
        if self.pooler is None:
            return found["pooled_output"]
        first = hidden[:, 0]
        return self.activate(
            self.dense("pre_classifier/dense", first), self.pooler.activation
        )


# === Functions ===

# Products with a matrix that is read piece by piece.


def _by_columns(x: Array, weight: Tensor) -> Array:
    """`x @ weight.T`, the weight `[out, in]`."""
    pieces = (np.asarray(piece, "float32") for piece in weight.pieces())
    return np.concatenate([x @ piece.T for piece in pieces], -1)


def _by_rows(x: Array, weight: Tensor) -> Array:
    """`x @ weight`, the weight `[in, out]`; the heads may have an axis in either."""
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
