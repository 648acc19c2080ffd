"""Tensor parallelism: which dimension of each weight is sharded over devices."""

from collections.abc import Mapping

from keras_bert import axes, families
from keras_bert.config import Config

# Sharding these axes needs one all-reduce per attention and feed-forward layer: within
# each, the output of the first matrix is sharded as the input of the second is.
SHARDED_AXES = ("vocab", "heads", "mlp")


def partitions(
    config: Config, parts: tuple[str, ...], shards: int
) -> Mapping[str, tuple[str | None, ...]]:
    """Returns the mesh axis over which each dimension of each weight is sharded.

    Args:
        config: of the model.
        parts: that the model holds.
        shards: number of devices that share one copy of the weights. An axis whose
            size they do not divide is not sharded;
            `resize_token_embeddings(pad_to_multiple_of=...)` helps with "vocab".

    Returns:
        By variable path, "model" or None for each dimension.

    Example:
        >>> from keras_bert import BertConfig
        >>> found = partitions(BertConfig(num_hidden_layers=1), ("encoder",), 2)
        >>> found["layer_0/attention/query/kernel"]
        (None, 'model')

    Source: Shoeybi et al. 2019 (arXiv:1909.08053), section 3.
    """
    family = families.of(config)
    sizes = family.sizes(config)
    return {
        row.placements["keras"].name: tuple(
            "model" if _is_sharded(group, sizes, shards) else None
            for group in axes.groups(row.placements["keras"].axes)
        )
        for row in family.rows_of(parts, config)
    }


def _is_sharded(group: list[str], sizes: Mapping[str, int], shards: int) -> bool:
    return group[0] in SHARDED_AXES and sizes[group[0]] % shards == 0
