"""WordPiece: splits words into the longest pieces in the vocabulary.

Text repeats itself, so results are cached; looking chunks up is several times faster
than splitting them in native code. The caches are bounded.

Source: `WordpieceTokenizer` in google-research/bert, tokenization.py.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from keras_bert.errors import InputError
from keras_bert.tokenization.added_tokens import AddedTokens
from keras_bert.tokenization.rules import WordRules
from keras_bert.tokenizer_folder import PREFIX, WORD_LENGTH

GOOGLE_WORD_LENGTH = 200  # characters; a longer word is unknown to Google's code
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
        added: tokens to look for before.
        prefix: of tokens that continue a word.
        max_word_length: in characters; a longer word is unknown.
    """

    def __init__(
        self,
        vocab: Mapping[str, int],
        rules: WordRules,
        unk_id: int,
        added: AddedTokens | None = None,
        prefix: str = PREFIX,
        max_word_length: int = WORD_LENGTH,
    ) -> None:
        self._rules = rules
        self._unk_id = unk_id
        self._longest = max(map(len, vocab), default=0)
        self._max_word_length = max_word_length
        self._first = vocab
        begin = len(prefix)
        self._inside = {t[begin:]: i for t, i in vocab.items() if t.startswith(prefix)}
        self._word_ids = _Cache(self._split_word_to_ids)
        self._added = added or AddedTokens({}, rules)
        # Text is cut where no token can reach across, and what is between is cached.
        cut = self._added.within_chunks
        self._units = rules.chunks if cut else _whole
        self._unit_ids = _remembered(self._split_to_ids, cut)
        cut = cut and self._added.keep_spaces
        self._unit_spans = rules.chunk_spans if cut else _whole_span
        self._unit = _remembered(self._split_to_spans, cut)

    def ids(self, text: str) -> list[int]:
        """Returns the ids of a text."""
        try:
            return list(chain.from_iterable(map(self._unit_ids, self._units(text))))
        except (AttributeError, TypeError) as error:
            raise _no_text(text) from error

    def ragged_ids(self, texts: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the ids of all texts in one array, and where each text begins."""
        ids: list[int] = []
        splits = [0]
        recall, units = self._unit_ids, self._units
        try:
            for text in texts:
                ids.extend(chain.from_iterable(map(recall, units(text))))
                splits.append(len(ids))
        except (AttributeError, TypeError) as error:
            raise _no_text(text, f", at index {len(splits) - 1}") from error
        except InputError as error:
            raise InputError(f"{error} It is at index {len(splits) - 1}.") from error
        return np.array(ids, np.int32), np.array(splits, np.int64)

    def spans(self, texts: Sequence[str]) -> np.ndarray:
        """Returns the ids of a text given in parts, and their places.

        Args:
            texts: the parts: the words of a sentence, or one whole text.

        Returns:
            int32 `(tokens, 4)`: the id, begin and end in code points of its part, and
            the index of its part.
        """
        found = [list(self._unit_spans(text)) for text in texts]
        counts = [len(chunks) for chunks in found]
        parts = np.repeat(np.arange(len(found), dtype=np.int32), counts)
        begins = np.array([begin for _, begin in chain(*found)], np.int32)
        pieces = [self._unit(unit) for unit, _ in chain(*found)]
        sizes = np.array([len(piece) // 3 for piece in pieces], np.int64)
        table = np.empty((sizes.sum(), 4), np.int32)
        flat = np.fromiter(chain.from_iterable(pieces), np.int32, 3 * len(table))
        table[:, :3] = flat.reshape(-1, 3)
        table[:, 1:3] += np.repeat(begins, sizes)[:, None]
        table[:, 3] = np.repeat(parts, sizes)
        return table

    def _split_to_ids(self, text: str) -> tuple[int, ...]:
        if not self._added.occur_in(text):
            return self._ids_of_words(text)
        found: list[int] = []
        for piece in self._added.split(text):
            token = piece.token
            found += self._ids_of_words(piece.text) if token is None else (token,)
        return tuple(found)

    def _ids_of_words(self, text: str) -> tuple[int, ...]:
        words = self._rules.words(text)
        return tuple(chain.from_iterable(map(self._word_ids.__getitem__, words)))

    def _split_to_spans(self, text: str) -> tuple[int, ...]:
        """Returns the ids of a text, each followed by its begin and end."""
        if not self._added.occur_in(text):
            return tuple(self._spans_of_words(text, range(len(text))))
        found: list[int] = []
        for part, origins, token in self._added.split(text):
            if token is None:
                found += self._spans_of_words(part, origins)
            else:
                found += token, origins[0], origins[-1] + 1
        return tuple(found)

    def _spans_of_words(self, text: str, places: Sequence[int]) -> Iterator[int]:
        for word, origins in self._rules.split(text):
            for piece in _located(*self._split_word(word), origins):
                index, begin, last = piece
                yield from (index, places[begin], places[last] + 1)

    def _split_word_to_ids(self, word: str) -> tuple[int, ...]:
        return tuple(self._split_word(word)[0])

    def _split_word(self, word: str) -> tuple[Sequence[int], Sequence[int]]:
        """Returns the ids of a word and where each piece ends in it."""
        limit = self._max_word_length
        if word in self._first and len(word) <= limit:
            return (self._first[word],), (len(word),)  # most words of running text
        ids, ends, start, vocab = [], [], 0, self._first
        while start < len(word) <= limit:
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
    """Yields (id, first, last character), in the text that the word came from."""
    for index, start, end in zip(ids, [0, *ends], ends, strict=False):
        yield index, origins[start], origins[end - 1]


def _no_text(value: Any, where: str = "") -> InputError:
    return InputError(
        f"Expected a string. Received: {type(value).__name__} {value!r:.60}{where}; "
        "replace missing values by '', and decode bytes."
    )


def _whole(text: str) -> tuple[str, ...]:
    return (text,)


def _whole_span(text: str) -> tuple[tuple[str, int], ...]:
    return ((text, 0),)


def _remembered(function: Callable[[str], Any], cache: bool) -> Callable[[str], Any]:
    return _Cache(function).__getitem__ if cache else function
