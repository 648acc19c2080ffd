"""Google's rules for splitting text into words, with offsets into the original.

Everything is decided per chunk, a run of text between whitespace: no rule
looks across whitespace, so chunks can be split once and remembered.

Source: `BasicTokenizer` in google-research/bert, tokenization.py.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from typing import NamedTuple

# Python calls these whitespace too, but Google's rules drop them as control
# characters, which joins their neighbors.
_DROPPED_SPACE = re.compile("[\x0b\x0c\x1c-\x1f\x85]+")
_CHUNK = re.compile("[^ \t\n\r\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
_ASCII_WORD = re.compile("[0-9A-Za-z]+|[!-/:-@[-`{-~]")

_CHINESE = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)


@cache
def is_chinese(char: str) -> bool:
    """Whether `char` lies in a CJK Unified Ideographs block."""
    return char >= "\u3400" and any(a <= ord(char) <= b for a, b in _CHINESE)


@cache
def is_removed(char: str) -> bool:
    """Whether cleaning drops `char`: NUL, U+FFFD, control and format characters."""
    dropped = char == "\ufffd" or unicodedata.category(char) in ("Cc", "Cf")
    return dropped and char not in "\t\n\r"


@cache
def is_punctuation(char: str) -> bool:
    """Whether `char` is a word of its own: category P*, and every ASCII symbol."""
    if char.isascii():
        return "!" <= char <= "~" and not char.isalnum()
    return unicodedata.category(char).startswith("P")


class Word(NamedTuple):
    """A word after normalization.

    Attributes:
        text: the normalized characters.
        origins: for each of them, the index in the chunk it came from.
    """

    text: str
    origins: range | list[int]


class WordRules(NamedTuple):
    """Splits text into the words that WordPiece cuts further.

    Args:
        do_lower_case: lower-case and, unless told otherwise, strip accents.
        strip_accents: None follows `do_lower_case`.
        tokenize_chinese_chars: make every CJK ideograph a word of its own.

    Example:
        >>> [word.text for word in WordRules().split("Führer's")]
        ['fuhrer', "'", 's']
    """

    do_lower_case: bool = True
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool = True

    def split(self, chunk: str) -> list[Word]:
        """Returns the words of a text, where each character came from included."""
        if chunk.isascii() and chunk.isprintable():
            return [
                Word(self._ascii(match[0]), range(*match.span()))
                for match in _ASCII_WORD.finditer(chunk)
            ]
        return [word for token in self._tokens(chunk) for word in self._words(token)]

    def _ascii(self, word: str) -> str:
        return word.lower() if self.do_lower_case else word

    def _tokens(self, chunk: str) -> Iterator[Word]:
        """Yields what is left of a chunk once cleaned and cut around ideographs."""
        kept = [(c, i) for i, c in enumerate(chunk) if not is_removed(c)]
        for apart, group in groupby(kept, lambda item: self._splits(item[0])):
            if apart is None:
                continue
            runs = [[item] for item in group] if apart else [list(group)]
            yield from (Word(*_unzip(run)) for run in runs)

    def _splits(self, char: str) -> bool | None:
        """None for whitespace, True for a word of its own, False for the rest."""
        if char.isspace():
            return None
        return self.tokenize_chinese_chars and is_chinese(char)

    def _words(self, token: Word) -> Iterator[Word]:
        pairs = list(zip(*self._normalize(token), strict=True))
        for apart, group in groupby(pairs, lambda pair: is_punctuation(pair[0])):
            runs = [[pair] for pair in group] if apart else [list(group)]
            yield from (Word(*_unzip(run)) for run in runs)

    def _normalize(self, token: Word) -> Word:
        text, origins = token
        if self.do_lower_case:
            # Lower-casing sees the whole token: a final sigma has its own form.
            origins = [i for c, i in zip(text, origins, strict=True) for _ in c.lower()]
            text = text.lower()
        strip = self.do_lower_case if self.strip_accents is None else self.strip_accents
        return _strip_accents(text, origins) if strip else Word(text, origins)


def _unzip(pairs: list[tuple[str, int]]) -> tuple[str, list[int]]:
    return "".join(char for char, _ in pairs), [origin for _, origin in pairs]


def _strip_accents(text: str, origins: list[int]) -> Word:
    """Returns the NFD form without combining marks, origins alongside."""
    decomposed = [
        (part, origin)
        for char, origin in zip(text, origins, strict=True)
        for part in unicodedata.normalize("NFD", char)
    ]
    ordered: list[tuple[str, int]] = []
    for is_mark, run in groupby(decomposed, lambda pair: _mark_class(pair) > 0):
        # NFD orders the marks that follow a character by their class.
        ordered += sorted(run, key=_mark_class) if is_mark else run
    return Word(*_unzip([p for p in ordered if unicodedata.category(p[0]) != "Mn"]))


def _mark_class(pair: tuple[str, int]) -> int:
    return unicodedata.combining(pair[0])


def chunks(text: str) -> list[str]:
    """Returns the runs of text between whitespace."""
    return _DROPPED_SPACE.sub("", text).split()


def chunk_spans(text: str) -> Iterator[tuple[str, int]]:
    """Yields the runs of text between whitespace and where each begins."""
    return ((match[0], match.start()) for match in _CHUNK.finditer(text))
