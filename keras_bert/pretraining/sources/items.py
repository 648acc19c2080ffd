"""Sources of single documents: any iterable, and tensorflow_datasets."""

import hashlib
import json
import uuid
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from keras_bert.errors import InputError
from keras_bert.extras import require
from keras_bert.pretraining.sources.base import (
    BLOCK_BYTES,
    LONGEST_DOCUMENT,
    Document,
    RawBlock,
    RawFragment,
    SizedFragment,
    Source,
    SourceGroup,
    blocks_of,
    checked,
)
from keras_bert.pretraining.sources.cutting import cut
from keras_bert.pretraining.sources.text import (
    decoded,
    finished,
    is_text,
    sentences_of,
)


class Items(Source):
    """A source of single documents."""

    def __init__(self, block_bytes: int, wrapped: bool) -> None:
        self.block_bytes = checked(block_bytes)
        self.wrapped = wrapped

    @abstractmethod
    def _items(self, group: SourceGroup) -> Iterator[tuple[Any, int | None]]:
        """Yields documents, each with the bytes of input it accounts for."""

    def blocks(self, group: SourceGroup) -> Iterator[RawBlock]:
        """Reads a group in blocks of whole documents."""
        return blocks_of(self._pieces(group), self.block_bytes)

    def _pieces(self, group: SourceGroup) -> Iterator[SizedFragment]:
        for number, (item, size) in enumerate(self._items(group), 1):
            pieces = self._cut_item(item)
            last = len(pieces) - 1
            for index, data in enumerate(pieces):
                part = RawFragment(
                    group.names[0], number, data, index == 0, index == last
                )
                weight = _weight(data)
                progress = weight if size is None else size * (index == 0)
                yield SizedFragment(part, progress, weight, _is_filled(data))

    def _cut_item(self, item: Any) -> list[Any]:
        if _weight(item) < LONGEST_DOCUMENT * self.block_bytes:
            return [item]
        if isinstance(item, list):
            return list(_runs_of_sentences(item, self.block_bytes))
        return list(cut(item, self.block_bytes))

    def documents(self, block: RawBlock) -> tuple[list[Document], Counter[str]]:
        """Decodes a block and splits it into documents of sentences."""
        odd: Counter[str] = Counter()
        found = []
        for part in block.content:
            odd["cut_documents"] += part.begins and not part.ends
            is_bytes = isinstance(part.data, bytes)
            text = decoded(part.data, odd) if is_bytes else part.data
            if document := sentences_of(text, self.wrapped, odd):
                found.append(document)
        return finished(found, odd)


def _weight(item: Any) -> int:
    if isinstance(item, list):
        return sum(map(_weight, item)) + len(item)
    return (
        len(item) if isinstance(item, bytes) else len(item.encode("utf-8", "replace"))
    )


def _is_filled(item: Any) -> bool:
    if isinstance(item, list):
        return any(map(_is_filled, item))
    text = item.decode("utf-8", "replace") if isinstance(item, bytes) else item
    return bool(text.strip())


def _runs_of_sentences(sentences: list[str], size: int) -> Iterator[list[str]]:
    run, held = [], 0
    for sentence in sentences:
        run.append(sentence)
        held += _weight(sentence) + 1
        if held >= size:
            yield run
            run, held = [], 0
    if run:
        yield run


class Documents(Items):
    """Documents from any iterable.

    Args:
        documents: each a text, or a list of sentences.
        block_bytes: bytes of text that are processed together.
        name: identifies the documents, so that a killed run can resume with the same
            name and documents. Without it a list is identified by its text, and a run
            on any other iterable cannot resume.
        wrapped: lines of a text are wrapped; otherwise a line end ends a sentence.

    Example:
        >>> source = Documents(["One. Two.", ["Three.", "Four."]])
        >>> [block] = source.blocks(source.groups()[0])
        >>> source.documents(block)[0]
        [['One.', 'Two.'], ['Three.', 'Four.']]
    """

    def __init__(
        self,
        documents: Iterable[str | Sequence[str]],
        block_bytes: int = BLOCK_BYTES,
        *,
        name: str | None = None,
        wrapped: bool = False,
    ) -> None:
        super().__init__(block_bytes, wrapped)
        self._documents: Iterable[Any] | None = documents
        self._is_read = False
        self._name = name or uuid.uuid4().hex
        if name is None and isinstance(documents, Sequence):
            self._name = _digest(documents)

    def __getstate__(self) -> dict[str, Any]:
        # Only the reading process needs the documents.
        return {**self.__dict__, "_documents": None}

    def fingerprint(self) -> dict[str, Any]:
        """Returns the name or the digest of the documents, and options."""
        return {
            "source": "Documents",
            "block_bytes": self.block_bytes,
            "wrapped": self.wrapped,
            "name": self._name,
        }

    def groups(self) -> list[SourceGroup]:
        """Returns a single group."""
        return [SourceGroup(0, ("documents",), None)]

    def _items(self, group: SourceGroup) -> Iterator[tuple[Any, None]]:
        source = self._documents
        once = source is None or iter(source) is source
        if source is None or (once and self._is_read):
            raise InputError(
                "Expected documents that can be read, received an iterator that was "
                "read before, or a copy in another process. Pass a list, or an "
                "object whose __iter__ starts over."
            )
        self._is_read = True
        for number, item in enumerate(source, 1):
            yield _checked_item(item, number), None


