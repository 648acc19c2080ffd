"""The formats: detects the format of a path, reads it, writes it.

A format is a module with `detect(path)`, `read(path, …)` and `write(folder, …)`. It
handles files, prefixes, tied weights and old names; names and layouts of weights are in
the family's rows.
"""

import importlib
import logging
import tempfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from keras_bert import families
from keras_bert.checkpoints import files, matching, sentence_modules
from keras_bert.checkpoints.checkpoint import Checkpoint
from keras_bert.checkpoints.sentence_modules import SentenceModules, transformer_folder
from keras_bert.config import Config
from keras_bert.errors import CheckpointError, MissingFileError, choose
from keras_bert.hub import local_path, written_as

FORMATS = ("google", "huggingface", "keras", "model_garden", "keras_hub")
READ_ONLY = ("huggingface_tf",)
ALL = (*FORMATS, *READ_ONLY)
# Their `gelu` is the tanh form unless the model was trained with the other.
GELU_IN_DOUBT = ("google", "model_garden")
# A masked-LM head may have another activation and epsilon than the encoder.
OWN_TRANSFORM = ("keras", "keras_hub")
BARE = ("google", "model_garden")  # a vocabulary without settings
HUGGINGFACE = "huggingface"
# A directory, in which the modules of sentence-transformers have their own.
WITH_MODULES = ("huggingface", "keras")
# Files that are no checkpoints of these formats, by their ending.
OTHER_FILES = {
    ".pdparams": "weights of PaddlePaddle; transformers has converted ones of many "
    "models",
    ".weights": "weights that bert4keras or Keras 2 saved; build the model there and "
    "save its checkpoint in TensorFlow's format",
    ".msgpack": "weights of Flax; save them with transformers as PyTorch's",
    ".onnx": "a model of ONNX, which is exported from a checkpoint",
    ".pb": "a graph; name the directory of a SavedModel",
    ".keras": "a whole model; load it with keras.saving.load_model",
    **dict.fromkeys((".zip", ".tar", ".tgz"), "an archive; unpack it first"),
}
EXPECTED = (
    "bert_model.ckpt.index (Google, Model Garden), saved_model.pb (TF-Hub), "
    "model.safetensors, pytorch_model.bin or tf_model.h5 (Hugging Face), or "
    "model.weights.h5 (keras, KerasHub)"
)
log = logging.getLogger(__name__)


def module(name: str) -> ModuleType:
    """Returns a format's module.

    Raises:
        UnknownNameError: there is no such format.
    """
    choose("format", name, ALL)
    return importlib.import_module(f"keras_bert.checkpoints.formats.{name}")


def options(name: str) -> tuple[str, ...]:
    """Returns the options of a format's `write`.

    Raises:
        UnknownNameError: there is no such format.
    """
    return getattr(module(name), "OPTIONS", ())


def normalize_config(to: str, config: Config, head: str) -> Config:
    """Returns a config without masked-LM settings that its head does not use.

    Args:
        to: the format.
        config: the model's config.
        head: its class.

    Raises:
        CheckpointError: the head uses them, and the format cannot store them.
    """
    plain = config.replace(masked_lm_act=None, masked_lm_layer_norm_eps=None)
    if "masked_lm" not in families.of(config).parts_of(head) or config == plain:
        return plain
    if to in OWN_TRANSFORM:
        return config
    raise CheckpointError(
        f"Expected a masked-LM head with the encoder's activation and epsilon "
        f"({config.hidden_act}, {config.layer_norm_eps}), as in the format {to!r}. "
        f"Received one with {config.transform_act} and {config.transform_eps}. The "
        "result would compute something else. Keep the model in the format 'keras', or "
        "leave masked_lm behind with keras-bert convert --drop masked_lm."
    )


def copy_tokenizer(
    to: str,
    tokenizer_files: Iterable[Path],
    folder: Path,
    config: Config,
    given: Mapping[str, bool] | None = None,
) -> None:
    """Writes a source's tokenizer into a checkpoint, as its format has it.

    Args:
        to: the format.
        tokenizer_files: the source's.
        folder: the checkpoint.
        config: gives the maximum length.
        given: what other files of the source say about its tokenizer.
    """
    own = getattr(module(to), "copy_tokenizer", None)
    if own is not None:
        found = files.read_tokenizer(tokenizer_files, config, given)
        if found is not None:
            own(found, folder, config)
        return
    describe = to not in BARE
    files.copy_tokenizer(
        tokenizer_files, folder, config, describe=describe, given=given
    )


