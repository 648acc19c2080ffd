"""Columns of a dataset, one text after the other, as pipelines take them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


class KeyDataset:
    """A column of a dataset.

    Args:
        dataset: rows as dicts, such as one of `datasets`.
        key: name of the column.

    Example:
        >>> list(KeyDataset([{"text": "one"}, {"text": "two"}], "text"))
        ['one', 'two']
    """

    def __init__(self, dataset: Sequence[Mapping[str, Any]], key: str) -> None:
        self.dataset, self.key = dataset, key

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[index][self.key]

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))


class KeyPairDataset(KeyDataset):
    """Two columns of a dataset, as pairs of texts.

    Args:
        dataset: rows as dicts.
        key1, key2: names of the columns.
    """

    def __init__(
        self, dataset: Sequence[Mapping[str, Any]], key1: str, key2: str
    ) -> None:
        super().__init__(dataset, key1)
        self.key2 = key2

    def __getitem__(self, index: int) -> Any:
        row = self.dataset[index]
        return {"text": row[self.key], "text_pair": row[self.key2]}