def _checked_item(item: Any, number: int) -> str | list[str]:
    if not is_text(item):
        raise InputError(
            "Expected every document to be a string or a list of strings, received "
            f"{type(item).__name__} as number {number}."
        )
    return item if isinstance(item, str) else list(item)


def _digest(documents: Sequence[Any]) -> str:
    digest = hashlib.sha256()
    for number, item in enumerate(documents, 1):
        item = _checked_item(item, number)
        digest.update(json.dumps(item).encode() + b"\n")
    return digest.hexdigest()


class TensorFlowDatasets(Items):
    """A dataset of `tensorflow_datasets` by name, one document per example.

    It is downloaded and prepared if necessary.

    Args:
        name: of the dataset, with its version: `wikipedia/20230601.en`.
        split: `train`, `train[:10%]` and so on.
        field: the feature with running text.
        block_bytes: bytes of text that are processed together.
        data_dir: directory of datasets; None takes the library's default.
        wrapped: lines of a text are wrapped; otherwise a line end ends a sentence.

    Raises:
        MissingExtraError: tensorflow_datasets is not installed.
        InputError: there is no such dataset, split, or text field.

    Example:
        >>> TensorFlowDatasets("wikipedia/20230601.en")  # doctest: +SKIP
    """

    def __init__(
        self,
        name: str,
        split: str = "train",
        field: str = "text",
        block_bytes: int = BLOCK_BYTES,
        *,
        data_dir: str | Path | None = None,
        wrapped: bool = False,
    ) -> None:
        super().__init__(block_bytes, wrapped)
        self.name, self.split, self.field = name, split, field
        self.data_dir = None if data_dir is None else str(data_dir)
        self._example_bytes: int | None = None
        info = prepared(name, self.data_dir).info
        if field not in info.features:
            raise InputError(
                f"Expected the field {field!r} in {name}, which has "
                f"{', '.join(info.features)}. Choose one of them (field)."
            )
        self._version = info.full_name
        whole = info.splits.get(split)  # None for a slice of a split
        self._shards = list(whole.shard_lengths) if whole else []
        if whole and whole.num_examples:
            self._example_bytes = whole.num_bytes // whole.num_examples
            self.size = self._example_bytes * whole.num_examples

    def fingerprint(self) -> dict[str, Any]:
        """Returns the name with its version, split, field and options."""
        return {
            "source": "TensorFlowDatasets",
            "block_bytes": self.block_bytes,
            "wrapped": self.wrapped,
            "name": self._version,
            "split": self.split,
            "shards": self._shards,
            "field": self.field,
        }

    def groups(self) -> list[SourceGroup]:
        """Lists the shards of the split; a slice of a split is one group."""
        if self._example_bytes is None:
            return [SourceGroup(0, (self.split,), None)]
        ends = list(accumulate(self._shards))
        return [
            SourceGroup(
                number,
                (f"{self.split}[{end - length}:{end}]",),
                length * self._example_bytes,
            )
            for number, (length, end) in enumerate(zip(self._shards, ends, strict=True))
        ]

    def _items(self, group: SourceGroup) -> Iterator[tuple[bytes, int | None]]:
        tfds = require("tensorflow_datasets")
        builder = prepared(self.name, self.data_dir)
        examples = builder.as_dataset(split=group.names[0], shuffle_files=False)
        for example in tfds.as_numpy(examples):
            text = example[self.field]
            if not isinstance(text, bytes):
                raise InputError(
                    f"Expected text in {self.field!r} of {self.name}, received "
                    f"{type(text).__name__}. Choose another field."
                )
            yield text, self._example_bytes


def prepared(name: str, data_dir: str | None) -> Any:
    """Returns the builder of a dataset after preparing it on disk."""
    tfds = require("tensorflow_datasets")
    try:
        builder = tfds.builder(name, data_dir=data_dir)
        builder.download_and_prepare()
    except (tfds.core.DatasetNotFoundError, ValueError, OSError) as error:
        reason = str(error).partition("\n")[0]  # a list of all datasets follows
        raise InputError(f"Cannot prepare the dataset {name!r}: {reason}") from error
    return builder
