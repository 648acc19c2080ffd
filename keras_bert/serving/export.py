"""SavedModels for TF Serving: text in, answers out, every weight stored once."""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import keras
import tensorflow as tf

from keras_bert.axes import names
from keras_bert.errors import ConfigError, ExistingOutputError, InputError
from keras_bert.features import SERVED_INPUTS
from keras_bert.outputs import whole_directory
from keras_bert.serving import unpadded, warm_up
from keras_bert.serving.answers import EXAMPLE_FEATURES, TEXT, Tensors, head_of
from keras_bert.tokenization import BertTokenizer
from keras_bert.tokenization.in_graph import InGraphTokenizer
from keras_bert.version import __version__

CARD = Path("assets.extra", "model_card.json")

# `finetuning_task` in the config of published checkpoints: GLUE's tasks on pairs.
PAIR_TASKS = {"mnli", "mrpc", "qnli", "qqp", "rte", "stsb", "sts-b", "wnli"}


def export(
    model: keras.Model,
    directory: str | Path,
    tokenizer: BertTokenizer | None = None,
    *,
    max_length: int | None = None,
    labels: Sequence[str] | None = None,
    version: int | None = None,
    pairs: bool | None = None,
) -> Path:
    """Writes a model as a SavedModel that TF Serving, or TensorFlow alone, can run.

    The signatures are `serving_default`, `serve_pairs` and `serve_examples` on
    text, and `serve_ids` on the ids a tokenizer made elsewhere; see
    `docs/serving.md`. Vocabulary, labels and truncation are inside the graph.

    Args:
        model: any model of this package.
        directory: the model's directory; the version is written below it.
        tokenizer: the one the model was trained with; None leaves out the
            signatures on text, and `serving_default` then takes ids.
        max_length: longest row made from text, in tokens with the special ones;
            None takes the config's `max_position_embeddings`.
        labels: names of the classes; None takes the config's.
        version: number of the version, above 0; None takes the next free one.
        pairs: whether `serving_default` takes `text_pair` beside `text`; None
            says yes for heads on pairs and for checkpoints of GLUE's pair tasks.

    Returns:
        The path of the version written.

    Raises:
        ConfigError: Keras runs on another backend, or an argument cannot be used.
        InputError: the tokenizer or the labels do not fit the model.
        ExistingOutputError: the version is already there.

    Example:
        >>> import keras_bert, tempfile
        >>> config = keras_bert.BertConfig.preset("tiny", vocab_size=7)
        >>> model = keras_bert.BertForSequenceClassification(config)
        >>> export(model, tempfile.mkdtemp()).name
        '1'
    """
    _require_tensorflow()
    directory = Path(directory)
    target = directory / str(_check_version(directory, version))
    servable = Servable(model, tokenizer, max_length, labels, pairs)
    signatures = servable.signatures()
    # TF Serving watches the directory and loads a version the moment it appears;
    # names that are not numbers it leaves alone.
    with _taken_if_not_free(target), whole_directory(target) as partial:
        tf.saved_model.save(servable.state(), str(partial), signatures=signatures)
        warmed = warm_up.write(
            partial, directory.absolute().name, signatures, servable.max_length
        )
        _write_card(partial / CARD, {**servable.card(), "warm_up_requests": warmed})
    return target


class Servable:
    """A model with the functions it is served by.

    Args: see `export`.
    """

    def __init__(self, model, tokenizer, max_length, labels, pairs):
        self._model = model
        self._head = head_of(model)
        self._forward = _forward_function(model, self._head.axes)
        self.max_length = _check_length(max_length, model.config)
        self._tokenizer = (
            None
            if tokenizer is None
            else _in_graph(tokenizer, self.max_length, model.config)
        )
        self._labels = _check_labels(labels, self._head, model.config)
        self.pairs = _takes_pairs(pairs, self._head, model.config)

    def signatures(self) -> dict[str, Callable]:
        """Returns the functions to save, by signature name."""
        ids = self._forward.get_concrete_function()
        if self._tokenizer is None:
            return {"serving_default": ids, "serve_ids": ids}
        pairs = self.on_text(pairs=True)
        return {
            "serving_default": pairs if self.pairs else self.on_text(pairs=False),
            "serve_pairs": pairs,
            "serve_ids": ids,
            "serve_examples": self._on_examples(),
        }

    def on_text(self, pairs: bool) -> Callable:
        """Returns the function from text, or text and `text_pair`, to answers."""
        return self._on_pairs if pairs else self._on_single

    @cached_property
    def _on_single(self) -> Callable:
        return self._trace(TEXT)

    @cached_property
    def _on_pairs(self) -> Callable:
        return self._trace(self._head.pairs)

    def state(self) -> tf.Module:
        """Returns what the signatures need at run time: variables and tables.

        The bare variables and not the Keras model, which is stored with its own
        layout beside them: every weight twice.
        """
        state = tf.Module()
        state.weights = [weight.value for weight in self._model.weights]
        state.tokenizer = self._tokenizer
        return state

    def card(self) -> dict:
        """Returns what is worth knowing about the export, for JSON."""
        return {
            "model": type(self._model).__name__,
            "config": self._model.config.to_dict(),
            "keras_bert": __version__,
            "tensorflow": tf.__version__,
            "max_length": self.max_length,
            "labels": list(self._labels),
            "text": self._tokenizer is not None,
            "text_pair_by_default": self.pairs,
        }

    def _answer(self, **texts: tf.Tensor) -> Tensors:
        features = self._head.encode(self._tokenizer, **texts)
        features = {name: features[name] for name in SERVED_INPUTS}
        outputs = self._forward(**features)
        return self._head.answer(outputs, features, tf.constant(self._labels))

    def _trace(self, specs: dict[str, tf.TensorSpec]) -> Callable:
        answer = tf.function(lambda **texts: self._answer(**texts), autograph=False)
        return answer.get_concrete_function(**specs)

    def _on_examples(self) -> Callable:
        specs = self._head.pairs if self.pairs else TEXT
        parsing = {name: EXAMPLE_FEATURES[len(s.shape)] for name, s in specs.items()}

        def serve_examples(inputs: tf.Tensor) -> Tensors:
            answer = self.on_text(self.pairs)(**tf.io.parse_example(inputs, parsing))
            return self._head.examples(answer, tf.constant(self._labels))

        spec = tf.TensorSpec([None], tf.string, name="inputs")
        return tf.function(serve_examples, autograph=False).get_concrete_function(spec)


