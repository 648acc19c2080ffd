"""Tasks on texts, or pairs of texts: classes, several labels each, numbers."""

import logging
from collections.abc import Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from keras_bert.analysis.report import Mistakes, Section
from keras_bert.errors import ConfigError, InputError, check_counts, choose
from keras_bert.tasks import findings
from keras_bert.tasks import metrics as scores
from keras_bert.tasks.examples import Example, filled, iter_examples
from keras_bert.tasks.labels import (
    LISTS,
    are_lists,
    check_lists,
    counted,
    label_names,
)
from keras_bert.tasks.reranking import Reranking
from keras_bert.tasks.tables import Column, Table
from keras_bert.tasks.task import MEMORY, Task, is_file
from keras_bert.tasks.text_classification import (
    encode,
    label_counts,
    number_of,
    targets,
    token_counts,
    write_predictions,
)

log = logging.getLogger(__name__)
LEARNED, NONE = "learned", "none"
WINDOW_POOLINGS = ("mean", "max", LEARNED)  # of `keras_bert.layers.heads`
LABELS = (str, int, float, np.generic)


class TextTask(Reranking, Task):
    """A task whose items are `Example`s: a text or a pair, and its label.

    Data is a table, see `keras_bert.tasks.read_examples`; a list of `Example`s; or a
    list of strings or of pairs of strings, with a list of labels.
    """

    head = "sequence_classification"
    numbers: ClassVar[bool | None] = None  # whether labels are numbers
    settings: ClassVar[Mapping[str, Any]] = {
        "doc_stride": None,
        "window_pooling": "mean",
    }
    reading = (
        *("text", "text_pair", "label", "id", "label_separator"),
        *("format", "header", "delimiter", "encoding"),
    )

    def __init__(self, source: Any, *args: Any, **options: Any):
        super().__init__(source, *args, **options)
        pooling = self.options["window_pooling"]
        choose("window_pooling", pooling, (*WINDOW_POOLINGS, NONE))
        if pooling == NONE:
            self.options["doc_stride"] = None
        elif options.get("window_pooling") and self.options["doc_stride"] is None:
            raise ConfigError(
                "Expected doc_stride (--doc-stride) with window_pooling: without "
                f"windows there is nothing to pool. Received: {pooling!r} alone."
            )
        if self.options["doc_stride"] is not None:
            check_counts(doc_stride=self.options["doc_stride"])
            if self._model is not None:
                self._require_learned()
                self._model.window_pooling = pooling

    def _require_learned(self) -> None:
        """Raises if windows shall be weighed by a model that did not learn it."""
        learned = self.options["doc_stride"] and self.options["window_pooling"]
        if learned == LEARNED and not self.config.learned_windows:
            raise InputError(
                "Expected a model that has learned how much a window counts. Received: "
                "one that was not trained so. Train it, or pass window_pooling='mean' "
                "or 'max' (--window-pooling)."
            )

    def _require_head(self) -> None:
        super()._require_head()
        self._require_learned()
        found = label_names(self.config) is None
        if self.numbers not in (None, found):
            kinds = {True: TextRegression, False: TextClassification}
            raise InputError(
                f"Expected a model trained for {self.name}. Received: one for "
                f"{kinds[found].name}, in {self.checkpoint.path}. Load it with "
                f"{kinds[found].__name__}."
            )

    def rows(
        self,
        source: Any,
        labels: Any = None,
        *,
        labeled: bool = True,
        text: Column = "text",
        text_pair: Column | None = None,
        label: Column = "label",
        id: Column | None = None,
        label_separator: str | None = None,
        **options: Any,
    ) -> list[Example]:
        if not is_file(source):
            return examples_in_memory(source, labels, labeled=labeled)
        wanted = {"text": text, "text_pair": text_pair or "text_pair", "id": id}
        wanted |= {"label": label} if labeled else {}
        optional = () if text_pair else ("text_pair",)
        table, separator = Table(source, **options), label_separator
        return list(iter_examples(table, wanted, optional, label_separator=separator))

    @classmethod
    def fits(cls, model: Any) -> bool:
        numbers = label_names(model.config) is None
        return super().fits(model) and numbers == (cls is TextRegression)

    def filled(self, rows: list, name: str, *, labeled: bool = True) -> list[Example]:
        return filled(rows, name, labeled=labeled)

    @property
    def labels(self) -> list[str] | None:
        """The classes in the order of their ids; None for numbers."""
        return label_names(self.config, self.given_labels)

    def encode(
        self, items: list[Example], *, labeled: bool = True, name: str = MEMORY
    ) -> tuple[dict[str, np.ndarray], Any]:
        if not labeled:
            items = [Example(e.text, e.text_pair) for e in items]
        length, stride = self.row_length, self.options["doc_stride"]
        place = self.tokenizer, length, self.labels
        features, answers = encode(items, *place, source=name, stride=stride)
        if not stride:
            _warn_of_cut(features["attention_mask"], length, name)
            return features, answers
        text_of = features.pop("overflow_to_sample_mapping")
        return {k: by_text(x, text_of) for k, x in features.items()}, answers

    def make_model(self, fields: Mapping[str, Any]) -> Any:
        pooling = self.options["doc_stride"] and self.options["window_pooling"]
        if pooling == LEARNED:
            fields = {**fields, "extra": {"window_pooling": LEARNED}}
        model = super().make_model(fields)
        if pooling:
            model.window_pooling = pooling
        return model

    def batches(self, model: Any, rows: tuple, size: int, **options: Any) -> Any:
        found = super().batches(model, rows, size, **options)
        if not self.options["doc_stride"]:
            return found
        return found.map(lambda features, *others: (_trimmed(features), *others))

    def score(
        self, items: list[Example], outputs: Any, metrics: Sequence[str] | None = None
    ) -> dict[str, float]:
        return scores.score(targets(items, self.labels), outputs, metrics)

    def mistakes(self, items: list[Example], outputs: Any) -> Mistakes:
        answers = targets(items, self.labels)
        return findings.mistakes(items, answers, np.asarray(outputs), self.labels)

    def sections(self, items: list[Example], outputs: Any) -> list[Section]:
        answers = targets(items, self.labels)
        texts = [e.text for e in items]
        return findings.sections(answers, np.asarray(outputs), self.labels, texts)

    def lengths(self, items: list[Example]) -> np.ndarray:
        return token_counts(items, self.tokenizer)

    def class_facts(self, items: list[Example]) -> dict[str, Any]:
        if not self.labels:
            values = targets(items, None)
            return {"smallest": float(values.min()), "largest": float(values.max())}
        counts = label_counts(items)
        sizes = [counts[name] for name in self.labels]
        return {
            "classes": len(sizes),
            "rows of a class": f"{min(sizes):,} to {max(sizes):,}",
        }

    def describe(self, items: list[Example]) -> list[str]:
        classes = len(self.labels) if self.labels else "no"
        return [*super().describe(items), f"{classes} classes"]

    def stratum(self, item: Example) -> Any:
        lists = isinstance(item.label, tuple)
        return tuple(sorted(item.label)) if lists else item.label

    def counts(self, items: list[Example]) -> str:
        if not self.labels:
            return ""
        return f"Examples of each class: {counted(items, self.labels)}."

    def write_predictions(
        self,
        path: str | Path,
        rows: list[Example],
        outputs: Any,
        *,
        overwrite: bool = False,
    ) -> None:
        """Writes a line for every row, see `keras_bert.tasks.write_predictions`."""
        write_predictions(
            path,
            rows,
            outputs,
            self.labels,
            multi_label=self.config.problem_type == LISTS,
            overwrite=overwrite,
        )

    def predict(
        self,
        texts: Any,
        text_pairs: Sequence[str] | None = None,
        **options: Any,
    ) -> list[dict[str, Any]]:
        from keras_bert.models.texts import columns

        if text_pairs is None:
            texts, pairs = columns(texts)
            text_pairs = None if pairs is None else pairs.tolist()
        if self.labels is not None:
            options = {"labels": self.labels} | options
        return super().predict(list(texts), text_pairs, **options)


