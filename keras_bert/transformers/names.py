"""Where a checkpoint is: a directory, or a name on the Hugging Face Hub."""

from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Any

from keras_bert.errors import InputError
from keras_bert.hub import HUB, HUB_FILES, is_name, local_path

# Arguments of `from_pretrained` that say how to find a checkpoint.
FINDING = ("cache_dir", "revision", "token", "local_files_only", "force_download")
# Those that have no meaning here, and the values that ask for what is done anyway.
ALLOWED = {
    "from_pt": (True, False, None),  # a format is recognized by the files
    "from_tf": (True, False, None),
    "from_flax": (False, None),
    "use_safetensors": (True, False, None),
    "trust_remote_code": (True, False, None),  # code of others is never run
    "output_loading_info": (False, None),
    "resume_download": (True, False, None),
    "use_fast": (True, False, None),
    "subfolder": ("", None),
    "proxies": (None,),
    "mirror": (None,),
    "_fast_init": (True, False),
    "low_cpu_mem_usage": (True, False, None),
    "tf_to_pt_weight_rename": (None,),
}


def located(
    name: str | Path,
    arguments: MutableMapping[str, Any],
    patterns: Sequence[str] = HUB_FILES,
) -> Path:
    """Returns the local path of a checkpoint, downloaded if it is a name on the Hub.

    Args:
        name: what `from_pretrained` was given.
        arguments: the others; those that say how to find it are taken out.
        patterns: of the files to download; by default those of a model.

    Raises:
        InputError: an argument asks for what cannot be had.
        CheckpointError: the Hub cannot be reached, or has no such name.
    """
    for key in ALLOWED.keys() & arguments.keys():
        value = arguments.pop(key)
        if value not in ALLOWED[key]:
            allowed = " or ".join(map(repr, ALLOWED[key]))
            raise InputError(
                f"Expected {key}={allowed}. Received: {key}={value!r}. Download the "
                "checkpoint and give its directory."
            )
    if arguments.get("use_auth_token") is not None:
        arguments["token"] = arguments.pop("use_auth_token")
    arguments.pop("use_auth_token", None)
    finding = {k: arguments.pop(k) for k in FINDING if k in arguments}
    finding = {k: v for k, v in finding.items() if v is not None}
    text = str(name)
    if not Path(text).expanduser().exists() and is_name(text):
        text = f"{HUB}{text}"
    return local_path(text, patterns, **finding)
