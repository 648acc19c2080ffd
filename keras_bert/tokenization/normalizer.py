"""The rules for words as a table for tensorflow-text's normalizer.

`FastBertNormalizer` rewrites text code point by code point with a table: a trie of
UTF-8 sequences whose values are places in a pool of strings. Its own tables deviate
from Google's rules and from transformers; this one is made from `rules.expand`.

Sources: fast_bert_normalizer_model.fbs and darts_clone_trie_wrapper.h in
tensorflow/text, which define the format.
"""

from collections.abc import Mapping
from functools import cache
from unicodedata import category

import numpy as np

from keras_bert.extras import require
from keras_bert.tokenization.rules import IDEOGRAPHS, WordRules, expand_all

_CHANGED = 1 << 30
_LENGTH_BITS = 6
_OFFSET_SHIFT = 10
_HAS_VALUE, _IS_VALUE = 1 << 8, 1 << 31
_ROOT, _NODES, _NODE = 256, 512, 64  # a node has a child for each 10xxxxxx byte


def normalizer_model(rules: WordRules, changes: Mapping[str, str]) -> np.ndarray:
    """Returns the table of a normalizer that follows the rules for words.

    What tensorflow-text's tokenizer separates itself is not changed: ASCII whitespace
    and punctuation, and ideographs.

    Args:
        rules: what each character becomes.
        changes: exceptions to the rules.

    Returns:
        uint8 `(bytes,)`, for `tensorflow_text.FastBertNormalizer`.
    """
    table = {char: text.encode() for char, text in _changed(rules).items()}
    table |= {char: text.encode() for char, text in changes.items()}
    pool, values = bytearray(), {}
    places: dict[bytes, int] = {}
    for char, text in table.items():
        if text not in places:
            places[text] = len(pool)
            pool += text
        place = places[text] << _LENGTH_BITS if text else 0
        values[char.encode()] = _CHANGED | place | len(text)
    nul = values.pop(b"\0")  # the format stores it outside of the trie
    return _serialize(_double_array(values), nul, bytes(pool))


# Where the rules separate a character, but tensorflow-text might not. It is no space:
# added tokens are looked for in the result, and may have spaces next to them.
BOUNDARY = "\x0b"


def _changed(rules: WordRules) -> dict[str, str]:
    found = all_expansions(rules).items()
    return {
        char: _with_boundaries(char, text)
        for char, text in found
        if text != char and not _separate(char, text)
    }


def _separate(char: str, text: str) -> bool:
    known = char.isascii() or char in IDEOGRAPHS
    return known and text == (" " if char.isspace() else f" {char} ")


def _with_boundaries(char: str, text: str) -> str:
    return text if char.isspace() else text.replace(" ", BOUNDARY)


@cache
def all_expansions(rules: WordRules) -> dict[str, str]:
    """Returns what becomes of each character that rules may change.

    For Google's rules they are those that Python knows, and the CJK blocks.
    """
    # Planes 4 to 13 are empty, 15 and 16 for private use.
    codes = [*range(0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0x110000)]
    kinds = {char: category(char) for char in map(chr, codes)}
    if rules.google_rules:
        known, private = "\0", []
    else:  # there may be letters below that Python does not know yet
        known, private = "\U00020000", [c for c in kinds if kinds[c] == "Co"]
    chars = [
        char
        for char, kind in kinds.items()
        if char in IDEOGRAPHS or (kind != "Co" and (kind != "Cn" or char < known))
    ]
    found = zip(chars, expand_all(rules, chars), strict=True)
    return dict.fromkeys(private, "") | dict(found)


def ideographs_apart(rules: WordRules) -> list[str]:
    """Returns the ideographs that are words of their own."""
    table = all_expansions(rules)
    return [char for char in sorted(IDEOGRAPHS) if " " in table[char]]


def _double_array(values: Mapping[bytes, int]) -> np.ndarray:
    """Packs UTF-8 sequences and their values into a double-array trie.

    A unit holds the byte that leads to it and, xor its own index, the base of its
    children: the child for byte b is at base xor b, the value at the base.
    """
    inner = sorted({key[:i] for key in values for i in range(1, len(key))})
    base = {prefix: _NODES + _NODE * i for i, prefix in enumerate(inner)}
    base[b""] = _ROOT
    end = _NODES + -(-len(inner) // 4) * 4 * _NODE  # xor stays within 256 units
    leaves = {v: end + i for i, v in enumerate(dict.fromkeys(values.values()))}
    units = np.zeros(end + len(leaves), np.uint32)
    units[0] = _ROOT << _OFFSET_SHIFT
    for prefix in inner:
        _link(units, base[prefix[:-1]], prefix[-1], base[prefix], 0)
    for key, value in values.items():
        _link(units, base[key[:-1]], key[-1], leaves[value], _HAS_VALUE)
    units[end:] = [_IS_VALUE | value for value in leaves]
    return units


def _link(units: np.ndarray, base: int, byte: int, target: int, flag: int) -> None:
    place = base ^ byte
    units[place] = (place ^ target) << _OFFSET_SHIFT | flag | byte


def _serialize(units: np.ndarray, nul: int, pool: bytes) -> np.ndarray:
    builder = require("flatbuffers").Builder(units.nbytes + len(pool) + 100)
    trie = builder.CreateNumpyVector(units)
    strings = builder.CreateByteVector(bytes(pool))
    builder.StartObject(4)  # the first field, what tables to build, is not read
    builder.PrependUOffsetTRelativeSlot(1, trie, 0)
    builder.PrependInt32Slot(2, nul, 0)
    builder.PrependUOffsetTRelativeSlot(3, strings, 0)
    builder.Finish(builder.EndObject())
    return np.frombuffer(bytes(builder.Output()), np.uint8)
