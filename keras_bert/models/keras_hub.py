"""KerasHub's models in memory, made into models of this package and back."""

import tempfile
from pathlib import Path
from typing import Any

from keras_bert.errors import InputError, MissingExtraError


def from_keras_hub(model_class: Any, theirs: Any, **options: Any) -> Any:
    """Builds a model from one of KerasHub; see `PreTrainedModel.from_keras_hub`.

    Args:
        model_class: has `from_pretrained`.
        theirs: a backbone or a task.
        **options: of `from_pretrained`.
    """
    if not hasattr(theirs, "save_to_preset") or not hasattr(theirs, "get_layer"):
        raise InputError(
            "Expected a backbone or a task of keras_hub.models. "
            f"Received: {type(theirs).__name__}. from_pretrained() reads directories."
        )
    body = getattr(theirs, "backbone", theirs)
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_to_preset(folder)
        options = {"dtype": body.dtype_policy, **options}
        model = model_class.from_pretrained(folder, **options)
        model.tokenizer = model.tokenizer  # read before its files are removed
    return model


def to_keras_hub(model: Any) -> Any:
    """Builds a model of KerasHub; see `PreTrainedModel.to_keras_hub`.

    Args:
        model: of this package.
    """
    try:
        import keras_hub
    except ImportError as error:
        raise MissingExtraError(
            "keras_hub is needed for to_keras_hub(). Install it with pip install "
            "keras-hub."
        ) from error
    from keras_bert.checkpoints.formats.keras_hub import TASKS

    task = TASKS.get(model.kind, "Backbone")
    theirs = getattr(keras_hub.models, f"{model.family.class_prefix}{task}")
    with tempfile.TemporaryDirectory() as folder:
        place, own = Path(folder) / "preset", {"tokenizer": model.tokenizer}
        model.save_pretrained(place, format="keras_hub", **own)
        return theirs.from_preset(str(place), dtype=model.dtype_policy)
