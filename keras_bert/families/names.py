"""How formats name and lay out weights: makes the rows of a family's table."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from keras_bert.families.rows import Placement, Row

_HEADS = "(heads head_dim)"


class Style(NamedTuple):
    """How a format ends its names and lays out its matrices.

    Attributes:
        kernel, bias, gamma, beta, table: last parts of names.
        transposed: kernels are `[out, in]`.
        split: attention heads have a dimension of their own.
        groups: what names in its files begin with where those of the weights do not:
            an unknown tensor in there is in the encoder.
    """

    kernel: str = "/kernel"
    bias: str = "/bias"
    gamma: str = "/gamma"
    beta: str = "/beta"
    table: str = "/embeddings"
    transposed: bool = False
    split: bool = False
    groups: tuple[str, ...] = ()

    def axes(self, axes: str) -> str:
        """Writes an axes string as the format has it."""
        return axes.replace(_HEADS, _HEADS[1:-1]) if self.split else axes

    def matrix(self, inputs: str, outputs: str) -> str:
        """Returns a kernel's axes."""
        order = (outputs, inputs) if self.transposed else (inputs, outputs)
        return self.axes(" ".join(order))


STYLES = {
    "keras": Style(groups=("encoder", "layers")),
    "google": Style(table=""),
    "huggingface": Style(".weight", ".bias", ".weight", ".bias", ".weight", True),
    "huggingface_tf": Style(),
    "model_garden": Style(split=True),
    "keras_hub": Style(split=True, groups=("layers", "task")),
}


# Each takes the layer's name by format.


def table(rows: str, **names: str) -> Row:
    """An embedding table."""
    axes = f"{rows} embedding"
    places = {f: Placement(n + STYLES[f].table, axes) for f, n in names.items()}
    return Row(places)


def decoder(**names: str) -> Row:
    """The output matrix of a masked LM that is not its word embeddings."""
    return table("vocab", **names)._replace(option="untied")


def vector(axes: str, *, option: str | None = None, **names: str) -> Row:
    """A vector, under its full names."""
    places = {f: Placement(n, STYLES[f].axes(axes)) for f, n in names.items()}
    return Row(places, option)


def norm(axes: str, *, bias: str | None = None, **names: str) -> list[Row]:
    """A LayerNorm; `bias` is the option of models where it has one."""
    return [
        vector(
            axes, option=o, **{f: n + getattr(STYLES[f], w) for f, n in names.items()}
        )
        for w, o in (("gamma", None), ("beta", bias))
    ]


def dense(
    inputs: str, outputs: str, *, bias: str | None = None, **names: str
) -> list[Row]:
    """A projection: `[in, out]` in TensorFlow, `[out, in]` in PyTorch.

    `bias` is the option of models where it has one.
    """
    kernel = {
        f: Placement(name + STYLES[f].kernel, STYLES[f].matrix(inputs, outputs))
        for f, name in names.items()
    }
    biases = {f: name + STYLES[f].bias for f, name in names.items()}
    return [Row(kernel), vector(outputs, option=bias, **biases)]


def output(outputs: str, google: str | None = None, **names: str) -> list[Row]:
    """An output layer: Google's scripts keep these, and only these, `[out, in]`."""
    kernel, bias = dense("hidden", outputs, **names)
    if google is not None:
        weights = Placement(f"{google}output_weights", f"{outputs} hidden")
        kernel.placements["google"] = weights
        bias.placements["google"] = Placement(f"{google}output_bias", outputs)
    return [kernel, bias]


_BLOCK: dict[str, tuple[Any, ...]] = {
    "attention/query": (dense, "hidden", _HEADS),
    "attention/key": (dense, "hidden", _HEADS),
    "attention/value": (dense, "hidden", _HEADS),
    "attention/output_dense": (dense, _HEADS, "hidden"),
    "attention_norm": (norm, "hidden"),
    "feed_forward/intermediate_dense": (dense, "hidden", "mlp"),
    "feed_forward/output_dense": (dense, "mlp", "hidden"),
    "feed_forward_norm": (norm, "hidden"),
}


def block(**names: tuple[str, Sequence[str]]) -> list[Row]:
    """The layers of a `TransformerBlock`.

    Args:
        **names: by format, what stands before the names, with `{i}`, and the names of
            query, key, value, attention output, its norm, both dense layers of the
            feed-forward layer, its norm.
    """
    rows: list[Row] = []
    for number, (ours, (make, *axes)) in enumerate(_BLOCK.items()):
        theirs = {f: before + layers[number] for f, (before, layers) in names.items()}
        rows += make(*axes, keras=f"layer_{{i}}/{ours}", **theirs)
    return rows
