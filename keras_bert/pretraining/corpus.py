"""Text files to documents: one sentence a line, a blank line between documents."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

import numpy as np

from keras_bert.tokenization import BertTokenizer

Document = list[str]


class Block(NamedTuple):
    """Neighboring documents that are worked on together.

    Attributes:
        index: the number of the block in the corpus.
        documents: each a list of sentences.
        size: bytes of text, for progress.
    """

    index: int
    documents: list[Document]
    size: int


class TokenizedBlock(NamedTuple):
    """Documents as token ids in one row.

    Attributes:
        tokens: int32 `(tokens,)`, all sentences of all documents in order.
        sentences: for each document the places in `tokens` where its sentences
            begin, and where the last one ends.
    """

    tokens: np.ndarray
    sentences: list[list[int]]


def documents(lines: Iterable[str]) -> Iterator[Document]:
    """Yields the documents of a text, never holding more than one.

    Args:
        lines: one sentence each; an empty one ends a document.

    Example:
        >>> list(documents(["One.", "Two.", "", "", "Other."]))
        [['One.', 'Two.'], ['Other.']]
    """
    stripped = (line.strip() for line in lines)
    for filled, group in groupby(stripped, bool):
        if filled:
            yield list(group)


def blocks(source: Iterable[Document], size: int) -> Iterator[Block]:
    """Yields runs of documents, by their text alone.

    A block has at least two documents, since the second half of a pair is often
    taken from another document; only a corpus of one document gives a single one.

    Args:
        source: the documents.
        size: bytes of text after which a block is full.
    """
    filled: list[Block] = []
    documents: list[Document] = []
    held = index = 0
    for document in source:
        documents.append(document)
        held += sum(len(line.encode("utf-8", "replace")) + 1 for line in document)
        if held >= size and len(documents) > 1:
            # One block waits for the next, in case that has too few documents.
            yield from filled
            filled = [Block(index, documents, held)]
            documents, held, index = [], 0, index + 1
    last = Block(index, documents, held)
    yield from [_joined(*filled, last)] if len(documents) < 2 else [*filled, last]


def _joined(first: Block, second: Block | None = None) -> Block:
    if second is None:
        return first
    documents = first.documents + second.documents
    return Block(first.index, documents, first.size + second.size)


def tokenize_block(block: Block, tokenizer: BertTokenizer) -> TokenizedBlock:
    """Returns the token ids of a block; sentences without tokens are left out."""
    ids: list[int] = []
    sentences = []
    for document in block.documents:
        starts = [len(ids)]
        for line in document:
            ids += tokenizer.text_to_ids(line)
            if len(ids) > starts[-1]:
                starts.append(len(ids))
        if len(starts) > 1:
            sentences.append(starts)
    return TokenizedBlock(np.array(ids, np.int32), sentences)
