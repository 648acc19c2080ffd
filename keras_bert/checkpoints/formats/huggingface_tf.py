"""Hugging Face's TensorFlow files: `tf_model.h5` and `config.json`; read only.

A layer's group repeats the weights it shares with another, and names go through the
model's own: `bert/tf_bert_for_pre_training/bert/encoder/…`.

Source: `modeling_tf_bert.py` and `modeling_tf_utils.py` of transformers 4.57.
"""

from collections.abc import Mapping
from pathlib import Path

from keras_bert.checkpoints import files, hdf5
from keras_bert.checkpoints.checkpoint import Checkpoint, Tensor
from keras_bert.checkpoints.formats import huggingface
from keras_bert.errors import CheckpointError

FORMAT = "huggingface_tf"
WEIGHTS = "tf_model.h5"
# Where a weight's name begins, below the groups of layer and model.
ROOTS = ("bert", "mlm___cls", "nsp___cls", "classifier", "qa_outputs")
SUFFIX = ":0"
WORD_EMBEDDINGS = "bert/embeddings/word_embeddings/weight"


def detect(path: Path) -> bool:
    """Whether a path is such a file, or a directory without PyTorch's weights."""
    if path.is_dir():
        return (path / WEIGHTS).is_file() and not huggingface.detect(path)
    return path.is_file() and path.name == WEIGHTS


def read(path: Path, *, config_file: str | Path | None = None) -> Checkpoint:
    """Opens a file of weights and its config.

    Args:
        path: the directory, or the `tf_model.h5`.
        config_file: the `config.json`, where it lies elsewhere.

    Raises:
        CheckpointError: damaged, or weights that should be the same differ.
    """
    weights = path / WEIGHTS if path.is_dir() else path
    config, head = files.read_config(("config.json",), [weights.parent], config_file)
    extra = {k: v for k, v in config.extra.items() if k not in huggingface.DTYPE_KEYS}
    tensors, ignored = _named(hdf5.read([weights]), path)
    if WORD_EMBEDDINGS not in tensors:
        raise CheckpointError(
            f"Expected the weights of a TensorFlow BERT in {weights}, with "
            f"{WORD_EMBEDDINGS}. Received: {', '.join([*tensors][:5]) or 'nothing'}."
        )
    return Checkpoint(
        path=path,
        format=FORMAT,
        config=config.replace(extra=extra),
        tensors=tensors,
        head=head,
        ignored=ignored,
        files=[weights],
        tokenizer_files=files.tokenizer_files(weights.parent),
    )


def _named(
    stored: Mapping[str, Tensor], path: Path
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Shortens names to the weights' own; repeated weights are set aside."""
    tensors: dict[str, Tensor] = {}
    ignored: dict[str, str] = {}
    for name, tensor in stored.items():
        short = _short(name)
        if short not in tensors:
            tensors[short] = tensor
        elif huggingface.equal(tensor, tensors[short]):
            ignored[name] = f"the same as {short}"
        else:
            raise CheckpointError(
                f"Expected {name} in {path} to equal the other {short}; they differ."
            )
    return tensors, ignored


def _short(name: str) -> str:
    """What follows the layer's and the model's group, for names of ours."""
    parts = name.removesuffix(SUFFIX).split("/")
    begin = next((i for i, p in enumerate(parts) if i and p in ROOTS), 0)
    return "/".join(parts[begin:])
