"""Chinese text in segments: characters, and the words of other scripts.

Sources: `mixed_segmentation` of `cmrc2018_evaluate.py` in ymcui/cmrc2018; the rules of
`NLTKWordTokenizer` in nltk/nltk, with which that splits the sentences of other scripts.
"""

import re

_IDEOGRAPHS = "\u4e00-\u9fa5"
# The script names "……" too, which no single character equals.
_MARKS = "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』"
_WITHOUT_MARKS = str.maketrans("", "", _MARKS)
IDEOGRAPH = re.compile(f"[{_IDEOGRAPHS}]")
_RUN = re.compile(f"[{_IDEOGRAPHS}]|[^{_IDEOGRAPHS}]+")

# Where words of a text in lower case and without marks are separated, in this order.
_SEPARATIONS = [
    (re.compile(pattern), spaced)
    for pattern, spaced in (
        ("[«‘„]", r" \g<0> "),
        ('^"', " `` "),
        (r"([ (\[{<])(?:\"|'')", r"\1 `` "),
        (r"(?<!\w)'(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)", "' "),
        (r"([^.])\.([\])}>\"'» ]*)\s*$", r"\1 . \2 "),
        (r",(\D)", r" , \1"),
        (r",$", " , "),
        (r"\.{2,}", r" \g<0> "),
        (r"[;@#$%&\u2012-\u2015?!]", r" \g<0> "),
        (r"(?<=[^'])' ", " ' "),
        (r"[\]\[(){}<>]", r" \g<0> "),
        (r"$|^", " "),
        ("»", " » "),
        ("''|\"", " '' "),
        (r"(?<=[^' ])('[smd]|'|'ll|'re|'ve|n't)\s", r" \1 "),
        (r"\b(can)(not)\b|\b(d)('ye)\b|\b(gim|lem)(me)\b", r" \1\3\5 \2\4\6 "),
        (r"\b(gon|wan)(na)\b|\b(got)(ta)\b|\b(more)('n)\b", r" \1\3\5 \2\4\6 "),
        (r" ('t)(is|was)\b", r" \1 \2 "),
    )
]


def without_marks(text: str) -> str:
    """Returns a text in lower case, without the marks that CMRC does not count.

    Example:
        >>> without_marks("《Ada》，1843")
        'ada1843'
    """
    return text.lower().strip().translate(_WITHOUT_MARKS)


def segments(text: str) -> list[str]:
    """Returns the Chinese characters and the other words of a text, without marks.

    Example:
        >>> segments("在Ada 1843年。")
        ['在', 'ada', '1843', '年']
    """
    found = []
    for run in _RUN.findall(without_marks(text)):
        found += [run] if IDEOGRAPH.match(run) else _words(run)
    return found


def _words(text: str) -> list[str]:
    for pattern, spaced in _SEPARATIONS:
        text = pattern.sub(spaced, text)
    return text.split()
