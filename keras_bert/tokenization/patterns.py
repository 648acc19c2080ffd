"""Regular expressions, in RE2's syntax, for text that needs special handling."""

from collections.abc import Iterable
from functools import cache
from itertools import groupby

from keras_bert.tokenization.normalizer import all_expansions, ideographs_apart
from keras_bert.tokenization.rules import WordRules, expand, is_removed

_SIGMA, _FINAL_SIGMA = "Σ", "ς"
_LONGEST_EXPANSION = (
    3  # characters that one may become: a Hangul syllable is three letters
)


@cache
def ordinary_text(rules: WordRules, max_word_length: int) -> str:
    """Returns a pattern for texts that need only the normalizer and the tokenizer.

    They are valid UTF-8, have no sigma whose form depends on its neighbors, and no
    word that could be too long.
    """
    stops = [char for char in map(chr, range(128)) if " " in expand(rules, char)]
    stop = char_class(map(ord, [*stops, *ideographs_apart(rules)]))
    others = char_class([*range(0xD800, 0xE000)])
    others += _SIGMA if has_sigmas(rules) else ""
    run = f"[^{stop}{others}]{{0,{max_word_length // _LONGEST_EXPANSION}}}"
    return f"(?:{run}[{stop}])*{run}"


def has_sigmas(rules: WordRules) -> bool:
    """Whether the lower case of a sigma depends on its neighbors."""
    return rules.google_rules and rules.do_lower_case


@cache
def final_sigma_pattern() -> tuple[str, str]:
    """Returns a pattern for sigmas that end a word, and their replacement.

    The lower case of a sigma depends on whether there are cased letters on either side,
    apart from characters that are ignored. Python's results tell which is which.
    """
    cased, ignored = [], []
    for char in all_expansions(WordRules(google_rules=True)):
        if f"1{char}Σ".lower().endswith(_FINAL_SIGMA):
            cased.append(ord(char))
        elif is_removed(char) or f"A{char}Σ".lower().endswith(_FINAL_SIGMA):
            ignored.append(ord(char))
    letter, skip = char_class(cased), char_class(ignored)
    pattern = f"([{letter}][{skip}]*){_SIGMA}([{skip}]*)([^{letter}{skip}]|$)"
    return pattern, rf"\1{_FINAL_SIGMA}\2\3"


def char_class(codes: Iterable[int]) -> str:
    """Returns sorted code points as ranges of a regular expression."""
    numbered = enumerate(codes)
    runs = [list(run) for _, run in groupby(numbered, lambda item: item[1] - item[0])]
    return "".join(rf"\x{{{run[0][1]:x}}}-\x{{{run[-1][1]:x}}}" for run in runs)
