"""WordPiece: cuts words into the longest pieces a vocabulary holds.

Source: `WordpieceTokenizer` in google-research/bert, tokenization.py.
"""

from collections.abc import Mapping
from typing import NamedTuple

from keras_bert.tokenization.rules import Word, WordRules

MAX_WORD_LENGTH = 200  # characters; Google's limit, a longer word is unknown


class Piece(NamedTuple):
    """One token: its id, and the half-open span of characters it stands for."""

    id: int
    start: int
    end: int


class WordPiece:
    """Cuts the words of a chunk into pieces.

    Args:
        vocab: token to id.
        rules: how a chunk is normalized and split into words.
        unk_id: the id of a word that cannot be cut.
    """

    def __init__(self, vocab: Mapping[str, int], rules: WordRules, unk_id: int) -> None:
        self.rules = rules
        self._unk_id = unk_id
        self._longest = max(map(len, vocab), default=0)
        self._first = vocab
        self._inside = {t[2:]: i for t, i in vocab.items() if t.startswith("##")}

    def cut_chunk(self, chunk: str) -> list[Piece]:
        """Returns the pieces of a text; spans are indices into it."""
        return [piece for word in self.rules.split(chunk) for piece in self._cut(word)]

    def _cut(self, word: Word) -> list[Piece]:
        text, origins = word
        unknown = [Piece(self._unk_id, origins[0], origins[-1] + 1)]
        if len(text) > MAX_WORD_LENGTH:
            return unknown
        pieces, start, vocab = [], 0, self._first
        while start < len(text):
            end = self._longest_match(text, start, vocab)
            if end == start:
                return unknown
            span = origins[start], origins[end - 1] + 1
            pieces.append(Piece(vocab[text[start:end]], *span))
            start, vocab = end, self._inside
        return pieces

    def _longest_match(self, text: str, start: int, vocab: Mapping[str, int]) -> int:
        end = min(len(text), start + self._longest)
        while end > start and text[start:end] not in vocab:
            end -= 1
        return end


class ChunkCache(dict):
    """Chunk to the ids of its pieces; text repeats itself, so most are known.

    A dict that fills itself lets whole texts be looked up without a line of
    Python per word. It starts over when full, so memory stays bounded.
    """

    def __init__(self, wordpiece: WordPiece, capacity: int = 1 << 18) -> None:
        super().__init__()
        self._wordpiece = wordpiece
        self._capacity = capacity

    def __missing__(self, chunk: str) -> tuple:
        value = self._value(self._wordpiece.cut_chunk(chunk))
        # A chunk this long is a sentence without spaces, unlikely to return.
        if len(chunk) <= 32:
            if len(self) >= self._capacity:
                self.clear()
            self[chunk] = value
        return value

    def _value(self, pieces: list[Piece]) -> tuple:
        return tuple(piece.id for piece in pieces)


class SpanCache(ChunkCache):
    """Chunk to its pieces, spans included."""

    def _value(self, pieces: list[Piece]) -> tuple:
        return tuple(pieces)
