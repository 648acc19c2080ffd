"""The tokenizer as TensorFlow operations, for graphs that take strings.

tensorflow-text's normalizer, with our own table, rewrites the text, and its tokenizer
splits it: two operations for ordinary text. The result equals that of the host
tokenizer, except for text with two spacing combining marks in non-canonical order,
which no known language uses.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import tensorflow as tf

from keras_bert.errors import InputError
from keras_bert.extras import require
from keras_bert.tokenization.added_in_graph import GraphSearch, merged
from keras_bert.tokenization.added_tokens import Searched, in_normal, in_text
from keras_bert.tokenization.normalizer import (
    all_expansions,
    ideographs_apart,
    normalizer_model,
)
from keras_bert.tokenization.patterns import (
    char_class,
    final_sigma_pattern,
    has_sigmas,
    ordinary_text,
)
from keras_bert.tokenization.rows import RaggedTokens, layout, rows_of
from keras_bert.tokenization.rules import IDEOGRAPHS, WordRules, is_removed
from keras_bert.tokenization.tokenizer import BertTokenizer

tf_text = require("tensorflow_text")

# Cleaning removes it from all text, so no vocabulary has a word that contains it.
_NO_CHARACTER = "\ufffd"
_PRIVATE = range(0x100000, 0x10FFFE)
# Punctuation, present and future, is below; above are ideographs, tags and private use.
_LETTERS_AND_SIGNS = 0x20000


class InGraphTokenizer(tf.Module):
    """Encodes a batch of strings inside a TensorFlow graph.

    The vocabulary is part of the graph: a SavedModel of a `tf.Module` that contains
    this one can be loaded with just `tensorflow` and `tensorflow_text`.

    Args:
        vocab: the tokens in the order of their ids, as in `BertTokenizer.tokens`.
        do_lower_case: lower-case the text and strip accents.
        max_length: the most tokens per row, special tokens included.
        strip_accents: None follows `do_lower_case`.
        tokenize_chinese_chars: make every CJK ideograph a separate word.
        **options: other arguments of `BertTokenizer`.

    Raises:
        InputError: tensorflow-text does not accept the vocabulary, or the text's
            control characters are to be kept.

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
        **options: Any,
    ) -> None:
        super().__init__()
        rules = WordRules(do_lower_case, strip_accents, tokenize_chinese_chars)
        host = BertTokenizer(vocab, **rules._asdict() | options)
        rules = host.rules
        _refuse_what_is_not_there(host)
        self.max_length = max_length
        self._max_word_length = host.max_word_length
        self._special_ids = host.pad_token_id, host.cls_token_id, host.sep_token_id
        self._unknown_id = host.unk_token_id
        self._ordinary = ordinary_text(rules, host.max_word_length)
        self._sigmas = final_sigma_pattern() if has_sigmas(rules) else None
        apart = _separated_anyway(rules)
        stand_ins = _stand_ins(host.base_tokens, apart)
        lengths, inside = _sizes(host)
        with (
            tf.init_scope()
        ):  # the constants must not belong to a graph under construction
            table = normalizer_model(rules, _changes(apart, stand_ins, rules))
            self._normalizer = tf_text.FastBertNormalizer(
                model_buffer=tf.constant(table)
            )
            self._wordpiece = _wordpiece(host, stand_ins)
            self._lengths, self._inside = tf.constant(lengths), tf.constant(inside)
            tokens = host.tokens_in_text
            self._in_text = _search(in_text(tokens), None)
            self._in_normal = _search(in_normal(tokens, self._normal_form), rules)
        texts = tf.TensorSpec([None], tf.string, name="texts")
        # Traced once, instead of again in every function that encodes text.
        self._ids = tf.function(self._ids_of, [texts], autograph=False)
        self._tokens = tf.function(self._tokens_of, [texts], autograph=False)

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
        options = tokenizer.settings()
        del options["model_max_length"]
        return cls(tokenizer.base_tokens, max_length=max_length, **options)

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of texts, without special tokens.

        Args:
            texts: strings in UTF-8 `(batch,)`; bytes that are not UTF-8 are dropped.

        Returns:
            int32 ragged `(batch, tokens)`.
        """
        return self._ids(tf.convert_to_tensor(texts, tf.string))

    def tokenize_with_offsets(self, texts: tf.Tensor) -> RaggedTokens:
        """Returns the ids of texts and the place of each token in its text.

        Args:
            texts: strings in UTF-8 `(batch,)`.

        Returns:
            The ids, and begin and end of each token in code points.
        """
        return self._tokens(tf.convert_to_tensor(texts, tf.string))

    def _ids_of(self, texts: tf.Tensor) -> tf.RaggedTensor:
        return self._read(texts, False).ids

    def _tokens_of(self, texts: tf.Tensor) -> RaggedTokens:
        return self._read(texts, True)

    def _read(self, texts: tf.Tensor, places: bool) -> RaggedTokens:
        ordinary = self._is_ordinary(texts)
        every = tf.reduce_all(ordinary)
        texts = tf.cond(every, lambda: texts, lambda: self._clean(texts, ordinary))
        read = partial(self._read_text, every=every, places=places)
        return _around(self._in_text, texts, read, "UTF8_CHAR")

    def _read_text(
        self, texts: tf.Tensor, every: tf.Tensor, places: bool
    ) -> RaggedTokens:
        if not places:
            return self._read_normal(self._normalizer.normalize(texts), every, places)
        normal, origins = self._normalizer.normalize_with_offsets(texts)
        tokens: Any = self._read_normal(normal, every, places)
        ids, begins, ends = tokens
        rows = ids.value_rowids()
        # From bytes of normalized texts to bytes of the texts, and of all texts joined.
        starts = tf.gather(origins.row_starts(), rows)
        lengths = tf.cast(tf.strings.length(texts), tf.int64)
        before = tf.gather(tf.cumsum(lengths, exclusive=True), rows)
        chars = _chars_so_far(texts)
        first = tf.gather(chars, before)

        def place(values: tf.Tensor) -> tf.Tensor:
            source = tf.gather(origins.values, starts + values)
            return tf.gather(chars, before + source) - first

        return RaggedTokens(
            ids,
            ids.with_values(place(begins.values)),
            ids.with_values(place(ends.values - 1) + 1),
        )

    def _read_normal(
        self, normal: tf.Tensor, every: tf.Tensor, places: bool
    ) -> RaggedTokens:
        """Returns the tokens of normalized texts, with places in bytes."""
        read = partial(self._read_words, every=every, places=places)
        return _around(self._in_normal, normal, read, "BYTE")

    def _read_words(
        self, normal: tf.Tensor, every: tf.Tensor, places: bool
    ) -> RaggedTokens:
        if places:
            tokens = RaggedTokens(*self._wordpiece.tokenize_with_offsets(normal))
        else:
            tokens = RaggedTokens(self._wordpiece.tokenize(normal))
        return tf.cond(every, lambda: tokens, lambda: self._unknown_if_too_long(tokens))

    def _normal_form(self, text: str) -> str:
        return self._normalizer.normalize(tf.constant([text]))[0].numpy().decode()

    def _is_ordinary(self, texts: tf.Tensor) -> tf.Tensor:
        return tf.strings.regex_full_match(texts, self._ordinary)

    def _clean(self, texts: tf.Tensor, ordinary: tf.Tensor) -> tf.Tensor:
        """Drops bytes that are not UTF-8, and replaces final sigmas."""
        rows = tf.where(~ordinary)  # (rows, 1)
        some = tf.gather_nd(texts, rows)
        some = tf.strings.unicode_transcode(some, "UTF-8", "UTF-8")
        if self._sigmas:
            some = tf.strings.regex_replace(some, *self._sigmas)
        return tf.tensor_scatter_nd_update(texts, rows, some)

    def _unknown_if_too_long(self, tokens: RaggedTokens) -> RaggedTokens:
        """Replaces each word of too many characters by a single [UNK]."""
        ids = tokens.ids.values
        rows = tokens.ids.value_rowids()
        begins_word = ~self.continues_word(ids)
        word = tf.cumsum(tf.cast(begins_word, tf.int32)) - 1
        length = tf.math.segment_sum(tf.gather(self._lengths, ids), word)
        too_long = tf.gather(length > self._max_word_length, word)
        kept = begins_word | ~too_long
        count = tokens.ids.nrows()

        def keep(values: tf.Tensor) -> tf.RaggedTensor:
            return tf.RaggedTensor.from_value_rowids(
                values[kept], rows[kept], count, validate=False
            )

        found = RaggedTokens(keep(tf.where(too_long, self._unknown_id, ids)))
        if tokens.begins is None or tokens.ends is None:
            return found
        ends = tf.gather(tf.math.segment_max(tokens.ends.values, word), word)
        ends = tf.where(too_long, ends, tokens.ends.values)
        return found._replace(begins=keep(tokens.begins.values), ends=keep(ends))

    def encode(
        self,
        texts: tf.Tensor,
        text_pairs: tf.Tensor | None = None,
        max_length: int | tf.Tensor | None = None,
        *,
        padding: bool | str = True,
        truncation: bool | str = True,
        stride: int = 0,
        return_offsets_mapping: bool = False,
    ) -> dict[str, tf.Tensor]:
        """Returns model inputs for texts or pairs of texts, as the host tokenizer does.

        Args:
            texts: strings in UTF-8 `(batch,)`.
            text_pairs: the second texts, `(batch,)`.
            max_length: the most tokens per row. None takes the constructor's.
            padding: True pads to the longest row, "max_length" to `max_length`.
            truncation: True or "longest_first" removes tokens from the end of the
                longer text, "only_first" and "only_second" from that text.
            stride: above 0, a text that is too long becomes several rows, which
                overlap by `stride` tokens. Of a pair the second text is split, or
                the first if `truncation` is "only_first".
            return_offsets_mapping: also return the place of each token in its text.

        Returns:
            `input_ids`, `attention_mask` and `token_type_ids`, int32 `(rows, seq)`.
            With `stride` also `overflow_to_sample_mapping` `(rows,)`, the text of each
            row; on request `offset_mapping` `(rows, seq, 2)`, begin and end of each
            token in code points of its text, zeros for special tokens.

        Raises:
            tf.errors.InvalidArgumentError: at run time, if the text that must not be
                truncated leaves no room for the other.
        """
        read = self.tokenize_with_offsets if return_offsets_mapping else self._only_ids
        parts = [read(part) for part in (texts, text_pairs) if part is not None]
        return self.assemble(
            parts, max_length, padding=padding, truncation=truncation, stride=stride
        )

    def assemble(
        self,
        parts: Sequence[RaggedTokens],
        max_length: int | tf.Tensor | None = None,
        *,
        padding: bool | str = True,
        truncation: bool | str = True,
        stride: int = 0,
    ) -> dict[str, tf.Tensor]:
        """Returns model inputs for tokenized texts.

        Args:
            parts: the tokens of the texts, or of the first and the second texts. If
                they have offsets, an `offset_mapping` is returned.
            max_length: see `encode`.
            padding: see `encode`.
            truncation: see `encode`.
            stride: see `encode`.
        """
        max_length = self.max_length if max_length is None else max_length
        rows = rows_of([part.ids for part in parts], max_length, truncation, stride)
        # An empty batch has one column, for callers that look at the first token.
        width = tf.maximum(rows.longest, 1) if padding is True else max_length
        table = layout(rows, width)
        special = tf.constant(self._special_ids)
        batch = {
            "input_ids": table.take(special, [part.ids for part in parts]),
            "attention_mask": table.mask,
            "token_type_ids": table.types,
        }
        if all(part.ends is not None for part in parts):
            zeros = tf.zeros_like(special)
            places = [
                table.take(zeros, [getattr(part, name) for part in parts])
                for name in ("begins", "ends")
            ]
            batch["offset_mapping"] = tf.stack(places, -1)
        if stride:
            batch["overflow_to_sample_mapping"] = tf.cast(rows.samples, tf.int32)
        return batch

    def continues_word(self, ids: tf.Tensor) -> tf.Tensor:
        """Tells which tokens continue the word of the token before them.

        Args:
            ids: token ids of any shape.

        Returns:
            Booleans of the same shape.
        """
        return tf.gather(self._inside, ids)

    def _only_ids(self, texts: tf.Tensor) -> RaggedTokens:
        return RaggedTokens(self.tokenize(texts))


# === Constants made from the vocabulary and the rules ===


def _refuse_what_is_not_there(host: BertTokenizer) -> None:
    if not (host.rules.clean_text and host.continuing_subword_prefix):
        raise InputError(
            "Expected a tokenizer with clean_text and a continuing_subword_prefix, as "
            f"the one in the graph has them. Received: clean_text="
            f"{host.rules.clean_text}, continuing_subword_prefix="
            f"{host.continuing_subword_prefix!r}. Tokenize outside of the graph, and "
            "give the model ids (--ids-only)."
        )


def _search(tokens: Searched, rules: WordRules | None) -> GraphSearch | None:
    """Returns what finds tokens, in text normalized by the rules if there are any."""
    if not tokens:
        return None
    apart = None if rules is None else char_class(map(ord, ideographs_apart(rules)))
    return GraphSearch(tokens, apart)


def _around(
    search: GraphSearch | None,
    texts: tf.Tensor,
    read: Callable[[tf.Tensor], RaggedTokens],
    unit: str,
) -> RaggedTokens:
    """Returns the added tokens of texts, and what is read between them."""
    if search is None:
        return read(texts)

    def split() -> RaggedTokens:
        pieces, found = search.split(texts)
        others = tf.where(found.values < 0, pieces.values, "")
        return merged(pieces, found, read(others), unit)

    # Most texts have none.
    return tf.cond(search.occurs(texts), split, lambda: read(texts))


def _wordpiece(host: BertTokenizer, stand_ins: Mapping[str, str]) -> Any:
    unknown = host.special_tokens["unk_token"]
    renamed = str.maketrans(dict(stand_ins))
    base = host.base_tokens
    tokens = _reachable_once([token.translate(renamed) for token in base])
    if host.unk_token_id < len(tokens):
        tokens[host.unk_token_id] = unknown
    try:
        return tf_text.FastWordpieceTokenizer(
            vocab=tokens,
            suffix_indicator=host.continuing_subword_prefix,
            # The actual limit is in characters, and applied afterwards.
            max_bytes_per_word=4 * host.max_word_length,
            token_out_type=tf.int32,
            unknown_token=unknown,
            support_detokenization=False,
        )
    except RuntimeError as error:
        raise InputError(
            f"Expected a vocabulary that tensorflow-text accepts. Received: {error}."
        ) from error


def _reachable_once(tokens: Sequence[str]) -> list[str]:
    """Replaces all but the last of equal tokens, and those that no text contains."""
    last = {token: index for index, token in enumerate(tokens)}
    # No word contains a space, so nothing matches the replacement.
    return [
        token
        if last[token] == index and token and not any(map(_in_no_word, token))
        else f"[no token] {index}"
        for index, token in enumerate(tokens)
    ]


def _in_no_word(char: str) -> bool:
    return char.isspace() or is_removed(char)


def _sizes(host: BertTokenizer) -> tuple[np.ndarray, np.ndarray]:
    """Returns the characters of each token, and whether it continues a word."""
    prefix = host.continuing_subword_prefix
    inside = np.zeros(len(host.tokens), bool)
    base = host.base_tokens
    inside[: len(base)] = [t.startswith(prefix) and t != prefix for t in base]
    lengths = np.array([len(token) for token in host.tokens], np.int32)
    return lengths - len(prefix) * inside.astype(np.int32), inside


@cache
def _separated_anyway(rules: WordRules) -> frozenset[str]:
    """Returns the characters that tensorflow-text separates although the rules do not.

    They are punctuation of a later Unicode version than Python's, and ideographs if
    the rules keep them in words.
    """
    table = all_expansions(rules)
    codes = [*range(1, 0xD800), *range(0xE000, _LETTERS_AND_SIGNS)]
    chars = [char for char in map(chr, codes) if table.get(char, char) == char != " "]
    asked = tf_text.FastWordpieceTokenizer(
        ["[UNK]", "a", "##a"], token_out_type=tf.int32
    )
    with tf.init_scope():
        ids = asked.tokenize(tf.constant([f"0{char}0" for char in chars]))
        several = ids.row_lengths().numpy() > 1
    apart = {char for char, found in zip(chars, several, strict=True) if found}
    return frozenset(apart.union(c for c in IDEOGRAPHS if " " not in table[c]))


def _stand_ins(tokens: Iterable[str], apart: frozenset[str]) -> dict[str, str]:
    """Maps those characters of the vocabulary to private ones."""
    letters = set().union(*tokens)
    if letters.isdisjoint(apart):
        return {}
    private = {char for char in letters if ord(char) in _PRIVATE}
    held = sorted(private | letters & apart)
    return dict(zip(held, map(chr, _PRIVATE), strict=False))


def _changes(
    apart: frozenset[str], stand_ins: Mapping[str, str], rules: WordRules
) -> dict[str, str]:
    """Returns the exceptions to the rules for the normalizer."""
    # Private characters of the text are kept by Google's rules alone.
    private = map(chr, _PRIVATE if stand_ins and rules.google_rules else ())
    table = all_expansions(rules)
    forms = {char: table.get(char, char) for char in (*apart, *private)}
    return {
        char: "".join(stand_ins.get(part, _NO_CHARACTER) for part in text)
        for char, text in forms.items()
    }


# === Offsets ===


def _chars_so_far(texts: tf.Tensor) -> tf.Tensor:
    """Counts for each byte of all texts the characters up to it, int32."""
    data = tf.io.decode_raw(tf.strings.reduce_join(texts), tf.int8)
    is_first = data > -65  # not 10xxxxxx
    return tf.cumsum(tf.cast(is_first, tf.int32))
