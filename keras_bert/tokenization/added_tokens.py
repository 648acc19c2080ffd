"""Added tokens in text: found before the text is split into words.

Source: `AddedVocabulary` in huggingface/tokenizers. First tokens are looked for in the
text as given, then, in what is left and after normalization, those that are
`normalized`: from the left, the longest first.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from keras_bert.tokenization.rules import WordRules
from keras_bert.tokenizer_folder import AddedToken

# Whitespace by Unicode's definition; Python has four characters more.
SPACES = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)


@cache
def is_word(char: str) -> bool:
    r"""Whether a character is part of a word, as `\w` in Rust; "" is not.

    Example:
        >>> [is_word(char) for char in ("a", "\u0301", "_", "-", "")]
        [True, True, True, False, False]
    """
    if not char or "\ud800" <= char <= "\udfff":
        return False
    return 1 not in _library().encode(f"{char}#").ids


@cache
def _library() -> Any:
    """Returns a tokenizer that finds "#", with id 1, unless a word is next to it."""
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.models import WordPiece

    library = Tokenizer(WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    library.add_tokens([AddedToken("#", single_word=True, normalized=False)])
    return library


class Piece(NamedTuple):
    """A part of a text.

    Attributes:
        text: the part, after normalization if `origins` says so.
        origins: for each character, its index in the whole text.
        token: the id of an added token; None for other text.
    """

    text: str
    origins: Sequence[int]
    token: int | None = None


class _Search:
    """Finds tokens in a text: the leftmost, and of those the longest.

    Args:
        tokens: what to look for, with the token and its id.
    """

    def __init__(self, tokens: Mapping[str, tuple[AddedToken, int]]) -> None:
        self._tokens = tokens
        longest = sorted(tokens, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest)))

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def occurs(self, text: str) -> bool:
        """Whether a text has any of the tokens."""
        return bool(self._tokens) and self._pattern.search(text) is not None

    def __call__(self, text: str) -> Iterator[tuple[int, int, int]]:
        """Yields begin, end and id of each token."""
        done = 0
        for match in self._pattern.finditer(text):
            token, index = self._tokens[match[0]]
            begin, end = match.span()
            around = text[begin - 1 : begin] if begin else "", text[end : end + 1]
            if token.single_word and any(map(is_word, around)):
                continue
            if token.lstrip:
                begin = max(len(text[:begin].rstrip(SPACES)), done)
            if token.rstrip:
                end = len(text) - len(text[end:].lstrip(SPACES))
            yield begin, end, index
            done = end


Searched = dict[str, tuple[AddedToken, int]]


def in_text(tokens: Mapping[AddedToken, int]) -> Searched:
    """Returns the tokens to look for in text as it is, by what they look like there."""
    return {t.content: (t, i) for t, i in tokens.items() if not t.normalized}


def in_normal(
    tokens: Mapping[AddedToken, int], normalize: Callable[[str], str]
) -> Searched:
    """Returns the tokens to look for in normalized text, by what they look like there.

    Args:
        tokens: the added tokens and their ids.
        normalize: returns the normalized form of a text.
    """
    found: Searched = {}
    for token, index in tokens.items():
        if token.normalized:
            found.setdefault(normalize(token.content), (token, index))
    return {text: token for text, token in found.items() if text}


class AddedTokens:
    """Finds added tokens in texts.

    Args:
        tokens: the tokens, with their ids.
        rules: how text is normalized.
    """

    def __init__(self, tokens: Mapping[AddedToken, int], rules: WordRules) -> None:
        self._rules = rules
        self._in_text = _Search(in_text(tokens))
        self._in_normal = _Search(in_normal(tokens, lambda t: rules.normalize(t)[0]))
        # No token reaches across whitespace: it can be looked for between.
        self.within_chunks = not any(set(t.content) & set(SPACES) for t in tokens)
        self.keep_spaces = not any(t.lstrip or t.rstrip for t in tokens)

    def occur_in(self, text: str) -> bool:
        """Whether there may be any in a text."""
        if self._in_text.occurs(text):
            return True
        normal = self._rules.normalize(text)[0] if self._in_normal else ""
        return self._in_normal.occurs(normal)

    def split(self, text: str) -> list[Piece]:
        """Returns the added tokens of a text, and the text between them."""
        pieces = _split(self._in_text, text, range(len(text)))
        if not self._in_normal:
            return pieces
        return [part for piece in pieces for part in self._split_normal(piece)]

    def _split_normal(self, piece: Piece) -> list[Piece]:
        if piece.token is not None:
            return [piece]
        normal, places = self._rules.normalize(piece.text)
        origins = [piece.origins[place] for place in places]
        found = _split(self._in_normal, normal, origins)
        return found if any(part.token is not None for part in found) else [piece]


def _split(search: _Search, text: str, origins: Sequence[int]) -> list[Piece]:
    if not search:
        return [Piece(text, origins)]
    pieces, done = [], 0
    for begin, end, token in search(text):
        pieces.append(Piece(text[done:begin], origins[done:begin]))
        pieces.append(Piece(text[begin:end], origins[begin:end], token))
        done = end
    return [p for p in (*pieces, Piece(text[done:], origins[done:])) if p.text]
