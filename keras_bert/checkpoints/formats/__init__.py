"""The formats: which one a path is, reading it, writing it.

A format is a module with `detect(path)`, `read(path, …)` and `write(folder, …)`. It
deals with files, prefixes, tied weights and old spellings; names and layouts are the
family's rows.
"""

import importlib
from pathlib import Path
from types import ModuleType

from keras_bert.checkpoints.checkpoint import Checkpoint
from keras_bert.errors import CheckpointError, MissingFileError, choose

FORMATS = ("google", "huggingface", "keras")
EXPECTED = (
    "bert_model.ckpt.index (Google), model.safetensors or pytorch_model.bin "
    "(Hugging Face), or model.weights.h5 (keras)"
)


def module(name: str) -> ModuleType:
    """Returns a format's module.

    Raises:
        UnknownNameError: there is no such format.
    """
    choose("format", name, FORMATS)
    return importlib.import_module(f"keras_bert.checkpoints.formats.{name}")


def detect(path: str | Path) -> str:
    """Returns the format of a checkpoint, by the files that are there.

    Args:
        path: a directory, a weights file, or a TensorFlow prefix.

    Raises:
        MissingFileError: nothing is there.
        CheckpointError: no format, or more than one, fits.
    """
    path = Path(path)
    found = [name for name in FORMATS if module(name).detect(path)]
    if len(found) == 1:
        return found[0]
    if found:
        raise CheckpointError(
            f"Expected one checkpoint at {path}. Received files of several formats: "
            f"{', '.join(found)}. Name the weights file (or TensorFlow prefix) instead."
        )
    if not path.exists():
        raise MissingFileError(f"Expected a checkpoint at {path}; nothing is there.")
    raise CheckpointError(f"Expected {EXPECTED} in {path}; none is there.")


def read(
    path: str | Path,
    *,
    head: str | None = None,
    gelu: str | None = None,
    config_file: str | Path | None = None,
) -> Checkpoint:
    """Opens a checkpoint of any format; tensors are read when asked for.

    Args:
        path: a directory, a weights file, or a TensorFlow prefix.
        head: the model class, where the files leave it open; a class name or a short
            one such as "token_classification".
        gelu: "erf" or "tanh": which form a Google checkpoint's `gelu` means.
        config_file: the config, where it does not lie beside the weights.

    Raises:
        KerasBertError: it is not there, damaged, or of no known format.
    """
    from keras_bert.checkpoints.accounting import head_class

    name = detect(path)
    if gelu is not None and name != "google":
        raise CheckpointError(
            f"The gelu option is for Google checkpoints. {path} is of the format "
            f"{name!r}, whose config names the form itself."
        )
    options = {"gelu": gelu} if name == "google" else {}
    checkpoint = module(name).read(Path(path), config_file=config_file, **options)
    if head is not None:
        checkpoint.head = head_class(head, checkpoint.config)
    return checkpoint
