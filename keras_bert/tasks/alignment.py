"""Characters of a text to the tokens that cover them, words to tokens, and back."""

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np

IGNORED = -100  # a label that is not learned and not scored


class TokenSpan(NamedTuple):
    """Consecutive tokens.

    Attributes:
        first: index of the first one.
        last: index of the last one.
    """

    first: int
    last: int


class CharacterSpan(NamedTuple):
    """Characters of a text, `text[start:end]`.

    Attributes:
        start: index of the first one.
        end: index after the last one.
    """

    start: int
    end: int


class Alignment:
    """Which characters of a text each token covers.

    Args:
        text: the text.
        offsets: begin and end of each token in code points, `(tokens, 2)`, as
            tokenizers return them. Tokens that cover nothing, such as special tokens,
            are never returned, but counted: indices are those of the rows.

    Example:
        >>> alignment = Alignment("Zoë wrote", [(0, 0), (0, 3), (4, 9), (0, 0)])
        >>> alignment.tokens(4, 9)
        TokenSpan(first=2, last=2)
        >>> alignment.characters(1, 2)
        CharacterSpan(start=0, end=9)
    """

    def __init__(self, text: str, offsets: Any) -> None:
        places = np.asarray(offsets, np.int64).reshape(-1, 2)
        self.text = text
        self._index = np.flatnonzero(places[:, 1] > places[:, 0])
        self._begins, self._ends = places[self._index].T

    @classmethod
    def of(cls, tokenizer: Any, text: str) -> Self:
        """Tokenizes a text, special tokens included.

        Args:
            tokenizer: any of this package, or of `transformers`, that returns offsets.
            text: the text.
        """
        batch = tokenizer([text], truncation=False, return_offsets_mapping=True)
        return cls(text, batch["offset_mapping"][0])

    def tokens(self, start: int, end: int) -> TokenSpan | None:
        """Returns the tokens that share characters with `text[start:end]`.

        Returns:
            The first and the last of them, or None if there is none.
        """
        first = self._ends.searchsorted(start, "right")
        after = self._begins.searchsorted(end, "left")
        if first >= after or end <= start:
            return None
        return TokenSpan(int(self._index[first]), int(self._index[after - 1]))

    def characters(self, first: int, last: int) -> CharacterSpan:
        """Returns the characters that two tokens and those between them cover.

        Spaces at the edges, which some tokenizers count to a token, are left out.
        Combining marks, which others drop, are kept with their letter.

        Args:
            first: index of the first token.
            last: index of the last one; at least one of them covers something.
        """
        low = self._index.searchsorted(first)
        high = self._index.searchsorted(last, "right") - 1
        start, end = int(self._begins[low]), int(self._ends[high])
        following = self._begins[self._begins >= end]
        limit = int(following[0]) if len(following) else len(self.text)
        while end < limit and unicodedata.category(self.text[end])[0] == "M":
            end += 1
        covered = self.text[start:end]
        start += len(covered) - len(covered.lstrip())
        return CharacterSpan(
            start, max(start, end - len(covered) + len(covered.rstrip()))
        )

    def mismatch(self, start: int, end: int) -> str | None:
        """Says why characters do not come back from their tokens.

        Args:
            start: index of the first character.
            end: index after the last one.

        Returns:
            The reason, or None if `characters(*tokens(start, end))` is `(start, end)`.

        Example:
            >>> Alignment("in 1895-6", [(0, 2), (3, 9)]).mismatch(3, 7)
            "ends inside the token '1895-6'"
        """
        found = self.tokens(start, end)
        if found is None:
            return "has no token"
        begin, stop = self.characters(*found)
        reasons = [
            (begin < start, "begins inside the token", found.first, found.first),
            (stop > end, "ends inside the token", found.last, found.last),
        ]
        inside = [
            f"{what} {self._shown(*tokens)}"
            for wrong, what, *tokens in reasons
            if wrong
        ]
        uncovered = self.text[start:begin] + self.text[max(stop, start) : end]
        edges = [f"has no token for {uncovered!r} at its edge"] if uncovered else []
        return ", ".join(inside + edges) or None

    def _shown(self, first: int, last: int) -> str:
        start, end = self.characters(first, last)
        return repr(self.text[start:end])


