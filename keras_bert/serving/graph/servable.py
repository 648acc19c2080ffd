"""A model with the TensorFlow functions that serve it."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from keras_bert.axes import names
from keras_bert.errors import ConfigError, InputError
from keras_bert.features import SERVED_INPUTS
from keras_bert.layers.pooling import without_prompt
from keras_bert.models import SentenceEncoder
from keras_bert.serving.graph import low_precision_weights, unpadded
from keras_bert.serving.graph.answers import (
    EXAMPLE_FEATURES,
    ServedTask,
    task_of,
    with_counts,
)
from keras_bert.serving.graph.chunks import in_chunks
from keras_bert.serving.graph.embeddings import with_embeddings
from keras_bert.serving.graph.settings import AnswerSettings, Request, Tensors
from keras_bert.serving.graph.windows import by_windows, windows_of
from keras_bert.tokenization import BertTokenizer

if TYPE_CHECKING:
    from keras_bert.tokenization import InGraphTokenizer

DOC_STRIDE, MAX_ANSWER_LENGTH = 128, 30
UNEQUAL = f"{', '.join(SERVED_INPUTS)} are not of one shape"

# `finetuning_task` in the config of published checkpoints: GLUE's tasks on pairs.
PAIR_TASKS = {"mnli", "mrpc", "qnli", "qqp", "rte", "stsb", "sts-b", "wnli"}


class Servable:
    """A model with the functions that serve it.

    Args:
        model, tokenizer, max_length, labels, pairs: see `export`.
        doc_stride: tokens by which windows of a long text overlap, for question
            answering and token classification; None takes a quarter of `max_length`,
            at most 128.
        max_answer_length: the most tokens of an answer to a question; None takes 30.
        window_pooling: classify a text that is too long by windows, the mean or the
            max of whose logits counts; None cuts it off, or does what the model was
            trained to do.
        embeddings: answer with one vector per text, the states of an encoder pooled by
            "mean", "max", "cls", "pooler" or others, of which several are joined as in
            "cls+mean"; see `keras_bert.serving.graph.embeddings`. None does what the
            sentence-transformers folder of the encoder says, "none" returns states.
        normalize: scale these vectors to length 1.
        prompt: put before every text whose vector is made; None takes the model's.
        round_weights: round weights once that a mixed policy rounds in every call;
            later changes of the model's weights then have no effect.

    Raises:
        ConfigError: an argument is out of range, or the model does not support it.
        InputError: the tokenizer or the labels do not match the model.
    """

    def __init__(
        self,
        model: keras.Model,
        tokenizer: BertTokenizer | None,
        max_length: int | None = None,
        labels: Sequence[str] | None = None,
        pairs: bool | None = None,
        *,
        doc_stride: int | None = None,
        max_answer_length: int | None = None,
        window_pooling: str | None = None,
        embeddings: str | None = None,
        normalize: bool = False,
        prompt: str | None = None,
        round_weights: bool = False,
    ):
        model = with_embeddings(model, embeddings, normalize)
        self.model, self.tokenizer = model, tokenizer
        self.task = task_of(model)
        windows = windows_of(model.config, self.task, doc_stride, window_pooling)
        if windows.pooling is not None:
            self.task, doc_stride = by_windows(self.task), windows.doc_stride
            max_length = max_length or windows.max_length
        elif max_length is None and doc_stride is None:
            max_length, doc_stride = windows.max_length, windows.doc_stride
        self.prompt = _prompt(model) if prompt is None else prompt
        if max_length is None and tokenizer is not None:
            max_length = model.max_text_length(tokenizer)
        max_length = _check_length(max_length, self.task, model.config)
        self.settings = AnswerSettings(
            _in_graph(tokenizer, max_length, model.config),
            _check_labels(labels, self.task, model.config),
            max_length,
            *_check_limits(doc_stride, max_answer_length, max_length, self.task),
            windows.pooling,
        )
        self.pairs = _takes_pairs(pairs, self.task, model.config)
        self._replaced_weights: low_precision_weights.Replacements = []
        policy = model.dtype_policy
        if round_weights and policy.compute_dtype != policy.variable_dtype:
            traced = self._chunk_function().get_concrete_function()
            self._replaced_weights = low_precision_weights.replacements(
                model.weights, traced
            )
        self._forward = self._forward_function()

    @cached_property
    def functions(self) -> dict[str, Callable]:
        """The functions to save, by signature name."""
        ids = self._forward.get_concrete_function()
        if self.settings.tokenizer is None:
            return {"serving_default": ids, "serve_ids": ids}
        functions = {
            "serving_default": self.on_text(self.pairs),
            "serve_ids": ids,
            "serve_examples": self._on_examples(),
        }
        if self.task.pairs:
            functions["serve_pairs"] = self.on_text(pairs=True)
        if isinstance(self.model, SentenceEncoder):
            functions["serve_embeddings"] = self._trace(self.task.single, with_counts)
        return functions

    def on_text(self, pairs: bool) -> Callable:
        """Returns the function from text, or text and `text_pair`, to answers."""
        return self._on_pairs if pairs else self._on_single

    @cached_property
    def _on_single(self) -> Callable:
        return self._trace(self.task.single)

    @cached_property
    def _on_pairs(self) -> Callable:
        return self._trace(self.task.pairs)

    def state(self) -> tf.Module:
        """Returns what the signatures need at run time: variables and tables.

        These are the variables rather than the Keras model, which would be stored in
        its own layout in addition: every weight twice.
        """
        state = tf.Module()
        copies = {id(weight): copy for weight, copy in self._replaced_weights}
        state.weights = [copies.get(id(w), w.value) for w in self.model.weights]
        state.tokenizer = self.settings.tokenizer
        return state

    def _chunk_function(self) -> tf.function:
        """Returns the model as a function of the ids of some rows."""
        compute = unpadded.forward if unpadded.supports(self.model) else _padded
        hidden = prompt_tokens(self.model, self.tokenizer, self.prompt)

        def outputs(*ids: tf.Tensor) -> Tensors:
            features = dict(zip(SERVED_INPUTS, ids, strict=True))
            with keras.StatelessScope() as scope, without_prompt(hidden):
                for replaced in self._replaced_weights:
                    scope.add_update(replaced)
                return named_outputs(compute(self.model, features))

        return tf.function(outputs, input_signature=self._ids, autograph=False)

    def _forward_function(self) -> tf.function:
        """Returns the model as a function of ids, which every signature calls."""
        config, limit = self.model.config, self.model.config.max_length
        message = f"input_ids are longer than max_position_embeddings={limit}"
        chunk = self._chunk_function()

        def forward(input_ids, attention_mask, token_type_ids):
            # A lookup past the end of the position table fails only on CPUs, and with a
            # less helpful message. Nothing runs before the checks.
            given = (input_ids, attention_mask, token_type_ids)
            shape, *others = map(tf.shape, given)
            checks = [tf.debugging.assert_less_equal(shape[-1], limit, message)]
            checks += [tf.debugging.assert_equal(x, shape, UNEQUAL) for x in others]
            checks += [_in_range(given[0], "input_ids", config.vocab_size)]
            if config.type_vocab_size:
                types = config.type_vocab_size
                checks += [_in_range(given[2], "token_type_ids", types)]
            with tf.control_dependencies(checks):
                ids = [tf.identity(x) for x in given]
            return in_chunks(chunk.get_concrete_function(), ids)

        return tf.function(forward, input_signature=self._ids, autograph=False)

    @property
    def _ids(self) -> list[tf.TensorSpec]:
        shape = [None] * len(names(self.task.axes))
        return [tf.TensorSpec(shape, tf.int32, name=name) for name in SERVED_INPUTS]

    def _answer(self, answer: Callable, **texts: tf.Tensor) -> Tensors:
        if "text_pair" in texts:
            counts = [tf.shape(text)[0] for text in texts.values()]
            tf.debugging.assert_equal(*counts, "Expected as many text_pair as text.")
        if self.prompt:
            texts["text"] = tf.strings.join([self.prompt, texts["text"]])
        features = self.task.encode(self.settings, **texts)
        outputs = self._forward(**{name: features[name] for name in SERVED_INPUTS})
        return answer(outputs, Request(texts, features, self.settings))

    def _trace(
        self, specs: dict[str, tf.TensorSpec], answer: Callable | None = None
    ) -> Callable:
        def serve(**texts: tf.Tensor) -> Tensors:
            return self._answer(answer or self.task.answer, **texts)

        return tf.function(serve, autograph=False).get_concrete_function(**specs)

    def _on_examples(self) -> Callable:
        specs = self.task.pairs if self.pairs else self.task.single
        parsing = {name: EXAMPLE_FEATURES[len(s.shape)] for name, s in specs.items()}

        def serve_examples(inputs: tf.Tensor) -> Tensors:
            answer = self.on_text(self.pairs)(**tf.io.parse_example(inputs, parsing))
            return self.task.examples(answer, self.settings)

        spec = tf.TensorSpec([None], tf.string, name="inputs")
        return tf.function(serve_examples, autograph=False).get_concrete_function(spec)


def named_outputs(outputs) -> Tensors:
    """Returns a model's outputs as a flat dict of float32 tensors.

    SavedModel does not support tuples, nor JSON 16-bit floats.

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


