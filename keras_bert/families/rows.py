"""The rows of a weight table: where a weight is in every checkpoint format."""

from collections.abc import Container, Iterable
from typing import NamedTuple

from keras_bert.errors import CheckpointError

MAX_LAYERS = 1000  # a config that says more is corrupt or malicious


class Placement(NamedTuple):
    """A weight's place in one format.

    Attributes:
        name: the weight's name, with `{i}` for the block's number, or `{group}` and
            `{inner}` for those of its group and in it.
        axes: its dimensions in order, see `keras_bert.axes`.
    """

    name: str
    axes: str


class Row(NamedTuple):
    """One weight in every format.

    Attributes:
        placements: by format name; a format that is missing has no place for it.
        option: what a model has such a weight for, if not every one has it: a name in
            `keras_bert.families.family.OPTIONS`.
        first: number of the first block that has it.
    """

    placements: dict[str, Placement]
    option: str | None = None
    first: int = 0


def expand(
    rows: Iterable[Row],
    blocks: int,
    options: Container[str | None] = (),
    inner: int = 1,
) -> list[Row]:
    """Repeats the rows of a block for every block.

    Args:
        rows: rows whose names may hold `{i}`.
        blocks: number of blocks.
        options: whose rows are kept, of those that not every model has.
        inner: number of blocks in a group of them.

    Returns:
        Rows with the block's number filled in.

    Raises:
        CheckpointError: there are more than `MAX_LAYERS` layers.

    Example:
        >>> row = Row({"keras": Placement("layer_{i}/bias", "hidden")})
        >>> [r.placements["keras"].name for r in expand([row], 2)]
        ['layer_0/bias', 'layer_1/bias']
    """
    if blocks > MAX_LAYERS:
        raise CheckpointError(
            f"Expected at most {MAX_LAYERS} layers. Received: {blocks}. Correct "
            "num_hidden_layers in the config."
        )
    expanded = []
    for row in rows:
        if row.option is not None and row.option not in options:
            continue
        repeated = any("{i}" in place.name for place in row.placements.values())
        count = blocks if repeated else 1
        expanded += [
            _numbered(row, i, *divmod(i, inner)) for i in range(row.first, count)
        ]
    return expanded


def _numbered(row: Row, i: int, group: int, inner: int) -> Row:
    numbers = {"i": i, "group": group, "inner": inner}
    return row._replace(
        placements={
            format: place._replace(name=place.name.format(**numbers))
            for format, place in row.placements.items()
        }
    )