def save_tokenizer(to: str, tokenizer: Any, folder: Path, config: Config) -> None:
    """Writes a tokenizer next to a model, as the format has it.

    Args:
        to: the format.
        tokenizer: has `save_pretrained`.
        folder: the checkpoint.
        config: the model's config.
    """
    if not hasattr(module(to), "copy_tokenizer"):
        tokenizer.save_pretrained(folder)
        return
    with tempfile.TemporaryDirectory() as place:
        tokenizer.save_pretrained(Path(place))
        copy_tokenizer(to, files.tokenizer_files(Path(place)), folder, config)


def save_modules(to: str, modules: SentenceModules | None, folder: Path) -> list[str]:
    """Writes the modules of sentence-transformers, if the format has a place.

    Args:
        to: the format.
        modules: the source's, if it has any.
        folder: the checkpoint.

    Returns:
        Warnings, also logged.
    """
    if modules is None:
        return []
    if to in WITH_MODULES:
        modules.write(folder)
        return []
    warning = (
        f"The format {to!r} has no place for the modules of sentence-transformers in "
        f"{modules.source}: {', '.join(modules.files)} are left behind. Pool and "
        "normalize the result yourself, and cut texts at the same length."
    )
    log.warning(warning)
    return [warning]


def detect(path: str | Path) -> str:
    """Returns the format of a checkpoint, by its files.

    Args:
        path: a directory, a weights file, or a TensorFlow prefix.

    Raises:
        MissingFileError: there is nothing.
        CheckpointError: the files are of no format, or of several.
    """
    path = transformer_folder(local_path(path))
    found = [name for name in ALL if module(name).detect(path)]
    if not found and module(HUGGINGFACE).other_files(path):
        found = [HUGGINGFACE]
    if len(found) == 1:
        return found[0]
    if found:
        raise CheckpointError(
            f"Expected one checkpoint at {path}. Received files of several formats: "
            f"{', '.join(found)}. Name the weights file (or TensorFlow prefix) instead."
        )
    if not path.exists():
        raise MissingFileError(
            f"Expected a checkpoint at {path}; nothing is there.{written_as(path)}"
        )
    if path.is_file():
        files.refuse_other_kinds(path)
        received = OTHER_FILES.get(path.suffix, f"a file {path.name}")
        raise CheckpointError(f"Expected {EXPECTED}. Received: {received}, at {path}.")
    inside = sorted(p.name for p in path.iterdir())
    kinds = {OTHER_FILES[s] for s in OTHER_FILES if any(n.endswith(s) for n in inside)}
    received = "; ".join(sorted(kinds)) or matching.listing(inside) or "nothing"
    raise CheckpointError(f"Expected {EXPECTED} in {path}. Received: {received}.")


def read(
    path: str | Path,
    *,
    head: str | None = None,
    gelu: str | None = None,
    config_file: str | Path | Config | None = None,
    drop: Collection[str] = (),
    strict: bool = False,
) -> Checkpoint:
    """Opens a checkpoint of any format; a tensor is read when it is used.

    Args:
        path: a directory, a weights file, or a TensorFlow prefix; or `hf://org/name`.
        head: the model class, if the files do not name it; a class name or a kind of
            head such as "token_classification".
        gelu: "erf" or "tanh": which form a Google checkpoint's `gelu` means.
        config_file: the config, or its file, if it is not next to the weights.
        drop: names of tensors or parts to leave out; "optimizer" for all of the
            optimizer's state.
        strict: tensors that belong to no part are an error when the parts are
            matched; by default they are left behind with a warning.

    Raises:
        KerasBertError: it does not exist, is damaged, or has no known format.
    """
    path = transformer_folder(local_path(path))
    name = detect(path)
    if gelu is not None and name not in GELU_IN_DOUBT:
        raise CheckpointError(
            f"Expected a checkpoint of Google's with the option gelu. Received: {path} "
            f"in the format {name!r}, whose config names the form. Leave gelu out."
        )
    options = {"gelu": gelu} if name in GELU_IN_DOUBT else {}
    checkpoint = module(name).read(path, config_file=config_file, **options)
    _set_aside_others(checkpoint)
    place = path if path.is_dir() else path.parent
    checkpoint.sentence_modules = sentence_modules.read(place)
    if head is not None:
        checkpoint.head = matching.head_class(head, checkpoint.config)
    matching.leave_out(checkpoint, drop)
    checkpoint.strict = strict
    return checkpoint


def _set_aside_others(checkpoint: Checkpoint) -> None:
    """Moves tensors that are no floats, and no weights by name, to `ignored`."""
    config = checkpoint.config
    known = families.of(config).names_in(checkpoint.format, config)
    others = {
        name: f"{tensor.dtype}, not a weight"
        for name, tensor in checkpoint.tensors.items()
        if not files.is_float(tensor.dtype)
    }
    for name in others.keys() - {*known}:
        checkpoint.ignored[name] = others[name]
        del checkpoint.tensors[name]
