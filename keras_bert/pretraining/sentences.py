"""Sentence splitting: one search for stops, and tables of abbreviations."""

import re
from collections.abc import Iterator
from itertools import pairwise

# Stops that have no other use in their scripts, so no space has to follow: Chinese and
# Japanese, Devanagari and related scripts, Arabic and Urdu, Ethiopic, Burmese, Khmer,
# Tibetan, Armenian.
_PLAIN_STOPS = "。！？｡．।॥؟۔።፧။។៕།༎։"
_PLAIN_STOP = frozenset(_PLAIN_STOPS)
_STOPS = re.compile(f"[.!?…{_PLAIN_STOPS}]+")
# What may follow a stop before its sentence ends: closing quotes and brackets,
# emphasis, footnote marks. “ opens a quote in Chinese and closes one in German.
_CLOSING = "\"'”’»›)\\]}」』）］】》〉"
_AFTER_STOP = re.compile(rf"(?:[{_CLOSING}“‘_*]|\s»(?!\w)|\[\d+\])*")
_AFTER_PLAIN_STOP = re.compile(rf"(?:[{_CLOSING}]|\[\d+\])*")
# What says that a sentence goes on after a stop and its closing marks; of several stops
# the last one ends it.
_GOES_ON = f"，、；：,;:—…{_PLAIN_STOPS}"
_OPENING = "“‘「『（《【〈［"
# A quote in another one, which is still open, does not end a sentence.
_OUTER = {"’": "“”", "』": "「」", "」": "『』"}
_LONGEST_QUOTE = 400
_KANA_AND_IDEOGRAPHS = "\u3005\u3007\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff"
_EAST_RANGE = f"{_KANA_AND_IDEOGRAPHS}\U00020000-\U0002fa1f"
_EAST = re.compile(f"[{_EAST_RANGE}]")
_BEGINS_EAST = re.compile(f"[{_OPENING}{_EAST_RANGE}]")
# The next word, after a few opening quotes, brackets or dashes.
_NEXT = re.compile(r"\s+(?:(?:[^\w\s]|_){1,3}\s?){0,2}(\w*)")
_DOTTED = re.compile(r"(?:[^\W\d_]{1,2}\.)*[^\W\d_]{1,2}")
_ROMAN = re.compile(r"[IVXLCDM]+")
_LONGEST_WORD = 24

_BLANK_LINE = re.compile(r"\n\s*\n")


def _table(words: str) -> frozenset[str]:
    return frozenset(words.split())


# A period after these never ends a sentence, ...
_TITLES = _table(
    "mr mrs ms messrs dr prof mme mlle hr fr dra sra srta st ste mt ft gen col maj "
    "capt cpt cmdr lt sgt cpl adm rev hon sen rep gov pres supt insp e.g i.e eg ie cf "
    "vs viz approx ca bzw z.b d.h u.a vgl sog p.ej"
)
# ... after these not if a number follows, ...
_NUMBERED = _table(
    "no nos nr num fig figs p pp s vol vols ch chap sec sect art eq op ex par abs bd "
    "jan feb mar apr jun jul aug sep sept oct nov dec"
)
# ... and after these only if a word follows that often begins a sentence.
_ENDINGS = _table(
    "inc ltd co corp bros plc llc jr sr esq etc al dept univ assn ave blvd rd est "
    "usw bspw evtl ggf inkl ph.d m.d"
)
_BEGINNINGS = _table(
    "a after all although an and another as at because before both but by despite "
    "during each every few for from he her here his how however i if in it its many "
    "most my no nobody not nothing now of on once one or other our perhaps several she "
    "since so some such that the their then there these they this those though thus to "
    "today two under until we what when where whether which while who whose why with "
    "yes yet you your"
)


