"""Classification and regression of texts or pairs of texts.

Encodes examples as `(features, labels)` for a sequence classification model, and writes
its predictions.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_bert.atomic_files import new_file
from keras_bert.errors import InputError, check_counts
from keras_bert.tasks.examples import Example
from keras_bert.tasks.trimming import grouped

if TYPE_CHECKING:
    import tensorflow as tf

Features = dict[str, np.ndarray]
GROUPED = 50  # batches, as in transformers
LARGEST = float(np.finfo("float32").max)

# === Features ===


def label_names(examples: Iterable[Example]) -> list[str]:
    """Returns the classes found in examples: sorted, whole numbers by their value."""
    found = label_counts(examples)
    whole = all(name.isascii() and name.isdecimal() for name in found)
    return sorted(found, key=lambda name: (len(name), name) if whole else name)


def label_counts(examples: Iterable[Example]) -> Counter[str]:
    """Returns the number of examples of each class."""
    counts: Counter[str] = Counter()
    for example in examples:
        counts.update(_labels_of(example))
    return counts


def _labels_of(example: Example) -> Sequence[str]:
    if example.label is None:
        return ()
    return [example.label] if isinstance(example.label, str) else example.label


def encode(
    examples: Sequence[Example],
    tokenizer: Any,
    max_length: int | None,
    labels: Sequence[str] | None = None,
    *,
    source: str = "",
    stride: int | None = None,
) -> tuple[Features, np.ndarray | None]:
    """Turns examples into a model's inputs and labels.

    Args:
        examples: all with a second text, or none.
        tokenizer: a `BertTokenizer`.
        max_length: the most tokens per row; None takes the tokenizer's limit.
        labels: the classes in the order of their ids; None reads labels as numbers, for
            regression.
        source: the name of their file, for messages.
        stride: tokens by which the rows of a text that is too long for one overlap;
            None cuts it off. `overflow_to_sample_mapping` then is the example of each
            row, and the labels are still those of examples.

    Returns:
        Features `(examples, seq)` int32; labels `(examples,)`, int32 ids or float32
        numbers, `(examples, classes)` float32 zeros and ones for lists of labels, or
        None if an example has none.

    Raises:
        InputError: a label is not in `labels`, or not a number; or only some examples
            have a second text.
    """
    texts = [e.text for e in examples]
    pairs = _pairs(examples)
    options = {"stride": stride} if stride else {}
    features = tokenizer.encode_batch(
        texts, text_pairs=pairs, max_length=max_length, **options
    )
    return features, targets(examples, labels, source=source)


def targets(
    examples: Sequence[Example], labels: Sequence[str] | None, *, source: str = ""
) -> np.ndarray | None:
    """Returns the labels of examples as a model takes them; see `encode`."""
    if any(e.label is None for e in examples):
        return None
    if labels is None:
        return numbers(examples, source)
    several = any(isinstance(e.label, tuple) for e in examples)
    return (_flags if several else _ids)(examples, labels, source)


def token_counts(
    examples: Sequence[Example], tokenizer: Any, batch_size: int = 256
) -> np.ndarray:
    """Returns how many tokens each example has before any are cut off, `(examples,)`.

    Args:
        examples: see `encode`.
        tokenizer: a `BertTokenizer`.
        batch_size: rows that are padded to the longest of them at a time.
    """
    counts = []
    for begin in range(0, len(examples), batch_size):
        batch = examples[begin : begin + batch_size]
        rows = tokenizer.encode_batch(
            [e.text for e in batch], text_pairs=_pairs(batch), truncation=False
        )
        counts.append(rows["attention_mask"].sum(1))
    return np.concatenate(counts)


def _pairs(examples: Sequence[Example]) -> list[str] | None:
    pairs = [e.text_pair for e in examples if e.text_pair is not None]
    if len(pairs) not in (0, len(examples)):
        raise InputError(
            f"Expected a second text in all {len(examples)} examples, or in none. "
            f"Received: {len(pairs)} with one."
        )
    return pairs or None


def _ids(examples: Sequence[Example], labels: Sequence[str], source: str) -> np.ndarray:
    id_of = _id_of(examples, labels, source)
    return np.array([id_of[e.label] for e in examples], "int32")


def _flags(
    examples: Sequence[Example], labels: Sequence[str], source: str
) -> np.ndarray:
    """Returns which labels apply, `(examples, classes)`."""
    id_of = _id_of(examples, labels, source)
    flags = np.zeros((len(examples), len(labels)), "float32")
    for row, example in zip(flags, examples, strict=True):
        row[[id_of[name] for name in _labels_of(example)]] = 1
    return flags


def _id_of(
    examples: Sequence[Example], labels: Sequence[str], source: str
) -> dict[str, int]:
    id_of = {label: i for i, label in enumerate(labels)}
    for example in examples:
        for name in _labels_of(example):
            if name not in id_of:
                raise InputError(
                    f"Expected labels among {', '.join(labels)}. Received: {name!r}"
                    f"{_where(example, source)}. If classes have other names in the "
                    "file, pass these in the order of their ids (labels=, --labels)."
                )
    return id_of


def _where(example: Example, source: str) -> str:
    row = "" if example.row is None else f" in row {example.row}"
    return f"{row} of {source}" if row and source else row


def numbers(examples: Sequence[Example], source: str = "") -> np.ndarray:
    """Returns the labels of examples as numbers, float32 `(examples,)`.

    Args:
        examples: with labels.
        source: the name of their file, for messages.

    Raises:
        InputError: a label is not a finite number.
    """
    return np.array([number_of(example, source) for example in examples], "float32")


def number_of(example: Example, source: str = "") -> float:
    """Returns the label of an example as a number.

    Raises:
        InputError: it is none, or not finite.
    """
    text = str(example.label)
    try:
        number = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        number = math.nan
    if not abs(number) <= LARGEST:  # nor is NaN
        raise InputError(
            "Expected a finite number as the label of every example. Received: "
            f"{example.label!r}{_where(example, source)}."
        )
    return number


def dataset(
    features: Features,
    labels: Any,
    batch_size: int,
    weights: Any = None,
    *,
    shuffle_seed: int | None = None,
    repeat: bool = False,
    group_by_length: bool = False,
) -> "tf.data.Dataset":
    """Batches features and labels for `fit`, `evaluate` and `predict`.

    Args:
        features: arrays `(examples, seq)` by input name.
        labels: `(examples, …)`, several by output name, or None.
        batch_size: examples per batch; the last batch may be smaller.
        weights: of the labels, in the same form, or None.
        shuffle_seed: seed for shuffling, in a new order in every epoch; None keeps the
            order.
        repeat: repeat forever.
        group_by_length: make shuffled batches of rows of like lengths, sorted within
            every `GROUPED` batches.

    Returns:
        A `tf.data.Dataset` of `(features, labels)`, or of features if there are none;
        or of `(features, labels, weights)`.

    Raises:
        ConfigError: the batch size is below 1.
    """
    check_counts(batch_size=batch_size)
    import tensorflow as tf

    rows = features if labels is None else (features, labels)
    rows = rows if weights is None else (features, labels, weights)
    data = tf.data.Dataset.from_tensor_slices(rows)
    if shuffle_seed is not None:
        size = len(next(iter(features.values())))
        data = data.shuffle(size, seed=shuffle_seed, reshuffle_each_iteration=True)
    data = data.repeat() if repeat else data
    if group_by_length and shuffle_seed is not None:
        data = grouped(data, GROUPED * batch_size, batch_size, shuffle_seed)
    else:
        data = data.batch(batch_size)
    return data.prefetch(tf.data.AUTOTUNE)


# === Predictions ===


def write_predictions(
    path: str | Path,
    examples: Sequence[Example],
    logits: np.ndarray,
    labels: Sequence[str] | None = None,
    *,
    multi_label: bool = False,
    overwrite: bool = False,
) -> None:
    """Writes one prediction per line, as JSON.

    A line has the row and the id, the texts, the `prediction`, the `label` if it is
    known, and for classification the `probability` of every class.

    Args:
        path: the `.jsonl` file to write.
        examples: the examples; those without text, which are blank rows, get the
            prediction null.
        logits: `(examples, classes)`, of the examples with text.
        labels: the classes in the order of their ids; None for regression.
        multi_label: whether each class applies or not; a prediction is then a list.
        overwrite: replace an existing file.

    Raises:
        InputError: the shape of the logits does not match examples and labels.
        ExistingOutputError: the file exists and `overwrite` is False.
    """
    logits = np.asarray(logits, "float64").reshape(len(logits), -1)
    answered = sum(example.text is not None for example in examples)
    expected = (answered, 1 if labels is None else len(labels))
    if logits.shape != expected:
        raise InputError(
            f"Expected logits of shape {expected}, examples by classes. "
            f"Received: {logits.shape}."
        )
    answer = _answer_of(labels, multi_label)
    rows = iter(logits)
    with new_file(path, overwrite) as partial, partial.open("w", encoding="utf-8") as f:
        for example in examples:
            blank = example.text is None
            line = {**_given(example), **(_BLANK if blank else answer(next(rows)))}
            f.write(json.dumps(line, ensure_ascii=False) + "\n")


_BLANK = {"prediction": None}


def _given(example: Example) -> dict[str, Any]:
    values = {name: getattr(example, name) for name in ("text", "text_pair", "label")}
    return {
        **example.place,
        **{name: value for name, value in values.items() if value is not None},
    }


def _answer_of(
    labels: Sequence[str] | None, multi_label: bool
) -> Callable[[np.ndarray], Mapping[str, Any]]:
    def number(row: np.ndarray) -> dict[str, Any]:
        return {"prediction": float(row[0])}

    def best(row: np.ndarray) -> dict[str, Any]:
        exponents = np.exp(row - row.max())
        return {
            "prediction": labels[int(row.argmax())],
            "probability": shares(exponents / exponents.sum()),
        }

    def each(row: np.ndarray) -> dict[str, Any]:
        applying = [name for name, x in zip(labels, row, strict=True) if x > 0]
        probability = np.exp(-np.logaddexp(0, -row))  # no overflow
        return {"prediction": applying, "probability": shares(probability)}

    def shares(values: np.ndarray) -> dict[str, float]:
        return dict(zip(labels, values.round(6).tolist(), strict=True))

    if labels is None:
        return number
    return each if multi_label else best
