"""Words of Chinese text, which is written without spaces between them."""

import hashlib
import io
import re
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from keras_bert.errors import InputError, MissingFileError
from keras_bert.extras import require
from keras_bert.pretraining.storage import open_bytes
from keras_bert.strings import is_text
from keras_bert.tokenization.rules import is_chinese

WORDS = ("tokenizer", "jieba", "spaces")
Words = Callable[[str], set[int]]  # a line to where characters go on in a Chinese word

_WORD = re.compile(r"\S+")
_GAP = re.compile(r"\s+")


def word_finder(words: str, user_dict: str | Path = "") -> Words | None:
    """Returns the function that finds the Chinese words of a line.

    It returns the indices of characters that continue a word with an ideograph in it,
    so `T恤` and `阿Q` are words too.

    Args:
        words: "tokenizer", every ideograph is a word; "jieba", those of jieba;
            "spaces", what spaces separate.
        user_dict: a dictionary for jieba, one `word [frequency [tag]]` a line.

    Returns:
        The function; None if every ideograph is a word.

    Raises:
        MissingExtraError: jieba is not installed.
        MissingFileError: there is no such dictionary.
        InputError: the dictionary is not UTF-8.

    Example:
        >>> word_finder("spaces")("我 爱 天安门")
        {5, 6}
    """
    if words == "tokenizer":
        return None
    if words == "spaces":
        return partial(_inside, cut=_WORD.findall)
    return partial(_inside_joined, _jieba(str(user_dict)))


def dictionary_key(user_dict: str | Path) -> str:
    """Returns a hash of a dictionary, "" without one.

    Raises:
        MissingFileError: there is no such file.
    """
    return hashlib.sha256(_read(user_dict)).hexdigest() if user_dict else ""


def _inside(line: str, cut: Callable[[str], list[str]]) -> set[int]:
    """Finds words in a line of which `cut` drops no more than whitespace."""
    found: set[int] = set()
    begin = 0
    for word in cut(line):
        begin = line.index(word, begin)
        end = begin + len(word)
        if any(map(is_chinese, word)):
            found.update(range(begin + 1, end))
        begin = end
    return found


def _inside_joined(cut: Callable[[str], list[str]], line: str) -> set[int]:
    """Finds words in a line as if ideographs had no spaces between them."""
    gaps: set[int] = set()
    for gap in _GAP.finditer(line):
        begin, end = gap.span()
        if is_chinese(line[begin - 1 : begin]) and is_chinese(line[end : end + 1]):
            gaps.update(range(begin, end))
    places = [at for at in range(len(line)) if at not in gaps]
    inside = _inside("".join(line[at] for at in places), cut)
    return {places[at] for at in inside}


@cache
def _jieba(user_dict: str) -> Callable[[str], list[str]]:
    """Returns jieba's segmentation, of its own for every dictionary."""
    jieba = require("jieba")
    jieba.setLogLevel("ERROR")
    tokenizer = jieba.Tokenizer()
    if user_dict:
        tokenizer.load_userdict(io.StringIO(_text(user_dict)))
    return tokenizer.lcut


def _text(user_dict: str) -> str:
    text = _read(user_dict).decode("utf-8-sig", "surrogateescape")
    if not is_text(text):
        raise InputError(
            f"Expected a dictionary in UTF-8, a word a line, in {user_dict}. Received: "
            "other bytes. Convert it, for example with iconv -f GB18030 -t UTF-8."
        )
    return text


def _read(user_dict: str | Path) -> bytes:
    try:
        with open_bytes(str(user_dict)) as file:
            return file.read()
    except FileNotFoundError as error:
        raise MissingFileError(
            f"Expected a dictionary of words at {user_dict}, found none."
        ) from error
