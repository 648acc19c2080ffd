"""Checkpoints and tokenizers of the Hugging Face Hub: `hf://org/name`."""

import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from keras_bert.errors import CheckpointError, InputError, MissingExtraError

HUB = "hf://"
# The hub holds the same weights in several forms: the others only where needed.
HUB_FILES = ("*.json", "*.txt", "*.safetensors", "*.weights.h5")
HUB_OTHERS = (*HUB_FILES, "pytorch_model*.bin", "tf_model.h5", "*.ckpt*")


def is_name(text: str) -> bool:
    """Whether a text may be the name of a model on the Hub.

    Example:
        >>> [is_name(text) for text in ("org/model", "/home/model", "a/b/c")]
        [True, False, False]
    """
    return re.fullmatch(r"\w[\w.-]*(/[\w.-]+)?", text) is not None


def local_path(
    path: str | Path, patterns: Sequence[str] = HUB_FILES, **options: Any
) -> Path:
    """Returns a local path, downloading `hf://org/name` first.

    Args:
        path: a local path, or `hf://org/name`.
        patterns: of the files to download; by default those of a model.
        **options: of `huggingface_hub.snapshot_download`: `revision`, `cache_dir`,
            `token`, `local_files_only`, `force_download`.

    Raises:
        InputError: the path is empty, or the address of something else.
        MissingExtraError: `huggingface_hub` is not installed.
        CheckpointError: the repository cannot be reached.
    """
    _check(path)
    if not str(path).startswith(HUB):
        return Path(path).expanduser()
    name = str(path).removeprefix(HUB)
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtraError(
            f"huggingface_hub is needed for {path}. Install it with "
            "pip install huggingface_hub, or give a local directory."
        ) from error
    download = partial(snapshot_download, name, **options)
    try:
        folder = Path(download(allow_patterns=list(patterns)))
        weights = any(folder.glob("*.safetensors")) or any(folder.glob("*.weights.h5"))
        if patterns == HUB_FILES and not weights:
            download(allow_patterns=list(HUB_OTHERS))
        return folder
    except Exception as error:  # of the network, of the hub, of the name
        reason = str(error).strip().split("\n")[0]
        raise CheckpointError(
            f"Expected to download {name!r}. Received: {reason}. Check the name and "
            "the connection, or give a local directory."
        ) from error


def _check(path: str | Path) -> None:
    """Raises for what `Path` would take for another path, or not take at all."""
    is_path = isinstance(path, str | os.PathLike)
    scheme = re.match(r"\w+://", str(path))
    if not is_path or not str(path) or (scheme and scheme[0] != HUB):
        raise InputError(
            f"Expected a local path, or {HUB}org/name for a model of the Hugging Face "
            f"Hub. Received: {path!r}."
        )
