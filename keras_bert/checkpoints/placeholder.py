"""A placeholder pooler, for libraries whose encoders always have one.

The Model Garden's and KerasHub's encoders cannot restore a checkpoint without a pooler.
For a model that has none, zeros are written. Training never results in zeros, so they
are recognized, and left out when read again.
"""

from collections.abc import Mapping

import numpy as np

from keras_bert import axes, families
from keras_bert.checkpoints.checkpoint import Tensor
from keras_bert.config import Config

REASON = "placeholder zeros, not a pooler"


def _shapes(config: Config, format: str) -> dict[str, tuple[int, ...]]:
    family = families.of(config)
    rows = family.parts.get("pooler", ())
    places = [row.placements[format] for row in rows if format in row.placements]
    return {to.name: axes.shape(to.axes, family.sizes(config)) for to in places}


def fill(
    tensors: Mapping[str, Tensor], config: Config, format: str, library: str
) -> tuple[dict[str, Tensor], list[str]]:
    """Adds a pooler of zeros if there is none.

    Args:
        tensors: by the format's names.
        config: the model's config.
        format: the format.
        library: the library that needs a pooler, for the warning.

    Returns:
        The tensors, and a warning if zeros were added.
    """
    shapes = _shapes(config, format)
    if shapes.keys() & tensors.keys():
        return dict(tensors), []
    dtype = next(iter(tensors.values())).dtype
    zeros = {name: Tensor.of(np.zeros(s, dtype)) for name, s in shapes.items()}
    return {**tensors, **zeros}, [
        f"The model has no pooler, but every encoder of {library} has one: zeros are "
        "written for it. This package leaves them out when it reads the result."
    ]


def find(tensors: Mapping[str, Tensor], config: Config, format: str) -> dict[str, str]:
    """Returns the names of a pooler of zeros, with the reason to ignore them."""
    names = sorted(_shapes(config, format))  # the bias first: it is short
    found = [tensors[name] for name in names if name in tensors]
    if not found or any(tensor.load().any() for tensor in found):
        return {}
    return dict.fromkeys(names, REASON)