class TextClassification(TextTask):
    """Gives a text, or a pair of texts, one of several classes, or all that apply.

    Where the labels of the data are lists, each class applies or not, and an answer has
    all `labels` with a probability above one half.

    Example:
        >>> task = TextClassification.from_pretrained("ckpt/")  # doctest: +SKIP
        >>> task.fit(["fine", "dull"], ["good", "bad"], epochs=9)  # doctest: +SKIP
        >>> task.predict(["fine"])[0]["label"]  # doctest: +SKIP
        'good'
    """

    name = "classification"
    numbers = False

    def config_fields(self, items: list[Example], name: str) -> dict[str, Any]:
        several = are_lists(items)
        check_lists(items, several, name)
        kind = LISTS if several else "single_label_classification"
        classes = self.classes_to_train(items, name)
        return {"id2label": dict(enumerate(classes)), "problem_type": kind}

    @property
    def labels(self) -> list[str] | None:
        training = self._model is None and self.given_labels
        return self.given_labels if training else super().labels

    def check_items(self, items: list[Example], name: str) -> None:
        check_lists(items, self.config.problem_type == LISTS, name)

    def predict(
        self,
        texts: Any,
        text_pairs: Sequence[str] | None = None,
        **options: Any,
    ) -> list[dict[str, Any]]:
        found = super().predict(texts, text_pairs, **options)
        if self.config.problem_type == LISTS:
            return [with_all_labels(answer, self.labels) for answer in found]
        return [{**a, "score": max(a["probabilities"])} for a in found]


