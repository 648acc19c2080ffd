"""WordPiece: cuts words into the longest pieces a vocabulary holds.

Text repeats itself, so what was cut once is remembered; looking chunks up is
several times faster than cutting them in native code. The memories are bounded.

Source: `WordpieceTokenizer` in google-research/bert, tokenization.py.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain

import numpy as np

from keras_bert.tokenization.rules import WordRules, chunk_spans, chunks

MAX_WORD_LENGTH = 200  # characters; Google's limit, a longer word is unknown
_REMEMBERED = 1 << 17


class WordPiece:
    """Cuts text into pieces.

    Args:
        vocab: token to id.
        rules: how text is normalized and split into words.
        unk_id: the id of a word that cannot be cut.
    """

    def __init__(self, vocab: Mapping[str, int], rules: WordRules, unk_id: int) -> None:
        self._rules = rules
        self._unk_id = unk_id
        self._longest = max(map(len, vocab), default=0)
        self._first = vocab
        self._inside = {t[2:]: i for t, i in vocab.items() if t.startswith("##")}
        self._word = lru_cache(_REMEMBERED)(self._cut_word)
        self._chunk_ids = lru_cache(_REMEMBERED)(self._cut_chunk_to_ids)
        self._chunk = lru_cache(_REMEMBERED)(self._cut_chunk)

    def ids(self, text: str) -> list[int]:
        """Returns the ids of a text."""
        return list(chain.from_iterable(map(self._chunk_ids, chunks(text))))

    def ragged_ids(self, texts: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the ids of all texts in one row, and where each text begins."""
        rows = [self.ids(text) for text in texts]
        splits = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=splits[1:])
        ids = np.fromiter(chain.from_iterable(rows), np.int32, splits[-1])
        return ids, splits

    def spans(self, texts: Sequence[str]) -> np.ndarray:
        """Returns the ids of a text given in parts, and where they came from.

        Args:
            texts: the parts: the words of a sentence, or one whole text.

        Returns:
            int32 `(tokens, 4)`: id; begin and end in code points of its part;
            the index of its part.
        """
        found = [list(chunk_spans(text)) for text in texts]
        counts = [len(chunks) for chunks in found]
        parts = np.repeat(np.arange(len(found), dtype=np.int32), counts)
        begins = np.array([begin for _, begin in chain(*found)], np.int32)
        pieces = [self._chunk(chunk) for chunk, _ in chain(*found)]
        sizes = np.array([len(piece) // 3 for piece in pieces], np.int64)
        table = np.empty((sizes.sum(), 4), np.int32)
        flat = np.fromiter(chain.from_iterable(pieces), np.int32, 3 * len(table))
        table[:, :3] = flat.reshape(-1, 3)
        table[:, 1:3] += np.repeat(begins, sizes)[:, None]
        table[:, 3] = np.repeat(parts, sizes)
        return table

    def _cut_chunk_to_ids(self, chunk: str) -> tuple[int, ...]:
        words = [word.text for word in self._rules.split(chunk)]
        return tuple(chain.from_iterable(ids for ids, _ in map(self._word, words)))

    def _cut_chunk(self, chunk: str) -> tuple[int, ...]:
        """The ids of a chunk, each followed by where it begins and ends."""
        return tuple(
            number
            for text, origins in self._rules.split(chunk)
            for piece in _located(*self._word(text), origins)
            for number in piece
        )

    def _cut_word(self, word: str) -> tuple[list[int], list[int]]:
        """Returns the ids of a word and where each piece ends in it."""
        unknown = [self._unk_id], [len(word)]
        if len(word) > MAX_WORD_LENGTH:
            return unknown
        ids, ends, start, vocab = [], [], 0, self._first
        while start < len(word):
            end = self._longest_match(word, start, vocab)
            if end == start:
                return unknown
            ids.append(vocab[word[start:end]])
            ends.append(end)
            start, vocab = end, self._inside
        return ids, ends

    def _longest_match(self, word: str, start: int, vocab: Mapping[str, int]) -> int:
        end = min(len(word), start + self._longest)
        while end > start and word[start:end] not in vocab:
            end -= 1
        return end


def _located(
    ids: Sequence[int], ends: Sequence[int], origins: Sequence[int]
) -> Iterator[tuple[int, int, int]]:
    """Yields (id, begin, end) with spans in the text the word came from."""
    for index, start, end in zip(ids, [0, *ends], ends, strict=False):
        yield index, origins[start], origins[end - 1] + 1
