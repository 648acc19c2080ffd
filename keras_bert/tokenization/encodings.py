"""Which encoding bytes are in that are not UTF-8."""

import codecs
import re

from keras_bert.errors import InputError

SAMPLE = 1 << 16  # bytes of a file that tell
_MOST_FOREIGN = 0.01  # of the characters of a sample in UTF-8
_FEW = 8  # such characters, which may be damage in any text

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Encodings of several bytes per character, and what is frequent in their languages.
_FREQUENT = {
    "gb18030": "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会，。",
    "big5": "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會，。",
    "shift_jis": "のにはをたがでてとしれさあいうりくるかなもっ、。",
    "euc_jp": "のにはをたがでてとしれさあいうりくるかなもっ、。",
    "euc_kr": "이다는을의에가고하지로은도를사기대리한",
}


def likely_encoding(raw: bytes) -> str | None:
    """Returns the encoding of bytes that are not text in UTF-8, if it shows.

    Args:
        raw: from the beginning of a file or of a line; may end within a character.

    Example:
        >>> likely_encoding("我们的国家".encode("gbk"))
        'gb18030'
        >>> likely_encoding("café".encode("latin-1"))
        'cp1252'
    """
    marked = [name for mark, name in _MARKS.items() if raw.startswith(mark)]
    if marked:
        return marked[0]
    zeros = raw[0::2].count(0), raw[1::2].count(0)
    if 4 * max(zeros) > len(raw):
        return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    high = [len(run) for run in re.findall(rb"[\x80-\xff]+", raw)]
    if not high:
        return None
    # Letters with accents mostly stand alone; Chinese characters have two bytes.
    if max(high) == 1 and max(_frequent(raw, "shift_jis"), 0) == 0:
        return "cp1252"
    found = {name: _frequent(raw, name) for name in _FREQUENT}
    best = max(found, key=found.__getitem__)
    return best if found[best] >= 0 else None


def _frequent(raw: bytes, encoding: str) -> int:
    """Counts frequent characters; -1 if the bytes are not in this encoding."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(raw)
    except UnicodeDecodeError:
        return -1
    return sum(map(text.count, _FREQUENT[encoding]))


def check_utf8(raw: bytes, name: str) -> None:
    """Raises an error if more of a file's beginning than a little is not UTF-8.

    Args:
        raw: at most the first `SAMPLE` bytes of the file.
        name: of the file.

    Raises:
        InputError: naming the likely encoding, and the command that converts.
    """
    text = raw.decode("utf-8", "replace")
    foreign = text.count("\ufffd") - raw.count("\ufffd".encode()) + text.count("\0")
    if foreign <= max(_FEW, _MOST_FOREIGN * len(text)):
        return
    likely = likely_encoding(raw)
    which = f", perhaps {likely}" if likely else ""
    raise InputError(
        f"Expected text in UTF-8 in {name}. Received: another encoding{which}; "
        f"{foreign / len(text):.0%} of its beginning cannot be read. Convert it: "
        f"iconv -f {(likely or 'ENCODING').upper()} -t UTF-8 {name} > {name}.utf8"
    )