def prompt_tokens(
    model: keras.Model, tokenizer: BertTokenizer | None, prompt: str
) -> int:
    """Returns how many tokens of a row are a prompt that is not pooled.

    Args:
        model: any model.
        tokenizer: of its texts.
        prompt: what is put before a text.
    """
    pooled = not isinstance(model, SentenceEncoder) or model.recipe.include_prompt
    if pooled or not prompt or tokenizer is None:
        return 0
    ids = tokenizer.encode_batch([prompt])["input_ids"]
    return ids.shape[1] - 1  # with [CLS], without [SEP]


def _prompt(model: keras.Model) -> str:
    return model.recipe.prompt(None) if isinstance(model, SentenceEncoder) else ""


def _in_range(ids: tf.Tensor, name: str, size: int) -> tf.Operation:
    expected = f"Expected {name} from 0 to {size - 1}. Received: from"
    found = [expected, tf.reduce_min(ids), "to", tf.reduce_max(ids)]
    return tf.debugging.Assert(tf.reduce_all((ids >= 0) & (ids < size)), found)


def _padded(model: keras.Model, features: Tensors):
    if getattr(model, "window_query", None):  # whose scores are used here
        return model.all_outputs(features)
    return model(features, training=False)


# === Checks ===


def _in_graph(
    tokenizer: BertTokenizer | None, max_length: int, config
) -> "InGraphTokenizer | None":
    if tokenizer is None:
        return None
    if len(tokenizer) > config.vocab_size:
        raise InputError(
            f"Expected a tokenizer of at most vocab_size={config.vocab_size} tokens. "
            f"Received: {len(tokenizer)} tokens. Pass the tokenizer the model was "
            "trained with."
        )
    from keras_bert.tokenization import InGraphTokenizer

    return InGraphTokenizer.from_tokenizer(tokenizer, max_length)


