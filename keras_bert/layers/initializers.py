"""BERT's initializer, with a seed of its own for every weight."""

import zlib

import keras


def normal(stddev: float, seed: int | None, place: str) -> keras.Initializer:
    """Returns the truncated normal every kernel and embedding starts from.

    Args:
        stddev: `initializer_range` of the config.
        seed: the model's seed; None draws from Keras' global one.
        place: path of the layer, so that weights of equal shape differ.

    Source: `create_initializer` in Google's `modeling.py`.
    """
    if seed is not None:
        seed = zlib.crc32(f"{seed}/{place}".encode()) & 0x7FFFFFFF
    return keras.initializers.TruncatedNormal(stddev=stddev, seed=seed)