def split_sentences(text: str, wrapped: bool = False) -> list[str]:
    """Splits running text into sentences.

    A sentence ends after one or more stops and the closing quotes, brackets and
    footnote marks that immediately follow,

    - if the stop has no other use in its script (`。`, `।`, `؟` and so on), unless it
      stands between digits (`3。5`), a comma, dash or the like follows (`“快跑！”，`),
      or a quote ends within another one;
    - at `!`, `?` and `……` between ideographs or kana, by the same rules, unless the
      ellipsis stands between equal ones, as in stammering (`我……我`);
    - at `.`, `!`, `?`, `…` if whitespace follows, and then no lower-case letter unless
      the text has no capitals at all.

    A single period does not end a sentence after a title or the like (`Mr.`, `e.g.`),
    an abbreviation before its number (`No. 5`), or a number that begins the sentence
    (`1. First`). After initials (`J.`, `U.S.`, `p.m.`), numbers of one or two digits
    (ordinals in many languages) and abbreviations at the end of names (`Inc.`) it does
    so only before a word that often begins an English sentence. In doubt two sentences
    stay together.

    Args:
        text: the text. Only whitespace between sentences is lost.
        wrapped: lines are wrapped, and blank lines end a paragraph; otherwise every
            line is a paragraph. The end of a paragraph ends a sentence.

    Returns:
        The sentences, stripped, none of them empty.

    Example:
        >>> split_sentences('Mr. Fogg left the U.S. at 3.14. "Why?" he asked. So?')
        ['Mr. Fogg left the U.S. at 3.14.', '"Why?" he asked.', 'So?']
        >>> split_sentences("今天下雨。“好的。”他说。")
        ['今天下雨。', '“好的。”', '他说。']
    """
    paragraphs = _BLANK_LINE.split(text) if wrapped else text.split("\n")
    return [sentence for part in paragraphs for sentence in _sentences(part)]


def _sentences(paragraph: str) -> Iterator[str]:
    for begin, end in pairwise([0, *_ends(paragraph), len(paragraph)]):
        if sentence := paragraph[begin:end].strip():
            yield sentence


def _ends(text: str) -> Iterator[int]:
    """Yields where sentences end."""
    has_capitals = not text.islower()
    begin = 0
    for stops in _STOPS.finditer(text):
        end = _end_at(text, stops, begin, has_capitals)
        if end is not None:
            yield end
            begin = end


def _end_at(text: str, stops: re.Match, begin: int, has_capitals: bool) -> int | None:
    """Returns the end of the sentence from `begin` if these stops end it."""
    mark = stops.group()
    if not _PLAIN_STOP.isdisjoint(mark) or _is_eastern(text, stops):
        return _plain_end(text, stops)
    end = _AFTER_STOP.match(text, stops.end()).end()
    following = _NEXT.match(text, end)
    if following is None:
        return None
    word = following.group(1)
    if has_capitals and word[:1].islower():
        return None
    if mark == "." and not _period_ends(text, begin, stops.start(), word):
        return None
    return end


def _is_eastern(text: str, stops: re.Match) -> bool:
    """Whether `!`, `?` or `……` stand in Chinese or Japanese text without spaces."""
    mark, before = stops.group(), text[stops.start() - 1 : stops.start()]
    end = _AFTER_PLAIN_STOP.match(text, stops.end()).end()
    after = text[end : end + 1]
    if "." in mark or mark == "…" or not _EAST.match(before):
        return False
    stammers = mark.startswith("…") and before == after
    return not stammers and _BEGINS_EAST.match(after) is not None


def _plain_end(text: str, stops: re.Match) -> int | None:
    """Returns the end of a sentence at stops after which no space has to follow."""
    end = _AFTER_PLAIN_STOP.match(text, stops.end()).end()
    before, after = text[stops.start() - 1 : stops.start()], text[end : end + 1]
    if before.isdecimal() and after.isdecimal() and end == stops.end():
        return None
    if after and after in _GOES_ON:
        return None
    if end > stops.end() and (outer := _OUTER.get(text[end - 1])):
        near = text[max(0, end - _LONGEST_QUOTE) : end]
        if near.rfind(outer[0]) > near.rfind(outer[1]):
            return None
    return end


def _period_ends(text: str, begin: int, period: int, following: str) -> bool:
    """Whether a single period ends a sentence, judged by the words around it."""
    near = text[max(begin, period - _LONGEST_WORD) : period]
    before = near.rsplit(None, 1)
    if not before or text[period - 1].isspace():
        return True
    word = before[-1].lstrip("\"'([{“‘«„¿¡").lower()
    if word in _TITLES:
        return False
    if word in _NUMBERED and (following[:1].isdigit() or _ROMAN.fullmatch(following)):
        return False
    if word.isdecimal() and period - begin < _LONGEST_WORD and near.strip() == word:
        return False
    short_number = word.isdecimal() and len(word) <= 2
    if short_number or word in _ENDINGS or _is_initials(word):
        return following.lower() in _BEGINNINGS
    return True


def _is_initials(word: str) -> bool:
    """Whether a word is a single letter, or letters separated by periods."""
    return (len(word) == 1 and word.isalpha()) or (
        "." in word and _DOTTED.fullmatch(word) is not None
    )
