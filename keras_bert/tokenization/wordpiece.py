"""WordPiece: splits words into the longest pieces in the vocabulary.

Text repeats itself, so results are cached; looking chunks up is several times faster
than splitting them in native code. The caches are bounded.

Source: `WordpieceTokenizer` in google-research/bert, tokenization.py.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from keras_bert.tokenization.rules import WordRules, chunk_spans, chunks

MAX_WORD_LENGTH = 200  # characters; Google's limit, a longer word is unknown
_CACHED = 1 << 17


class _Cache(dict[str, Any]):
    """Caches the results of a function, and is cleared when full.

    Args:
        function: of one string.

    Lookups in a dict subclass run in native code, several times faster than
    `functools.lru_cache`, and the words of running text are soon cached again.
    """

    def __init__(self, function: Callable[[str], Any]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, text: str) -> Any:
        if len(self) >= _CACHED:
            self.clear()
        found = self[text] = self._function(text)
        return found


class WordPiece:
    """Splits text into pieces.

    Args:
        vocab: token to id.
        rules: how text is normalized and split into words.
        unk_id: the id of unknown words.
    """

    def __init__(self, vocab: Mapping[str, int], rules: WordRules, unk_id: int) -> None:
        self._rules = rules
        self._unk_id = unk_id
        self._longest = max(map(len, vocab), default=0)
        self._first = vocab
        self._inside = {t[2:]: i for t, i in vocab.items() if t.startswith("##")}
        self._word_ids = _Cache(self._split_word_to_ids)
        self._chunk_ids = _Cache(self._split_chunk_to_ids)
        self._chunk = _Cache(self._split_chunk)

    def ids(self, text: str) -> list[int]:
        """Returns the ids of a text."""
        found = map(self._chunk_ids.__getitem__, chunks(text))
        return list(chain.from_iterable(found))

    def ragged_ids(self, texts: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the ids of all texts in one array, and where each text begins."""
        ids: list[int] = []
        splits = [0]
        recall = self._chunk_ids.__getitem__
        for text in texts:
            ids.extend(chain.from_iterable(map(recall, chunks(text))))
            splits.append(len(ids))
        return np.array(ids, np.int32), np.array(splits, np.int64)

    def spans(self, texts: Sequence[str]) -> np.ndarray:
        """Returns the ids of a text given in parts, and their places.

        Args:
            texts: the parts: the words of a sentence, or one whole text.

        Returns:
            int32 `(tokens, 4)`: the id, begin and end in code points of its part, and
            the index of its part.
        """
        found = [list(chunk_spans(text)) for text in texts]
        counts = [len(chunks) for chunks in found]
        parts = np.repeat(np.arange(len(found), dtype=np.int32), counts)
        begins = np.array([begin for _, begin in chain(*found)], np.int32)
        pieces = [self._chunk[chunk] for chunk, _ in chain(*found)]
        sizes = np.array([len(piece) // 3 for piece in pieces], np.int64)
        table = np.empty((sizes.sum(), 4), np.int32)
        flat = np.fromiter(chain.from_iterable(pieces), np.int32, 3 * len(table))
        table[:, :3] = flat.reshape(-1, 3)
        table[:, 1:3] += np.repeat(begins, sizes)[:, None]
        table[:, 3] = np.repeat(parts, sizes)
        return table

    def _split_chunk_to_ids(self, chunk: str) -> tuple[int, ...]:
        words = self._rules.words(chunk)
        return tuple(chain.from_iterable(map(self._word_ids.__getitem__, words)))

    def _split_chunk(self, chunk: str) -> tuple[int, ...]:
        """Returns the ids of a chunk, each followed by its begin and end."""
        return tuple(
            number
            for text, origins in self._rules.split(chunk)
            for piece in _located(*self._split_word(text), origins)
            for number in piece
        )

    def _split_word_to_ids(self, word: str) -> tuple[int, ...]:
        return tuple(self._split_word(word)[0])

    def _split_word(self, word: str) -> tuple[Sequence[int], Sequence[int]]:
        """Returns the ids of a word and where each piece ends in it."""
        if word in self._first and len(word) <= MAX_WORD_LENGTH:
            return (self._first[word],), (len(word),)  # most words of running text
        ids, ends, start, vocab = [], [], 0, self._first
        while start < len(word) <= MAX_WORD_LENGTH:
            end = self._longest_match(word, start, vocab)
            if end == start:
                break
            ids.append(vocab[word[start:end]])
            ends.append(end)
            start, vocab = end, self._inside
        whole = start == len(word)
        return (ids, ends) if whole else ((self._unk_id,), (len(word),))

    def _longest_match(self, word: str, start: int, vocab: Mapping[str, int]) -> int:
        end = min(len(word), start + self._longest)
        while end > start and word[start:end] not in vocab:
            end -= 1
        return end


def _located(
    ids: Sequence[int], ends: Sequence[int], origins: Sequence[int]
) -> Iterator[tuple[int, int, int]]:
    """Yields (id, begin, end), in the text that the word came from."""
    for index, start, end in zip(ids, [0, *ends], ends, strict=False):
        yield index, origins[start], origins[end - 1] + 1