def split_words(text: str, tokenizer: Any) -> list[CharacterSpan]:
    """Returns where the words of a text are, as its tokenizer divides it.

    Args:
        text: the text.
        tokenizer: a `BertTokenizer`.

    Example:
        >>> tokenizer = keras_bert.BertTokenizer(
        ...     ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "ada", "run", "##s", "."])
        >>> [tuple(span) for span in split_words("Ada runs.", tokenizer)]
        [(0, 3), (4, 8), (8, 9)]
    """
    batch = tokenizer.encode_batch(
        [text], truncation=False, return_offsets_mapping=True
    )
    alignment = Alignment(text, batch["offset_mapping"][0])
    tokens = tokenizer.convert_ids_to_tokens(batch["input_ids"][0])
    inside = len(tokens) - 1  # [CLS] and [SEP] are no words
    begins = [
        place
        for place in range(1, inside)
        if not tokens[place].startswith(tokenizer.continuing_subword_prefix)
    ]
    lasts = [begin - 1 for begin in begins[1:]] + [inside - 1]
    return [alignment.characters(*span) for span in zip(begins, lasts, strict=False)]


def words_at(
    start: int, end: int, words: Sequence[CharacterSpan]
) -> tuple[int, int] | None:
    """Returns the first and the last word that share characters with a span, or None.

    Args:
        start: index of its first character.
        end: index after the last one.
        words: where they are, in order.
    """
    first = bisect_right([word.end for word in words], start)
    after = bisect_left([word.start for word in words], end)
    return (first, after - 1) if first < after else None


class WordTokens(NamedTuple):
    """The first token of every word, each in one row of a batch.

    A sentence that is too long for a row has several, which overlap: the tokens of the
    first half of an overlap count in the earlier row, those of the second half in the
    later one, so that each has context on both sides. Words without tokens, such as
    control characters, are not here.

    Attributes:
        rows: `(words,)`.
        columns: of the token in its row, `(words,)`.
        sentences: index of the sentence, `(words,)`, ascending.
        words: index of the word in its sentence, `(words,)`, ascending in a sentence.
    """

    rows: np.ndarray
    columns: np.ndarray
    sentences: np.ndarray
    words: np.ndarray

    def spread(self, labels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Returns labels of words as labels of tokens.

        Args:
            labels: of the words, int `(words,)`.
            shape: of the batch, `(rows, seq)`.

        Returns:
            int32 `(rows, seq)`: the label of a word at its first token, `IGNORED`
            everywhere else.
        """
        spread = np.full(shape, IGNORED, np.int32)
        spread[self.rows, self.columns] = labels
        return spread


def encode_words(
    sentences: Sequence[Sequence[str]],
    tokenizer: Any,
    *,
    max_length: int,
    stride: int = 0,
) -> tuple[dict[str, np.ndarray], WordTokens]:
    """Encodes sentences that are split into words.

    Args:
        sentences: lists of words.
        tokenizer: a `BertTokenizer`.
        max_length: tokens per row, special ones included.
        stride: tokens by which the rows of a long sentence overlap; 0 cuts it off, and
            the words behind are not among those returned.

    Returns:
        The inputs of a model, int32 `(rows, seq)`, and where the words are in them.

    Raises:
        InputError: `stride` leaves no room in a row.

    Example:
        >>> tokenizer = keras_bert.BertTokenizer(
        ...     ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "ada", "run", "##s"])
        >>> features, words = encode_words([["Ada", "runs"]], tokenizer, max_length=8)
        >>> features["input_ids"].tolist(), words.columns.tolist()
        ([[2, 4, 5, 6, 3]], [1, 2])
    """
    batch = tokenizer.encode_batch(
        [list(words) for words in sentences],
        max_length=max_length,
        stride=stride,
        is_split_into_words=True,
    )
    words = batch.pop("word_ids")
    samples = batch.pop("overflow_to_sample_mapping", np.arange(len(words)))
    return batch, _first_tokens(words, samples, max_length - 2, stride)


def _first_tokens(
    words: np.ndarray, samples: np.ndarray, room: int, stride: int
) -> WordTokens:
    changes = np.flatnonzero(np.diff(samples, prepend=-1))  # first row of each sentence
    window = np.arange(len(samples)) - np.repeat(
        changes, np.diff([*changes, len(samples)])
    )
    rows, columns = np.nonzero(words >= 0)
    place = columns - 1 + window[rows] * (room - stride)  # in the whole sentence
    keys = np.stack([samples[rows], words[rows, columns], place])
    is_last = np.diff(samples, append=-1) != 0
    # As `keras_bert.serving.graph.entities.kept` has it.
    kept = (window[rows] == 0) | (columns - 1 >= stride // 2)
    kept &= is_last[rows] | (columns - 1 < stride // 2 + room - stride)
    rows, columns, keys = rows[kept], columns[kept], keys[:, kept]
    order = np.lexsort(keys[::-1])
    first = np.any(np.diff(keys[:2, order], prepend=-1) != 0, 0)
    chosen = order[first]
    return WordTokens(rows[chosen], columns[chosen], *keys[:2, chosen])
