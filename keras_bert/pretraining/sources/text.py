"""Bytes and strings to documents of sentences, counting irregularities."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from keras_bert.pretraining.sentences import split_sentences
from keras_bert.pretraining.sources.base import LONGEST_LINE, Document
from keras_bert.pretraining.sources.cutting import cut


def decoded(data: bytes, odd: Counter[str]) -> str:
    odd["nul_bytes"] += data.count(b"\0")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
        genuine = data.count("\ufffd".encode())
        odd["invalid_utf8"] += text.count("\ufffd") - genuine
        return text


_SURROGATES = re.compile("[\ud800-\udfff]")


def _cleaned(text: str, odd: Counter[str]) -> str:
    """Replaces halves of surrogate pairs, which UTF-8 cannot hold."""
    odd["nul_bytes"] += text.count("\0")
    try:
        text.encode("utf-8")
        return text
    except UnicodeEncodeError:
        text, count = _SURROGATES.subn("\ufffd", text)
        odd["invalid_utf8"] += count
        return text


def paragraphs(text: str) -> Iterator[list[str]]:
    """Yields groups of consecutive non-blank lines, stripped."""
    lines = map(str.strip, text.split("\n"))
    for filled, run in groupby(lines, bool):
        if filled:
            yield list(run)


def is_text(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(isinstance(each, str) for each in value)
    return isinstance(value, str)


def sentences_of(
    text: str | Sequence[str], wrapped: bool, odd: Counter[str]
) -> Document | None:
    """Returns the sentences of running text or of a list, None if there are none."""
    if isinstance(text, str):
        sentences = split_sentences(_cleaned(text, odd), wrapped)
    else:
        stripped = (_cleaned(each, odd).strip() for each in text)
        sentences = [each for each in stripped if each]
    odd["empty_documents"] += not sentences
    return sentences or None


def finished(
    documents: list[Document], odd: Counter[str]
) -> tuple[list[Document], Counter[str]]:
    """Splits lines that are too long, and counts irregularities."""
    odd["one_sentence_documents"] += sum(len(each) == 1 for each in documents)
    return [_bounded(document, odd) for document in documents], +odd


def _bounded(document: Document, odd: Counter[str]) -> Document:
    long = sum(len(sentence) > LONGEST_LINE for sentence in document)
    if not long:
        return document
    odd["long_lines"] += long
    pieces = (piece for line in document for piece in cut(line, LONGEST_LINE))
    return [stripped for piece in pieces if (stripped := piece.strip())]
