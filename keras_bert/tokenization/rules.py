"""Google's rules for splitting text into words, with offsets into the original.

No rule looks across whitespace, so a chunk, the text between whitespace, can be split
once and cached. Within a chunk nearly everything is decided per character, by `expand`,
from which the in-graph tokenizer is built too.

Source: `BasicTokenizer` in google-research/bert, tokenization.py.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain, groupby, repeat
from typing import NamedTuple

# Whitespace to Python, but control characters to Google's rules, which drop them and so
# join their neighbors.
_DROPPED_SPACE = re.compile("[\x0b\x0c\x1c-\x1f\x85]+")
_CHUNK = re.compile("[^ \t\n\r\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
_WORD = re.compile("[^ ]+")
_ASCII_WORD = re.compile("[0-9A-Za-z]+|[!-/:-@[-`{-~]")

# Marks that stripping accents keeps; all others are removed, so their order does not
# matter.
_SPACING_MARKS = "".join(
    char
    for char in map(chr, range(0x300, 0x20000))
    if unicodedata.combining(char) and unicodedata.category(char) != "Mn"
)
_SPACING_MARK = re.compile(f"[{_SPACING_MARKS}]")

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


def is_chinese(char: str) -> bool:
    """Whether `char` lies in a CJK Unified Ideographs block."""
    return char >= "\u3400" and any(a <= ord(char) <= b for a, b in _CHINESE)


def is_removed(char: str) -> bool:
    """Whether `char` is dropped: NUL, U+FFFD, control and format characters."""
    dropped = char == "\ufffd" or unicodedata.category(char) in ("Cc", "Cf")
    return dropped and char not in "\t\n\r"


def is_punctuation(char: str) -> bool:
    """Whether `char` is a separate word: category P*, and every ASCII symbol."""
    if char.isascii():
        return "!" <= char <= "~" and not char.isalnum()
    return unicodedata.category(char).startswith("P")


class Word(NamedTuple):
    """A word after normalization.

    Attributes:
        text: the normalized characters.
        origins: for each of them, its index in the original text.
    """

    text: str
    origins: Sequence[int]


class WordRules(NamedTuple):
    """Splits text into the words that WordPiece splits further.

    Args:
        do_lower_case: lower-case and, unless told otherwise, strip accents.
        strip_accents: None follows `do_lower_case`.
        tokenize_chinese_chars: make every CJK ideograph a separate word.

    Example:
        >>> [word.text for word in WordRules().split("Führer's")]
        ['fuhrer', "'", 's']
    """

    do_lower_case: bool = True
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool = True

    @property
    def strips_accents(self) -> bool:
        """Whether accents are stripped, with the default resolved."""
        explicit = self.strip_accents
        return self.do_lower_case if explicit is None else explicit

    def split(self, text: str) -> list[Word]:
        """Returns the words of a text, with the origin of each character."""
        if text.isascii() and text.isprintable():
            return [
                Word(self._cased(match[0]), range(*match.span()))
                for match in _ASCII_WORD.finditer(text)
            ]
        chars, origins = self._in_context(text)
        table = expansions(self)
        parts = [table[ord(char)] for char in chars]
        spread = list(chain.from_iterable(map(repeat, origins, map(len, parts))))
        words = _WORD.finditer("".join(parts))
        return [Word(word[0], spread[word.start() : word.end()]) for word in words]

    def words(self, text: str) -> list[str]:
        """Returns the words of a text: `split` without origins, and faster."""
        if text.isascii() and text.isalnum():
            return [self._cased(text)]
        chars, _ = self._in_context(text)
        return "".join(chars).translate(expansions(self)).split()

    def _cased(self, text: str) -> str:
        return text.lower() if self.do_lower_case else text

    def _in_context(self, text: str) -> tuple[Sequence[str], Sequence[int]]:
        """Handles the two rare cases that depend on neighboring characters."""
        chars: Sequence[str] = text
        origins: Sequence[int] = range(len(text))
        if text.isascii():
            return chars, origins
        if self.do_lower_case and "Σ" in text:
            chars = _with_final_sigmas(text)
        if self.strips_accents and len(_SPACING_MARK.findall(text)) > 1:
            chars, origins = _in_canonical_order(chars)
        return chars, origins


def expand(rules: WordRules, char: str) -> str:
    """Returns what a character becomes, with spaces where words end.

    Args:
        rules: which normalizations apply.
        char: one character, without context.

    Example:
        >>> [expand(WordRules(), char) for char in "É?\u200b"]
        ['e', ' ? ', '']
    """
    if is_removed(char):
        return ""
    if char.isspace():
        return " "
    text = char.lower() if rules.do_lower_case else char
    if rules.strips_accents:
        parts = unicodedata.normalize("NFD", text)
        text = "".join(c for c in parts if unicodedata.category(c) != "Mn")
    text = "".join(f" {c} " if is_punctuation(c) else c for c in text)
    apart = rules.tokenize_chinese_chars and is_chinese(char)
    return f" {text} " if apart else text


class Expansions(dict[int, str]):
    """Code points to what they become, for `str.translate`, filled on demand.

    Args:
        rules: which normalizations apply.

    Example:
        >>> "Ça?".translate(Expansions(WordRules()))
        'ca ? '
    """

    def __init__(self, rules: WordRules) -> None:
        super().__init__()
        self._rules = rules

    def __missing__(self, code: int) -> str:
        text = self[code] = expand(self._rules, chr(code))
        return text


# One table for equal rules, however many tokenizers there are.
expansions = cache(Expansions)


def _with_final_sigmas(text: str) -> str:
    """Replaces sigmas that end a word by the final form, as `lower()` does."""
    kept = [(i, c) for i, c in enumerate(text) if not is_removed(c)]
    lowered = "".join(c for _, c in kept).lower()
    chars, position = list(text), 0
    for index, char in kept:
        if char == "Σ":
            chars[index] = lowered[position]
        position += len(char.lower())
    return "".join(chars)


def _in_canonical_order(text: Sequence[str]) -> tuple[list[str], list[int]]:
    """Sorts the marks after a character by combining class, as NFD does."""
    kept = [(c, i) for i, c in enumerate(text) if not is_removed(c)]
    ordered: list[tuple[str, int]] = []
    for is_mark, group in groupby(kept, lambda item: _mark_class(item) > 0):
        run = list(group)
        ordered += sorted(run, key=_mark_class) if is_mark else run
    return [char for char, _ in ordered], [index for _, index in ordered]


def _mark_class(item: tuple[str, int]) -> int:
    return unicodedata.combining(item[0])


def chunks(text: str) -> list[str]:
    """Returns the text between whitespace."""
    if not text.isprintable():
        text = _DROPPED_SPACE.sub("", text)
    return text.split()


def chunk_spans(text: str) -> Iterator[tuple[str, int]]:
    """Yields the text between whitespace, and where each chunk begins."""
    return ((match[0], match.start()) for match in _CHUNK.finditer(text))
