"""Added tokens in a graph: finds in a batch of texts what `added_tokens` finds in one.

A regular expression puts marks around the tokens, and the texts are cut at the marks.
"""

from collections.abc import Mapping

import tensorflow as tf

from keras_bert.tokenization.added_tokens import SPACES
from keras_bert.tokenization.normalizer import BOUNDARY
from keras_bert.tokenization.rows import RaggedTokens
from keras_bert.tokenizer_folder import AddedToken

_MARK = b"\xff"  # is in no text
_NONE = -1
_SPACE = f"[{SPACES}]"
# The vertical tab stands for a boundary in normalized text.
_NORMAL_SPACE = f"[{SPACES.replace(BOUNDARY, '')}]"
# What `added_tokens.is_word` takes for letters.
_WORD = (
    r"\pL\pM\p{Nd}\p{Nl}\p{Pc}\x{200c}\x{200d}\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}"
    r"\x{1f150}-\x{1f169}\x{1f170}-\x{1f189}"
)
# Ideographs that are in words are one of these in normalized text.
_STAND_IN = r"\x{fffd}\x{100000}-\x{10fffd}"


class GraphSearch(tf.Module):
    """Cuts texts into tokens and what is between.

    Args:
        tokens: what to look for, with the token and its id.
        apart: for normalized text, the characters that are words of their own, as
            ranges of a regular expression; None for text as given.
    """

    def __init__(
        self, tokens: Mapping[str, tuple[AddedToken, int]], apart: str | None
    ) -> None:
        super().__init__()
        is_normal = apart is not None
        longest = sorted(tokens, key=len, reverse=True)
        found = [tokens[text] for text in longest]
        options = (
            _pattern(text, token, is_normal)
            for text, (token, _) in zip(longest, found, strict=True)
        )
        self._pattern = f"({'|'.join(options)})"
        self._texts = [text.strip(SPACES) for text in longest]
        self._ids = [index for _, index in found]
        self._single = [token.single_word for token, _ in found]
        self._strips = any(token.lstrip or token.rstrip for token, _ in found)
        self._space = _NORMAL_SPACE if is_normal else _SPACE
        self._word = f"[{_WORD}{_STAND_IN if is_normal else ''}]"
        self._apart = apart

    def occurs(self, texts: tf.Tensor) -> tf.Tensor:
        """Tells whether any text has any of the tokens."""
        pattern = f"(?s).*{self._pattern}.*"
        return tf.reduce_any(tf.strings.regex_full_match(texts, pattern))

    def split(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Cuts texts.

        Args:
            texts: strings in UTF-8 `(batch,)`.

        Returns:
            Strings, ragged `(batch, pieces)`, which joined are the texts, and the ids
            of those that are tokens, int32, -1 for others.
        """
        marked = tf.strings.regex_replace(texts, self._pattern, _MARK + rb"\1" + _MARK)
        pieces = tf.strings.split(marked, _MARK)
        place = tf.range(tf.size(pieces.values)) - tf.cast(
            tf.gather(pieces.row_starts(), pieces.value_rowids()), tf.int32
        )
        which = self._which(pieces.values, place % 2 == 1)
        ids = tf.where(which < 0, _NONE, tf.gather([*self._ids, _NONE], which))
        if not any(self._single):
            return pieces, pieces.with_values(ids)
        single = tf.gather([*self._single, False], which)
        ids = tf.where(single & self._in_word(pieces.values, place), _NONE, ids)
        return _joined(pieces, ids, place == 0)

    def _which(self, pieces: tf.Tensor, is_token: tf.Tensor) -> tf.Tensor:
        """Returns the number of each token, and that after the last for text."""
        rows = tf.where(is_token)
        found = tf.gather_nd(pieces, rows)
        if self._strips:
            ends = f"^{self._space}+|{self._space}+$"
            found = tf.strings.regex_replace(found, ends, "")
        same = found[:, None] == tf.constant(self._texts)[None]
        number = tf.argmax(same, 1, tf.int32)
        none = tf.fill(tf.shape(pieces), len(self._texts))
        return tf.tensor_scatter_nd_update(none, rows, number)

    def _in_word(self, pieces: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
        """Tells which tokens have a letter right before or after them."""

        def matches(pattern: str) -> tf.Tensor:
            return tf.strings.regex_full_match(pieces, f"(?s){pattern}")

        empty = pieces == ""
        ends, begins = matches(f".*{self._word}"), matches(f"{self._word}.*")
        if self._apart:
            ends &= ~matches(f".*[{self._apart}]")
            begins &= ~matches(f"[{self._apart}].*")
        last = tf.concat([place[1:] == 0, [True]], 0)
        before, two_before = _shifted(ends, 1), _shifted(ends, 2) & (place > 1)
        after = _shifted(begins, -1)
        two_after = _shifted(begins, -2) & ~_shifted(last, -1)
        left = tf.where(_shifted(empty, 1), two_before, before)
        right = tf.where(_shifted(empty, -1), two_after, after)
        left &= ~matches(f"{self._space}.*")
        return left | (right & ~matches(f".*{self._space}"))


def _pattern(text: str, token: AddedToken, is_normal: bool) -> str:
    space = _NORMAL_SPACE if is_normal else _SPACE
    before, after = (f"{space}*" if f else "" for f in (token.lstrip, token.rstrip))
    parts = (
        # tensorflow-text's normalizer leaves line ends and tabs to its tokenizer.
        space if is_normal and char in SPACES else rf"\x{{{ord(char):x}}}"
        for char in text
    )
    return before + "".join(parts) + after


def _shifted(values: tf.Tensor, by: int) -> tf.Tensor:
    """Returns the values `by` places before; False where there are none."""
    padded = tf.pad(values, [[max(by, 0), max(-by, 0)]])
    return padded[: tf.size(values)] if by > 0 else padded[-by:]


def _joined(
    pieces: tf.RaggedTensor, ids: tf.Tensor, first: tf.Tensor
) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
    """Joins pieces that are not tokens to the one before, if that is none either."""
    is_token = ids != _NONE
    begins = first | is_token | _shifted(is_token, 1)
    group = tf.cumsum(tf.cast(begins, tf.int32)) - 1
    count = tf.math.count_nonzero(begins, dtype=tf.int32)
    strings = tf.strings.unsorted_segment_join(pieces.values, group, count)
    kept = tf.where(begins)[:, 0]
    rows = tf.gather(pieces.value_rowids(), kept)
    joined = tf.RaggedTensor.from_value_rowids(
        strings, rows, pieces.nrows(), validate=False
    )
    return joined, joined.with_values(tf.gather(ids, kept))


def merged(
    pieces: tf.RaggedTensor, found: tf.RaggedTensor, inner: RaggedTokens, unit: str
) -> RaggedTokens:
    """Returns the tokens of texts from those of their pieces.

    Args:
        pieces: strings `(batch, pieces)`.
        found: the ids of added tokens, int32, -1 for other pieces.
        inner: the tokens of those other pieces, `(all pieces, tokens)`.
        unit: of places, "BYTE" or "UTF8_CHAR".
    """
    is_token = found.values != _NONE
    counts = tf.cast(is_token, tf.int64)

    def join(inner: tf.RaggedTensor, values: tf.Tensor) -> tf.RaggedTensor:
        own = tf.RaggedTensor.from_row_lengths(
            tf.boolean_mask(values, is_token), counts, validate=False
        )
        both = tf.concat([inner, own], 1)
        splits = tf.gather(both.row_splits, pieces.row_splits)
        return tf.RaggedTensor.from_row_splits(both.values, splits, validate=False)

    ids = join(inner.ids, found.values)
    if inner.begins is None or inner.ends is None:
        return RaggedTokens(ids)
    lengths = tf.cast(tf.strings.length(pieces.values, unit), inner.begins.dtype)
    before = tf.cumsum(lengths, exclusive=True)
    starts = before - tf.gather(
        tf.concat([before, tf.reduce_sum(lengths)[None]], 0),
        tf.gather(pieces.row_starts(), pieces.value_rowids()),
    )

    def shifted(places: tf.RaggedTensor) -> tf.RaggedTensor:
        by = tf.gather(starts, places.value_rowids())
        return places.with_values(places.values + by)

    return RaggedTokens(
        ids,
        join(shifted(inner.begins), starts),
        join(shifted(inner.ends), starts + lengths),
    )
