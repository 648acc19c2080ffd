"""What Keras files hold: the layers of a model, or of a flat one.

Before version 0.2 a model was one list of layers, which Keras' files hold by class and
number; now the encoder is a model of its own and layers are held by name.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras

from keras_bert.errors import CheckpointError


def is_flat(store: Any) -> bool:
    """Whether a file that Keras is reading holds a flat model.

    Args:
        store: what Keras gives `load_own_variables`.
    """
    path = getattr(store, "_h5_entry_path", None)
    if path is None:
        return False
    return store.has_path(f"{path}/layers/embeddings".lstrip("/"))


def refuse_other_layers(model: Any, path: str | Path) -> None:
    """Refuses a file of another model, of which Keras would read what fits.

    Args:
        model: a model of this package that is to read the file.
        path: a `.weights.h5` file; others are left to Keras.

    Raises:
        CheckpointError: the file and the model do not have the same layers.
    """
    import h5py

    if not str(path).endswith(".weights.h5") or not h5py.is_hdf5(path):
        return
    with h5py.File(path) as file:
        if "layers/embeddings" in file:
            return  # of a flat model
        differences = [
            *_differences(model, file),
            *_differences(model.encoder, file.get("encoder", {})),
        ]
    if differences:
        raise CheckpointError(
            f"Expected a file of the layers of a {type(model).__name__}. Received: "
            f"{path}, {', '.join(differences)}. Load it into a model of the class that "
            "wrote it, or pass skip_mismatch=True to read what fits."
        )


def _differences(model: keras.Model, group: Mapping[str, Any]) -> list[str]:
    """Lists layers that only a group of the file has, or only the model."""
    found = sorted(set(group) - {"vars", "optimizer"})
    held = {name: getattr(model, name, None) for name in found}
    read = {id(layer) for layer in held.values()}
    missing = [x.name for x in model.layers if x.weights and id(x) not in read]
    return [
        *(f"with {name}" for name, layer in held.items() if layer is None),
        *(f"without {name}" for name in missing),
    ]


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
