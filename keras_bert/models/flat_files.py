"""Keras files of flat models, as versions before 0.2 wrote them.

There a model was one list of layers, which Keras' files hold by class and number; now
the encoder is a model of its own and layers are held by name.
"""

from collections.abc import Iterable
from typing import Any

import keras


def is_flat(store: Any) -> bool:
    """Whether a file that Keras is reading holds a flat model.

    Args:
        store: what Keras gives `load_own_variables`.
    """
    path = getattr(store, "_h5_entry_path", None)
    if path is None:
        return False
    return store.has_path(f"{path}/layers/embeddings".lstrip("/"))


def flat_layers(model: Any) -> list[keras.layers.Layer]:
    """Returns a model's layers as the flat model listed them."""
    encoder = model.encoder
    body = [
        encoder.embeddings,
        encoder.embedding_projection,
        *encoder.blocks,
        encoder.pooler,
    ]
    head = [layer for layer in model.layers if layer is not encoder]
    return [layer for layer in (*body, *head) if layer is not None]


def flat_order(variables: Iterable[keras.Variable]) -> list[keras.Variable]:
    """Sorts variables as the optimizer of a flat model numbered them.

    There the masked-LM transform came before the pooler.
    """
    late = ("pooler/", "masked_lm_bias/", "next_sentence/", "classifier/")
    variables = list(variables)
    if not any(v.path.startswith("masked_lm/") for v in variables):
        return variables
    return sorted(variables, key=lambda v: v.path.startswith(late))
