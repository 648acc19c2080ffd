"""Substrings of texts by character positions, in a graph."""

import tensorflow as tf


def cut(
    texts: tf.Tensor, rows: tf.Tensor, begins: tf.Tensor, ends: tf.Tensor
) -> tf.Tensor:
    """Extracts substrings of texts, in time linear in texts and substrings.

    Args:
        texts: strings in UTF-8 `(batch,)`; invalid sequences count as U+FFFD, as they
            do for the offsets of `InGraphTokenizer`.
        rows: the text of each substring, int32 `(pieces,)`.
        begins: where it begins, in code points.
        ends: where it ends.

    Returns:
        Strings `(pieces,)`.

    Example:
        >>> cut(tf.constant(["Übermut"]), [0], [1], [4]).numpy()[0]
        b'ber'
    """
    codes = tf.strings.unicode_decode(texts, "UTF-8")  # (batch, chars)
    starts = tf.gather(tf.cast(codes.row_starts(), tf.int32), rows)
    places = tf.ragged.range(starts + begins, starts + ends)  # (pieces, chars)
    pieces = places.with_values(tf.gather(codes.values, places.values))
    return tf.strings.unicode_encode(pieces, "UTF-8")
