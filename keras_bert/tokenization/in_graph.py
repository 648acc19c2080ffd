"""The tokenizer as TensorFlow operations, for graphs that take strings.

A table made from Python's Unicode data rewrites each code point, and
tensorflow-text cuts the resulting words. The answer is that of the host
tokenizer; the one exception is text in which two spacing combining marks stand
in non-canonical order, which no known language writes.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import groupby
from unicodedata import category

import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text

from keras_bert.errors import InputError
from keras_bert.tokenization.rules import WordRules, expand, is_chinese, is_removed
from keras_bert.tokenization.tokenizer import BertTokenizer
from keras_bert.tokenization.wordpiece import MAX_WORD_LENGTH

_CODE_POINTS = 0x110000
_ITSELF = -1  # in the table: the code point that was looked up
_PLACEHOLDER = "\0"  # stands for it while the table is made
_SIGMA, _FINAL_SIGMA = "Σ", "ς"
_PLAIN_TEXT = r"[ -~\t\r\n]*"  # ASCII without control characters
# Stands for a word that is too long; cleaning leaves it in no word.
_TOO_LONG = "\ufffd"


class InGraphTokenizer(tf.Module):
    """Encodes a batch of strings inside a TensorFlow graph.

    The vocabulary is part of the graph: a SavedModel of a `tf.Module` that holds
    this one loads with `tensorflow` and `tensorflow_text` alone.

    Args:
        vocab: the tokens in id order, as in `BertTokenizer.tokens`.
        do_lower_case: lower-case the text and strip accents.
        max_length: the most tokens of a row, special tokens included.
        strip_accents: None follows `do_lower_case`.
        tokenize_chinese_chars: make every CJK ideograph a word of its own.
        **special_tokens: other spellings, as in `BertTokenizer`.

    Example:
        >>> vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "run", "##ning"]
        >>> InGraphTokenizer(vocab).encode(tf.constant(["Running"]))["input_ids"]
        <tf.Tensor: shape=(1, 4), dtype=int32, numpy=array([[2, 5, 6, 3]], dtype=int32)>
    """

    def __init__(
        self,
        vocab: Sequence[str],
        do_lower_case: bool = True,
        max_length: int = 128,
        *,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
        **special_tokens: str,
    ) -> None:
        super().__init__()
        rules = WordRules(do_lower_case, strip_accents, tokenize_chinese_chars)
        host = BertTokenizer(vocab, **rules._asdict(), **special_tokens)
        self.max_length = max_length
        self._special_ids = host.cls_token_id, host.sep_token_id, host.pad_token_id
        self._lower = do_lower_case
        index, rows = _code_point_table(rules)
        with tf.init_scope():  # constants of no graph, whoever makes this object
            self._index = tf.constant(index)
            self._rows = tf.ragged.constant(rows, tf.int32)
        self._context = _final_sigma_pattern() if do_lower_case else None
        unknown = host.special_tokens["unk_token"]
        self._cut_words = _wordpiece(host.tokens, unknown, whole_words=True)
        self._cut_ascii = _wordpiece(host.tokens, unknown, whole_words=False)

    @classmethod
    def from_tokenizer(
        cls, tokenizer: BertTokenizer, max_length: int | None = None
    ) -> "InGraphTokenizer":
        """Returns the in-graph form of a host tokenizer.

        Args:
            tokenizer: the host tokenizer.
            max_length: None takes the tokenizer's `model_max_length`.
        """
        max_length = tokenizer.model_max_length if max_length is None else max_length
        return cls(
            tokenizer.tokens,
            max_length=max_length,
            **tokenizer.rules._asdict(),
            **tokenizer.special_tokens,
        )

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of texts, no special tokens added.

        Args:
            texts: strings in UTF-8 `(batch,)`.

        Returns:
            int32 ragged `(batch, tokens)`.
        """
        texts = tf.convert_to_tensor(texts, tf.string)
        plain = tf.reduce_all(tf.strings.regex_full_match(texts, _PLAIN_TEXT))
        values, splits = tf.cond(
            plain, lambda: self._ascii_ids(texts), lambda: self._ids(texts)
        )
        return tf.RaggedTensor.from_row_splits(values, splits, validate=False)

    def encode(
        self,
        texts: tf.Tensor,
        text_pairs: tf.Tensor | None = None,
        max_length: int | tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        """Returns model inputs for texts or pairs of texts.

        Args:
            texts: strings in UTF-8 `(batch,)`.
            text_pairs: the second texts, `(batch,)`.
            max_length: the most tokens of a row; the longer text of a pair gives
                up tokens first. None takes the constructor's.

        Returns:
            `input_ids`, `attention_mask` and `token_type_ids`, int32
            `(batch, seq)`, padded to the longest row.
        """
        max_length = self.max_length if max_length is None else max_length
        first = self.tokenize(texts)
        if text_pairs is None:
            return self._assemble([_take(first, max_length - 2)])
        second = self.tokenize(text_pairs)
        lengths = first.row_lengths(), second.row_lengths()
        keep = _longest_first(*lengths, tf.cast(max_length - 3, tf.int64))
        return self._assemble([_take(first, keep[0]), _take(second, keep[1])])

    def _assemble(self, texts: list[tf.RaggedTensor]) -> dict[str, tf.Tensor]:
        cls_id, sep_id, pad_id = self._special_ids
        column = tf.ones_like(texts[0].row_lengths(), tf.int32)[:, None]
        ids, types = [column * cls_id], [column * 0]
        for segment, text in enumerate(texts):
            ids += [text, column * sep_id]
            types += [text * 0 + segment, column * segment]
        input_ids = tf.concat(ids, axis=1)
        return {
            "input_ids": input_ids.to_tensor(pad_id),
            "attention_mask": tf.ones_like(input_ids).to_tensor(),
            "token_type_ids": tf.concat(types, axis=1).to_tensor(),
        }

    def _ascii_ids(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        texts = tf.strings.lower(texts) if self._lower else texts
        ids = self._cut_ascii(texts)
        return ids.values, ids.row_splits

    def _ids(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if self._context:
            texts = tf.strings.regex_replace(texts, *self._context)
        codes = tf.strings.unicode_decode(texts, "UTF-8")
        words = tf.strings.split(self._expand(codes))  # (batch, words)
        too_long = tf.strings.length(words.values, "UTF8_CHAR") > MAX_WORD_LENGTH
        words = words.with_values(tf.where(too_long, _TOO_LONG, words.values))
        ids = self._cut_words(words).merge_dims(1, 2)
        return ids.values, ids.row_splits

    def _expand(self, codes: tf.RaggedTensor) -> tf.Tensor:
        """Rewrites code points `(batch, chars)` into strings of spaced words."""
        row = tf.gather(self._index, codes.values)
        expanded = tf.gather(self._rows, tf.cast(row, tf.int32))  # (all chars, parts)
        source = tf.repeat(codes.values, expanded.row_lengths())
        values = tf.where(expanded.values == _ITSELF, source, expanded.values)
        splits = tf.gather(expanded.row_splits, codes.row_splits)
        normalized = tf.RaggedTensor.from_row_splits(values, splits, validate=False)
        return tf.strings.unicode_encode(normalized, "UTF-8")


def _wordpiece(
    tokens: Sequence[str], unknown: str, whole_words: bool
) -> Callable[[tf.Tensor], tf.RaggedTensor]:
    # In whole words the limit is one of characters, applied beforehand; in plain
    # ASCII text a byte is a character.
    limit = 4 * MAX_WORD_LENGTH if whole_words else MAX_WORD_LENGTH
    try:
        tokenizer = tf_text.FastWordpieceTokenizer(
            vocab=_reachable_once(tokens),
            suffix_indicator="##",
            max_bytes_per_word=limit,
            token_out_type=tf.int32,
            unknown_token=unknown,
            no_pretokenization=whole_words,
            support_detokenization=False,
        )
    except RuntimeError as error:
        raise InputError(
            f"This vocabulary cannot be put in a graph: {error}."
        ) from error
    return tokenizer.tokenize


def _reachable_once(tokens: Sequence[str]) -> list[str]:
    """Keeps the last of equal tokens, whose id counts; fills the other places."""
    last = {token: index for index, token in enumerate(tokens)}
    # The filler holds a space, so that no word can match it.
    return [
        token if token and last[token] == index else f"[no token] {index}"
        for index, token in enumerate(tokens)
    ]


@cache
def _code_point_table(rules: WordRules) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """Returns each code point's row number, and the rows: what they become."""
    index = np.zeros(_CODE_POINTS, np.int16)
    rows = {(_ITSELF,): 0}
    for char in _characters():
        parts = expand(rules, char).replace(char, _PLACEHOLDER)
        row = tuple(_ITSELF if part == _PLACEHOLDER else ord(part) for part in parts)
        index[ord(char)] = rows.setdefault(row, len(rows))
    return index, list(rows)


@cache
def _characters() -> list[str]:
    """The characters that rules may change: those in use, and the CJK blocks."""
    chars = map(chr, range(_CODE_POINTS))
    unused = ("Cn", "Co", "Cs")
    return [c for c in chars if category(c) not in unused or is_chinese(c)]


@cache
def _final_sigma_pattern() -> tuple[str, str]:
    """Returns a pattern for sigmas that end a word, and what to write for them.

    Lower-casing a sigma looks at its neighbors: whether there are cased letters
    on either side, beyond characters that do not count. Python's own answers
    tell which characters are which.
    """
    cased, ignored = [], []
    for char in _characters():
        if f"1{char}Σ".lower().endswith(_FINAL_SIGMA):
            cased.append(ord(char))
        elif is_removed(char) or f"A{char}Σ".lower().endswith(_FINAL_SIGMA):
            ignored.append(ord(char))
    letter, skip = _char_class(cased), _char_class(ignored)
    pattern = f"([{letter}][{skip}]*){_SIGMA}([{skip}]*)([^{letter}{skip}]|$)"
    return pattern, rf"\1{_FINAL_SIGMA}\2\3"


def _char_class(codes: Iterable[int]) -> str:
    """Writes sorted code points as ranges of a regular expression."""
    numbered = enumerate(codes)
    runs = [list(run) for _, run in groupby(numbered, lambda item: item[1] - item[0])]
    return "".join(rf"\x{{{run[0][1]:x}}}-\x{{{run[-1][1]:x}}}" for run in runs)


def _take(ragged: tf.RaggedTensor, keep: tf.Tensor | int) -> tf.RaggedTensor:
    """Keeps the first `keep` values of each row; a number or `(batch,)`."""
    keep = tf.minimum(ragged.row_lengths(), tf.cast(keep, tf.int64))
    positions = tf.ragged.range(ragged.row_lengths())
    kept = positions.values < tf.repeat(keep, ragged.row_lengths())
    values = tf.boolean_mask(ragged.values, kept)
    return tf.RaggedTensor.from_row_lengths(values, keep, validate=False)


def _longest_first(
    first: tf.Tensor, second: tf.Tensor, room: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """`keras_bert.tokenization.truncation.longest_first` on tensors `(batch,)`."""
    second = tf.minimum(second, tf.maximum(room // 2, room - first))
    return tf.minimum(first, room - second), second
