"""Rows of ids and what belongs to them: as columns, padded, as tensors of a kind."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_bert.errors import InputError, choose
from keras_bert.transformers.lengths import Lengths
from keras_bert.transformers.utils import PaddingStrategy


def received(value: Any) -> str:
    """Returns the end of a message about a value."""
    return f"Received: {type(value).__name__} {value!r:.60}."


def columns_of(encoded: Any) -> dict[str, Any]:
    """Returns values by name of one encoding, or of a list of them."""
    if isinstance(encoded, Mapping):
        return dict(encoded)
    if not encoded or not all(isinstance(one, Mapping) for one in encoded):
        raise InputError(
            f"Expected what a tokenizer returned, or a list of that. "
            f"{received(encoded)}"
        )
    for index, one in enumerate(encoded):
        missing = encoded[0].keys() - one.keys()
        if missing:
            raise InputError(
                f"Expected the names {', '.join(encoded[0])} in every row. Row "
                f"{index} lacks {', '.join(sorted(missing))}."
            )
    return {name: [one[name] for one in encoded] for name in encoded[0]}


def rows_of(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the values of each row by name."""
    counts = {name: len(values) for name, values in columns.items()}
    if len(set(counts.values())) > 1:
        raise InputError(f"Expected as many values of every name. Received: {counts}.")
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]


def padded_width(
    rows: Sequence[Mapping[str, Any]], lengths: Lengths, multiple: int | None
) -> int | None:
    """Returns the length to pad rows to, None for that of each."""
    if not lengths.pads:
        return None
    longest = max(len(row["input_ids"]) for row in rows)
    filled = lengths.padding is PaddingStrategy.MAX_LENGTH
    width = lengths.max_length if filled else longest
    return -(-width // multiple) * multiple if multiple else width


def tensor_type(value: Any) -> str | None:
    """Returns the type of a tensor; None for a list or number."""
    module = type(value).__module__.partition(".")[0]
    return {"tensorflow": "tf", "torch": "pt", "numpy": "np"}.get(module)


def pad_row(
    row: dict[str, Any],
    length: int,
    side: str,
    fillers: dict[str, int],
) -> dict[str, Any]:
    """Pads the lists of one row.

    Args:
        row: lists of numbers by name.
        length: tokens to pad to.
        side: "right" or "left".
        fillers: what to pad with, by name; lists under other names are left alone.

    Raises:
        UnknownNameError: there is no such side.

    Example:
        >>> pad_row({"input_ids": [2, 3], "label": 1}, 3, "right", {"input_ids": 0})
        {'input_ids': [2, 3, 0], 'label': 1}
    """
    choose("padding_side", side, ("right", "left"))
    missing = length - len(row["input_ids"])
    padded = {}
    for name, filler in fillers.items():
        if name in row:
            fill = [filler] * missing
            values = list(row[name])
            padded[name] = values + fill if side == "right" else fill + values
    return row | padded
