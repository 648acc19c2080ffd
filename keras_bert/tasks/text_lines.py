"""Lines of text files in any encoding, with errors that name the likely one."""

import codecs
import io
from collections.abc import Iterator
from typing import BinaryIO

from keras_bert.errors import InputError
from keras_bert.strings import is_text
from keras_bert.tokenization.encodings import likely_encoding

_BINARY = {
    b"\x1f\x8b": "compressed by gzip",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    b"PAR1": "a Parquet file",
}


def check_encoding(encoding: str) -> None:
    """Raises an error if there is no such encoding of text.

    Raises:
        InputError: naming it.
    """
    try:
        b"a".decode(encoding)
    except UnicodeDecodeError:
        pass  # of several bytes per character
    except (LookupError, ValueError) as error:
        raise InputError(
            "Expected the name of an encoding, such as utf-8, utf-16, gb18030 or "
            f"cp1252. Received: {encoding!r}."
        ) from error


def text_lines(
    file: BinaryIO, encoding: str, newline: str, *, name: str
) -> Iterator[str]:
    """Yields the lines of a file with their line ends, all of them text.

    Args:
        file: which stays open.
        encoding: of its text; a byte order mark is skipped.
        newline: what ends a line, see `open`.
        name: of the file, for messages.

    Raises:
        InputError: a line is not text in this encoding; the message names the line and
            the encoding it may be in.

    Example:
        >>> list(text_lines(io.BytesIO(b"a\\nb"), "utf-8", "\\n", name="a.txt"))
        ['a\\n', 'b']
    """
    # Undecodable bytes become surrogates, so that their line is known.
    text = io.TextIOWrapper(file, encoding, "surrogateescape", newline)
    number = 0
    try:
        for number, line in enumerate(text, 1):
            if "\0" in line or not is_text(line):
                raise _not_text(name, encoding, number, line)
            yield line.removeprefix("\ufeff") if number == 1 else line
    except UnicodeError as error:
        raise _not_text(name, encoding, number + 1, "") from error
    finally:
        text.detach()


def _not_text(name: str, encoding: str, number: int, line: str) -> InputError:
    utf8 = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
    raw = line.encode("utf-8", "surrogateescape") if utf8 else b""
    binary = [what for mark, what in _BINARY.items() if raw.startswith(mark)]
    if binary and number == 1:
        return InputError(
            f"Expected text in {name}. Received: a file that is {binary[0]}. Unpack it "
            "or save it as text first."
        )
    likely = likely_encoding(raw)
    advice = f"It may be {likely}: pass" if likely else "Pass its encoding, for example"
    other = likely or ("gb18030" if utf8 else "utf-8")
    found = "a NUL character" if "\0" in line else "other bytes"
    return InputError(
        f"Expected text encoded as {encoding} in {name}. Received: {found} in line "
        f'{number}. {advice} encoding="{other}" (--encoding {other}).'
    )
