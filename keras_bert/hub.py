"""Checkpoints and tokenizers of the Hugging Face Hub: `hf://org/name@revision`."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_bert.errors import CheckpointError, InputError, MissingExtraError

HUB = "hf://"
# The hub holds the same weights in several forms: the others only where needed.
HUB_FILES = (
    *("*.json", "*.txt", "*.safetensors", "*.weights.h5"),
    "*_Dense/pytorch_model.bin",  # a module of sentence-transformers
)
HUB_OTHERS = (*HUB_FILES, "pytorch_model*.bin", "tf_model.h5", "*.ckpt*")

OPTIONS = ("revision", "cache_dir", "token", "local_files_only", "force_download")


def is_name(text: str) -> bool:
    """Whether a text may be the name of a model on the Hub.

    Example:
        >>> [is_name(text) for text in ("org/model", "/home/model", "a/b/c")]
        [True, False, False]
    """
    return re.fullmatch(r"\w[\w.-]*(/[\w.-]+)?", text) is not None


def written_as(path: str | Path) -> str:
    """Returns how a name of the Hub has to be written, or nothing for other paths.

    Example:
        >>> written_as("bert-base-uncased")
        ' To download it from the Hugging Face Hub, write hf://bert-base-uncased.'
    """
    name = str(path)
    if not is_name(name):
        return ""
    return f" To download it from the Hugging Face Hub, write {HUB}{name}."


def take_options(arguments: dict[str, Any]) -> dict[str, Any]:
    """Takes the options of a download out of the arguments of a call.

    Example:
        >>> arguments = {"num_labels": 3, "revision": "v1"}
        >>> take_options(arguments), arguments
        ({'revision': 'v1'}, {'num_labels': 3})
    """
    return {name: arguments.pop(name) for name in OPTIONS if name in arguments}


def local_path(
    path: str | Path, patterns: Sequence[str] = HUB_FILES, **options: Any
) -> Path:
    """Returns a local path, downloading `hf://org/name` first.

    Without a connection, what was downloaded before is used: with `local_files_only`,
    or where the environment has `HF_HUB_OFFLINE=1`.

    Args:
        path: a local path, or `hf://org/name`, or `hf://org/name@revision`.
        patterns: of the files to download; by default those of a model.
        **options: of the download, without effect on a local path: `revision` (a
            branch, tag or commit), `cache_dir`, `token`, `local_files_only`,
            `force_download`; see `huggingface_hub.snapshot_download`.

    Raises:
        InputError: the path is empty, or the address of something else; or it has
            another revision than the options.
        MissingExtraError: `huggingface_hub` is not installed.
        CheckpointError: the repository cannot be reached.
    """
    _check(path)
    if not str(path).startswith(HUB):
        return Path(path).expanduser()
    name, options = _address(str(path), options)
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtraError(
            f"huggingface_hub is needed for {path}. Install it with "
            "pip install huggingface_hub, or give a local directory."
        ) from error
    try:
        folder = Path(snapshot_download(name, allow_patterns=[*patterns], **options))
        weights = any(folder.glob("*.safetensors")) or any(folder.glob("*.weights.h5"))
        if patterns == HUB_FILES and not weights:
            snapshot_download(name, allow_patterns=[*HUB_OTHERS], **options)
        return folder
    except Exception as error:  # of the network, of the hub, of the name
        reason = str(error).strip().split("\n")[0]
        at = f" at {options['revision']}" if "revision" in options else ""
        raise CheckpointError(
            f"Expected to download {name!r}{at}. Received: {reason}. Check the name "
            "and the connection, or give a local directory."
        ) from error


def _address(path: str, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Returns the name in an address, and the options with its revision."""
    name, _, revision = path.removeprefix(HUB).partition("@")
    given = {k: v for k, v in options.items() if v is not None}
    if not is_name(name) or path.endswith("@"):
        raise InputError(
            f"Expected {HUB}org/name or {HUB}org/name@revision. Received: {path!r}."
        )
    if revision and given.setdefault("revision", revision) != revision:
        raise InputError(
            f"Expected one revision. Received: {path!r}, and "
            f"revision={given['revision']!r}. Leave one of them out."
        )
    return name, given


def _check(path: str | Path) -> None:
    """Raises for what `Path` would take for another path, or not take at all."""
    is_path = isinstance(path, str | os.PathLike)
    scheme = re.match(r"\w+://", str(path))
    if not is_path or not str(path) or (scheme and scheme[0] != HUB):
        raise InputError(
            f"Expected a local path, or {HUB}org/name for a model of the Hugging Face "
            f"Hub. Received: {path!r}."
        )
