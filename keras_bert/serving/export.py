"""Export of SavedModels for TF Serving that take text and return answers."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import tensorflow as tf

from keras_bert.atomic_files import locked_output, settle_all, whole_directory
from keras_bert.errors import ConfigError, ExistingOutputError
from keras_bert.serving.graph import model_card, warm_up
from keras_bert.serving.graph.servable import Servable
from keras_bert.tokenization import BertTokenizer


def export(
    model: keras.Model,
    directory: str | Path,
    tokenizer: BertTokenizer | None = None,
    *,
    max_length: int | None = None,
    labels: Sequence[str] | None = None,
    version: int | None = None,
    pairs: bool | None = None,
    **answers,
) -> Path:
    """Writes a model as a SavedModel that TF Serving, or TensorFlow alone, can run.

    The signatures are `serving_default`, `serve_pairs` and `serve_examples` for text,
    and `serve_ids` for ids; see `docs/serving.md`. Vocabulary, labels and truncation
    are part of the graph, and every weight is stored once.

    Args:
        model: any model of this package.
        directory: the model's directory, in which the version is written.
        tokenizer: the one the model was trained with; with None there are no signatures
            for text, and `serving_default` takes ids.
        max_length: the most tokens of a row made from text, special ones included; None
            takes the config's `max_position_embeddings`.
        labels: names of the classes; None takes the config's.
        version: number of the version, above 0; None takes the next free one.
        pairs: whether `serving_default` takes `text_pair` in addition to `text`; None
            means yes for heads on pairs and for checkpoints of GLUE's pair tasks.
        **answers: further settings of answers, see `Servable`.

    Returns:
        The path of the new version.

    Raises:
        ConfigError: Keras runs on another backend, or an argument is out of range.
        InputError: the tokenizer or the labels do not match the model.
        ExistingOutputError: the version exists.
        LockedOutputError: another process exports this model.
        MissingExtraError: a tokenizer is given and tensorflow-text is not installed.

    Example:
        >>> import keras_bert, tempfile
        >>> config = keras_bert.BertConfig.preset("tiny", vocab_size=7)
        >>> model = keras_bert.BertForSequenceClassification(config)
        >>> export(model, tempfile.mkdtemp()).name
        '1'
    """
    _require_tensorflow()
    directory = Path(directory)
    with locked_output(directory):
        settle_all(directory)
        target = directory / str(_check_version(directory, version))
        servable = Servable(
            model, tokenizer, max_length, labels, pairs, round_weights=True, **answers
        )
        # TF Serving watches the directory and loads a version as soon as it appears; it
        # ignores names that are not numbers.
        with _taken_if_not_free(target), whole_directory(target) as new:
            _write(servable, new, directory.absolute().name)
    return target


def _write(servable: Servable, new: Path, name: str) -> None:
    signatures = servable.functions
    tf.saved_model.save(servable.state(), str(new), signatures=signatures)
    warmed = warm_up.write(new, name, signatures, servable.settings.max_length)
    facts = {**model_card.describe(servable), "warm_up_requests": warmed}
    model_card.write(new / model_card.PATH, facts)


# === Checks before anything is written ===


def _require_tensorflow() -> None:
    if keras.backend.backend() != "tensorflow":
        raise ConfigError(
            "Expected Keras to run on TensorFlow for a SavedModel. Received: the "
            f"{keras.backend.backend()!r} backend. Set KERAS_BACKEND=tensorflow."
        )


def _check_version(directory: Path, version: int | None) -> int:
    if version is None:
        return max(versions(directory), default=0) + 1
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ConfigError(f"Expected a version number above 0. Received: {version!r}.")
    if (directory / str(version)).exists():
        raise _taken(directory / str(version))
    return version


@contextlib.contextmanager
def _taken_if_not_free(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if target.exists():  # created in the meantime
            raise _taken(target) from error
        raise


def _taken(target: Path) -> ExistingOutputError:
    return ExistingOutputError(
        f"Expected a new version; {target} exists already. Choose another number, or "
        "none to take the next one."
    )


def versions(directory: str | Path) -> list[int]:
    """Returns the version numbers in a model's directory, ascending.

    Args:
        directory: `saved_models/<name>`, which need not exist.
    """
    directory = Path(directory)
    found = directory.iterdir() if directory.is_dir() else ()
    return sorted(int(path.name) for path in found if path.name.isdecimal())
