"""The rules for splitting text into words, with offsets into the original.

No rule looks across whitespace, so a chunk, the text between whitespace, can be split
once and cached. Within a chunk nearly everything is decided per character, by `expand`,
from which the in-graph tokenizer is built too.

What becomes of a character, the `tokenizers` library says, on which transformers is
built: so the words are those of transformers. With `google_rules` they are those of
Google's Python code. The two differ in final sigmas, characters for private use, 256
ideographs and what is newer than the Unicode version of either.

Sources: `BertNormalizer` and `BertPreTokenizer` in huggingface/tokenizers;
`BasicTokenizer` in google-research/bert, tokenization.py.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import chain, groupby, repeat
from typing import NamedTuple

from keras_bert.errors import InputError

# Whitespace to Python, but control characters to Google's rules, which drop them and so
# join their neighbors.
_DROPPED_SPACE = re.compile("[\x0b\x0c\x1c-\x1f\x85]")
_CHUNK = re.compile("[^ \t\n\r\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
# With control characters kept: whitespace by Unicode's definition, not by Python's.
_RAW_CHUNK = re.compile(
    "[^\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+"
)
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


IDEOGRAPHS = frozenset(chr(c) for a, b in _CHINESE for c in range(a, b + 1))


def is_chinese(char: str) -> bool:
    """Whether `char` lies in a CJK Unified Ideographs block."""
    return char in IDEOGRAPHS


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
        clean_text: drop control characters.
        google_rules: classify and lower-case characters as Google's code does.

    Example:
        >>> [word.text for word in WordRules().split("Führer's")]
        ['fuhrer', "'", 's']
    """

    do_lower_case: bool = True
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool = True
    clean_text: bool = True
    google_rules: bool = False

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
        expanded = "".join(chars).translate(expansions(self))
        # What Python takes for whitespace is in words if control characters are kept.
        return expanded.split() if self.clean_text else _WORD.findall(expanded)

    def normalize(self, text: str) -> tuple[str, Sequence[int]]:
        """Returns a text after normalization, and the origin of each character.

        Words are not split yet, apart from ideographs.

        Example:
            >>> WordRules().normalize("É?中")
            ('e? 中 ', [0, 1, 2, 2, 2])
        """
        if text.isascii() and text.isprintable():
            return self._cased(text), range(len(text))
        chars, origins = self._in_context(text)
        table = normal_forms(self)
        parts = [table[ord(char)] for char in chars]
        spread = list(chain.from_iterable(map(repeat, origins, map(len, parts))))
        return "".join(parts), spread

    @property
    def chunks(self) -> Callable[[str], list[str]]:
        """The function that returns the text between whitespace."""
        return chunks if self.clean_text else _RAW_CHUNK.findall

    def chunk_spans(self, text: str) -> Iterator[tuple[str, int]]:
        """Yields the text between whitespace, and where each chunk begins."""
        chunk = _CHUNK if self.clean_text else _RAW_CHUNK
        return ((match[0], match.start()) for match in chunk.finditer(text))

    def _cased(self, text: str) -> str:
        return text.lower() if self.do_lower_case else text

    def _in_context(self, text: str) -> tuple[Sequence[str], Sequence[int]]:
        """Handles the two rare cases that depend on neighboring characters."""
        chars: Sequence[str] = text
        origins: Sequence[int] = range(len(text))
        if text.isascii():
            return chars, origins
        if self.google_rules and self.do_lower_case and "Σ" in text:
            chars = _with_final_sigmas(text)
        marks = len(_SPACING_MARK.findall(text)) if self.strips_accents else 0
        if marks > 1 or (marks and not self.google_rules):
            chars, moved = _in_canonical_order(chars, self.clean_text)
            # The tokenizers library gives the places of marks in their old order.
            origins = moved if self.google_rules else sorted(moved)
        return chars, origins


def expand(rules: WordRules, char: str) -> str:
    """Returns what a character becomes, with spaces where words end.

    Args:
        rules: which normalizations apply.
        char: one character, without context.

    Raises:
        InputError: it is half a surrogate pair, which is no text.

    Example:
        >>> [expand(WordRules(), char) for char in "É?\u200b"]
        ['e', ' ? ', '']
    """
    return expand_all(rules, [char])[0]


def expand_all(rules: WordRules, chars: Sequence[str]) -> list[str]:
    """Returns what each of many characters becomes; see `expand`."""
    if rules.google_rules:
        return [_expand_as_google(rules, char) for char in chars]
    from tokenizers.pre_tokenizers import BertPreTokenizer

    joined = _BETWEEN.join(f"a{form}a" for form in _normal_forms(rules, chars))
    words = BertPreTokenizer().pre_tokenize_str(joined)
    return _taken_apart(" ".join(word for word, _ in words))


# Nothing that one character becomes contains it.
_BETWEEN = "z0q0z"


def _taken_apart(joined: str) -> list[str]:
    return [part[1:-1] for part in joined.split(_BETWEEN)]


def _normal_forms(rules: WordRules, chars: Sequence[str]) -> list[str]:
    """Returns each character after normalization, by the tokenizers library."""
    from tokenizers.normalizers import BertNormalizer

    normalizer = BertNormalizer(
        clean_text=rules.clean_text,
        handle_chinese_chars=rules.tokenize_chinese_chars,
        strip_accents=rules.strips_accents,
        lowercase=rules.do_lower_case,
    )
    # Letters around each keep marks from combining.
    joined = _BETWEEN.join(f"a{char}a" for char in chars)
    try:
        return _taken_apart(normalizer.normalize_str(joined))
    except UnicodeEncodeError as error:
        raise InputError(
            f"Expected text. Received: {chars[0]!a}, half of a surrogate pair, which "
            "is no character. Decode bytes with errors='replace', or drop it."
        ) from error


def _expand_as_google(rules: WordRules, char: str) -> str:
    if rules.clean_text and is_removed(char):
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

    def __init__(
        self,
        rules: WordRules,
        function: Callable[[WordRules, Sequence[str]], list[str]] = expand_all,
    ) -> None:
        super().__init__()
        self._rules = rules
        self._function = function

    def __missing__(self, code: int) -> str:
        (text,) = self._function(self._rules, [chr(code)])
        self[code] = text
        return text


# One table for equal rules, however many tokenizers there are.
expansions = cache(Expansions)


@cache
def normal_forms(rules: WordRules) -> Expansions:
    """Returns the table of characters to what normalization alone makes of them."""
    return Expansions(rules, _normal_forms)


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


def _in_canonical_order(
    text: Sequence[str], clean: bool
) -> tuple[list[str], list[int]]:
    """Sorts the marks after a character by combining class, as NFD does."""
    kept = [(c, i) for i, c in enumerate(text) if not (clean and is_removed(c))]
    ordered: list[tuple[str, int]] = []
    for is_mark, group in groupby(kept, lambda item: _mark_class(item) > 0):
        run = list(group)
        ordered += sorted(run, key=_mark_class) if is_mark else run
    return [char for char, _ in ordered], [index for _, index in ordered]


def _mark_class(item: tuple[str, int]) -> int:
    return unicodedata.combining(item[0])


def chunks(text: str) -> list[str]:
    """Returns the text between whitespace.

    Example:
        >>> chunks("one two\u3000three")
        ['one', 'two', 'three']
    """
    if not text.isprintable() and _DROPPED_SPACE.search(text):
        return _CHUNK.findall(text)
    return text.split()
