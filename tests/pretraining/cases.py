"""Records of short pieces, numbered, that are masked when they are read."""

import numpy as np

from keras_bert.pretraining.examples import Ragged
from keras_bert.pretraining.packing import Places
from keras_bert.pretraining.records import encode_compact
from keras_bert.pretraining.rows import Pieces

SEQ = 13
WORDS = [f"w{i}" for i in range(300)]  # ids of two bytes


def compact_records(count: int) -> Ragged:
    sizes = np.random.default_rng(count).integers(1, 6, (count, 2))
    ends = sizes.ravel().cumsum()
    spans = np.stack([ends - sizes.ravel(), ends], 1).reshape(-1, 4)
    rows = np.arange(count)
    pieces = Pieces(spans, rows % 2, rows.astype("uint64"))
    tokens = 5 + np.arange(ends[-1], dtype="int32") % 300
    places = Places(rows, np.zeros_like(rows))
    return encode_compact(tokens, None, pieces, places, width=SEQ)
