"""The answers of a served model without a server, from the same functions."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import tensorflow as tf
from tqdm.auto import tqdm

from keras_bert.errors import InputError, check_counts
from keras_bert.models import PreTrainedModel
from keras_bert.serving.graph.answers import SEQUENCE_CLASSIFICATION
from keras_bert.serving.graph.servable import Servable
from keras_bert.strings import is_text
from keras_bert.tokenization import BertTokenizer

Answer = dict[str, np.ndarray]
SEVERAL = "multi_label_classification"


class Predictor:
    """Applies a model to text, and answers like `serving_default`.

    A traced function runs each batch; `model.predict` would add about 50 ms to every
    call.

    Args:
        model: any model of this package.
        tokenizer: the one the model was trained with.
        max_length: the most tokens per row; None takes `max_position_embeddings`.
        labels: names of the classes; None takes the config's.
        batch_size: rows per batch.
        **answers: further settings of answers, see `Servable`.

    Raises:
        ConfigError: Keras runs on another backend, or an argument is out of range.
        InputError: the tokenizer or the labels do not match the model.
        MissingExtraError: tensorflow-text is not installed.

    Example:
        >>> predict = Predictor(model, tokenizer)  # doctest: +SKIP
        >>> predict(["What a film."])[0]["label"]  # doctest: +SKIP
        b'positive'
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: BertTokenizer,
        *,
        max_length: int | None = None,
        labels: Sequence[str] | None = None,
        batch_size: int = 32,
        **answers,
    ):
        check_counts(batch_size=batch_size)
        servable = Servable(model, tokenizer, max_length, labels, **answers)
        self._task, self._takes_pairs = servable.task, servable.pairs
        self.labels = servable.settings.labels
        self._function: Callable = servable.on_text
        self._batch_size = batch_size

    def __call__(
        self,
        texts: Sequence[str],
        text_pairs: Sequence[str] | None = None,
        *,
        progress: bool = False,
    ) -> list[Answer]:
        """Returns one dict of arrays per text, in order.

        Args:
            texts: one string per row.
            text_pairs: as many second strings; for multiple choice, as many lists of
                alternatives, all of the same length.
            progress: show a progress bar.

        Raises:
            InputError: a string is given instead of a list, the lengths differ, or
                `text_pairs` is missing or not supported, or an item is no string.
        """
        columns = _columns(texts, text_pairs, self._takes_pairs)
        if text_pairs is not None and self._task.pairs is None:
            raise InputError(
                f"Expected no text_pairs: {self._task.name} takes one text."
            )
        specs = self._task.single if text_pairs is None else self._task.pairs
        _check_strings(columns, specs)
        answer = self._function(pairs=text_pairs is not None)
        # Rows of similar length are batched, so there is little padding.
        rows_of = zip(*columns.values(), strict=True)
        lengths = np.array([sum(map(_characters, row)) for row in rows_of], int)
        order = np.argsort(-lengths, kind="stable")
        rows: list[Answer] = [{}] * len(order)
        with tqdm(total=len(order), unit="row", disable=not progress) as bar:
            for start in range(0, len(order), self._batch_size):
                chosen = order[start : start + self._batch_size]
                _fill(rows, chosen, answer(**_batch(columns, chosen)))
                bar.update(len(chosen))
        return rows

    @property
    def answers_each(self) -> bool:
        """Whether each class applies or not, so that a text may have several."""
        return self._task.name == SEQUENCE_CLASSIFICATION[SEVERAL].name

    @property
    def takes_lists(self) -> bool:
        """Whether a second text is a list of alternatives."""
        pairs = self._task.pairs
        return pairs is not None and len(pairs["text_pair"].shape) > 1

    def output_names(self) -> list[str]:
        """Returns the names in an answer, in order."""
        return sorted(self._function(pairs=self._takes_pairs).structured_outputs)


def _columns(texts, text_pairs, takes_pairs: bool) -> dict[str, Sequence]:
    if isinstance(texts, (str, bytes)) or isinstance(text_pairs, (str, bytes)):
        raise InputError("Expected lists of strings. Received: one string.")
    if text_pairs is None:
        if takes_pairs:
            raise InputError(
                "Expected text_pairs: this model takes two texts. Received: none."
            )
        return {"text": texts}
    if len(texts) != len(text_pairs):
        raise InputError(
            "Expected as many text_pairs as texts. Received: "
            f"{len(texts)} texts and {len(text_pairs)} text_pairs."
        )
    return {"text": texts, "text_pair": text_pairs}


def _check_strings(
    columns: dict[str, Sequence], specs: dict[str, tf.TensorSpec]
) -> None:
    for name, values in columns.items():
        if len(specs[name].shape) == 1:
            _check_items(name, "strings", values, map(_is_string, values))
            continue
        _check_items(name, "lists of strings", values, map(_are_strings, values))
        others = [i for i, v in enumerate(values) if len(v) != len(values[0])]
        if others:
            raise InputError(
                f"Expected lists of one length as {name}, {len(values[0])} as the "
                f"first. Received: {len(values[others[0]])} strings as number "
                f"{others[0]}."
            )


def _check_items(
    name: str, expected: str, values: Sequence, right: Iterable[bool]
) -> None:
    for row, (value, fits) in enumerate(zip(values, right, strict=True)):
        if not fits:
            raise InputError(
                f"Expected {expected} as {name}. Received: {str(value)[:40]!r} of type "
                f"{type(value).__name__}, number {row}."
            )


def _are_strings(value: object) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_string, value))


def _is_string(value: object) -> bool:
    return isinstance(value, bytes) or is_text(value)


def _characters(text: str | Sequence[str]) -> int:
    """Returns the length of a text, or of all alternatives."""
    return len(text) if isinstance(text, (str, bytes)) else sum(map(len, text))


def _batch(columns: dict[str, Sequence], chosen: np.ndarray) -> dict[str, tf.Tensor]:
    return {
        name: tf.constant([values[index] for index in chosen], tf.string)
        for name, values in columns.items()
    }


def _fill(
    rows: list[Answer], chosen: np.ndarray, outputs: dict[str, tf.Tensor]
) -> None:
    arrays = {name: tensor.numpy() for name, tensor in sorted(outputs.items())}
    for place, index in enumerate(chosen):
        row = {name: array[place] for name, array in arrays.items()}
        rows[index] = _without_padding(row)


def _without_padding(row: Answer) -> Answer:
    """Drops the padding of lists to the longest of the batch."""
    count = row.get("count")
    if count is None:
        return row
    return {name: value[:count] if value.ndim else value for name, value in row.items()}
