"""Documents to blocks of tokens, and the store of blocks on disk."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_bert.atomic_files import new_file
from keras_bert.pretraining.hashed_random import text_key
from keras_bert.pretraining.words import Words
from keras_bert.tokenization import BertTokenizer
from keras_bert.tokenization.rules import is_chinese

Document = list[str]  # its sentences


class TokenizedBlock(NamedTuple):
    """Documents as one array of token ids.

    Attributes:
        tokens: int32 `(tokens,)`: all sentences of all documents in order.
        continues: bool `(tokens,)`: the token continues the word before it.
        sentences: int64 `(sentences + 1,)`: where sentences begin in `tokens`, and
            where the last one ends; none is empty.
        documents: int64 `(documents + 1,)`: where documents begin in `sentences`.
        keys: uint64 `(documents,)`: hashes of the documents' texts.
    """

    tokens: np.ndarray
    continues: np.ndarray
    sentences: np.ndarray
    documents: np.ndarray
    keys: np.ndarray


def tokenize_documents(
    documents: list[Document], tokenizer: BertTokenizer, words: Words | None = None
) -> tuple[TokenizedBlock, Counter[str]]:
    """Tokenizes documents, and counts tokens, sentences and so on.

    Sentences and documents without tokens are dropped, and counted.

    Args:
        documents: lists of sentences.
        tokenizer: the tokenizer.
        words: tells which characters of a line go on in a Chinese word; None makes
            every ideograph a word.
    """
    lines = list(chain.from_iterable(documents))
    tokens, splits = tokenizer.texts_to_ids(lines)
    filled = np.append(0, (np.diff(splits) > 0).cumsum())
    ends = np.append(0, np.cumsum([len(document) for document in documents]))
    bounds = filled[ends.astype(np.int64)]  # documents, in sentences with tokens
    kept = np.diff(bounds) > 0
    keys = [text_key("\n".join(x).encode("utf-8", "replace")) for x in documents]
    block = TokenizedBlock(
        tokens,
        _continues(tokens, lines, tokenizer, words),
        np.unique(splits),
        np.unique(bounds),
        np.array(keys, np.uint64)[kept],
    )
    return block, Counter(
        documents=len(block.keys),
        sentences=len(block.sentences) - 1,
        tokens=len(tokens),
        unknown_tokens=int((tokens == tokenizer.unk_token_id).sum()),
        ideographs=int(_is_ideograph(tokenizer)[tokens].sum()),
        documents_without_tokens=int(len(kept) - kept.sum()),
        sentences_without_tokens=len(lines) - int(filled[-1]),
    )


def _is_ideograph(tokenizer: BertTokenizer) -> np.ndarray:
    return np.array([is_chinese(token) for token in tokenizer.tokens])


def _continues(
    tokens: np.ndarray,
    lines: list[str],
    tokenizer: BertTokenizer,
    words: Words | None,
) -> np.ndarray:
    pieces = np.array([token.startswith("##") for token in tokenizer.tokens])
    continues = pieces[tokens]
    if words is not None:
        inside = (_inside_words(line, tokenizer, words) for line in lines)
        continues |= np.fromiter(chain.from_iterable(inside), bool, len(tokens))
    return continues


def _inside_words(line: str, tokenizer: BertTokenizer, words: Words) -> Iterator[bool]:
    """Tells for each token whether it goes on in a Chinese word."""
    row = tokenizer.encode_batch(line, truncation=False, return_offsets_mapping=True)
    inside = words(line)
    for begin, _ in row["offset_mapping"][0, 1:-1].tolist():  # without [CLS] and [SEP]
        yield begin in inside


class BlockStore:
    """Tokenized blocks on disk, so that text is tokenized once.

    A block is stored completely or not at all.

    Args:
        folder: the directory; created.
        vocab_size: of the tokenizer; up to 65,536 ids take two bytes each.
    """

    def __init__(self, folder: Path, vocab_size: int) -> None:
        self.folder = folder
        self._dtype = np.uint16 if vocab_size <= 1 << 16 else np.int32
        folder.mkdir(parents=True, exist_ok=True)

    def __contains__(self, number: int) -> bool:
        return self._file(number).exists()

    def save(self, number: int, block: TokenizedBlock, counts: Counter[str]) -> None:
        """Writes a block and its counts."""
        compact = block._replace(tokens=block.tokens.astype(self._dtype))
        with new_file(self._file(number)) as partial:
            np.savez(partial, **compact._asdict(), counts=json.dumps(counts))

    def load(self, number: int) -> TokenizedBlock:
        """Reads a block."""
        with np.load(self._file(number)) as file:
            block = TokenizedBlock(*(file[name] for name in TokenizedBlock._fields))
        return block._replace(tokens=block.tokens.astype(np.int32))

    def counts(self, number: int) -> Counter[str]:
        """Reads the counts of a block."""
        with np.load(self._file(number)) as file:
            return Counter(json.loads(str(file["counts"])))

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:08d}.npz"
