"""Pieces of texts by the places of their characters, inside a graph."""

import tensorflow as tf


def cut(
    texts: tf.Tensor, rows: tf.Tensor, begins: tf.Tensor, ends: tf.Tensor
) -> tf.Tensor:
    """Cuts pieces out of texts, in time that grows with texts and pieces alone.

    Args:
        texts: strings in UTF-8 `(batch,)`; what is none counts as U+FFFD, as it does
            for the offsets of `InGraphTokenizer`.
        rows: the text that each piece is of, int32 `(pieces,)`.
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