class TextRegression(TextTask):
    """Gives a text, or a pair of texts, a number.

    Example:
        >>> task = TextRegression.from_pretrained("ckpt/")  # doctest: +SKIP
        >>> task.fit([("a cat", "a dog")], [2.5])  # doctest: +SKIP
        >>> task.predict([("a cat", "a cow")])[0]["scores"]  # doctest: +SKIP
        2.31
    """

    name = "regression"
    numbers = True
    labels = None

    def config_fields(self, items: list[Example], name: str) -> dict[str, Any]:
        self.check_items(items, name)
        return {"num_labels": 1, "problem_type": "regression"}

    def check_items(self, items: list[Example], name: str) -> None:
        check_lists(items, False, name)

    def stratum(self, item: Example) -> float:
        return number_of(item)


def by_text(windows: np.ndarray, text_of: np.ndarray) -> np.ndarray:
    """Returns the windows of each text, with windows of zeros where it has fewer.

    Args:
        windows: `(rows, seq)`.
        text_of: the text of each row, ascending, `(rows,)`.

    Returns:
        `(texts, windows, seq)`.

    Example:
        >>> by_text(np.array([[1], [2], [3]]), np.array([0, 0, 1]))[1].tolist()
        [[3], [0]]
    """
    _, first, counts = np.unique(text_of, return_index=True, return_counts=True)
    found = np.zeros((len(counts), counts.max(), windows.shape[-1]), windows.dtype)
    found[text_of, np.arange(len(text_of)) - first[text_of]] = windows
    return found


def _trimmed(features: Mapping[str, Any]) -> dict[str, Any]:
    """Drops the windows that no text of a batch has."""
    import tensorflow as tf

    real = tf.reduce_any(features["attention_mask"] > 0, [0, 2])
    most = tf.reduce_sum(tf.cast(real, tf.int32))
    return {name: x[:, :most] for name, x in features.items()}


def with_all_labels(answer: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    """Returns an answer with all labels that apply, the likeliest first, and scores.

    Args:
        answer: with the `probabilities` of all classes, `(classes,)`.
        labels: the classes.
    """
    shares = np.array(answer["probabilities"])
    order = [i for i in np.argsort(-shares, kind="stable") if shares[i] > 0.5]
    others = {name: value for name, value in answer.items() if name != "label"}
    return {
        "labels": [labels[i] for i in order],
        "scores": shares[order].tolist(),
        **others,
    }


def _warn_of_cut(mask: np.ndarray, length: int, name: str) -> None:
    full = int((mask.sum(-1) >= length).sum())
    if full:
        log.warning(
            "%s: %d of %d rows have the most tokens, %d: what was longer is cut off. "
            "To read all of it, set doc_stride (--doc-stride).",
            *(name, full, len(mask), length),
        )


# === Data in memory ===


def examples_in_memory(
    texts: Any, labels: Any = None, *, labeled: bool = True
) -> list[Example]:
    """Returns examples of texts and labels in memory.

    Args:
        texts: `Example`s; or strings, or pairs of strings, as a list, an array, a
            column of pandas, or a dict of `text` and `text_pair`.
        labels: one for each text: a name, a number, or a list of names.
        labeled: whether labels are needed.

    Raises:
        InputError: the labels are missing, or not as many as the texts.

    Example:
        >>> examples_in_memory(["fine", "dull"], [1, 0])[0]
        Example(text='fine', text_pair=None, label='1')
    """
    if isinstance(texts, list) and all(isinstance(x, Example) for x in texts):
        return texts
    from keras_bert.models.texts import columns

    first, second = columns(texts)
    if labeled and labels is None:
        raise InputError("Expected labels, one for each text. Received: none.")
    names = repeat(None) if labels is None else map(_label, labels)
    if labels is not None and len(labels) != len(first):
        raise InputError(
            f"Expected as many labels as texts, {len(first)}. Received: {len(labels)}."
        )
    pairs = repeat(None) if second is None else second
    rows = zip(first, pairs, names, strict=False)
    return [Example(*row, row=number) for number, row in enumerate(rows, 1)]


def _label(label: Any) -> str | tuple[str, ...]:
    if isinstance(label, set | frozenset):  # in an order that is always the same
        return tuple(sorted(map(_label, label)))
    if isinstance(label, list | tuple):
        return tuple(map(_label, label))
    blank = isinstance(label, str) and not label.strip()
    if blank or not isinstance(label, LABELS) or label != label:
        raise InputError(
            "Expected labels as names, numbers, or lists of names. Received: "
            f"{str(label)[:40]!r}, of type {type(label).__name__}."
        )
    return str(label).strip()
