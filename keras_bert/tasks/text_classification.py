"""Classification and regression of texts or pairs of texts.

Reads tab-separated, comma-separated and JSON-lines files with named columns, and
encodes them as `(features, labels)` for a sequence classification model.
"""

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_bert.atomic_files import new_file
from keras_bert.errors import InputError, MissingFileError, choose

if TYPE_CHECKING:
    import tensorflow as tf

Features = dict[str, np.ndarray]


@dataclass(frozen=True)
class Example:
    """A text to classify.

    Attributes:
        text: the text, or the first of a pair.
        text_pair: the second of a pair.
        label: the name of the class, a number as a string, or None if unknown.
    """

    text: str
    text_pair: str | None = None
    label: str | None = None


# === Reading ===


def read_examples(
    path: str | Path,
    *,
    text: str = "text",
    text_pair: str | None = None,
    label: str | None = "label",
) -> list[Example]:
    """Reads a labeled file.

    Args:
        path: a `.tsv`, `.csv` or `.jsonl` file, the first two with a header line.
        text: name of the column with the text.
        text_pair: name of the column with the second text, if there is one.
        label: name of the column with the label; None reads no labels.

    Raises:
        MissingFileError: there is no such file.
        UnknownNameError: the file has another suffix.
        InputError: a column is missing, a line is invalid, or the file has no examples.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "reviews.tsv"
        >>> _ = path.write_text("text\\tlabel\\nA fine film.\\tgood\\n")
        >>> read_examples(path)
        [Example(text='A fine film.', text_pair=None, label='good')]
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"Expected a file of examples at {path}; none is there.")
    rows = READERS[choose("kind of file", path.suffix.lower(), READERS)]
    columns = {"text": text, "text_pair": text_pair, "label": label}
    wanted = {key: column for key, column in columns.items() if column is not None}
    try:
        examples = [_example(row, wanted, path, line) for line, row in rows(path)]
    except (csv.Error, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"Expected examples in {path}. Received: {error}.") from error
    if not examples:
        raise InputError(f"Expected at least one example in {path}; it has none.")
    return examples


def _rows_of_tsv(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    # As in GLUE: quotation marks are text, and nothing is escaped.
    return _rows_of_table(path, delimiter="\t", quoting=csv.QUOTE_NONE)


def _rows_of_csv(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    return _rows_of_table(path, delimiter=",")


def _rows_of_table(path: Path, **form) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True, **form)
        for row in reader:
            yield reader.line_num, row


def _rows_of_jsonl(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, json.loads(line)


READERS: Mapping[str, Callable[[Path], Iterator[tuple[int, Mapping[str, Any]]]]] = {
    ".tsv": _rows_of_tsv,
    ".csv": _rows_of_csv,
    ".jsonl": _rows_of_jsonl,
}


def _example(
    row: Mapping[str, Any], wanted: Mapping[str, str], path: Path, line: int
) -> Example:
    if not isinstance(row, Mapping):
        raise InputError(f"Expected an object in line {line} of {path}.")
    missing = [column for column in wanted.values() if row.get(column) is None]
    if missing:
        found = ", ".join(str(name) for name in row if name is not None)
        raise InputError(
            f"Expected the column {missing[0]!r} in line {line} of {path}. "
            f"Received: {found}. Give the names of the file's columns."
        )
    return Example(**{key: str(row[column]) for key, column in wanted.items()})


# === Features ===


def label_names(examples: Iterable[Example]) -> list[str]:
    """Returns the classes found in examples, sorted."""
    return sorted({e.label for e in examples if e.label is not None})


def encode(
    examples: Sequence[Example],
    tokenizer: Any,
    max_length: int | None,
    labels: Sequence[str] | None = None,
) -> tuple[Features, np.ndarray | None]:
    """Turns examples into a model's inputs and labels.

    Args:
        examples: all with a second text, or none.
        tokenizer: a `BertTokenizer`.
        max_length: the most tokens per row; None takes the tokenizer's limit.
        labels: the classes in the order of their ids; None reads labels as numbers, for
            regression.

    Returns:
        Features `(examples, seq)` int32; labels `(examples,)`, int32 ids or float32
        numbers, or None if an example has none.

    Raises:
        InputError: a label is not in `labels`, or not a number; or only some examples
            have a second text.
    """
    texts = [e.text for e in examples]
    features = tokenizer(texts, text_pairs=_pairs(examples), max_length=max_length)
    found = [e.label for e in examples]
    if None in found:
        return features, None
    return features, _numbers(found) if labels is None else _ids(found, labels)


def _pairs(examples: Sequence[Example]) -> list[str] | None:
    pairs = [e.text_pair for e in examples if e.text_pair is not None]
    if len(pairs) not in (0, len(examples)):
        raise InputError(
            f"Expected a second text in all {len(examples)} examples, or in none. "
            f"Received: {len(pairs)} with one."
        )
    return pairs or None


def _ids(found: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    id_of = {label: i for i, label in enumerate(labels)}
    unknown = sorted(set(found) - set(id_of))
    if unknown:
        raise InputError(
            f"Expected labels among {', '.join(labels)}. "
            f"Received: {', '.join(map(repr, unknown))}."
        )
    return np.array([id_of[label] for label in found], "int32")


def _numbers(found: Sequence[str]) -> np.ndarray:
    try:
        numbers = np.array(found, "float32")
    except ValueError as error:
        raise InputError(
            f"Expected a number as the label of every example. Received: {error}."
        ) from error
    if not np.isfinite(numbers).all():
        raise InputError("Expected finite numbers as labels; one is NaN or infinite.")
    return numbers


def dataset(
    features: Features,
    labels: np.ndarray | None,
    batch_size: int,
    *,
    shuffle_seed: int | None = None,
    repeat: bool = False,
) -> "tf.data.Dataset":
    """Batches features and labels for `fit`, `evaluate` and `predict`.

    Args:
        features: arrays `(examples, seq)` by input name.
        labels: `(examples,)`, or None.
        batch_size: examples per batch; the last batch may be smaller.
        shuffle_seed: seed for shuffling, in a new order in every epoch; None keeps the
            order.
        repeat: repeat forever.

    Returns:
        A `tf.data.Dataset` of `(features, labels)`, or of features if there are none.
    """
    import tensorflow as tf

    rows = features if labels is None else (features, labels)
    data = tf.data.Dataset.from_tensor_slices(rows)
    if shuffle_seed is not None:
        size = len(next(iter(features.values())))
        data = data.shuffle(size, seed=shuffle_seed, reshuffle_each_iteration=True)
    data = data.repeat() if repeat else data
    return data.batch(batch_size).prefetch(tf.data.AUTOTUNE)


# === Predictions ===


def write_predictions(
    path: str | Path,
    examples: Sequence[Example],
    logits: np.ndarray,
    labels: Sequence[str] | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Writes one prediction per line, as JSON.

    A line has the texts, the `prediction`, the `label` if it is known, and for
    classification the `probability` of every class.

    Args:
        path: the `.jsonl` file to write.
        examples: the examples.
        logits: `(examples, classes)`.
        labels: the classes in the order of their ids; None for regression.
        overwrite: replace an existing file.

    Raises:
        InputError: the shape of the logits does not match examples and labels.
        ExistingOutputError: the file exists and `overwrite` is False.
    """
    logits = np.asarray(logits, "float64").reshape(len(logits), -1)
    expected = (len(examples), 1 if labels is None else len(labels))
    if logits.shape != expected:
        raise InputError(
            f"Expected logits of shape {expected}, examples by classes. "
            f"Received: {logits.shape}."
        )
    answer = _number_of if labels is None else _class_of
    with new_file(path, overwrite) as partial, partial.open("w", encoding="utf-8") as f:
        for example, row in zip(examples, logits, strict=True):
            given = {k: v for k, v in vars(example).items() if v is not None}
            line = {**given, **answer(row, labels)}
            f.write(json.dumps(line, ensure_ascii=False) + "\n")


def _number_of(row: np.ndarray, labels: None) -> dict[str, Any]:
    return {"prediction": float(row[0])}


def _class_of(row: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    exponents = [math.exp(value - row.max()) for value in row]
    probability = {
        label: round(value / sum(exponents), 6)
        for label, value in zip(labels, exponents, strict=True)
    }
    return {"prediction": labels[int(row.argmax())], "probability": probability}