def named_outputs(outputs) -> Tensors:
    """Returns a model's outputs as a flat dict of float32 tensors.

    SavedModel refuses tuples, and JSON knows no 16-bit floats.

    Args:
        outputs: a tensor, or a dict of tensors and tuples of tensors.

    Example:
        >>> sorted(named_outputs({"logits": tf.ones(2), "attentions": (tf.ones(3),)}))
        ['attentions_0', 'logits']
    """
    if not isinstance(outputs, dict):
        outputs = {"logits": outputs}
    flat = {}
    for name, value in outputs.items():
        several = isinstance(value, (tuple, list))
        parts = {f"{name}_{i}": v for i, v in enumerate(value)} if several else {}
        flat.update(parts or {name: value})
    return {name: tf.cast(value, tf.float32) for name, value in flat.items()}


def _forward_function(model: keras.Model, axes: str) -> tf.function:
    """The model on ids, traced once and called by every signature."""
    limit = model.config.max_position_embeddings
    message = f"input_ids are longer than max_position_embeddings={limit}"
    shape = [None] * len(names(axes))
    specs = [tf.TensorSpec(shape, tf.int32, name=name) for name in SERVED_INPUTS]
    compute = unpadded.forward if unpadded.supports(model) else _padded

    def forward(input_ids, attention_mask, token_type_ids):
        # A lookup past the end of the position table is an error on CPU only.
        tf.debugging.assert_less_equal(tf.shape(input_ids)[-1], limit, message)
        ids = (input_ids, attention_mask, token_type_ids)
        features = dict(zip(SERVED_INPUTS, ids, strict=True))
        return named_outputs(compute(model, features))

    return tf.function(forward, input_signature=specs, autograph=False)


def _padded(model: keras.Model, features: Tensors):
    return model(features, training=False)


# === Checks, all before anything is written ===


def _require_tensorflow() -> None:
    if keras.backend.backend() != "tensorflow":
        raise ConfigError(
            "Expected Keras to run on TensorFlow for a SavedModel. Received: the "
            f"{keras.backend.backend()!r} backend. Set KERAS_BACKEND=tensorflow."
        )


def _in_graph(tokenizer: BertTokenizer, max_length: int, config) -> InGraphTokenizer:
    if len(tokenizer) > config.vocab_size:
        raise InputError(
            f"Expected a tokenizer of at most vocab_size={config.vocab_size} tokens. "
            f"Received: {len(tokenizer)} tokens. Pass the tokenizer the model was "
            "trained with."
        )
    return InGraphTokenizer.from_tokenizer(tokenizer, max_length)


def _check_length(max_length: int | None, config) -> int:
    limit = config.max_position_embeddings
    max_length = limit if max_length is None else max_length
    if not 3 <= max_length <= limit:  # [CLS] and two [SEP]
        raise ConfigError(
            f"Expected max_length from 3 to max_position_embeddings={limit}. "
            f"Received: {max_length}."
        )
    return max_length


def _check_labels(labels: Sequence[str] | None, head, config) -> tuple[str, ...]:
    named = config.id2label is not None or not head.labels
    expected = tuple(config.labels if named else head.labels)
    labels = expected if labels is None else tuple(map(str, labels))
    if len(labels) != len(expected):
        raise InputError(
            f"Expected {len(expected)} labels, as many as the model has classes. "
            f"Received: {len(labels)}: {', '.join(labels)}."
        )
    return labels


def _takes_pairs(pairs: bool | None, head, config) -> bool:
    if pairs is None:
        task = str(config.extra.get("finetuning_task", "")).lower()
        return head.always_pairs or task in PAIR_TASKS
    if head.always_pairs and not pairs:
        raise ConfigError("Expected pairs=True or None: this head takes two texts.")
    return pairs


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
        if target.exists():  # it came into being meanwhile
            raise _taken(target) from error
        raise


def _taken(target: Path) -> ExistingOutputError:
    return ExistingOutputError(
        f"Expected a free version; {target} is already there. Choose another number, "
        "or none to take the next."
    )


def versions(directory: str | Path) -> list[int]:
    """Returns the version numbers in a model's directory, ascending.

    Args:
        directory: `saved_models/<name>`; it need not exist.
    """
    directory = Path(directory)
    found = directory.iterdir() if directory.is_dir() else ()
    return sorted(int(path.name) for path in found if path.name.isdecimal())


# === Writing ===


def _write_card(path: Path, card: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(card, indent=2, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")
