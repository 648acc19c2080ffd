"""Hugging Face's TensorFlow files: `tf_model.h5`, or `model.safetensors`; read only.

A layer's group repeats the weights that it shares with another, and names include the
model's: `bert/tf_bert_for_pre_training/bert/encoder/…`. The family's names tell where
the weight's own name begins.

Source: `modeling_tf_*.py` and `modeling_tf_utils.py` of transformers 4.57.
"""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from keras_bert import families
from keras_bert.checkpoints import files, hdf5
from keras_bert.checkpoints.checkpoint import Checkpoint, Tensor
from keras_bert.checkpoints.formats import huggingface
from keras_bert.config import Config
from keras_bert.errors import CheckpointError

FORMAT = "huggingface_tf"
WEIGHTS = "tf_model.h5"
SUFFIX = ":0"


def detect(path: Path) -> bool:
    """Whether a path is such a file, or its directory if that has no other weights."""
    if path.is_dir() and huggingface.detect(path):
        return False
    main = _main_file(path)
    return main.is_file() and (_is_hdf5(main) or huggingface.of_tensorflow(main))


def _main_file(path: Path) -> Path:
    if path.is_dir() and (path / WEIGHTS).is_file():
        return path / WEIGHTS
    return huggingface.main_file(path)


def _is_hdf5(main: Path) -> bool:
    return main.suffix == ".h5" and not main.name.endswith(".weights.h5")


def read(path: Path, *, config_file: str | Path | Config | None = None) -> Checkpoint:
    """Opens a file of weights and its config.

    Args:
        path: the directory, or its `tf_model.h5` or `model.safetensors`.
        config_file: the `config.json`, if it is elsewhere, or a config.

    Raises:
        CheckpointError: it is damaged, or copies of a weight differ.
    """
    weights = _main_file(path)
    config, head = files.read_config(("config.json",), [weights.parent], config_file)
    extra = {k: v for k, v in config.extra.items() if k not in huggingface.DTYPE_KEYS}
    names = _names(config, weights)
    if _is_hdf5(weights):
        stored, shards = hdf5.read([weights]), [weights]
    else:
        stored, shards = huggingface.read_all(weights)
    tensors, ignored = _named(stored, names, path)
    if names[0] not in tensors:
        raise CheckpointError(
            f"Expected the weights of a TensorFlow {config.model_type} model in "
            f"{weights}, with {names[0]}. Received: "
            f"{', '.join([*tensors][:5]) or 'nothing'}."
        )
    return Checkpoint(
        path=path,
        format=FORMAT,
        config=config.replace(extra=extra),
        tensors=tensors,
        head=head,
        ignored=ignored,
        files=shards,
        tokenizer_files=files.tokenizer_files(weights.parent),
    )


def _names(config: Config, weights: Path) -> list[str]:
    """Returns the names of the family's weights, the word embeddings first."""
    names = families.of(config).names_in(FORMAT, config)
    if not names:
        raise CheckpointError(
            f"Expected the TensorFlow weights of one of the families "
            f"{', '.join(f.model_type for f in families.with_place_in(FORMAT))} in "
            f"{weights}. Received: model_type={config.model_type!r}. Save the model "
            "as model.safetensors with transformers."
        )
    return names


def _named(
    stored: Mapping[str, Tensor], names: Iterable[str], path: Path
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Shortens names to the weights' own, and returns copies as ignored."""
    roots = {name.split("/")[0] for name in names}
    tensors: dict[str, Tensor] = {}
    ignored: dict[str, str] = {}
    for name, tensor in stored.items():
        short = _short(name, roots)
        if short not in tensors:
            tensors[short] = tensor
        elif files.equal(tensor, tensors[short]):
            ignored[name] = f"a copy of {short}"
        else:
            raise CheckpointError(
                f"Expected {name} in {path} to be a copy of {short}. Received: "
                "different values. Save the model again with transformers."
            )
    return tensors, ignored


def _short(name: str, roots: Collection[str]) -> str:
    """Returns a name from the family's first group on."""
    parts = name.removesuffix(SUFFIX).split("/")
    begin = next((i for i, p in enumerate(parts) if i and p in roots), 0)
    return "/".join(parts[begin:])