def _check_length(max_length: int | None, task: ServedTask, config) -> int:
    limit = config.max_length
    max_length = limit if max_length is None else max_length
    least = 6 if task.limits else 3  # [CLS] and two [SEP]; windows must advance
    if not least <= max_length <= limit:
        raise ConfigError(
            f"Expected max_length from {least} to max_position_embeddings={limit}. "
            f"Received: {max_length}."
        )
    return max_length


def _check_limits(
    doc_stride: int | None,
    max_answer_length: int | None,
    max_length: int,
    task: ServedTask,
) -> tuple[int, int]:
    limits = {"doc_stride": doc_stride, "max_answer_length": max_answer_length}
    unused = [n for n, v in limits.items() if v is not None and n not in task.limits]
    if unused:
        raise ConfigError(f"Expected no {unused[0]}: {task.name} does not use it.")
    if doc_stride is None:
        doc_stride = max(min(DOC_STRIDE, max_length // 4), 1)
    elif not 1 <= doc_stride <= max_length // 2 - 2:
        raise ConfigError(
            f"Expected doc_stride from 1 to {max_length // 2 - 2}, less than half of "
            f"max_length={max_length}. Received: {doc_stride}."
        )
    if max_answer_length is None:
        max_answer_length = MAX_ANSWER_LENGTH
    if max_answer_length < 1:
        raise ConfigError(
            f"Expected max_answer_length above 0. Received: {max_answer_length}."
        )
    return doc_stride, max_answer_length


def _check_labels(
    labels: Sequence[str] | None, task: ServedTask, config
) -> tuple[str, ...]:
    named = config.id2label is not None or not task.labels
    expected = tuple(config.labels if named else task.labels)
    labels = expected if labels is None else tuple(map(str, labels))
    if len(labels) != len(expected):
        raise InputError(
            f"Expected {len(expected)} labels, as many as the model has classes. "
            f"Received: {len(labels)}: {', '.join(labels)}."
        )
    return labels


def _takes_pairs(pairs: bool | None, task: ServedTask, config) -> bool:
    if pairs is None:
        glue_task = str(config.extra.get("finetuning_task", "")).lower()
        return task.single is None or bool(task.pairs and glue_task in PAIR_TASKS)
    if not pairs and task.single is None:
        raise ConfigError(f"Expected pairs=True or None: {task.name} takes two texts.")
    if pairs and task.pairs is None:
        raise ConfigError(f"Expected pairs=False or None: {task.name} takes one text.")
    return pairs
