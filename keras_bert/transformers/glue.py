"""Examples of GLUE's tasks to the features of a model, as older scripts make them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from keras_bert.errors import InputError, choose
from keras_bert.transformers.rows import rows_of
from keras_bert.transformers.tokenizers import PreTrainedTokenizerBase


@dataclass
class InputExample:
    """A text or pair, and its label.

    Args:
        guid: its name.
        text_a: the text.
        text_b: the second text.
        label: the label; of a regression a number.
    """

    guid: Any
    text_a: str
    text_b: str | None = None
    label: Any = None

    def to_json_string(self) -> str:
        """Returns the example in JSON."""
        return json.dumps(asdict(self), indent=2) + "\n"


@dataclass(frozen=True)
class InputFeatures:
    """The inputs of a model for one text or pair.

    Args:
        input_ids: ids of tokens.
        attention_mask: 1 for tokens, 0 for padding.
        token_type_ids: 0 for the first text, 1 for the second.
        label: the index of the label, or a number.
    """

    input_ids: list[int]
    attention_mask: list[int] | None = None
    token_type_ids: list[int] | None = None
    label: int | float | None = None

    def to_json_string(self) -> str:
        """Returns the features in JSON."""
        return json.dumps(asdict(self)) + "\n"


class Task(NamedTuple):
    """A task of GLUE.

    Attributes:
        texts: the names of its texts in `tensorflow_datasets`.
        labels: its labels; none for a regression.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...] = ("0", "1")


_PAIR, _NLI = ("sentence1", "sentence2"), ("entailment", "not_entailment")
_MNLI = Task(("premise", "hypothesis"), ("contradiction", "entailment", "neutral"))
TASKS = {
    "cola": Task(("sentence",)),
    "mnli": _MNLI,
    "mnli-mm": _MNLI,
    "mrpc": Task(_PAIR),
    "sst-2": Task(("sentence",)),
    "sts-b": Task(_PAIR, ()),
    "qqp": Task(("question1", "question2")),
    "qnli": Task(("question", "sentence"), _NLI),
    "rte": Task(_PAIR, _NLI),
    "wnli": Task(_PAIR),
}
glue_tasks_num_labels = {k: len(t.labels) or 1 for k, t in TASKS.items()}
glue_output_modes = {
    name: "classification" if task.labels else "regression"
    for name, task in TASKS.items()
}


def glue_convert_examples_to_features(
    examples: Any,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int | None = None,
    task: str | None = None,
    label_list: Sequence[Any] | None = None,
    output_mode: str | None = None,
) -> Any:
    """Tokenizes examples.

    Args:
        examples: a list of `InputExample`, or a dataset of `tensorflow_datasets`.
        tokenizer: pads and truncates to `max_length`.
        max_length: tokens per row; None is the tokenizer's `model_max_length`.
        task: of GLUE; a dataset needs it.
        label_list: the labels in the order of their indices; None is that of the task.
        output_mode: "classification" or "regression"; None is that of the task.

    Returns:
        A list of `InputFeatures`, or a `tf.data.Dataset` of (inputs, label): int32
        `(max_length,)` by name, and a scalar.

    Raises:
        UnknownNameError: there is no such task.
        InputError: a label is not in the list, or neither a task nor labels are given.
    """
    known = None if task is None else TASKS[choose("task of GLUE", task, TASKS)]
    if not isinstance(examples, list | tuple):
        return _dataset(examples, tokenizer, max_length, known)
    if known:
        label_list = known.labels if label_list is None else label_list
        output_mode = output_mode or ("regression" if not known.labels else None)
    labels = [_label(example, label_list, output_mode) for example in examples]
    return _features(examples, labels, tokenizer, max_length)


def _label(
    example: InputExample, label_list: Sequence[Any] | None, output_mode: str | None
) -> int | float | None:
    if example.label is None:
        return None
    if output_mode == "regression":
        return float(example.label)
    if label_list is None or example.label not in label_list:
        shown = "no list" if label_list is None else ", ".join(map(repr, label_list))
        raise InputError(
            f"Expected the label of example {example.guid!r} in label_list. Received: "
            f"{example.label!r} and {shown}."
        )
    return list(label_list).index(example.label)


def _features(
    examples: Iterable[InputExample],
    labels: Iterable[Any],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int | None,
) -> list[InputFeatures]:
    texts = [e.text_a if e.text_b is None else (e.text_a, e.text_b) for e in examples]
    batch = tokenizer(
        texts, max_length=max_length, padding="max_length", truncation=True
    )
    rows = rows_of(batch)
    return [InputFeatures(**r, label=x) for r, x in zip(rows, labels, strict=True)]


def _dataset(
    rows: Any,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int | None,
    task: Task | None,
) -> Any:
    import tensorflow as tf

    if task is None:
        raise InputError("Expected task, the name of a task of GLUE. Received: None.")
    number, dtype = (int, tf.int64) if task.labels else (float, tf.float32)
    examples, labels = [], []
    for row in rows.as_numpy_iterator():
        texts = [row[name].decode() for name in task.texts]
        examples.append(InputExample(row.get("idx"), *texts))
        labels.append(number(row["label"]))
    features = [asdict(f) for f in _features(examples, labels, tokenizer, max_length)]
    names = [k for k in tokenizer.model_input_names if features[0][k] is not None]
    inputs = {name: tf.constant([f[name] for f in features]) for name in names}
    return tf.data.Dataset.from_tensor_slices((inputs, tf.constant(labels, dtype)))
